"""A run as an outage: its length, its classes of fault, and who was served late."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.outage import fault_class, outage
from tests.unit.report import synthetic

_HEADER = {
    "system": {"sources": ["orders"], "effects": [{"name": "charged"}]},
    "plan": {"version": 1, "faults": [synthetic.fault("aws.sqs.DeleteMessage", "timeout", side="after")]},
}


def _events(*raw: tuple[float, str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"n": n, "t": t, "actor": "-", "kind": kind, **more} for n, (t, kind, more) in enumerate(raw, start=1)]


def _sent(t: float, key: str, took: float) -> list[tuple[float, str, dict[str, Any]]]:
    return [(t, "send", {"key": key, "queue": "orders"}), (t + took, "effect", {"key": key})]


def test_an_outage_lasts_from_the_first_strike_to_the_last_thing_that_ends_it() -> None:
    """A restart after the last strike still belongs to it; a start before the first does not."""
    found = outage(
        _HEADER,
        _events(
            (0, "process.start", {}),
            (10, "fault.strike", {"fault": 0, "fault_kind": "timeout"}),
            (12, "fault.strike", {"fault": 0, "fault_kind": "timeout"}),
            (20, "process.start", {}),
            (90, "run.end", {}),
        ),
    )
    assert (found.first, found.over, found.seconds) == (10, 20, 10)
    assert found.classes == {"aws.timeout": 2}


def test_without_a_strike_there_was_no_outage() -> None:
    """A window that opened and hit nothing is no outage."""
    found = outage(_HEADER, _events((5, "fault.start", {"fault": 0}), (9, "fault.end", {"fault": 0})))
    assert (found.first, found.over, found.seconds, found.classes) == (None, None, None, {})


def test_late_is_measured_by_what_was_usual_before() -> None:
    """Five times what nineteen of twenty needed before the first strike; only the first effect of a key counts."""
    calm = [one for n in range(20) for one in _sent(n, f"calm-{n}", 0.4)]
    strike = [(30.0, "fault.strike", {"fault": 0, "fault_kind": "timeout"})]
    after = [*_sent(31, "prompt", 1.9), *_sent(40, "late", 2.1), (60.0, "effect", {"key": "prompt"})]
    found = outage(_HEADER, _events(*calm, *strike, *after))
    assert (found.late_over, found.late) == (pytest.approx(2.0), 1)


def test_the_limit_has_a_floor_and_a_value_without_calm() -> None:
    """One second at least; thirty where nothing was handled before the first strike."""
    strike = (5.0, "fault.strike", {"fault": 0, "fault_kind": "timeout"})
    assert outage(_HEADER, _events(*_sent(0, "a", 0.01), strike)).late_over == 1.0
    assert outage(_HEADER, _events(strike, *_sent(6, "a", 0.01))).late_over == 30.0


def test_without_a_declared_effect_nobody_knows_who_was_late() -> None:
    """None, not zero."""
    assert outage({"system": {"sources": ["orders"]}}, _events(*_sent(0, "a", 100))).late is None


def test_a_class_is_named_after_the_layer_that_defines_the_kind() -> None:
    """A crash at an AWS call is a process fault; a kind that nobody knows keeps its target's layer."""
    assert fault_class({"target": "aws.sqs.SendMessage", "kind": "crash"}) == "process.crash"
    assert fault_class({"target": "aws.sqs.*", "kind": "duplicate"}) == "sqs.duplicate"
    assert fault_class({"target": "redis.INCR", "kind": "melted"}) == "redis.melted"
    assert fault_class({"target": "moon", "kind": "full"}) == "moon.full"
