"""The project's retries, observed."""

from __future__ import annotations

import pytest

from harness.resilience import Custom, Exponential, ExponentialBackoffRetry, Retry
from tests.unit.observe.helpers import Clock, fail, observed


class Middle:
    """A random source that always gives the middle."""

    def random(self) -> float:
        return 0.5


def test_each_attempt_and_sleep_of_a_call_is_written() -> None:
    """Policy, attempts, sleeps with their bands, and the end: as many as there were, in order."""
    clock = Clock()
    with observed() as record:
        retry = ExponentialBackoffRetry(2, 1, 60, name="charge", sleep=clock.sleep, random=Middle())
        with pytest.raises(ConnectionError):
            retry.execute(fail, ConnectionError())
    attempt = {"kind": "retry.attempt", "policy": "charge", "call": 1, "error": "ConnectionError", "permanent": False}
    sleep = {"kind": "retry.sleep", "policy": "charge", "call": 1}
    assert record.events == [
        {
            "kind": "retry.policy",
            "policy": "charge",
            "library": "harness",
            "max_attempts": 3,
            "cap": 60,
            "deadline": None,
        },
        {**attempt, "attempt": 1, "outcome": "error"},
        {**sleep, "attempt": 1, "delay": 0.75, "low": 0.5, "high": 1.0},
        {**attempt, "attempt": 2, "outcome": "error"},
        {**sleep, "attempt": 2, "delay": 1.5, "low": 1.0, "high": 2.0},
        {**attempt, "attempt": 3, "outcome": "error"},
        {
            "kind": "retry.end",
            "policy": "charge",
            "call": 1,
            "attempts": 3,
            "outcome": "error",
            "error": "ConnectionError",
            "reason": "attempts",
        },
    ]
    assert clock.slept == [0.75, 1.5]


def test_equal_policies_are_one_and_their_calls_are_numbered_on() -> None:
    """A policy made afresh for each call is not a new policy each time."""
    with observed() as record:
        for _ in range(3):
            ExponentialBackoffRetry().execute(int)
        Retry(Exponential(2)).execute(int)
    assert [event["policy"] for event in record.of("retry.policy")] == ["retry-1", "retry-2"]
    ends = [(event["policy"], event["call"]) for event in record.of("retry.end")]
    assert ends == [("retry-1", 1), ("retry-1", 2), ("retry-1", 3), ("retry-2", 1)]


def test_a_policy_is_announced_in_each_process() -> None:
    """Limits are looked up by process: each that uses the policy tells them once, under the same name."""
    with observed() as record:
        for record.process in ("worker.1", "worker.2", "worker.1"):
            ExponentialBackoffRetry().execute(int)
    assert [event["policy"] for event in record.of("retry.policy")] == ["retry-1", "retry-1"]
    assert [event["call"] for event in record.of("retry.end")] == [1, 2, 3]


def test_a_permanent_error_is_marked() -> None:
    """The history says that the error was permanent, and that no retry followed."""
    with observed() as record, pytest.raises(UnicodeDecodeError):
        Retry().execute(b"\xff".decode)
    assert record.of("retry.attempt")[0]["permanent"] is True
    assert record.of("retry.sleep") == []
    assert record.of("retry.end")[0]["reason"] == "permanent"


def test_an_unknown_error_is_marked_unknown() -> None:
    """Neither transient nor permanent is null, not false."""
    with observed() as record, pytest.raises(RuntimeError):
        Retry().execute(fail, RuntimeError())
    assert record.of("retry.attempt")[0]["permanent"] is None


def test_a_backoff_that_cannot_be_hashed_is_told_apart_by_identity() -> None:
    """Two policies of a user's own unhashable backoff are two, one of them used twice is one."""

    class Listed(list[float]):
        cap = 1.0

        def band(self, attempt: int, previous: float, throttling: bool) -> tuple[float, float]:
            return 0.0, 0.0

    one, other = Listed(), Listed()
    with observed() as record:
        for backoff in (one, one, other):
            Retry(backoff).execute(int)
        Retry(Custom(float)).execute(int)
    assert [event["policy"] for event in record.of("retry.end")] == ["retry-1", "retry-1", "retry-2", "retry-3"]


def test_loops_are_seen_as_calls() -> None:
    """The iterator form writes the same events."""
    clock = Clock()
    with observed() as record:
        for attempt in Retry(sleep=clock.sleep, random=Middle()).attempts():
            with attempt:
                if attempt.number == 1:
                    raise TimeoutError
    assert record.kinds() == ["retry.policy", "retry.attempt", "retry.sleep", "retry.attempt", "retry.end"]
