"""Every single fault, one run each: "survives any one fault" as a fact and not a hope.

One clean run counts every passing of every fault point. Then one run for each
(point, passing, kind) with exactly that fault: first one of each (point, kind,
abstract state of the system), then the rest in the order of the passings, so
that a sweep that is broken off has seen something of everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from harness import runner
from harness.errors import PlanError, ScenarioError
from harness.explore.behaviour import behaviour
from harness.explore.difference import first_difference, likely_cause
from harness.explore.passed import Passing, Watch
from harness.explore.processes import tidy
from harness.explore.space import Choice, choices, passings
from harness.faults.plan import Fault, FaultPlan
from harness.result import Result
from harness.scenario import Scenario

__all__ = [
    "Outcome",
    "Single",
    "Sweep",
    "SweepReport",
    "Task",
    "outcome_of",
    "run_single",
    "singles",
    "summary",
    "sweep",
    "try_single",
    "watched",
]

_SURVIVED: Final = ("passed", "inconclusive")


class Task(Protocol):
    """What a sweep runs once: one fault, or a pair of them."""

    @property
    def name(self) -> str:
        """As in the list of what was found."""
        ...

    @property
    def group(self) -> str:
        """The name without the numbers of the passings: findings are told once for each."""
        ...

    @property
    def plan(self) -> FaultPlan: ...


@dataclass(frozen=True)
class Single:
    """One fault of a sweep: what strikes which passing."""

    choice: Choice
    nth: int

    @property
    def fault(self) -> Fault:
        return self.choice.fault(self.nth)

    @property
    def name(self) -> str:
        """As in the list of what was found."""
        return f"{self.choice.name} #{self.nth}"

    @property
    def group(self) -> str:
        return self.choice.name

    @property
    def plan(self) -> FaultPlan:
        return FaultPlan([self.fault])


@dataclass(frozen=True)
class Outcome:
    """What became of one run. ``violated``: invariants by name; ``reason``: of an error."""

    name: str
    verdict: str
    behaviour: str
    violated: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def survived(self) -> bool:
        """Whether no invariant was broken and the run came to its end."""
        return self.verdict in _SURVIVED

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict,
            "behaviour": self.behaviour,
            "violated": dict(self.violated),
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Outcome:
        return cls(value["name"], value["verdict"], value["behaviour"], value["violated"], value["reason"])


@dataclass(frozen=True)
class Sweep:
    """The clean run of a scenario, and what a sweep of it has to try.

    Attributes:
        passed: how often each (point, side) was passed.
        singles: in the order in which they are tried.
        firsts: how many of them come before the rest: one of each (point, kind, abstract state).
        clean_passings: what the clean run passed, one by one.
        alone: why each run needs a process of its own; "" where runs leave nothing behind.
    """

    scenario: Scenario
    seed: int
    clean: Result
    passed: Mapping[tuple[str, str], int]
    singles: tuple[Single, ...]
    alone: str = ""
    firsts: int = 0
    clean_passings: tuple[Passing, ...] = ()

    @classmethod
    def of(cls, scenario: Scenario, seed: int = 0, *, kinds: frozenset[str] | None = None) -> Sweep:
        """Run *scenario* without faults, twice, and count.

        Raises:
            ScenarioError: it does not pass without a fault: what a fault then breaks cannot be told.
        """
        clean, found = watched(scenario, FaultPlan(), seed)
        if clean.verdict not in _SURVIVED:
            why = clean.reason or "; ".join(f"{one.name}: {one.detail}" for one in clean.violated)
            raise ScenarioError(
                f"fails without any fault: {why}", field=scenario.name, remedy="Mend that first; then sweep"
            )
        difference = first_difference(clean.history, runner.run(scenario, faults=FaultPlan(), seed=seed).history)
        alone = "" if difference is None else f"{difference}; {likely_cause(difference)}"
        passed = passings(clean.faults)
        states = {one.place: one.state for one in found}
        firsts, rest = _ordered(singles(passed, kinds), states)
        return cls(scenario, seed, clean, passed, (*firsts, *rest), alone, len(firsts), tuple(found))


def watched(scenario: Scenario, plan: FaultPlan, seed: int) -> tuple[Result, list[Passing]]:
    """A run, and every passing of a fault point in it."""
    watch = Watch()
    options = runner.Options(witness=watch.event, passed=watch.passed)
    result = runner.run(scenario, faults=plan, seed=seed, options=options)
    return result, watch.passings


def singles(passed: Mapping[tuple[str, str], int], kinds: frozenset[str] | None = None) -> Iterator[Single]:
    """Every single fault: the first passing of each point and kind, then the second of each, ..."""
    found = [(choice, count) for (point, side), count in passed.items() for choice in choices(point, side, kinds)]
    for nth in range(1, max(passed.values(), default=0) + 1):
        for choice, count in found:
            if nth <= count:
                yield Single(choice, nth)


def _ordered(found: Iterable[Single], states: Mapping[Any, str]) -> tuple[list[Single], list[Single]]:
    """One of each (point, kind, abstract state); and the rest."""
    seen: set[tuple[Choice, str]] = set()
    firsts: list[Single] = []
    rest: list[Single] = []
    for one in found:
        feature = one.choice, states.get((one.choice.point, one.choice.side, one.nth), "")
        (rest if feature in seen else firsts).append(one)
        seen.add(feature)
    return firsts, rest


def run_single(scenario: Scenario, single: Task, seed: int) -> tuple[Outcome, Result | None]:
    """One run with exactly these faults; the result is None where the plan does not fit the scenario."""
    tidy()
    try:
        result = runner.run(scenario, faults=single.plan, seed=seed)
    except PlanError as error:
        return Outcome(single.name, "left out", "", reason=str(error)), None
    return outcome_of(single.name, result), result


def try_single(scenario: Scenario, task: tuple[Task, int]) -> Outcome:
    """What became of one fault, or one pair, under one seed: a task of :mod:`harness.explore.processes`."""
    return run_single(scenario, *task)[0]


def outcome_of(name: str, result: Result) -> Outcome:
    """What a run came to. A fault that never struck is no survival: the run took another way before it."""
    verdict = "not struck" if result.unstruck and result.verdict == "inconclusive" else result.verdict
    return Outcome(
        name,
        verdict,
        behaviour(result.history),
        {one.name: one.detail for one in result.violated},
        result.reason,
    )


def summary(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many were tried, survived, broke something, ended as error; and how many behaviours there were."""
    counts = {"tried": 0, "survived": 0, "broken": 0, "errors": 0, "not_struck": 0, "behaviours": 0}
    seen = set()
    for one in outcomes:
        if one.verdict == "left out":
            continue
        counts["tried"] += 1
        counts["survived"] += one.survived
        counts["broken"] += bool(one.violated)
        counts["errors"] += one.verdict == "error"
        counts["not_struck"] += one.verdict == "not struck"
        seen.add(one.behaviour)
    counts["behaviours"] = len(seen)
    return counts


@dataclass(frozen=True)
class SweepReport:
    """What a sweep came to: an outcome for each single fault, in the order in which they were tried.

    ``alone`` says why runs in one process may have had an influence on each other; "" where they had none.
    """

    scenario: str
    seed: int
    outcomes: tuple[Outcome, ...]
    alone: str = ""

    @property
    def broken(self) -> tuple[Outcome, ...]:
        """The single faults under which an invariant broke."""
        return tuple(one for one in self.outcomes if one.violated)

    @property
    def counts(self) -> dict[str, int]:
        """How many were tried, survived, broke something, ended as error, were not reached; how many behaviours."""
        return summary(self.outcomes)


def sweep(
    scenario: Scenario,
    *,
    seed: int = 0,
    kinds: Collection[str] | None = None,
    max_passing: int | None = None,
    pairs: bool = False,
) -> SweepReport:
    """Run *scenario* once for each single fault that could strike it, in this process.

    *kinds* narrows the faults by name; *max_passing* leaves out what comes after so many passings of each point.
    With *pairs* a second fault follows, where the first made a difference (:mod:`harness.explore.pairs`).

    Raises:
        ScenarioError: it does not pass without a fault.
    """
    chosen = None if kinds is None else frozenset(kinds)
    whole = Sweep.of(scenario, seed, kinds=chosen)
    tried = [one for one in whole.singles if max_passing is None or one.nth <= max_passing]
    outcomes = {one.name: run_single(scenario, one, seed)[0] for one in tried}
    if pairs:
        from harness.explore.pairs import pairs_of  # which builds on this module

        found = pairs_of(whole, outcomes, chosen)
        outcomes |= {one.name: run_single(scenario, one, seed)[0] for one in found}
    return SweepReport(scenario.name, seed, tuple(outcomes.values()), whole.alone)
