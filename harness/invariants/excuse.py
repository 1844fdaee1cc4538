"""Excuses: what must lie between two events to make a repetition unavoidable.

The fault model weakens "never twice" to "never twice without an excuse"
under faults that no consumer can be proof against (a crash between the
effect and its record; an answer that was lost after the effect). An
invariant that was so weakened is told which events excuse, as patterns of
labels (see :func:`label`), and asks here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from fnmatch import fnmatchcase

from harness.history import Event

__all__ = ["KINDS", "Excuses", "label"]

#: The kinds of event that can excuse.
KINDS = ("call.failed", "effect.lost", "fault.strike", "process.crash", "process.resume", "process.sigterm")


def label(event: Event) -> str:
    """What an event excuses as.

    A strike is ``<point>/<kind>`` (``dependency.payments.after/timeout``), a
    failed call ``call.failed/<point>``, any other event its kind.
    """
    kind: str = event["kind"]
    if kind == "fault.strike":
        return f"{event.get('point') or event.get('target') or ''}/{event.get('fault_kind') or ''}"
    if kind == "call.failed":
        return f"call.failed/{event.get('point') or ''}"
    return kind


class Excuses:
    """Remembers the events that excuse, and answers whether one lies between two others."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = tuple(patterns)
        self._numbers: list[int] = []
        self._keys: list[str | None] = []
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def note(self, event: Event) -> None:
        """An event of one of :data:`KINDS` happened."""
        name = label(event)
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = any(fnmatchcase(name, pattern) for pattern in self._patterns)
        if known:
            self._numbers.append(event["n"])
            self._keys.append(event.get("key"))

    def between(self, first: int, second: int, key: str | None = None) -> bool:
        """Whether an excuse has its number above *first* and below *second*, and is not about another key."""
        for place in range(bisect_right(self._numbers, first), len(self._numbers)):
            if self._numbers[place] >= second:
                return False
            about = self._keys[place]
            if about is None or key is None or about == key:
                return True
        return False
