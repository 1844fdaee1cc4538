"""The first place where two histories part, and what probably made them part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from harness.history import Event, History

__all__ = ["Difference", "first_difference", "likely_cause"]

_SHOWN_CHARS_MAX = 160
_IDENTITIES = frozenset({"message", "key", "handle", "digest", "body", "length", "call"})


@dataclass(frozen=True)
class Difference:
    """Where two histories part. An event is ``None`` where its history has ended."""

    number: int
    first: Event | None
    second: Event | None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields in which the two events differ, in alphabetical order; empty where one history has ended."""
        if self.first is None or self.second is None:
            return ()
        first, second = self.first, self.second
        missing = object()
        return tuple(
            sorted(name for name in {*first, *second} if first.get(name, missing) != second.get(name, missing))
        )

    def __str__(self) -> str:
        return f"first difference at event {self.number}: {_short(self.first)} / {_short(self.second)}"


def first_difference(first: History, second: History) -> Difference | None:
    """The first event that differs, byte for byte; ``None`` if the events are the same. Headers are not compared."""
    pairs = zip_longest(_with_lines(first), _with_lines(second))
    for number, (one, other) in enumerate(pairs, start=1):
        if one is None or other is None or one[1] != other[1]:
            return Difference(number, one and one[0], other and other[0])
    return None


def _with_lines(history: History) -> Iterable[tuple[Event, bytes]]:
    return zip(history.events, history.lines(), strict=True)


def likely_cause(difference: Difference) -> str:
    """A guess at what is not deterministic, from the first event that differs."""
    first, second = difference.first, difference.second
    if first is None or second is None:
        return "one run ended before the other: something counts or waits in reality"
    if first["kind"] == second["kind"] and first["actor"] == second["actor"]:
        fields = [name for name in difference.fields if name != "n"]
        if fields == ["t"]:
            return "a wait whose length depends on the real clock, or on chance that does not come from the run's seed"
        if _IDENTITIES & set(fields):
            return (
                f"{', '.join(fields)} differ: an id, a name or a body made from chance or a clock that the run does "
                "not control (the operating system, a C extension), or from an address (id, repr, hash)"
            )
        return f"{', '.join(fields)} differ: state that outlives a run (a module's global, a class attribute, a file)"
    return (
        "the order of events differs: iteration over a set, a directory or a dict keyed by addresses, "
        "or state that outlives a run (a module's global; isolate=[...] imports it afresh)"
    )


def _short(event: Event | None) -> str:
    if event is None:
        return "(ended)"
    shown: dict[str, Any] = {name: value for name, value in event.items() if name != "n"}
    text = " ".join(f"{name}={value}" for name, value in shown.items())
    return text if len(text) <= _SHOWN_CHARS_MAX else text[: _SHOWN_CHARS_MAX - 3] + "..."
