"""pybreaker, observed through its real classes."""

from __future__ import annotations

from typing import Any

import pybreaker
import pytest

from tests.unit.observe.helpers import fail, observed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """pybreaker's own (wall) clock, to be moved by hand."""

    class Moved(pybreaker.datetime):  # type: ignore[name-defined,misc]
        offset = pybreaker.timedelta(0)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return pybreaker.datetime.__mro__[1].now(tz) + cls.offset

    monkeypatch.setattr(pybreaker, "datetime", Moved)
    return Moved


def story(record: Any) -> list[tuple[Any, ...]]:
    told: list[tuple[Any, ...]] = []
    for event in record.events:
        if event["kind"] == "breaker.begin":
            told.append(("begin", event["state"], event["generation"], event["call"]))
        elif event["kind"] == "breaker.call":
            told.append((event["outcome"], event["state"], event["generation"], event["call"]))
        elif event["kind"] == "breaker.transition":
            told.append((event["from"], event["to"], event["generation"]))
    return told


def test_a_whole_outage_is_written_in_order(clock: Any) -> None:
    """Failures, opening, refusals, a failed and a good probe, closing: each once, in order, with generations."""
    with observed() as record:
        breaker = pybreaker.CircuitBreaker(fail_max=2, reset_timeout=30, name="payments")
        for _ in range(2):
            with pytest.raises((ConnectionError, pybreaker.CircuitBreakerError)):
                breaker.call(fail, ConnectionError())
        with pytest.raises(pybreaker.CircuitBreakerError):
            breaker.call(int)
        clock.offset = pybreaker.timedelta(seconds=31)
        with pytest.raises(pybreaker.CircuitBreakerError):
            breaker.call(fail, ConnectionError())
        clock.offset = pybreaker.timedelta(seconds=62)
        breaker.call(int)
    created = record.of("breaker.created")
    assert len(created) == 1
    assert created[0] | {"recovery_timeout": 30, "failure_threshold": 2, "library": "pybreaker"} == created[0]
    assert story(record) == [
        ("begin", "closed", 1, 1),
        ("failure", "closed", 1, 1),
        ("begin", "closed", 1, 2),
        ("failure", "closed", 1, 2),
        ("closed", "open", 2),
        ("rejected", "open", 2, None),
        ("open", "half_open", 3),
        ("begin", "half_open", 3, 3),
        ("failure", "half_open", 3, 3),
        ("half_open", "open", 4),
        ("open", "half_open", 5),
        ("begin", "half_open", 5, 4),
        ("success", "half_open", 5, 4),
        ("half_open", "closed", 6),
    ]
    failures = [event for event in record.of("breaker.call") if event["outcome"] == "failure"]
    assert {(event["error"], event["transient"]) for event in failures} == {("ConnectionError", True)}


def test_excluded_errors_are_told_once_as_the_successes_that_they_are() -> None:
    """pybreaker takes an excluded error for a success; the history has one event for it, with the error's name."""
    with observed() as record:
        breaker = pybreaker.CircuitBreaker(exclude=[KeyError])
        with pytest.raises(KeyError):
            breaker.call(fail, KeyError("a"))
        breaker.call(int)
    assert [entry[0] for entry in story(record)] == ["begin", "success", "begin", "success"]
    assert [event["error"] for event in record.of("breaker.call")] == ["KeyError", None]


def test_limits_that_are_set_before_use_are_told() -> None:
    """The announcement has what is in force at the first call, not what the constructor had."""
    with observed() as record:
        breaker = pybreaker.CircuitBreaker()
        breaker.fail_max, breaker.reset_timeout = 1, 7
        breaker.call(int)
    created = record.of("breaker.created")[0]
    assert (created["failure_threshold"], created["recovery_timeout"]) == (1, 7)


def test_the_block_and_the_decorator_are_seen() -> None:
    """All forms of a call end in the same hooks."""
    with observed() as record:
        breaker = pybreaker.CircuitBreaker()
        with breaker.calling():
            assert record.kinds()[-1] == "breaker.begin"
        breaker(int)()
    assert [entry[0] for entry in story(record)] == ["begin", "success", "begin", "success"]


def test_a_breaker_made_before_the_run_is_seen_in_it() -> None:
    """A module-level breaker is announced at its first call in the run."""
    breaker = pybreaker.CircuitBreaker()
    with observed() as record:
        breaker.call(int)
    assert record.kinds() == ["breaker.created", "breaker.begin", "breaker.call"]


def test_the_classes_are_as_before_afterwards() -> None:
    """Uninstalling leaves no trace: every attribute that was replaced is the very same object again."""
    owners = (pybreaker.CircuitBreaker, pybreaker.CircuitBreakerState, pybreaker.CircuitOpenState)
    before = [dict(vars(owner)) for owner in owners]
    with observed() as record:
        assert [dict(vars(owner)) for owner in owners] != before
    assert [dict(vars(owner)) for owner in owners] == before
    pybreaker.CircuitBreaker().call(int)
    assert record.events == []


def test_users_listeners_still_hear_everything() -> None:
    """Observing takes nothing away from the listeners that the user gave."""
    heard: list[str] = []

    class Listener(pybreaker.CircuitBreakerListener):
        def success(self, cb: Any) -> None:
            heard.append("success")

        def failure(self, cb: Any, exc: BaseException) -> None:
            heard.append("failure")

    with observed():
        breaker = pybreaker.CircuitBreaker(listeners=[Listener()])
        breaker.call(int)
        with pytest.raises(ConnectionError):
            breaker.call(fail, ConnectionError())
    assert heard == ["success", "failure"]
