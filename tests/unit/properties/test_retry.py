"""The retry pack: planted defects are found with a right example, right policies are left alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from harness.errors import UsageError
from harness.properties import PropertiesFailed, RetryContract, check_retry_policy, probe
from harness.properties.retry import PROMISES
from harness.resilience import ExponentialBackoffRetry
from harness.resilience.backoff import Exponential
from harness.resilience.retry import Retry
from tests.budget import examples
from tests.mutants import retries
from tests.unit.properties.contracts import retry_contract

FEW = examples(50)


def found(contract: RetryContract, seed: int = 0) -> dict[str, str]:
    """Property -> smallest example."""
    return {one.property: one.example for one in probe(contract, seed=seed, examples=FEW).findings}


@pytest.mark.parametrize("kind", retries.WRONG)
def test_a_planted_defect_is_found(kind: type[retries.Right]) -> None:
    """Each mutant breaks the property that names its defect."""
    assert retries.WRONG[kind] in found(retry_contract(kind))


def test_examples_are_small_and_in_words() -> None:
    """The smallest example says what the function did and what came of it."""
    assert found(retry_contract(retries.OneTooMany)) == {
        "attempts-bounded": "with 5 times a transient failure: 5 attempts were made; 4 are allowed"
    }
    assert found(retry_contract(retries.PermanentRetriedAfterTransient)) == {
        "permanent-not-retried": "with a transient failure, then a permanent failure, then success: "
        "attempt 3 was made after a permanent failure"
    }
    assert found(retry_contract(retries.FalsyValueRetried)) == {
        "value-unchanged": "with success with None, then success: attempt 2 was made after a success"
    }


def test_a_wait_by_the_wall_clock_is_found() -> None:
    """A clock that is put back while the policy waits prolongs the wait."""
    example = found(retry_contract(retries.WallClockDeadline))["delay-bounds"]
    assert "the wall clock jumps -7200 s" in example


def test_the_right_policy_gives_no_finding() -> None:
    """Nothing is found in the policy that the mutants differ from, under another seed too."""
    assert found(retry_contract(retries.Right)) == {}
    assert found(retry_contract(retries.Right), seed=7) == {}


def bounds(attempt: int) -> tuple[float, float]:
    return 2.0 ** (attempt - 2) / 2, 2.0 ** (attempt - 2)


def test_our_own_policy_keeps_its_contract_in_every_form() -> None:
    """Call, decorator, iterator, and the same asynchronously."""
    policy = ExponentialBackoffRetry(max_retries=3, base_delay=1, max_delay=60)

    def iterated(func: Callable[[], Any]) -> Any:
        for attempt in policy.attempts():
            with attempt:
                return func()
        raise AssertionError("unreachable")

    async def iterated_async(func: Callable[[], Any]) -> Any:
        async for attempt in policy:
            with attempt:
                return await func()
        raise AssertionError("unreachable")

    forms = {
        "decorator": lambda func: policy(func)(),
        "iterator": iterated,
        "async": policy.execute_async,
        "async iterator": iterated_async,
    }
    check_retry_policy(
        RetryContract(
            call=policy.execute,
            transient=ConnectionError,
            permanent=ValueError,
            max_attempts=4,
            delay_bounds=bounds,
            forms=forms,
        ),
        examples=FEW,
    )


def test_no_limit_and_a_deadline() -> None:
    """1,100 failures in a row are survived without a limit; with a deadline nothing begins after it."""
    endless = Retry(Exponential(1, cap=60), max_retries=None)
    contract = RetryContract(
        endless.execute, ConnectionError, ValueError, None, lambda attempt: (0, min(60.0, 2.0 ** (attempt - 2)))
    )
    report = probe(contract, examples=FEW)
    assert report.passed
    tried = {one.name: one.examples for one in report.properties}
    assert tried["many-failures"] == 1
    limited = Retry(Exponential(1, cap=60, jitter="none"), max_retries=None, deadline=10)
    contract = dataclasses.replace(
        contract,
        call=limited.execute,
        deadline=10.0,
        delay_bounds=lambda attempt: (min(60.0, 2.0 ** (attempt - 2)),) * 2,
    )
    report = probe(contract, examples=FEW)
    assert report.passed
    assert {one.name: one.verdict for one in report.properties}["deadline-kept"] == "holds"
    late = dataclasses.replace(contract, deadline=2.0)
    assert set(found(late)) == {"deadline-kept"}


def test_recursion_and_overflow_are_found() -> None:
    """A policy that calls itself for each retry, and one whose exponent overflows, fail at 1,100 failures."""

    def recursive(func: Callable[[], Any], attempt: int = 1) -> Any:
        try:
            return func()
        except ConnectionError:
            return recursive(func, attempt + 1)

    def overflowing(func: Callable[[], Any]) -> Any:
        attempt = 0
        while True:
            try:
                return func()
            except ConnectionError:
                min(0.0, 2.0**attempt)
                attempt += 1

    for call in (recursive, overflowing):
        contract = RetryContract(call, ConnectionError, ValueError, None, lambda attempt: (0, 0))
        assert set(found(contract)) == {"many-failures"}


def test_one_error_tells_every_finding_and_the_same_seed_the_same_report() -> None:
    """check_retry_policy raises one report; probing again gives an equal one."""
    contract = retry_contract(retries.SharedCount)
    with pytest.raises(PropertiesFailed) as caught:
        check_retry_policy(contract, examples=FEW)
    report = caught.value.report
    assert len(report.findings) > 1
    assert all(one.property in str(caught.value) and one.example in str(caught.value) for one in report.findings)
    assert probe(contract, examples=FEW) == report
    assert [one.name for one in report.properties] == list(PROMISES)


def test_an_impossible_contract_is_refused() -> None:
    """A value that can mean nothing is named with its remedy."""
    with pytest.raises(UsageError, match=r"RetryContract\.max_attempts: is 0"):
        RetryContract(lambda func: func(), ConnectionError, ValueError, 0, bounds)
    with pytest.raises(UsageError, match=r"gives \(2, 1\) before attempt 2"):
        RetryContract(lambda func: func(), ConnectionError, ValueError, 3, lambda attempt: (2, 1))
    with pytest.raises(UsageError, match="which is no exception"):
        RetryContract(lambda func: func(), dict, ValueError, 3, bounds)  # type: ignore[arg-type]
