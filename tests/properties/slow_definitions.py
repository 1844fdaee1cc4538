"""What the tests of invariants against slow definitions share: the verdict that follows, and that all three came up."""

from __future__ import annotations

from harness.history import Event
from harness.invariants.base import Spec
from tests.histories import HistoryBuilder

#: Every verdict there is.
ALL = {"holds", "violated", "inconclusive"}


def outcome(violated: bool, judged: bool) -> str:
    """The verdict: violated beats holds, and where there was nothing to judge it is inconclusive."""
    return "violated" if violated else "holds" if judged else "inconclusive"


def compare(spec: Spec, h: HistoryBuilder, expected: str, seen: set[str]) -> None:
    """The invariant's verdict is the *expected* one, which is noted among those that were *seen*."""
    (verdict,) = h.judged([spec]).finish()
    assert verdict.status == expected, verdict
    seen.add(expected)


def process_of(event: Event) -> str:
    """The process whose actor an event comes from."""
    return str(event["actor"]).partition("/")[0]


def where(events: list[Event], message: str, before: int) -> str:
    """The queue in which a message is before event number *before*; "" if it is in none."""
    place = ""
    for event in events[: before - 1]:
        if event.get("message") != message:
            continue
        if event["kind"] == "send":
            place = event["queue"]
        elif event["kind"] == "move":
            place = event["to"]
        elif event["kind"] == "delete" and event["found"]:
            place = ""
    return place
