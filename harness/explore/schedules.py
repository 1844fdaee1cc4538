"""Schedules to try: first come first served, random, PCT and SURW; recorded by the kernel, each replays as a tape.

PCT: Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized Scheduler with
Probabilistic Guarantees of Finding Bugs" (ASPLOS 2010). Each actor has a
priority, the highest of those who can run does, and at a few change points
drawn beforehand the one that would run falls behind all others. A bug of
depth d among n actors and k decisions is found with probability 1/(n k^(d-1))
at least.

SURW: Zhao, Wolff, Mathur, Roychoudhury, "Selectively Uniform Concurrency
Testing" (ASPLOS 2025). Among the actors of interest the next is drawn in
proportion to the choices that it has still to win, as counted in a run
before, which makes every interleaving of theirs about equally likely (a walk
that takes each actor with the same chance nearly always ends the short ones
first). The others are taken as they come. Which actors are of interest is
drawn for each run: all, or those of two processes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, overload

from harness.seeds import Seeds
from harness.sim import world

__all__ = ["PLAIN", "RANDOM", "Made", "Priorities", "Profile", "Schedule", "Walk", "draw"]


class Made(Sequence[int]):
    """A tape that is made while it is read."""

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
        return self.choice(index, () if run is None else run.kernel.runnable)

    def __iter__(self) -> Iterator[int]:
        raise TypeError("a schedule that is made as it is read cannot be read beforehand")

    @abstractmethod
    def choice(self, index: int, waiting: Sequence[Any]) -> int:
        """Decision *index*: the place of one of those in *waiting*; fewer than two: a choice among other things."""


class Priorities(Made):
    """PCT with change points at the decisions in *changes*."""

    def __init__(self, random: Random, changes: frozenset[int]) -> None:
        self._random = random
        self._changes = changes
        self._priorities: dict[Any, float] = {}
        self._lowest = 0.0

    def choice(self, index: int, waiting: Sequence[Any]) -> int:
        if len(waiting) < 2:  # of an event loop, for one
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


class Profile(Made):
    """First come first served, noting whose turn it was: ``counts`` by the actors' names, what SURW goes by."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def choice(self, index: int, waiting: Sequence[Any]) -> int:
        if len(waiting) > 1:
            name = waiting[0].name
            self._counts[name] = self._counts.get(name, 0) + 1
        return 0

    @property
    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many choices each actor won, by name."""
        return tuple(sorted(self._counts.items()))


class Walk(Made):
    """SURW: *counts* says how many choices each actor, by name, is likely to win."""

    def __init__(self, random: Random, counts: Mapping[str, int]) -> None:
        self._random = random
        self._left = dict(counts)
        self._intended: Any = None
        processes = sorted({_process(name) for name in counts})
        self._of_interest: frozenset[str] | None = None
        if len(processes) > 2 and random.random() < 0.5:
            self._of_interest = frozenset(random.sample(processes, 2))

    def _interesting(self, actor: Any) -> bool:
        return self._of_interest is None or _process(actor.name) in self._of_interest

    def choice(self, index: int, waiting: Sequence[Any]) -> int:
        random = self._random
        if len(waiting) < 2:
            return random.randrange(1 << 16)
        interesting = [actor for actor in waiting if self._interesting(actor)]
        if interesting and not any(actor is self._intended for actor in interesting):
            weights = [max(1, self._left.get(actor.name, 1)) for actor in interesting]
            self._intended = random.choices(interesting, weights)[0]
        places = [
            place for place, actor in enumerate(waiting) if actor is self._intended or not self._interesting(actor)
        ]
        place = random.choice(places)
        chosen = waiting[place]
        if chosen is self._intended:
            self._left[chosen.name] = self._left.get(chosen.name, 1) - 1
            self._intended = None
        return place


def _process(name: str) -> str:
    return name.partition("/")[0]


@dataclass(frozen=True)
class Schedule:
    """Who runs next among those who can.

    *kind* is ``random`` (from the run's seed), ``pct`` (from *seed*, with
    *changes* as its change points), ``surw`` (from *seed*, with *counts* as
    the choices that each actor wins) or ``tape`` (the recorded choices in
    *tape*, then first come first served).
    """

    kind: str
    seed: int = 0
    changes: tuple[int, ...] = ()
    tape: tuple[int, ...] = ()
    counts: tuple[tuple[str, int], ...] = ()

    def for_run(self) -> Sequence[int] | None:
        """As :class:`harness.runner.Options` takes it: fresh for each run."""
        if self.kind == "random":
            return None
        if self.kind == "pct":
            return Priorities(Seeds(self.seed).stream("pct"), frozenset(self.changes))
        if self.kind == "surw":
            return Walk(Seeds(self.seed).stream("surw"), dict(self.counts))
        return self.tape


RANDOM = Schedule("random")
PLAIN = Schedule("tape")


def draw(random: Random, decisions: int, counts: Sequence[tuple[str, int]] = ()) -> Schedule:
    """One of the portfolio: half of them random, a third PCT with up to three change points or SURW, the rest plain.

    *decisions* is how many a run makes, about: change points lie below. *counts* is a :class:`Profile`'s; without
    any, SURW is left out.
    """
    what = random.random()
    if what < 0.5:
        return RANDOM
    if what < 0.85:
        changes = tuple(sorted(random.randrange(max(1, decisions)) for _ in range(random.randrange(4))))
        seed = random.randrange(1 << 32)
        if counts and what >= 0.7:
            return Schedule("surw", seed=seed, counts=tuple(counts))
        return Schedule("pct", seed=seed, changes=changes)
    return PLAIN
