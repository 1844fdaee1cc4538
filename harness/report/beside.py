"""Two runs of one scenario side by side: what they share, the first difference, and how each goes on.

Runs are compared by what happened (time, actor, kind, key, and what it did),
not by ids that every run makes anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.history import Event
from harness.report.entries import event_in_words

__all__ = ["Beside", "beside", "of_explanation", "shared_events"]

_BEFORE, _AFTER = 4, 10
_OWN = frozenset({"n", "cause", "message", "handle", "digest", "original", "call"})


@dataclass(frozen=True, slots=True)
class Beside:
    """A failing run beside one that passed.

    Attributes:
        passing: what the other run is (its name, seed or file).
        shared: how many events from the start are the same.
        rows: (event of the failing run, event of the passing run) as ``{n, text}`` or ``None``, around the difference.
        marked: the index in *rows* of the first difference.
        fields: the fields in which the first two different events differ.
    """

    passing: str
    shared: int
    rows: Sequence[tuple[dict[str, Any] | None, dict[str, Any] | None]]
    marked: int
    fields: Sequence[str]


def beside(failing: Sequence[Event], passing: Sequence[Event], what: str) -> Beside | None:
    """Set *failing* beside *passing*; ``None`` where nothing differs."""
    shared = shared_events(failing, passing)
    if shared == len(failing) == len(passing):
        return None
    first = max(0, shared - _BEFORE)
    rows = [(_row(failing, index), _row(passing, index)) for index in range(first, shared + _AFTER)]
    while rows and rows[-1] == (None, None):
        rows.pop()
    fields: list[str] = []
    if shared < min(len(failing), len(passing)):
        one, other = _comparable(failing[shared]), _comparable(passing[shared])
        fields = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return Beside(what, shared, rows, shared - first, fields)


def of_explanation(explanation: Mapping[str, Any]) -> Beside | None:
    """The two runs as an explanation's JSON sets them beside each other; ``None`` where it has no run that passed."""
    nearest, difference = explanation.get("nearest"), explanation.get("difference")
    if not isinstance(nearest, Mapping) or not isinstance(difference, Mapping):
        return None
    rows: list[tuple[dict[str, Any] | None, dict[str, Any] | None]] = []
    marked = None
    for one in explanation.get("beside") or ():
        row = {"n": None, "text": f"{float(one['t']):>10.3f} s  {one['text']}"}
        if marked is None and one["of"] != "both":
            marked = len(rows)
        rows.append((None if one["of"] == "passed" else row, None if one["of"] == "failed" else row))
    return Beside(
        f"Without {nearest.get('what')}", int(difference["n"]) - 1, rows, -1 if marked is None else marked, []
    )


def shared_events(one: Sequence[Event], other: Sequence[Event]) -> int:
    """How many events two runs have in common, from the start."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if _comparable(left) != _comparable(right):
            break
        count += 1
    return count


def _comparable(event: Event) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in _OWN}


def _row(events: Sequence[Event], index: int) -> dict[str, Any] | None:
    return {"n": events[index]["n"], "text": event_in_words(events[index])} if index < len(events) else None
