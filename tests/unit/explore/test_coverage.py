"""What was covered, and the figures that a search drives up: counted by hand on small histories."""

from __future__ import annotations

from typing import Any

import pytest

from harness.explore.coverage import features
from harness.explore.measures import MEASURES, measure
from harness.history import Event, History
from harness.invariants.messages import MessageCounts
from harness.result import Result


def _events(*told: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"n": n, "t": float(n), "actor": "-", "kind": kind, **fields} for n, (kind, fields) in enumerate(told, 1)]


_STRIKE = ("fault.strike", {"point": "aws.sqs.DeleteMessage.before", "fault_kind": "timeout"})


def test_each_state_in_which_a_fault_struck_counts_once() -> None:
    """Receive count, attempt, breaker and backlog tell states apart."""
    found = features(
        _events(
            _STRIKE,
            ("send", {}),
            _STRIKE,
            ("send", {}),
            ("receive", {"receive_count": 4}),
            ("retry.attempt", {"attempt": 2}),
            ("breaker.transition", {"to": "open"}),
            _STRIKE,
            _STRIKE,
            ("delete", {"found": True}),
            ("delete", {"found": False}),
            ("retry.end", {}),
            _STRIKE,
        )
    )
    assert [state for _, _, state in found] == [
        "receives 0, attempt 0, breaker -, backlog none",
        "receives 0, attempt 0, breaker -, backlog one",
        "receives 3+, attempt 2, breaker open, backlog many",
        "receives 3+, attempt 0, breaker open, backlog one",
    ]
    assert {(point, kind) for point, kind, _ in found} == {("aws.sqs.DeleteMessage.before", "timeout")}


def test_no_strike_covers_nothing() -> None:
    """A clean run has no features."""
    assert features(_events(("send", {}), ("receive", {"receive_count": 1}))) == []


@pytest.mark.parametrize(
    ("name", "figure"),
    [("recovery_seconds", 12.5), ("duplicates", 2), ("backlog", 2), ("attempts", 5), ("amplification", 1.5)],
)
def test_figures(name: str, figure: float) -> None:
    """Each as its text says."""
    history = History(
        {},
        _events(
            ("send", {}),
            ("send", {}),
            ("receive", {"receive_count": 2}),
            ("retry.attempt", {"attempt": 5}),
            *[("effect", {"name": "done", "key": key}) for key in ("a", "a", "b", "a")],
            ("delete", {"found": True}),
            ("expire", {}),
            ("send", {}),
        ),
    )
    faults = {"dependency.pay.before": {"passed": 3, "struck": 0}, "dependency.pay.after": {"passed": 3, "struck": 0}}
    result = Result(
        "x", "passed", 0, "memory", history, messages=MessageCounts(sent=2), recovery_seconds=12.5, faults=faults
    )
    assert measure(name, result) == figure
    assert measure(name, Result("x", "passed", 0, "memory", History({}, []))) == 0
    assert name in MEASURES


def test_what_never_recovers_is_worse_than_what_does() -> None:
    """Without a recovery the figure goes to the end of the run, not to zero."""
    events: list[Event] = [
        {"n": 1, "t": 2.0, "actor": "worker", "kind": "fault.strike", "point": "x.before", "fault_kind": "timeout"},
        {"n": 2, "t": 92.0, "actor": "-", "kind": "run.end"},
    ]
    assert measure("recovery_seconds", Result("x", "failed", 0, "memory", History({}, events))) == 90
