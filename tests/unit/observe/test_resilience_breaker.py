"""The project's breaker, observed."""

from __future__ import annotations

import pytest

from harness.resilience import CircuitBreaker, CircuitBreakerOpenException, CountWindow
from tests.unit.observe.helpers import Clock, fail, observed


def test_a_whole_outage_is_written_in_order() -> None:
    """Made, failed, opened, refused, probed and closed: each is one event with its generation."""
    clock = Clock()
    with observed() as record:
        breaker = CircuitBreaker(1, 30, name="payments", clock=clock)
        with pytest.raises(ConnectionError):
            breaker.call(fail, ConnectionError("down"))
        with pytest.raises(CircuitBreakerOpenException):
            breaker.call(int)
        clock.now += 30
        breaker.call(int)
    assert record.events == [
        {
            "kind": "breaker.created",
            "breaker": "payments",
            "library": "harness",
            "failure_threshold": 1,
            "recovery_timeout": 30,
            "half_open_permits": 1,
            "success_threshold": 1,
            "mode": "consecutive",
        },
        {"kind": "breaker.begin", "breaker": "payments", "state": "closed", "generation": 1, "call": 1},
        _ended("failure", "closed", 1, call=1, error="ConnectionError", transient=True),
        _changed("closed", "open", 2, "1 consecutive failures"),
        _ended("rejected", "open", 2, call=None),
        _changed("open", "half_open", 3, "recovery timeout passed"),
        {"kind": "breaker.begin", "breaker": "payments", "state": "half_open", "generation": 3, "call": 2},
        _ended("success", "half_open", 3, call=2),
        _changed("half_open", "closed", 4, "1 probes succeeded"),
    ]


def _ended(
    outcome: str, state: str, generation: int, *, call: int | None, error: str | None = None, transient: object = None
) -> dict[str, object]:
    return {
        "kind": "breaker.call",
        "breaker": "payments",
        "outcome": outcome,
        "state": state,
        "generation": generation,
        "error": error,
        "transient": transient,
        "call": call,
    }


def _changed(before: str, after: str, generation: int, reason: str) -> dict[str, object]:
    return {
        "kind": "breaker.transition",
        "breaker": "payments",
        "from": before,
        "to": after,
        "generation": generation,
        "reason": reason,
    }


def test_names_follow_the_order_of_creation_and_never_clash() -> None:
    """Nameless breakers are numbered as they are made, whatever is used first, and two of one name stay apart."""
    with observed() as record:
        breakers = [CircuitBreaker(), CircuitBreaker(window=CountWindow(20))]
        breakers += [CircuitBreaker(name="db"), CircuitBreaker(name="db")]
        for breaker in reversed(breakers):
            breaker.call(int)
    created = record.of("breaker.created")
    assert [event["breaker"] for event in created] == ["db-2", "db", "breaker-2", "breaker-1"]
    assert [event["mode"] for event in created] == ["consecutive", "consecutive", "count", "consecutive"]


def test_limits_that_are_set_before_use_are_told() -> None:
    """The announcement has what is in force at the first call, not what the constructor had."""
    with observed() as record:
        breaker = CircuitBreaker()
        breaker.failure_threshold, breaker.recovery_timeout = 1, 7
        breaker.call(int)
        growing = CircuitBreaker(recovery_growth=2, recovery_timeout_max=300)
        growing.call(int)
    created, grows = record.of("breaker.created")
    assert (created["failure_threshold"], created["recovery_timeout"]) == (1, 7)
    assert "recovery_timeout_max" not in created
    assert (grows["recovery_timeout"], grows["recovery_timeout_max"]) == (60, 300)


def test_a_breaker_that_processes_share_keeps_its_owner() -> None:
    """Events that another process causes say whose breaker it is, so that its story stays one."""
    with observed() as record:
        breaker = CircuitBreaker(name="shared")
        breaker.call(int)
        record.process = "worker.2"
        breaker.call(int)
    assert [event.get("owner") for event in record.events] == [None, None, None, "worker.1", "worker.1"]


def test_a_breaker_made_before_the_run_is_seen_in_it() -> None:
    """A module-level breaker is announced at its first call in the run."""
    breaker = CircuitBreaker(name="early")
    breaker.call(int)
    with observed() as record:
        breaker.call(int)
        breaker.call(int)
    assert record.kinds() == ["breaker.created", *["breaker.begin", "breaker.call"] * 2]


def test_a_breaker_that_outlives_a_run_is_counted_afresh() -> None:
    """Two runs with one module-level breaker have the same history: states and calls are numbered from 1."""
    breaker = CircuitBreaker(1, 0)
    histories = []
    for _ in range(2):
        with observed() as record:
            with pytest.raises(ConnectionError):
                breaker.call(fail, ConnectionError())
            breaker.call(int)
        histories.append(record.events)
        breaker.force_open()
        breaker.force_close()
    assert histories[0] == histories[1]
    assert histories[0][1]["generation"] == 1


def test_a_run_that_begins_with_a_change_of_state() -> None:
    """The state before the first change that is seen is the first."""
    breaker = CircuitBreaker()
    with observed() as record:
        breaker.force_open()
    assert record.of("breaker.transition")[0]["generation"] == 2


def test_nothing_is_written_outside_the_run() -> None:
    """While no run is in force, and after the observers are gone, calls leave no trace."""
    breaker = CircuitBreaker()
    with observed() as record:
        record.running = False
        breaker.call(int)
    breaker.call(int)
    assert record.events == []


def test_a_permanent_error_is_told_as_ignored() -> None:
    """What a bad message raises is no failure of the service, and says so."""
    with observed() as record, pytest.raises(UnicodeDecodeError):
        CircuitBreaker().call(b"\xff".decode)
    assert record.of("breaker.call")[0]["outcome"] == "ignored"
    assert record.of("breaker.call")[0]["transient"] is False
