"""Schedules to try: first come first served, random, and PCT; the kernel records each, so that it replays as a tape.

PCT: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with
Probabilistic Guarantees of Finding Bugs" (ASPLOS 2010). Each actor has a
priority, the highest of those who can run does, and at a few change points
drawn beforehand the one that would run falls behind all others. A bug of
depth d among n actors and k decisions is found with probability 1/(n k^(d-1))
at least.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, overload

from harness.seeds import Seeds
from harness.sim import world

__all__ = ["PLAIN", "RANDOM", "Priorities", "Schedule", "draw"]


class Priorities(Sequence[int]):
    """A tape that is made while it is read: PCT with change points at the decisions in *changes*."""

    def __init__(self, random: Random, changes: frozenset[int]) -> None:
        self._random = random
        self._changes = changes
        self._priorities: dict[Any, float] = {}
        self._lowest = 0.0

    def __len__(self) -> int:
        return 1 << 62

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            raise TypeError("a schedule that is made as it is read has no slices")
        run = world.current()
        waiting = () if run is None else run.kernel.runnable
        if len(waiting) < 2:  # a choice among others than actors: of an event loop, for one
            return self._random.randrange(1 << 16)
        priorities = self._priorities
        for actor in waiting:
            if actor not in priorities:
                priorities[actor] = self._random.random()
        highest = max(waiting, key=priorities.__getitem__)
        if index in self._changes:
            self._lowest -= 1.0
            priorities[highest] = self._lowest
            highest = max(waiting, key=priorities.__getitem__)
        return next(place for place, actor in enumerate(waiting) if actor is highest)

    def __iter__(self) -> Iterator[int]:
        raise TypeError("a schedule that is made as it is read cannot be read beforehand")


@dataclass(frozen=True)
class Schedule:
    """Who runs next among those who can.

    *kind* is ``random`` (from the run's seed), ``pct`` (from *seed*, with
    *changes* as its change points) or ``tape`` (the recorded choices in
    *tape*, then first come first served).
    """

    kind: str
    seed: int = 0
    changes: tuple[int, ...] = ()
    tape: tuple[int, ...] = ()

    def for_run(self) -> Sequence[int] | None:
        """As :class:`harness.runner.Options` takes it: fresh for each run."""
        if self.kind == "random":
            return None
        if self.kind == "pct":
            return Priorities(Seeds(self.seed).stream("pct"), frozenset(self.changes))
        return self.tape


RANDOM = Schedule("random")
PLAIN = Schedule("tape")


def draw(random: Random, decisions: int) -> Schedule:
    """One of the portfolio: half of them random, a third PCT with up to three change points, the rest plain.

    *decisions* is how many a run makes, about: change points lie below.
    """
    what = random.random()
    if what < 0.5:
        return RANDOM
    if what < 0.85:
        changes = tuple(sorted(random.randrange(max(1, decisions)) for _ in range(random.randrange(4))))
        return Schedule("pct", seed=random.randrange(1 << 32), changes=changes)
    return PLAIN
