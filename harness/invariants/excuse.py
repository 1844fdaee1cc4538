"""Excuses: what must lie between two events to make a repetition unavoidable.

The fault model weakens "never twice" to "never twice without an excuse"
under faults that no consumer can be proof against (a crash between the
effect and its record; an answer that was lost after the effect). An
invariant that was so weakened is told which events excuse, as patterns of
labels (see :func:`label`), and asks here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from harness.history import Event

__all__ = ["KINDS", "STANDING", "Excuses", "Standstills", "label", "process_of"]

#: The kinds of event that can excuse.
KINDS = ("call.failed", "effect.lost", "fault.strike", "process.crash", "process.resume", "process.sigterm")

#: The kinds of event that say when a process stands still.
STANDING = ("process.pause", "process.resume", "process.crash")


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


#: Losses of a store strike everybody, whoever was the one to pass the point.
_OF_ALL = frozenset({"flushed", "failover"})
#: Actors that are no process.
_NOBODY = frozenset({"-", "faults", "workload", ""})


def process_of(actor: str) -> str | None:
    """The process that an actor belongs to; ``None`` for what is no process."""
    process = actor.partition("/")[0]
    return None if process in _NOBODY else process


def _whom(event: Event) -> str | None:
    """The process that an excusing event is about; ``None`` where it is about all."""
    if event.get("fault_kind") in _OF_ALL or event["kind"] == "effect.lost":
        return None
    return event.get("process") or process_of(event["actor"])


class Excuses:
    """Remembers the events that excuse, and answers whether one lies between two others."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = tuple(patterns)
        self._numbers: list[int] = []
        self._about: list[tuple[str | None, str | None]] = []  # key, process
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
            self._about.append((event.get("key"), _whom(event)))

    def between(
        self, first: int, second: int, key: str | None = None, processes: Collection[str | None] = (None,)
    ) -> bool:
        """Whether an excuse has its number above *first* and below *second*.

        One that is about another key, or about a process that is none of
        *processes* (``None`` among them: any may be meant), does not count.
        """
        for place in range(bisect_right(self._numbers, first), len(self._numbers)):
            if self._numbers[place] >= second:
                return False
            about_key, about_process = self._about[place]
            if about_key is not None and key is not None and about_key != key:
                continue
            if about_process is None or None in processes or about_process in processes:
                return True
        return False


class Standstills:
    """Remembers which messages were delivered while a process stood still, and answers whether it may have had one.

    A pause by itself excuses nothing: who goes on before another worker gets
    the message still has it. Only what is delivered meanwhile is lost to it.
    """

    def __init__(self) -> None:
        self._since: dict[str, int] = {}  # by process that stands still
        self._delivered: dict[str, list[tuple[int, int, str]]] = {}  # by key: pause, delivery, process

    def note(self, event: Event) -> None:
        """An event of one of :data:`STANDING` happened."""
        process = event.get("process") or process_of(event["actor"])
        if process is None:
            return
        if event["kind"] == "process.pause":
            self._since.setdefault(process, event["n"])
        else:
            self._since.pop(process, None)

    def delivered(self, key: str, number: int) -> None:
        """The message *key* was delivered: event *number*."""
        for process, since in self._since.items():
            self._delivered.setdefault(key, []).append((since, number, process))

    def excuse(self, key: str, began: int, second: int, processes: Collection[str | None]) -> bool:
        """Whether one of *processes* stood still after event *began* while *key* was delivered before *second*."""
        return any(
            began < since and number < second and (None in processes or process in processes)
            for since, number, process in self._delivered.get(key, ())
        )
