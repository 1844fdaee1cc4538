"""Every schedule of a scenario with at most k deviations from first come first served.

A *deviation* is a choice of the scheduler that is not the first. Runs go from
none to k of them: each run tells how many choices it had and among how many
each, and from these the schedules with one deviation more, behind the last,
are made. So every schedule with at most k deviations is run once, the plain
ones first. When none is left the scenario is *exhausted*: within its plan,
its seed and that many deviations nothing breaks, or what does is known.

(Bounding the schedules instead of drawing them: Emmi, Qadeer, Rakamaric,
"Delay-Bounded Scheduling", POPL 2011.)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

from harness import runner
from harness.errors import ScenarioError, SimulationError
from harness.explore.difference import first_difference
from harness.explore.minimise import Candidate, carry_out
from harness.explore.processes import perform, processes
from harness.explore.schedules import Made, Schedule
from harness.explore.search_report import Finding, write_findings
from harness.result import Result
from harness.scenario import Scenario
from harness.sim import real

__all__ = ["Deviations", "ExhaustReport", "Ran", "exhaust", "run_schedule"]

#: (index of the decision, what is chosen there), in order.
Deviations: TypeAlias = tuple[tuple[int, int], ...]

_STEPS_MAX: Final = 2_000_000
_AT_ONCE: Final = 64


class _Asked(int):
    """A choice that notes among how many it is made: the kernel takes it modulo their number."""

    notes: list[int]

    def __mod__(self, among: int) -> int:
        self.notes.append(among)
        return int(self) % among


class _Asking(Made):
    """First come first served but for some deviations; ``among``: of how many each choice was one."""

    def __init__(self, deviations: Deviations) -> None:
        self._deviations = dict(deviations)
        self.among: list[int] = []

    def choice(self, index: int, waiting: Sequence[Any]) -> int:
        asked = _Asked(self._deviations.get(index, 0))
        asked.notes = self.among
        return asked


@dataclass(frozen=True)
class Ran:
    """What became of one schedule. ``among``: of how many each choice was one."""

    verdict: str
    violated: tuple[str, ...]
    among: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True)
class ExhaustReport:
    """What came of it.

    Attributes:
        tried: how many schedules were run, by their number of deviations.
        decisions: how many choices the plain schedule has.
        exhausted: whether every schedule with at most ``deviations`` was run.
        findings: of each invariant the first, which is one with the fewest deviations.
        broke: in how many schedules each invariant broke.
    """

    scenario: str
    seed: int
    deviations: int
    tried: tuple[int, ...]
    decisions: int
    exhausted: bool
    interrupted: bool
    findings: tuple[Finding, ...]
    broke: dict[str, int]
    errors: dict[str, int]
    seconds: float

    @property
    def total(self) -> int:
        """How many schedules were run."""
        return sum(self.tried)

    def to_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "schedules": "exhaustive",
            "deviations": self.deviations,
            "exhausted": self.exhausted,
            "interrupted": self.interrupted,
            "tried": self.total,
            "by_deviations": list(self.tried),
            "decisions": self.decisions,
            "findings": [one.to_json() for one in self.findings],
            "broke": self.broke,
            "errors": self.errors,
            "seconds": round(self.seconds, 3),
        }


def run_schedule(scenario: Scenario, task: tuple[int, Deviations]) -> Ran:
    """Run the scenario with its own plan, a seed and these deviations."""
    seed, deviations = task
    tape = _Asking(deviations)
    result = runner.run(scenario, seed=seed, options=runner.Options(tape=tape, max_steps=_STEPS_MAX))
    violated = tuple(one.name for one in result.violated)
    return Ran(result.verdict, violated, tuple(tape.among), result.reason.partition("\n")[0])


def exhaust(
    scenario: Scenario,
    *,
    deviations: int = 2,
    seed: int = 0,
    examples: int | None = None,
    max_seconds: float | None = None,
    jobs: int = 1,
    out: Path | str | None = None,
    digest: str = "",
    progress: Callable[[int, str], None] = lambda tried, words: None,
) -> ExhaustReport:
    """Run every schedule with at most so many *deviations*, at most *examples* runs or *max_seconds* of real time.

    With *out* (a folder) each finding is written there as a file that replays; *digest* is the scenario's file's.

    Raises:
        ScenarioError: *deviations* is below 0.
        UsageError: several processes are asked for, and the scenario stands in no file; or *out* cannot be written.
    """
    if deviations < 0:
        raise ScenarioError(f"is {deviations!r}", field="deviations", remedy="Give 0 or more")
    began = real.monotonic()
    work = _Work(scenario, seed)
    complete, interrupted = False, False
    try:
        with _runs_in(scenario, seed, jobs) as runs:
            level: Iterator[Deviations] = iter([()])
            for depth in range(deviations + 1):
                parents: list[tuple[Deviations, tuple[int, ...]]] = []
                work.tried.append(0)
                with closing(runs(level)) as done:
                    for made, ran in done:
                        work.take(made, ran)
                        progress(work.total, f"{depth} deviations")
                        parents.append((made, ran.among))
                        late = max_seconds is not None and real.monotonic() - began > max_seconds
                        if late or (examples is not None and work.total >= examples):
                            complete = depth == deviations and next(level, None) is None
                            return work.report(deviations, complete, False, real.monotonic() - began, out, digest)
                level = _children(parents)
            complete = True
    except KeyboardInterrupt:
        interrupted = True
    return work.report(deviations, complete, interrupted, real.monotonic() - began, out, digest)


def _children(parents: Sequence[tuple[Deviations, tuple[int, ...]]]) -> Iterator[Deviations]:
    """One deviation more, behind the last of each."""
    for made, among in parents:
        first = made[-1][0] + 1 if made else 0
        for index in range(first, len(among)):
            for choice in range(1, among[index]):
                yield (*made, (index, choice))


class _Work:
    """What was found so far."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._seed = seed
        self.tried: list[int] = []
        self._decisions = 0
        self._first: dict[str, tuple[Deviations, int]] = {}
        self._broke: dict[str, int] = {}
        self._errors: dict[str, int] = {}

    @property
    def total(self) -> int:
        return sum(self.tried)

    def take(self, made: Deviations, ran: Ran) -> None:
        self.tried[-1] += 1
        if not made:
            self._decisions = len(ran.among)
        if ran.verdict == "error":
            self._errors[ran.reason] = self._errors.get(ran.reason, 0) + 1
        for name in ran.violated:
            self._first.setdefault(name, (made, self.total))
            self._broke[name] = self._broke.get(name, 0) + 1

    def report(
        self, deviations: int, complete: bool, interrupted: bool, seconds: float, out: Path | str | None, digest: str
    ) -> ExhaustReport:
        findings = tuple(self._finding(name, made, tried) for name, (made, tried) in self._first.items())
        if out is not None:
            findings = write_findings(findings, Path(out), digest)
        return ExhaustReport(
            self._scenario.name,
            self._seed,
            deviations,
            tuple(self.tried),
            self._decisions,
            complete and not self._errors,
            interrupted,
            findings,
            self._broke,
            self._errors,
            seconds,
        )

    def _finding(self, name: str, made: Deviations, tried: int) -> Finding:
        """The run once more, as a finding."""
        length = made[-1][0] + 1 if made else 0
        chosen = dict(made)
        tape = tuple(chosen.get(index, 0) for index in range(length))
        candidate = Candidate(self._scenario.plan, self._seed, None, Schedule("tape", tape=tape))
        result = carry_out(self._scenario, candidate)
        if not any(one.name == name for one in result.violated):
            raise SimulationError(f"{name} broke in one run and not in the next: runs leave something behind")
        kinds = tuple(sorted({fault.kind for fault in candidate.plan}))
        return Finding(name, kinds, candidate, result, tried)


_Runs: TypeAlias = Callable[[Iterator[Deviations]], Generator[tuple[Deviations, Ran], None, None]]


@contextmanager
def _runs_in(scenario: Scenario, seed: int, jobs: int) -> Iterator[_Runs]:
    """What runs schedules: in this process, or in several; each in one of its own where runs leave something behind."""
    alone = bool(scenario.file) and not _clean(scenario, seed)
    if jobs == 1 and not alone:

        def here(level: Iterator[Deviations]) -> Generator[tuple[Deviations, Ran], None, None]:
            for made in level:
                yield made, run_schedule(scenario, (seed, made))

        yield here
        return
    pool = processes(scenario, jobs, alone=alone, remedy="Run it in one process")

    def there(level: Iterator[Deviations]) -> Generator[tuple[Deviations, Ran], None, None]:
        while chunk := list(islice(level, _AT_ONCE)):
            tasks = [(run_schedule, (seed, made)) for made in chunk]
            yield from zip(chunk, pool.map(perform, tasks), strict=True)

    try:
        yield there
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _clean(scenario: Scenario, seed: int) -> bool:
    """Whether two runs in one process are the same."""
    first, second = (_plain(scenario, seed) for _ in range(2))
    return first_difference(first.history, second.history) is None


def _plain(scenario: Scenario, seed: int) -> Result:
    return runner.run(scenario, seed=seed, options=runner.Options(tape=(), judge=False))
