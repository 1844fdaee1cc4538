"""Hunts for faults, schedules and workloads that break what a consumer promises, in several settings.

A setting (:class:`Trial`) is a scenario round the component. In each, first
nothing goes wrong, then one thing at a time, at every point where something
can, and then plans are drawn (:mod:`harness.explore.search`). What breaks a
property is made small (:mod:`harness.explore.minimise`) and told
(:mod:`harness.explore.story`).
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import runner
from harness.errors import UsageError
from harness.explore import story
from harness.explore.coverage import features
from harness.explore.minimise import Candidate, carry_out
from harness.explore.outcome import Outcome
from harness.explore.plans import FaultSpace, Possible
from harness.explore.schedules import PLAIN
from harness.explore.search import Search
from harness.explore.search_report import Finding as Found
from harness.faults.plan import Fault, FaultPlan
from harness.properties.bench import elsewhere
from harness.properties.report import Finding, PropertyResult, Report, Verdict
from harness.properties.stage import SQLITE, Stage
from harness.properties.watching import BEFORE, EFFECT
from harness.result import Result
from harness.scenario import Scenario
from harness.sim import real

__all__ = ["Hunt", "Trial", "hunted"]

_MINIMISE_S = 6.0
_SINGLES_PER_EXAMPLE = 4
_EVENTS = re.compile(r" \(events? \d+(?:(?:, | and )\d+)*\)|: events \d+ and \d+|, last in event \d+")
_SPOILT = re.compile(r"message (\d+) is (malformed|foreign|empty|oversized)")
_COMES_TO_REST = "comes-to-rest"
#: Windows of time that are tried: a short one, and one that outlasts retries.
_WINDOWS = ((0.0, 5.0), (0.0, 60.0))
_MOMENTS = (0.3, 1.0, 5.0)
_SLOW_MAX_S = 5.0
#: Kinds that show most at a single passing, and over a window that outlasts retries.
_TELLING = frozenset({"crash", "duplicate"})
_PROCESS = frozenset({"sigterm", "pause"})
_LASTING = frozenset({"unavailable"})
_POINTS = {
    EFFECT: "whoever has just done the effect",
    BEFORE: "whoever is about to do the effect",
    SQLITE: "whoever is about to run a statement of SQLite",
}


@dataclass(frozen=True)
class Trial:
    """One setting of a probe.

    Attributes:
        words: what is set up, to stand behind "with"; "" where that is not worth a word.
        scenario, stage: what is run, and what stands behind it.
        always: plans that are tried first, and which the drawn ones build on; the first one may be empty.
        also: what else may strike.
        keep: whether something that can strike is to be tried.
        weight: how many are tried in a turn: fewer where a run takes long.
    """

    words: str
    scenario: Scenario
    stage: Stage
    always: Sequence[FaultPlan] = (FaultPlan(),)
    also: Sequence[Possible] = ()
    keep: Callable[[Possible], bool] = lambda possible: True
    weight: int = 4


class _Trying(Search):
    """The search of one trial."""

    def __init__(self, trial: Trial, *, seed: int) -> None:
        super().__init__(trial.scenario, seed=seed, max_faults=3, minimise_seconds=_MINIMISE_S)
        self.trial = trial
        self.space: FaultSpace = dataclasses.replace(self.space, possible=tuple(self._possible()))
        self.broken_clean = frozenset(one.name for one in self.space.clean.violated)

    def _possible(self) -> Iterator[Possible]:
        """What can strike, also where what is always tried leads to calls that are not made without it."""
        found = list(self.space.possible)
        for plan in self.trial.always:
            if len(plan):
                found += FaultSpace.of(self.scenario, seed=self.seed, under=plan).possible
        seen: set[tuple[str, str, str]] = set()
        for one in found:
            if (one.target, one.kind, one.side) not in seen and self.trial.keep(one):
                seen.add((one.target, one.kind, one.side))
                yield _bearable(one)
        yield from self.trial.also

    def _broken_by_size(self, messages: int) -> frozenset[str]:
        """What needs no fault to break may break in a smaller run too."""
        return super()._broken_by_size(messages) - self.broken_clean

    def first(self) -> Iterator[Candidate]:
        """Nothing wrong, then what is always tried, each at first come first served."""
        for plan in dict.fromkeys((FaultPlan(), *self.trial.always)):
            yield Candidate(plan, self.seed, schedule=PLAIN)

    def singles(self) -> list[Candidate]:
        """Each thing that can strike, by itself, beside what is always there; in an order drawn from the seed."""
        found = [pair for one in self.space.possible for pair in _alone(one)]
        order = self._seeds.stream("singles")
        order.shuffle(found)
        found.sort(key=lambda pair: pair[0])
        bases = list(self.trial.always) or [FaultPlan()]
        return [
            Candidate(bases[index % len(bases)].add(fault), self.seed, schedule=PLAIN)
            for index, (_, fault) in enumerate(found)
        ]

    def drawn(self) -> Candidate:
        """One that is drawn; half of them build on what is always tried."""
        index = self._drawn
        candidate = self._draw()
        choice: random.Random = self._seeds.stream(f"base/{index}")
        base = choice.choice(list(self.trial.always) or [FaultPlan()])
        if choice.random() < 0.6 and len(base):
            return dataclasses.replace(candidate, plan=base.add(*candidate.plan))
        return candidate


@dataclass
class Hunt:
    """One probe: its trials, what they have found, and how often each property could have been broken.

    ``promises`` are the properties in words, by name; ``names`` leads from an invariant to the property that it shows.
    """

    promises: Mapping[str, str]
    names: Mapping[str, str]
    seed: int
    examples: int
    max_seconds: float
    counts: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)
    _best: dict[str, tuple[tuple[int, int, int], Found, Trial]] = field(default_factory=dict)
    _searches: list[_Trying] = field(default_factory=list)

    def run(self, make: Callable[[bool], Sequence[Trial]]) -> None:
        """Try the trials until there were enough examples or the time is over.

        *make* gives them; it is told whether the component remembers from run
        to run, so that each run needs messages of its own.
        """
        until = real.monotonic() + self.max_seconds
        for trial in make(_remembers(make)):
            search = _Trying(trial, seed=self.seed)
            search.until = until
            self._searches.append(search)
            for candidate in search.first():
                self._try(search, candidate)
            if real.monotonic() > until:
                break
        self._in_turn(
            [iter(search.singles()) for search in self._searches], _SINGLES_PER_EXAMPLE * self.examples, until
        )
        self._in_turn([_for_ever(search) for search in self._searches], self.examples, until)
        self._collect()

    def _in_turn(self, candidates: list[Iterator[Candidate]], number: int, until: float) -> None:
        """Try *number* of them, some of each trial in turn."""
        waiting = list(zip(self._searches, candidates, strict=True))
        while waiting and number > 0:
            for pair in list(waiting):
                search, supply = pair
                for _ in range(search.trial.weight):
                    candidate = next(supply, None)
                    if candidate is None:
                        waiting.remove(pair)
                        break
                    if number <= 0 or real.monotonic() > until:
                        return
                    number -= 1
                    self._try(search, candidate)

    def _try(self, search: _Trying, candidate: Candidate) -> None:
        try:
            result = carry_out(search.scenario, candidate)
        except UsageError:
            return  # what was drawn does not fit
        if search.trial.stage.usage is not None:
            raise search.trial.stage.usage
        for verdict in result.verdicts:
            if verdict.status == "inconclusive" and "which is the key of no message" in verdict.detail:
                raise _strange(verdict.detail)
            name = self.names.get(verdict.name)
            if name is not None and verdict.status != "inconclusive":
                self.counts[name] += 1
        if _COMES_TO_REST in self.promises:
            self.counts[_COMES_TO_REST] += 1
            if result.verdict == "error":
                self._no_rest(search.trial, candidate, result)
        violated = tuple(one.name for one in result.violated if one.name in self.names)
        covered = tuple(features(result.history)) if len(candidate.plan) else ()
        search.take(
            candidate,
            Outcome(result.verdict, violated, covered, tuple(result.schedule) if violated else (), 0.0, result.reason),
        )

    def _no_rest(self, trial: Trial, candidate: Candidate, result: Result) -> None:
        if _COMES_TO_REST in self.findings:
            return
        reason = result.reason.partition("\n")[0]
        self.findings[_COMES_TO_REST] = Finding(_COMES_TO_REST, f"{_setting(trial, candidate)}: {reason}", ())

    # what was found

    def _collect(self) -> None:
        """Of each property the smallest example: fewest faults, then fewest messages, then the plainest setting."""
        for place, search in enumerate(self._searches):
            for found in search.findings.values():
                name = self.names[found.invariant]
                size = (len(found.candidate.plan), found.messages, place)
                if name not in self._best or size < self._best[name][0]:
                    self._best[name] = (size, found, search.trial)
        for name, (_, found, trial) in self._best.items():
            self.findings[name] = self._told(name, found, trial)

    def _told(self, name: str, found: Found, trial: Trial) -> Finding:
        told = story.tell(found.result.history, found.verdict)
        if trial.stage.path:  # faults of the workload count from 0, keys from 1
            lines = tuple(_from_one(line) for line in told.lines)
            told = dataclasses.replace(told, lines=lines, because=_from_one(told.because))
        told = dataclasses.replace(told, lines=tuple(_one_line(line) for line in told.lines))
        seen = _EVENTS.sub("", told.seen)
        because = "" if told.because.startswith("no fault was needed") else f", because {told.because}"
        example = f"{_setting(trial, found.candidate, found.messages)}: {seen}{because}"
        failures = list(dict.fromkeys(trial.stage.failures)) if not len(found.candidate.plan) else []
        evidence = (
            *told.lines,
            f"expected: {self.promises[name]}",
            f"seen:     {seen}",
            f"because:  {told.because}",
            *(f"raised:   {one}" for one in failures[:2]),
        )
        return Finding(name, example, evidence)

    def results(self) -> tuple[PropertyResult, ...]:
        """Each property's verdict."""
        found: list[PropertyResult] = []
        for name, text in self.promises.items():
            verdict: Verdict = "fails" if name in self.findings else "holds" if self.counts[name] else "untried"
            found.append(PropertyResult(name, text, verdict, self.counts[name]))
        return tuple(found)

    def in_order(self) -> tuple[Finding, ...]:
        """The findings in the order of the properties."""
        return tuple(self.findings[name] for name in self.promises if name in self.findings)


def _alone(one: Possible) -> Iterator[tuple[int, Fault]]:
    """*one* as single faults, each with its turn: what shows most comes first."""
    for variant in range(min(len(one.variants), 2)):
        if "nth" in one.ways:
            numbers = (1, 2, one.passed) if not variant else (1,)
            for number in dict.fromkeys(number for number in numbers if number >= 1):
                first = number == 1 and not variant
                turn = 0 if first and one.kind in _TELLING else 1 if first and one.kind in _PROCESS else 2 + variant
                yield turn + (number > 1), one.nth(number, variant)
        if "moment" in one.ways:
            for start in _MOMENTS:
                yield 3 + variant, one.moment(start, variant)
        if "window" in one.ways:
            for start, length in _WINDOWS:
                lasting = length > _WINDOWS[0][1] and not variant and one.kind in _LASTING
                yield 0 if lasting else 3 + variant, one.window(start, length, 1.0, variant)


def _one_line(text: str) -> str:
    """*text* without what an exception's message has in further lines."""
    first, more, _ = text.partition("\n")
    return first + (" …" if more else "")


def _from_one(text: str) -> str:
    """*text* with messages that faults of the workload strike counted from 1, as their keys are."""
    return _SPOILT.sub(lambda match: f"message {int(match[1]) + 1} is {match[2]}", text)


def _bearable(possible: Possible) -> Possible:
    """*possible*, no slower than a lease of half a minute outlasts: how long work may take is not promised."""
    if possible.kind != "slow":
        return possible
    short = tuple(one for one in possible.variants if one.get("seconds", _SLOW_MAX_S + 1) <= _SLOW_MAX_S)
    return dataclasses.replace(possible, variants=short or ({"seconds": _SLOW_MAX_S},))


def _strange(detail: str) -> UsageError:
    """Effects and messages cannot be brought together."""
    return UsageError(
        detail.partition(": make the workload")[0],
        field="effects",
        remedy="Name the effect's key by the message's id, or by a field of its body (body= gives the bodies)",
    )


def _for_ever(search: _Trying) -> Iterator[Candidate]:
    while True:
        yield search.drawn()


def _setting(trial: Trial, candidate: Candidate, messages: int | None = None) -> str:
    """What was set up and what went wrong, in words."""
    parts = [trial.words] if trial.words else []
    if messages is not None:
        parts.append(f"{messages} message{'' if messages == 1 else 's'}")
    first = f"with {' and '.join(parts)}" if parts else "in the plainest setting"
    plan = "; ".join(_said(fault) for fault in candidate.plan)
    return f"{first}, where {plan}" if plan else f"{first}, and no fault"


def _said(fault: Fault) -> str:
    """*fault* in words, the points of a probe by what they are."""
    text = str(fault)
    for name, words in _POINTS.items():
        text = text.replace(f"whoever passes {name} ", f"{words} ").replace(name, words)
    return text


def _remembers(make: Callable[[bool], Sequence[Trial]]) -> bool:
    """Whether runs leave something behind, a file or a module's memory, by which new messages look like old ones."""

    def handled(fresh: bool) -> int:
        trial = make(fresh)[0]
        result = runner.run(trial.scenario, faults=FaultPlan(), options=runner.Options(tape=()))
        return len({event["key"] for event in result.history.of("effect")})

    first, second = handled(False), handled(False)
    sent = sum(one.messages for one in make(False)[0].scenario.workloads)
    return min(first, second) < sent and handled(True) > min(first, second)


def hunted(
    kind: str,
    component: Any,
    make: Callable[[bool], Sequence[Trial]],
    *,
    name: str,
    promises: Mapping[str, str],
    names: Mapping[str, str],
    seed: int,
    examples: int,
    max_seconds: float,
) -> Report:
    """What a hunt through the trials that *make* gives (see :meth:`Hunt.run`) finds of a contract.

    *kind* is the contract's, *component* what it is about, which gives the report its name where *name* is empty.
    """
    hunt = Hunt(promises, {one: name for one, name in names.items() if name in promises}, seed, examples, max_seconds)
    with elsewhere():
        hunt.run(make)
    usual = component if isinstance(component, str) else getattr(component, "__qualname__", type(component).__name__)
    return Report(name or usual, kind, seed, hunt.results(), hunt.in_order())
