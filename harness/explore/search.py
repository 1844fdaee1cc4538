"""Search: draws plans, workload sizes and schedules until an invariant breaks, and makes what it found small.

It goes in rounds. A round's candidates are drawn from the seed, the number of
the round and what earlier rounds have covered; they are run, in one process
or several, and taken down in the order in which they were drawn. So the same
seed gives the same search however many processes there are. A candidate that
fails is a value, and goes to the shrinker (:mod:`harness.explore.minimise`).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from hypothesis.database import ExampleDatabase

from harness import runner
from harness.errors import ScenarioError
from harness.explore import schedules
from harness.explore.coverage import Feature
from harness.explore.difference import first_difference, likely_cause
from harness.explore.measures import MEASURES
from harness.explore.minimise import Candidate, Minimised, limited, minimise
from harness.explore.outcome import Outcome, Runs
from harness.explore.plans import FaultSpace
from harness.explore.remembered import Remembered
from harness.explore.schedules import Schedule
from harness.explore.search_report import Finding, SearchReport, Worst, write
from harness.explore.search_worker import runs_in
from harness.faults.plan import FaultPlan
from harness.loading import digest
from harness.result import Result
from harness.scenario import Scenario
from harness.seeds import Seeds
from harness.sim import real

__all__ = ["Search", "carry_on", "search"]

ROUND: Final = 32
_NEAR: Final = 0.5  # how often a candidate is drawn near one that covered something new
_KEPT: Final = 256  # candidates that are kept to draw near them
_WORST_KEPT: Final = 8
_MINIMISED_MAX: Final = 8  # of one invariant: what is not explained by then is likely the same defect
_MINIMISE_AT_LEAST_S: Final = 1.0  # what is found at the very end is made somewhat smaller too
_PREEMPT_EVERY: Final = 4  # rounds
_SHARE_CUT: Final = 0.5  # candidates whose workload is cut
_LARGE: Final = 30  # messages from which on it is cut more often: small workloads show most defects, and sooner
_SHARE_CUT_LARGE: Final = 0.9


class Search:
    """One search: what to try next, and what has been found so far."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int = 0,
        kinds: Collection[str] | None = None,
        targets: Collection[str] | None = None,
        max_faults: int = 4,
        beyond: bool = False,
        maximise: str | None = None,
        minimise_seconds: float = 20.0,
        remembered: Remembered | None = None,
    ) -> None:
        if maximise is not None and maximise not in MEASURES:
            remedy = f"Choose from {', '.join(MEASURES)}"
            raise ScenarioError(f"is {maximise!r}", field="maximise", remedy=remedy)
        if max_faults < 1:
            raise ScenarioError(f"is {max_faults!r}", field="max_faults", remedy="Give 1 or more")
        self.scenario = scenario
        self.seed = seed
        self.space = FaultSpace.of(scenario, seed=seed, kinds=kinds, targets=targets, beyond=beyond)
        self.alone = _left_behind(scenario, self.space.clean, seed)
        self.maximise = maximise
        self.findings: dict[tuple[str, tuple[str, ...]], Finding] = {}
        self.coverage: Counter[Feature] = Counter()
        self.errors: Counter[str] = Counter()
        self.tried = self.clean = self.struck = 0
        self.worst: Worst | None = None
        self.interrupted = False
        #: When the search is over, in seconds of the real monotonic clock.
        self.until = float("inf")
        self._max_faults = max_faults
        self._minimise_seconds = minimise_seconds
        self._seeds = Seeds(seed)
        self._drawn = self._handed_out = 0
        self._corpus: list[Candidate] = []
        self._top: list[tuple[float, Candidate]] = []
        self._fresh: set[int] = set()
        self._minimised: Counter[str] = Counter()
        self._clean_sizes: dict[int, frozenset[str]] = {}
        self.remembered = remembered
        self._again = [] if remembered is None else remembered.fetch()
        self.again = len(self._again)
        self.still = 0
        self._known = frozenset(self._again)
        self._counts = _profile(scenario, seed)
        self._preempts = bool(scenario.preempt)
        self._decisions = max(8, 2 * len(self.space.clean.schedule))
        most = max((one.messages for one in scenario.workloads), default=0)
        self._share_cut = _SHARE_CUT if most <= _LARGE else _SHARE_CUT_LARGE
        self._sizes = [size for size in (1, 2, 3, 5, 8, 13) if size < most]

    # what to try

    def candidates(self, number: int) -> list[Candidate]:
        """The next *number* candidates: what earlier searches found, the scenario without faults, what is drawn."""
        return [self._next() for _ in range(number)]

    def _next(self) -> Candidate:
        candidate = self._again.pop(0) if self._again else self._draw()
        self._handed_out += 1
        return candidate

    def _draw(self) -> Candidate:
        index = self._drawn
        self._drawn += 1
        if index == 0:
            return Candidate(FaultPlan(), self.seed)
        random = self._seeds.stream(f"search/{index}")
        near = self._near(random)
        if near is not None:
            plan = self.space.near(random, near.plan, self._max_faults, messages=near.messages)
            again = random.random() < 0.5
            schedule = near.schedule if again else schedules.draw(random, self._decisions, self._counts)
            candidate = Candidate(plan, near.seed if again else self.seed + index, near.messages, schedule)
            return self._held_up(candidate, index)
        self._fresh.add(self._handed_out)
        messages = None
        if self._sizes and random.random() < self._share_cut:
            size = random.choice(self._sizes)
            messages = size if not self._broken_by_size(size) else None
        plan = self.space.draw(random, self._max_faults, messages=messages)
        schedule = schedules.draw(random, self._decisions, self._counts)
        return self._held_up(Candidate(plan, self.seed + index, messages, schedule), index)

    def _held_up(self, candidate: Candidate, index: int) -> Candidate:
        """In every fourth round, where the scenario names modules for it, actors are held up inside their blocks.

        Who is held up comes from the run's seed, as the rest of its schedule then does.
        """
        if not self._preempts or (index // ROUND) % _PREEMPT_EVERY != _PREEMPT_EVERY - 1:
            return dataclasses.replace(candidate, preempt=None)
        return dataclasses.replace(candidate, schedule=schedules.RANDOM, preempt="calls")

    def _near(self, random: Random) -> Candidate | None:
        """One to draw near, or ``None`` to draw afresh."""
        if random.random() >= _NEAR:
            return None
        if self._top and random.random() < 0.8:
            return random.choice(self._top)[1]
        return random.choice(self._corpus) if self._corpus else None

    def _broken_by_size(self, messages: int) -> frozenset[str]:
        """The invariants that break without any fault where there are so few messages: they need the whole workload."""
        found = self._clean_sizes.get(messages)
        if found is None:
            result = runner.run(limited(self.scenario, messages), faults=FaultPlan(), seed=self.seed)
            found = self._clean_sizes[messages] = frozenset(one.name for one in result.violated)
        return found

    # what came of it

    def take(self, candidate: Candidate, outcome: Outcome) -> None:
        """Take down what became of *candidate*, and make small what it found.

        Candidates are taken in the order in which they were drawn.
        """
        index = self.tried
        self.tried += 1
        self.struck += bool(outcome.covered)
        if outcome.verdict in ("error", "refused"):
            self.errors[outcome.reason] += 1
        new = [feature for feature in outcome.covered if feature not in self.coverage]
        self.coverage.update(outcome.covered)
        if new and len(self._corpus) < _KEPT:
            self._corpus.append(candidate)
        if self.maximise is not None:
            self._rank(candidate, outcome.figure)
        if candidate in self._known:
            self.still += bool(outcome.violated)
            if self.remembered is not None and outcome.verdict in ("passed", "inconclusive", "refused"):
                self.remembered.delete(candidate)
        if not outcome.violated:
            self.clean += index in self._fresh and outcome.verdict in ("passed", "inconclusive")
            return
        recorded = dataclasses.replace(candidate, schedule=Schedule("tape", tape=outcome.schedule))
        for invariant in outcome.violated:
            if not self.interrupted and not self._explained(invariant, recorded.plan):
                self._find(invariant, recorded)

    def _rank(self, candidate: Candidate, figure: float) -> None:
        assert self.maximise is not None
        if self.worst is None or figure > self.worst.figure:
            self.worst = Worst(self.maximise, figure, candidate)
        if figure > 0:
            self._top.append((figure, candidate))
            self._top.sort(key=lambda one: -one[0])
            del self._top[_WORST_KEPT:]

    def _explained(self, invariant: str, plan: FaultPlan) -> bool:
        """Whether a finding of the same invariant takes no more than what *plan* has."""
        has = {(fault.target, fault.kind) for fault in plan}
        return any(
            one.invariant == invariant and {(fault.target, fault.kind) for fault in one.candidate.plan} <= has
            for one in self.findings.values()
        )

    def _find(self, invariant: str, candidate: Candidate) -> None:
        self._minimised[invariant] += 1
        if self._minimised[invariant] > _MINIMISED_MAX:
            return
        small = minimise(
            self.scenario,
            candidate,
            invariant,
            max_seconds=max(_MINIMISE_AT_LEAST_S, min(self._minimise_seconds, self.until - real.monotonic())),
            size_ok=lambda messages: invariant not in self._broken_by_size(messages),
        )
        if small is None:
            self.errors[f"{invariant} broke in one run and not in the next: runs leave something behind"] += 1
            return
        self.interrupted |= small.interrupted
        for verdict in small.result.violated:  # what breaks one often breaks others
            if verdict.name == invariant or not self._explained(verdict.name, small.candidate.plan):
                self._keep(verdict.name, small)

    def _keep(self, invariant: str, small: Minimised) -> None:
        kinds = tuple(sorted({fault.kind for fault in small.candidate.plan}))
        before = self.findings.get((invariant, kinds))
        if before is None or _size(small.candidate) < _size(before.candidate):
            tried = self.tried if before is None else before.tried
            if self.remembered is not None:
                self.remembered.save(small.candidate)
            self.findings[invariant, kinds] = Finding(
                invariant, kinds, small.candidate, small.result, tried, small.runs, small.finished
            )

    def report(self, seconds: float, exploring: float, complete: bool) -> SearchReport:
        """What it has come to so far."""
        places = {(one.target, one.kind) for one in self.space.possible if one.passed}
        struck = {(point.rpartition(".")[0], kind) for point, kind, _ in self.coverage}
        struck |= {(point, kind) for point, kind, _ in self.coverage}
        order = sorted(self.findings.values(), key=lambda one: (_size(one.candidate), one.tried, one.name))
        return SearchReport(
            scenario=self.scenario.name,
            seed=self.seed,
            tried=self.tried,
            clean=self.clean,
            struck=self.struck,
            findings=tuple(order),
            coverage=dict(self.coverage),
            reachable=len(places),
            reached=len(places & struck),
            errors=dict(self.errors),
            worst=self.worst,
            complete=complete and not self.interrupted,
            interrupted=self.interrupted,
            seconds=seconds,
            exploring=exploring,
            alone=self.alone,
            again=self.again,
            still=self.still,
        )


def _left_behind(scenario: Scenario, clean: Result, seed: int) -> str:
    """Why each run needs a process of its own; "" where runs leave nothing behind."""
    again = runner.run(scenario, faults=FaultPlan(), seed=seed)
    difference = first_difference(clean.history, again.history)
    return "" if difference is None else f"{difference}; {likely_cause(difference)}"


def _profile(scenario: Scenario, seed: int) -> tuple[tuple[str, int], ...]:
    """How many choices each actor wins where all is first come first served."""
    profile = schedules.Profile()
    runner.run(scenario, faults=FaultPlan(), seed=seed, options=runner.Options(tape=profile, judge=False))
    return profile.counts


def _size(candidate: Candidate) -> tuple[int, int]:
    """Fewer faults before fewer messages."""
    return len(candidate.plan), candidate.messages if candidate.messages is not None else 1 << 30


@dataclass
class _Clock:
    """Real time of a search, and how much of it went into trying candidates."""

    began: float = field(default_factory=real.monotonic)
    exploring: float = 0.0

    @property
    def seconds(self) -> float:
        return real.monotonic() - self.began


def carry_on(
    work: Search,
    runs: Runs,
    *,
    examples: int,
    max_seconds: float | None,
    first: bool = False,
    progress: Callable[[Search], None] = lambda work: None,
) -> SearchReport:
    """Try candidates until *examples* were tried, *max_seconds* are over, or Ctrl-C: what it has is kept.

    With *first* until something was found.
    """
    clock = _Clock()
    if max_seconds is not None:
        work.until = clock.began + max_seconds
    try:
        while work.tried < examples and not work.interrupted:
            drawn = work.candidates(min(ROUND, examples - work.tried))
            before = real.monotonic()
            with closing(runs(drawn)) as outcomes:
                for candidate, outcome in zip(drawn, outcomes, strict=True):
                    clock.exploring += real.monotonic() - before
                    work.take(candidate, outcome)
                    progress(work)
                    enough = first and bool(work.findings)
                    if enough or work.interrupted or (max_seconds is not None and clock.seconds > max_seconds):
                        return work.report(clock.seconds, clock.exploring, enough or work.tried >= examples)
                    before = real.monotonic()
    except KeyboardInterrupt:
        work.interrupted = True
    return work.report(clock.seconds, clock.exploring, True)


def search(
    scenario: Scenario,
    *,
    examples: int = 1_000,
    max_seconds: float | None = None,
    first: bool = False,
    seed: int = 0,
    kinds: Collection[str] | None = None,
    targets: Collection[str] | None = None,
    max_faults: int = 4,
    beyond: bool = False,
    maximise: str | None = None,
    jobs: int = 1,
    out: Path | str | None = None,
    database: ExampleDatabase | None = None,
) -> SearchReport:
    """Look for faults, workload sizes and schedules that break an invariant of *scenario*.

    It tries *examples* runs, at most *max_seconds* of real time long, or with
    *first* until something was found and made small. *kinds* and *targets*
    (patterns) narrow the faults, at most *max_faults* in a plan. *beyond*
    draws faults without an end too. *maximise* (one of ``recovery_seconds``,
    ``duplicates``, ``backlog``, ``attempts``, ``amplification``) drives that
    figure up and reports the worst plan. With *jobs* above 1 it runs in so
    many processes. With *out* (a folder) each finding is written there as a
    file that replays. With *database*, one of Hypothesis's, what earlier
    searches found is tried first, and what this one finds is kept. The same
    seed gives the same findings, but for *max_seconds* and *database*.

    Raises:
        UsageError: the scenario has nothing to strike, or an argument is wrong.
    """
    work = Search(
        scenario,
        seed=seed,
        kinds=kinds,
        targets=targets,
        max_faults=max_faults,
        beyond=beyond,
        maximise=maximise,
        remembered=None if database is None else Remembered(database, scenario.name),
    )
    with runs_in(scenario, jobs, alone=bool(work.alone), maximise=maximise) as runs:
        report = carry_on(work, runs, examples=examples, max_seconds=max_seconds, first=first)
    return report if out is None else write(report, Path(out), digest(scenario))
