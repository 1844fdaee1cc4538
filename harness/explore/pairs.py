"""Pairs of faults: the second one only where the first could have made a difference.

For each first fault one watched run says what came after its strike. A second
fault is tried at a passing of that run

* which is new or changed: the clean run did not come by there, or came by in
  another state, another process, or with other messages in hand; what is as
  in the clean run has been tried by the single faults;
* which touches a message, key or breaker that the first fault's passing
  touched: faults that share nothing do to each their own what they do alone;
* and whose kind is not one of several that the single faults have shown to do
  the same at every passing of that point.

A first fault that breaks something by itself, or never strikes, has no pairs;
of several at one passing that led to the same behaviour the first stands for
all. :func:`every` is the list without any of this, to compare with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from harness.explore.passed import Passing, Place
from harness.explore.space import choices
from harness.explore.sweep import Outcome, Single, Sweep, outcome_of, watched
from harness.faults.plan import FaultPlan
from harness.scenario import Scenario

__all__ = ["FollowTask", "Followed", "Pair", "every", "follow", "in_order", "pairs_of", "representatives", "tasks_of"]


@dataclass(frozen=True)
class Pair:
    """Two faults of one run; the second strikes after the first."""

    first: Single
    second: Single

    @property
    def name(self) -> str:
        return f"{self.first.name} + {self.second.name}"

    @property
    def group(self) -> str:
        return f"{self.first.group} + {self.second.group}"

    @property
    def plan(self) -> FaultPlan:
        return FaultPlan([self.first.fault, self.second.fault])


@dataclass(frozen=True)
class Followed:
    """A first fault's own outcome, and the second faults worth trying after it."""

    first: Single
    outcome: Outcome
    seconds: tuple[Single, ...]


#: First fault, seed, the clean run's passings by place, kinds, single faults for which another one stands.
FollowTask: TypeAlias = tuple[Single, int, Mapping[Place, Passing], frozenset[str] | None, frozenset[Single]]


def follow(scenario: Scenario, task: FollowTask) -> Followed:
    """Run the first fault alone, watched: a task of :mod:`harness.explore.processes`."""
    first, seed, clean, kinds, represented = task
    outcome, struck, after = _run_first(scenario, first, seed)
    if struck is None:
        return Followed(first, outcome, ())
    seconds = []
    for passing in after:
        before = clean.get(passing.place)
        if before is not None and before.context == passing.context:
            continue
        if not passing.touched & struck.touched:
            continue
        seconds += [one for one in _at(passing, kinds) if one not in represented]
    return Followed(first, outcome, tuple(seconds))


def every(scenario: Scenario, first: Single, seed: int, kinds: frozenset[str] | None = None) -> Followed:
    """Every second fault after *first*, pruned by nothing: what :func:`follow` is compared with."""
    outcome, struck, after = _run_first(scenario, first, seed)
    found = [one for passing in after for one in _at(passing, kinds)] if struck is not None else []
    return Followed(first, outcome, tuple(found))


def _run_first(scenario: Scenario, first: Single, seed: int) -> tuple[Outcome, Passing | None, list[Passing]]:
    """The outcome of *first* alone, the passing that it struck (if pairs make sense), and those after it."""
    result, passings = watched(scenario, first.plan, seed)
    outcome = outcome_of(first.name, result)
    place = first.choice.point, first.choice.side, first.nth
    index = next((number for number, one in enumerate(passings) if one.place == place), None)
    if index is None or not outcome.survived:
        return outcome, None, []
    return outcome, passings[index], passings[index + 1 :]


def _at(passing: Passing, kinds: frozenset[str] | None) -> Iterator[Single]:
    for choice in choices(passing.point, passing.side, kinds):
        yield Single(choice, passing.nth)


def representatives(sweep: Sweep, outcomes: Mapping[str, Outcome]) -> tuple[list[Single], frozenset[Single]]:
    """The single faults that stand for themselves as firsts, and those for which another one stands.

    At one passing, faults of several kinds that led to the same behaviour do
    the same; the first one stands for all. One without an outcome, one that
    broke something or did not strike stands for nothing.
    """
    chosen: list[Single] = []
    represented: list[Single] = []
    seen: set[tuple[Place, str]] = set()
    for one in sweep.singles:
        outcome = outcomes.get(one.name)
        if outcome is None or not outcome.survived:
            continue
        mark = (one.choice.point, one.choice.side, one.nth), outcome.behaviour
        (represented if mark in seen else chosen).append(one)
        seen.add(mark)
    return chosen, frozenset(represented)


def pairs_of(sweep: Sweep, outcomes: Mapping[str, Outcome], kinds: frozenset[str] | None = None) -> Sequence[Pair]:
    """The pairs worth a run after the single faults of *sweep*, whose *outcomes* are known; all in this process."""
    return in_order(follow(sweep.scenario, task) for task in tasks_of(sweep, outcomes, kinds))


def tasks_of(sweep: Sweep, outcomes: Mapping[str, Outcome], kinds: frozenset[str] | None = None) -> list[FollowTask]:
    """What :func:`follow` is to be called with, first fault by first fault."""
    firsts, represented = representatives(sweep, outcomes)
    clean = {one.place: one for one in sweep.clean_passings}
    return [(first, sweep.seed, clean, kinds, represented) for first in firsts]


def in_order(followed: Iterable[Followed]) -> Sequence[Pair]:
    """The pairs, one of each (kind and point, kind and point) first, then the rest."""
    seen: set[str] = set()
    firsts: list[Pair] = []
    rest: list[Pair] = []
    for one in followed:
        for second in one.seconds:
            pair = Pair(one.first, second)
            (rest if pair.group in seen else firsts).append(pair)
            seen.add(pair.group)
    return [*firsts, *rest]
