"""Looks for examples that break properties, and for the smallest of each.

Everything is drawn up front by Hypothesis; judging a case runs it in virtual
time and is a function of the case alone. So a case that broke a property
breaks it again, and is made smaller for each property by itself: step by
step, as long as a smaller one breaks the same property.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, strategies

from harness.properties.report import Finding, Level, PropertyResult, Verdict

__all__ = ["Broken", "Judged", "Search"]

Case = TypeVar("Case", bound=Hashable)

_FIND_SHARE = 0.6  # of the time, for finding; the rest is for making examples smaller
_SHRINK_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Broken:
    """One property that one case breaks, in words, and what happened."""

    property: str
    statement: str
    evidence: tuple[str, ...] = ()
    slow: bool = False  # it takes seconds to see: not to be made smaller


@dataclass(slots=True)
class Judged:
    """What came of one case: which properties it could have broken, and which it did."""

    applied: set[str] = field(default_factory=set)
    broken: dict[str, Broken] = field(default_factory=dict)

    def tried(self, *names: str) -> None:
        self.applied.update(names)

    def breaks(self, found: Broken) -> None:
        """The first thing that breaks a property is kept."""
        self.applied.add(found.property)
        self.broken.setdefault(found.property, found)


class _Enough(Exception):
    """The time is over."""


class Search(Generic[Case]):
    """The searches of one probe, one after the other; ``promises`` are the properties in words, by name."""

    def __init__(self, promises: Mapping[str, str], *, seed: int, examples: int, max_seconds: float) -> None:
        self.promises = promises
        self.seed = seed
        self.examples = examples
        self.until = time.monotonic() + max_seconds
        self.counts: dict[str, int] = dict.fromkeys(promises, 0)
        self.findings: dict[str, Finding] = {}

    def fixed(self, judged: Judged, level: Level = "plain") -> None:
        """Take in what came of a case that is not drawn."""
        self._count(judged)
        for name, broken in judged.broken.items():
            self._keep(name, broken, level)

    def drawn(
        self,
        cases: strategies.SearchStrategy[Case],
        judge: Callable[[Case], Judged],
        smaller: Callable[[Case], Iterable[Case]],
        *,
        always: Iterable[Case] = (),
        level: Level = "plain",
        share: float = 1.0,
    ) -> None:
        """Judge *always*, then drawn cases until there were enough or *share* of the time is over; then shrink."""
        known: dict[Case, Judged] = {}

        def cached(case: Case) -> Judged:
            if case not in known:
                known[case] = judge(case)
            return known[case]

        start = time.monotonic()
        end = start + max(0.5, (self.until - start) * share)
        first = self._explore(cases, always, cached, start + (end - start) * _FIND_SHARE)
        wanted = [name for name in first if name not in self.findings]
        for left, name in zip(range(len(wanted), 0, -1), wanted, strict=True):
            now = time.monotonic()
            limit = now + min(_SHRINK_SECONDS, max(0.5, (end - now) / left))
            case = first[name]
            if not known[case].broken[name].slow:
                case = self._smallest(smaller, cached, name, case, limit)
            self._keep(name, cached(case).broken[name], level)

    def _explore(
        self,
        cases: strategies.SearchStrategy[Case],
        always: Iterable[Case],
        judge: Callable[[Case], Judged],
        end: float,
    ) -> dict[str, Case]:
        """The first case found that breaks each property."""
        first: dict[str, Case] = {}
        slow = 0

        def look(case: Case) -> None:
            nonlocal slow
            if time.monotonic() > end or slow > 1:
                raise _Enough
            judged = judge(case)
            self._count(judged)
            slow += any(one.slow for one in judged.broken.values())
            for name in judged.broken:
                first.setdefault(name, case)

        test = hypothesis.seed(self.seed)(_settings(self.examples, Phase.generate)(hypothesis.given(cases)(look)))
        try:
            for case in always:
                look(case)
            test()
        except _Enough:
            return first
        return first

    def _smallest(
        self,
        smaller: Callable[[Case], Iterable[Case]],
        judge: Callable[[Case], Judged],
        name: str,
        case: Case,
        end: float,
    ) -> Case:
        """From *case*, the first smaller one that still breaks property *name*, and so on until there is none."""
        tried = {case}
        going = True
        while going:
            going = False
            for candidate in smaller(case):
                if candidate in tried:
                    continue
                if time.monotonic() > end:
                    return case
                tried.add(candidate)
                if name in judge(candidate).broken:
                    case, going = candidate, True
                    break
        return case

    def _count(self, judged: Judged) -> None:
        for name in judged.applied:
            self.counts[name] += 1

    def _keep(self, name: str, broken: Broken, level: Level) -> None:
        if name not in self.findings:
            self.findings[name] = Finding(name, broken.statement, broken.evidence, level)

    def results(self) -> tuple[PropertyResult, ...]:
        """Each property's verdict."""
        return tuple(
            PropertyResult(name, text, self._verdict(name), self.counts[name]) for name, text in self.promises.items()
        )

    def _verdict(self, name: str) -> Verdict:
        if name in self.findings:
            return "fails"
        return "holds" if self.counts[name] else "untried"


def _settings(examples: int, *phases: Phase) -> hypothesis.settings:
    return hypothesis.settings(
        max_examples=examples,
        phases=phases,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
