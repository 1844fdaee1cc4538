"""What excuses, and what an excuse is about."""

from __future__ import annotations

import pytest

from harness.invariants.excuse import Excuses, label, process_of


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"kind": "fault.strike", "point": "handler.after", "fault_kind": "crash"}, "handler.after/crash"),
        ({"kind": "call.failed", "point": "dependency.payments"}, "call.failed/dependency.payments"),
        ({"kind": "process.resume"}, "process.resume"),
    ],
)
def test_labels(event: dict[str, str], text: str) -> None:
    """Strikes go by point and kind, failed calls by point, others by their kind."""
    assert label(event) == text


@pytest.mark.parametrize(
    ("actor", "process"), [("worker.1/Thread-2", "worker.1"), ("w", "w"), ("faults", None), ("-", None)]
)
def test_process_of(actor: str, process: str | None) -> None:
    """A thread belongs to its process; the harness's own actors to none."""
    assert process_of(actor) == process


def test_between_is_exclusive_and_skips_other_keys_and_processes() -> None:
    """Only what lies strictly between, and may be about the key and a process, counts."""
    excuses = Excuses(["*/crash"])
    base = {"kind": "fault.strike", "point": "handler.after", "fault_kind": "crash"}
    excuses.note({**base, "n": 5, "actor": "a", "key": "1"})
    excuses.note({**base, "n": 7, "actor": "b", "key": "2"})
    assert excuses.between(4, 6)
    assert not excuses.between(5, 7)
    assert excuses.between(4, 8, "2")
    assert not excuses.between(4, 6, "2")
    assert not excuses.between(4, 8, "2", ("a",))
    assert excuses.between(4, 8, "2", ("a", None))


@pytest.mark.parametrize(
    ("event", "everybody"),
    [
        ({"kind": "fault.strike", "point": "redis.INCR.before", "fault_kind": "failover"}, True),
        ({"kind": "fault.strike", "point": "redis.INCR.before", "fault_kind": "refused"}, False),
        ({"kind": "effect.lost"}, True),
        ({"kind": "process.crash", "process": "b"}, False),
    ],
)
def test_a_store_that_loses_writes_strikes_everybody(event: dict[str, str], everybody: bool) -> None:
    """A loss of writes excuses every process, whoever passed the point; other strikes only their own."""
    excuses = Excuses(["*"])
    excuses.note({"n": 5, "actor": "b", **event})
    assert excuses.between(4, 6, None, ("a",)) is everybody
    assert excuses.between(4, 6, None, ("b",))
