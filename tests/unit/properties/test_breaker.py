"""The breaker pack: planted defects are found with a right example, right breakers are left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import UsageError
from harness.properties import BreakerContract, PropertiesFailed, check_circuit_breaker, probe
from harness.resilience import CircuitBreaker, CircuitBreakerOpenException
from harness.resilience.windows import TimeWindow
from tests.budget import examples
from tests.mutants import breakers
from tests.unit.properties.contracts import breaker_contract

FEW = examples(50)


def found(contract: BreakerContract, seed: int = 0) -> dict[str, Any]:
    """Property -> finding."""
    return {one.property: one for one in probe(contract, seed=seed, examples=FEW).findings}


@pytest.mark.parametrize("kind", breakers.WRONG)
def test_a_planted_defect_is_found(kind: type[breakers.Right]) -> None:
    """Each mutant breaks the property that names its defect, whatever the threads do."""
    finding = found(breaker_contract(kind))[breakers.WRONG[kind]]
    assert finding.level == "plain"


@pytest.mark.parametrize("kind", breakers.RACES)
def test_a_race_is_found_where_threads_switch_in_its_code(kind: type[breakers.Right]) -> None:
    """Lost update and check-then-act: found at level calls, and nothing else is said of them."""
    seen = found(breaker_contract(kind))
    assert {name: one.level for name, one in seen.items()} == {breakers.RACES[kind]: "calls"}


def test_examples_are_small_and_in_words() -> None:
    """The smallest example tells what led there and what was allowed."""
    seen = found(breaker_contract(breakers.UnlimitedProbes))
    assert [one.example for one in seen.values()] == [
        "after 5 failures and 61.0 s, 2 calls that began together all reached the dependency; 1 was permitted"
    ]
    seen = found(breaker_contract(breakers.WallClock))
    assert [one.example for one in seen.values()] == [
        "after 5 failures and a jump of the wall clock by +120 s, call 6 reached the dependency; "
        "it has failed 5 times, so the breaker has to be open"
    ]


def test_the_right_breaker_gives_no_finding() -> None:
    """Nothing is found in the breaker that the mutants differ from, under another seed too."""
    assert found(breaker_contract(breakers.Right)) == {}
    assert found(breaker_contract(breakers.Right), seed=7) == {}


def ours(call: Callable[..., Any] = CircuitBreaker.call, **options: Any) -> BreakerContract:
    limits = {"permits": 1, "success_threshold": 1} | options
    return BreakerContract(
        make=lambda: CircuitBreaker(5, 60, ignore=ValueError, **options),
        call=call,
        open_error=CircuitBreakerOpenException,
        failure=ConnectionError,
        failure_threshold=5,
        recovery_timeout=60,
        ignored=ValueError,
        half_open_permits=limits["permits"],
        success_threshold=limits["success_threshold"],
    )


async def awaited(breaker: CircuitBreaker, func: Callable[[], Any]) -> Any:
    return await breaker.call_async(func)


def test_our_own_breaker_keeps_its_contract() -> None:
    """With one probe and with several, and asynchronously."""
    check_circuit_breaker(ours(), examples=FEW)
    check_circuit_breaker(ours(permits=2, success_threshold=2), examples=FEW)
    check_circuit_breaker(ours(awaited), examples=FEW)


@pytest.mark.slow
def test_failures_within_a_window() -> None:
    """Declared as windowed, successes between failures do not matter, and a breaker of failures in a row is wrong."""

    def make() -> CircuitBreaker:
        return CircuitBreaker(recovery_timeout=60, window=TimeWindow(1000, minimum_calls=1, failure_rate=0.01))

    windowed = BreakerContract(
        make, CircuitBreaker.call, CircuitBreakerOpenException, ConnectionError, 1, 60, window=1000
    )
    check_circuit_breaker(windowed, examples=FEW)
    in_a_row = breaker_contract(breakers.Right)
    declared = BreakerContract(
        in_a_row.make, in_a_row.call, breakers.Open, ConnectionError, 5, 60, ignored=ValueError, window=1000
    )
    assert "opens" in found(declared)


def test_one_error_tells_the_findings_and_the_same_seed_the_same_report() -> None:
    """check_circuit_breaker raises one report; probing again gives an equal one."""
    contract = breaker_contract(breakers.ProbeFailureCounts)
    with pytest.raises(PropertiesFailed) as caught:
        check_circuit_breaker(contract, examples=FEW)
    assert "✗ reopens: a probe that fails opens it again" in str(caught.value)
    assert probe(contract, examples=FEW) == caught.value.report


@pytest.mark.slow
def test_pre_emption_leaves_the_code_as_it_was() -> None:
    """The component's functions have their own code back after a probe."""
    before = breakers.Right.call.__code__, CircuitBreaker.call.__code__
    check_circuit_breaker(breaker_contract(breakers.Right), examples=1)
    check_circuit_breaker(ours(), examples=1)
    assert (breakers.Right.call.__code__, CircuitBreaker.call.__code__) == before


def test_a_cancelled_call_is_not_the_end_of_the_probe() -> None:
    """A breaker that swallows cancellation is found, not obeyed."""

    class Swallowing(breakers.Right):
        def call(self, func: Callable[[], Any]) -> Any:
            try:
                return super().call(func)
            except asyncio.CancelledError:
                return None

    assert "exceptions-unchanged" in found(breaker_contract(Swallowing))


def test_an_impossible_contract_is_refused() -> None:
    """A value that can mean nothing is named with its remedy."""
    with pytest.raises(UsageError, match=r"BreakerContract.failure_threshold: is 0. Give a whole number, 1 or more"):
        BreakerContract(dict, dict, KeyError, ConnectionError, 0, 60)
    with pytest.raises(UsageError, match=r"BreakerContract.recovery_timeout: is -1"):
        BreakerContract(dict, dict, KeyError, ConnectionError, 5, -1)
