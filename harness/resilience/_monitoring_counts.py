"""Counts that wait to be published: by the minute, by dimensions, in bounded memory, none lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

__all__ = ["DIMENSIONS_MAX", "OTHER", "Count", "Counts", "Dimensions", "clean_dimensions", "more_dimensions"]

Dimensions: TypeAlias = tuple[tuple[str, str], ...]

#: What stands for a value of a dimension once there are too many.
OTHER = "Other"

DIMENSIONS_MAX = 30
_NAME_MAX = 255
_VALUE_MAX = 1_024


class Count(NamedTuple):
    """So many of one thing in one minute (``minute``: seconds since 1970)."""

    minute: int
    metric: str
    dimensions: Dimensions
    number: int


def more_dimensions(given: Mapping[str, object] | Iterable[Mapping[str, object]] | None) -> list[tuple[str, object]]:
    """A user's dimensions as pairs: from a mapping, or from a list as CloudWatch takes it (``Name``, ``Value``)."""
    if not given:
        return []
    if isinstance(given, Mapping):
        return list(given.items())
    return [(str(pair["Name"]), pair["Value"]) for pair in given]


def clean_dimensions(pairs: Sequence[tuple[str, object]]) -> Dimensions:
    """Dimensions that CloudWatch accepts: in ASCII, not empty, not too long, each name once, at most 30.

    One that it would refuse would take the whole request with it. A name
    that comes twice keeps its first value; what is over 30 is left out.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        name, text = _plain(name, _NAME_MAX).lstrip(":"), _plain(value, _VALUE_MAX)
        if name and name not in found and len(found) < DIMENSIONS_MAX:
            found[name] = text or "-"
    return tuple(sorted(found.items()))


def _plain(value: object, longest: int) -> str:
    text = str(value)
    if not text.isascii() or not text.isprintable():
        text = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)
    return text.strip()[:longest]


class Counts:
    """See the module. Not thread-safe: its owner holds a lock.

    Beyond *series_max* different dimensions since the counts were last taken,
    further ones count under :data:`OTHER`. Beyond *minutes_max* minutes (the
    receiver has been down for long) the two oldest become one. Totals stay
    exact either way.
    """

    def __init__(self, *, series_max: int, minutes_max: int) -> None:
        self._series_max = series_max
        self._minutes_max = minutes_max
        self._minutes: dict[int, dict[tuple[str, Dimensions], int]] = {}
        self._known: set[tuple[str, Dimensions]] = set()

    def __len__(self) -> int:
        return sum(len(counts) for counts in self._minutes.values())

    def settle(self, metric: str, dimensions: Dimensions) -> Dimensions:
        """The dimensions to count under: those given, or the ones that stand for all others."""
        key = (metric, dimensions)
        if key not in self._known:
            if len(self._known) >= self._series_max:
                return tuple((name, OTHER) for name, _ in dimensions if name in ("ErrorType", "Event", "ServiceName"))
            self._known.add(key)
        return dimensions

    def add(self, minute: int, metric: str, dimensions: Dimensions, number: int = 1) -> None:
        """Count *number* more."""
        counts = self._minutes.get(minute)
        if counts is None:
            counts = self._minutes[minute] = {}
            if len(self._minutes) > self._minutes_max:
                self._fold()
                counts = self._minutes[minute] if minute in self._minutes else self._minutes[min(self._minutes)]
        key = (metric, dimensions)
        counts[key] = counts.get(key, 0) + number

    def _fold(self) -> None:
        oldest, following = sorted(self._minutes)[:2]
        target = self._minutes[following]
        for key, number in self._minutes.pop(oldest).items():
            target[key] = target.get(key, 0) + number

    def take(self) -> list[Count]:
        """Everything, oldest first; nothing is left."""
        taken = [
            Count(minute, metric, dimensions, number)
            for minute, counts in sorted(self._minutes.items())
            for (metric, dimensions), number in counts.items()
        ]
        self._minutes.clear()
        self._known.clear()
        return taken

    def put_back(self, counts: Iterable[Count]) -> None:
        """Take back what could not be published."""
        for count in counts:
            self._known.add((count.metric, count.dimensions))  # what waits counts towards the limit
            self.add(count.minute, count.metric, count.dimensions, count.number)

    def total(self, metric: str) -> int:
        """How many of *metric* wait, over all dimensions; counts without dimensions are sums of others."""
        return sum(
            number
            for counts in self._minutes.values()
            for (name, dimensions), number in counts.items()
            if name == metric and dimensions
        )

    def to_json(self) -> list[dict[str, Any]]:
        """What waits, for people who look."""
        return [
            {"minute": minute, "metric": metric, "dimensions": dict(dimensions), "number": number}
            for minute, counts in sorted(self._minutes.items())
            for (metric, dimensions), number in counts.items()
        ]
