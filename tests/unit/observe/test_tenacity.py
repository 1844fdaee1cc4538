"""tenacity, observed through its real classes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import tenacity
from tenacity import wait_chain, wait_exponential, wait_exponential_jitter, wait_fixed, wait_random

from tests.unit.observe.helpers import Clock, fail, observed


def _flaky(times: int, error: type[Exception] = ConnectionError) -> Any:
    left = [times]

    def flaky() -> str:
        if left[0]:
            left[0] -= 1
            raise error("not yet")
        return "done"

    return flaky


def test_a_decorated_function_is_written_in_order() -> None:
    """Policy, attempts, sleeps with their bands, and the end, as tenacity did them."""
    clock = Clock()
    with observed() as record:
        decorate = tenacity.retry(
            stop=tenacity.stop_after_attempt(3), wait=wait_exponential(multiplier=0.5, max=10), sleep=clock.sleep
        )
        assert decorate(_flaky(2))() == "done"
    name = "_flaky.<locals>.flaky"
    failed = {"kind": "retry.attempt", "policy": name, "call": 1, "error": "ConnectionError", "permanent": False}
    sleep = {"kind": "retry.sleep", "policy": name, "call": 1}
    policy = {"kind": "retry.policy", "policy": name, "library": "tenacity", "max_attempts": 3, "cap": 10.0}
    assert record.events == [
        {**policy, "deadline": None},
        {**failed, "attempt": 1, "outcome": "error"},
        {**sleep, "attempt": 1, "delay": 0.5, "low": 0.5, "high": 0.5},
        {**failed, "attempt": 2, "outcome": "error"},
        {**sleep, "attempt": 2, "delay": 1.0, "low": 1.0, "high": 1.0},
        {**failed, "attempt": 3, "outcome": "success", "error": None, "permanent": None},
        {"kind": "retry.end", "policy": name, "call": 1, "attempts": 3, "outcome": "success", "error": None},
    ]
    assert clock.slept == [0.5, 1.0]


def test_giving_up_names_the_error_of_the_last_attempt() -> None:
    """The end tells what the last attempt raised, not tenacity's RetryError."""
    with observed() as record, pytest.raises(tenacity.RetryError):
        tenacity.retry(stop=tenacity.stop_after_attempt(2), sleep=Clock().sleep)(_flaky(9))()
    end = record.of("retry.end")
    assert [(event["outcome"], event["error"], event["attempts"]) for event in end] == [("error", "ConnectionError", 2)]


def test_calls_of_one_decorated_function_are_one_policy() -> None:
    """tenacity copies the policy for each call; the history has it once, with its calls numbered."""
    with observed() as record:
        function = tenacity.retry(_flaky(0))
        function()
        function()
    assert len(record.of("retry.policy")) == 1
    assert [event["call"] for event in record.of("retry.end")] == [1, 2]


def test_a_loop_is_seen_as_a_call() -> None:
    """``for attempt in Retrying(...)`` made anew for each call is one policy."""
    clock = Clock()
    with observed() as record:
        for _ in range(2):
            for attempt in tenacity.Retrying(wait=wait_fixed(2), sleep=clock.sleep):
                with attempt:
                    if attempt.retry_state.attempt_number == 1:
                        raise TimeoutError
    assert [event["policy"] for event in record.of("retry.policy")] == ["retry-1"]
    assert [(event["call"], event["attempts"]) for event in record.of("retry.end")] == [(1, 2), (2, 2)]


def test_the_async_forms_are_seen() -> None:
    """A decorated coroutine function and ``async for`` write the same events."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def main() -> None:
        left = [1]

        @tenacity.retry(wait=wait_fixed(3), sleep=sleep)
        async def flaky() -> None:
            if left[0]:
                left[0] -= 1
                raise ConnectionError

        await flaky()
        async for attempt in tenacity.AsyncRetrying(wait=wait_fixed(4), sleep=sleep):
            with attempt:
                if attempt.retry_state.attempt_number == 1:
                    raise TimeoutError

    with observed() as record:
        asyncio.run(main())
    assert slept == [3, 4]
    assert record.kinds() == ["retry.policy", "retry.attempt", "retry.sleep", "retry.attempt", "retry.end"] * 2


@pytest.mark.parametrize(
    ("wait", "bands", "cap"),
    [
        (tenacity.wait_none(), [(0.0, 0.0)] * 3, 0.0),
        (wait_random(1, 3), [(1.0, 3.0)] * 3, 3.0),
        (wait_exponential(multiplier=1, min=2, max=3), [(2.0, 2.0), (2.0, 2.0), (3.0, 3.0)], 3.0),
        (tenacity.wait_random_exponential(max=3), [(0.0, 1.0), (0.0, 2.0), (0.0, 3.0)], 3.0),
        (wait_exponential_jitter(max=4, jitter=1), [(1.0, 2.0), (2.0, 3.0), (4.0, 4.0)], 4.0),
        (tenacity.wait_incrementing(1, 2), [(1.0, 1.0), (3.0, 3.0), (5.0, 5.0)], None),
        (wait_fixed(1) + wait_random(0, 2), [(1.0, 3.0)] * 3, 3.0),
        (wait_chain(wait_fixed(1), wait_fixed(9)), [(1.0, 1.0), (9.0, 9.0), (9.0, 9.0)], 9.0),
        (lambda state: 1.5, [(None, None)] * 3, None),
    ],
)
def test_the_band_of_each_strategy_holds_its_delay(wait: Any, bands: list[Any], cap: float | None) -> None:
    """Each strategy's promise is told, tenacity's own delay lies in it, and the unknown is said to be unknown."""
    with observed() as record:
        tenacity.retry(wait=wait, sleep=Clock().sleep)(_flaky(3))()
    sleeps = record.of("retry.sleep")
    assert [(event["low"], event["high"]) for event in sleeps] == bands
    for event in sleeps:
        if event["low"] is not None:
            assert event["low"] <= event["delay"] <= event["high"]
    assert record.of("retry.policy")[0]["cap"] == cap


@pytest.mark.parametrize(
    ("stop", "attempts", "deadline"),
    [
        (tenacity.stop_never, None, None),
        (tenacity.stop_after_attempt(4) | tenacity.stop_before_delay(9), 4, 9.0),
        (tenacity.stop_after_delay(9), None, None),
    ],
)
def test_limits_are_told_as_promised(stop: Any, attempts: int | None, deadline: float | None) -> None:
    """Attempts and deadline are told where tenacity promises them; stop_after_delay promises none."""
    with observed() as record:
        tenacity.retry(stop=stop)(_flaky(0))()
    policy = record.of("retry.policy")[0]
    assert (policy["max_attempts"], policy["deadline"]) == (attempts, deadline)


def test_the_classes_are_as_before_afterwards() -> None:
    """Uninstalling leaves no trace."""
    before = [tenacity.BaseRetrying.iter, tenacity.AsyncRetrying.iter]
    with observed() as record:
        assert tenacity.BaseRetrying.iter is not before[0]
    assert [tenacity.BaseRetrying.iter, tenacity.AsyncRetrying.iter] == before
    tenacity.retry(_flaky(0))()
    assert record.events == []


def test_an_error_that_a_callback_swallows_is_still_an_error() -> None:
    """A retry_error_callback turns the error into an answer; the history keeps that it failed."""
    with observed() as record:
        answer = tenacity.retry(stop=tenacity.stop_after_attempt(1), retry_error_callback=lambda state: "sorry")
        assert answer(lambda: fail(OSError()))() == "sorry"
    assert record.of("retry.end")[0]["outcome"] == "error"
