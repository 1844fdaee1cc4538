"""Numbers for simulated sockets, for code that waits by file descriptor: ``select``, ``poll``, selectors, asyncio.

A number stands far above every descriptor of the operating system's, so that
a real one is never taken for a simulated one. Numbers count from the start of
each run.
"""

from __future__ import annotations

from typing import Any, Protocol

from harness.sim import world as _world

__all__ = ["FIRST", "Pollable", "Watcher", "find", "forget", "number_of"]

#: The first number. Linux gives a process at most 1,048,576 descriptors (fs.nr_open), numbered from 0.
FIRST = 1 << 24


class Watcher(Protocol):
    """Who waits for something to become readable or writable."""

    def changed(self) -> None:
        """What is watched has changed, or will without a further word (see ``Pollable.ready_at_us``)."""
        ...


class Pollable(Protocol):
    """What can be waited for."""

    watchers: list[Watcher]
    number: int

    def readable(self) -> bool:
        """Whether a read would not wait."""
        ...

    def writable(self) -> bool:
        """Whether a write would not wait."""
        ...

    def ready_at_us(self) -> int | None:
        """When it becomes readable as things stand; ``None`` if nothing is under way."""
        ...


def _table() -> dict[int, Any] | None:
    run = _world.current()
    if run is None:
        return None
    table: dict[int, Any] | None = run.wires.get("descriptors")
    if table is None:
        table = run.wires["descriptors"] = {}
        run.wires["descriptors.next"] = FIRST
    return table


def number_of(thing: Pollable) -> int:
    """The number of *thing* in this run, given at the first question; -1 outside a run."""
    table = _table()
    if table is None:
        return -1
    if table.get(thing.number) is not thing:
        run = _world.current()
        assert run is not None
        thing.number = run.wires["descriptors.next"]
        run.wires["descriptors.next"] += 1
        table[thing.number] = thing
    return thing.number


def find(number: int) -> Any:
    """What has that number in this run; ``None`` if nothing has."""
    table = _table()
    return None if table is None else table.get(number)


def forget(thing: Pollable) -> None:
    """*thing* is closed: its number is nobody's, and who waits for it looks again."""
    table = _table()
    if table is not None and table.get(thing.number) is thing:
        del table[thing.number]
