"""What ``harness demo`` finds: the message that the usual tutorial consumer loses, and the one that it handles twice.

Plans of at most three faults are drawn from one seed after the other until
both findings are there. Of each plan the faults that a finding does not need
are then left out. Everything is a function of the first seed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from harness import loading, runner
from harness.explore.counterexample import Counterexample
from harness.explore.story import Story, tell
from harness.faults.plan import Fault, FaultPlan
from harness.invariants.base import Verdict
from harness.result import Result
from harness.scenario import Scenario
from harness.seeds import Seeds

__all__ = ["CONSUMER", "FAULTS_MAX", "SCENARIO", "TRIES_MAX", "WANTED", "Demo", "Finding", "prepare", "search"]

FAULTS_MAX = 3
TRIES_MAX = 200

CONSUMER = "tutorial_consumer.py"
SCENARIO = "scenario.py"
_SOURCES = {CONSUMER: "tutorial_consumer.py", SCENARIO: "tutorial_scenario.py"}

#: The invariants that the demo wants to see broken, and the folder of each finding.
WANTED = {"no-message-loss": "lost", "effects-once": "twice"}

#: What may go wrong: target, kind, side, parameters. All of it happens to every consumer some day.
_MENU: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("dependency.payments", "status", "before", {"code": 503}),
    ("dependency.payments", "slow", "before", {"seconds": 3}),
    ("dependency.payments", "reset", "before", {}),
    ("dependency.payments", "timeout", "before", {}),
    ("dependency.payments", "timeout", "after", {}),
    ("aws.sqs.ReceiveMessage", "throttled", "before", {}),
    ("aws.sqs.ReceiveMessage", "timeout", "after", {}),
    ("aws.sqs.ReceiveMessage", "duplicate", "before", {}),
    ("aws.sqs.DeleteMessage", "internal-error", "before", {}),
    ("aws.sqs.DeleteMessage", "timeout", "before", {}),
    ("aws.sqs.DeleteMessage", "timeout", "after", {}),
    ("aws.sqs.DeleteMessage", "pause", "before", {"seconds": 45}),
    ("aws.sqs.DeleteMessage", "crash", "before", {"restart_after": 5}),
)


@dataclass(frozen=True)
class Finding:
    """A run that broke one of the wanted invariants, with no fault that it does not need."""

    verdict: Verdict
    result: Result
    plan: FaultPlan
    digest: str

    @property
    def invariant(self) -> str:
        return self.verdict.name

    @property
    def story(self) -> Story:
        """The finding in at most ten lines."""
        return tell(self.result.history, self.verdict)

    def save(self, folder: Path) -> Counterexample:
        """Write counterexample, history, pytest file and story into *folder*."""
        first = [self.verdict, *(one for one in self.result.violated if one.name != self.invariant)]
        found = Counterexample.of(self.result.history, first, schedule=self.result.schedule, digest=self.digest)
        saved = found.save(folder, self.result.history)
        (folder / "story.txt").write_text(f"{self.story}\n", encoding="utf-8")
        return saved


@dataclass(frozen=True)
class Demo:
    """What the search came to.

    Attributes:
        findings: by invariant; one that was not found is not in it.
        tried: how many plans were drawn and run.
        runs: how many runs there were in all, those that left faults out among them.
        picture: a run in which both happen, else one in which either does; ``None`` where nothing was found.
    """

    seed: int
    findings: dict[str, Finding]
    tried: int
    runs: int
    picture: Result | None

    @property
    def complete(self) -> bool:
        """Whether both were found."""
        return len(self.findings) == len(WANTED)


def prepare(folder: Path) -> Scenario:
    """Write the consumer and its scenario into *folder*, where they can be read and mended; load the scenario.

    Its file is named relative to *folder*, so that a counterexample in a
    folder below finds it wherever the whole is moved.
    """
    here = Path(__file__).parent
    for name, source in _SOURCES.items():
        shutil.copyfile(here / source, folder / name)
    runner.install()
    [scenario] = loading.load(folder / SCENARIO)
    return _named(scenario)


def _named(scenario: Scenario) -> Scenario:
    import dataclasses

    return dataclasses.replace(scenario, file=SCENARIO)


def draw(seed: int) -> FaultPlan:
    """A plan of one to :data:`FAULTS_MAX` faults of the menu, each at one passing or in a window."""
    random = Seeds(seed).stream("demo/plan")
    return FaultPlan(_draw_one(random) for _ in range(random.randint(1, FAULTS_MAX)))


def _draw_one(random: Random) -> Fault:
    target, kind, side, parameters = random.choice(_MENU)
    # In a window every delivery of a duplicate would be duplicated again, which no queue does.
    if kind == "duplicate" or random.random() < 0.7:
        return Fault(target, kind, side=side, nth=random.randint(1, 12), **parameters)
    start = random.randint(0, 25)
    return Fault(target, kind, side=side, start=start, end=start + random.randint(1, 10), **parameters)


class _Runs:
    """Runs of the scenario, counted."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.count = 0

    def __call__(self, plan: FaultPlan, seed: int) -> Result:
        self.count += 1
        return runner.run(self.scenario, faults=plan, seed=seed)


def search(
    scenario: Scenario,
    seed: int = 0,
    *,
    digest: str = "",
    tries: int | None = None,
    told: Callable[[int, Result], object] | None = None,
) -> Demo:
    """Try one seed after the other from *seed* on until both findings are there.

    At most *tries* of them (by default :data:`TRIES_MAX`); *told* hears of
    each plan's run, and how many there have been.
    """
    run = _Runs(scenario)
    findings: dict[str, Finding] = {}
    tried = 0
    for attempt in range(seed, seed + (TRIES_MAX if tries is None else tries)):
        plan = draw(attempt)
        result = run(plan, attempt)
        tried += 1
        if told is not None:
            told(tried, result)
        for verdict in result.violated:
            if verdict.name in WANTED and verdict.name not in findings:
                findings[verdict.name] = _needed(run, plan, attempt, result, verdict, digest)
        if len(findings) == len(WANTED):
            break
    ordered = {name: findings[name] for name in WANTED if name in findings}
    picture = _together(run, ordered) if ordered else None
    return Demo(seed, ordered, tried, run.count, picture)


def _violation(result: Result, name: str) -> Verdict | None:
    return next((verdict for verdict in result.violated if verdict.name == name), None)


def _needed(run: _Runs, plan: FaultPlan, seed: int, result: Result, verdict: Verdict, digest: str) -> Finding:
    """The finding without the faults that it does not need."""
    found = Finding(verdict, result, plan, digest)
    for fault in list(plan):
        fewer = FaultPlan(one for one in found.plan if one is not fault)
        again = run(fewer, seed)
        still = _violation(again, verdict.name)
        if still is not None:
            found = Finding(still, again, fewer, digest)
    return found


def _together(run: _Runs, findings: dict[str, Finding]) -> Result:
    """One run in which all of it happens, under the faults of every finding; else the last finding's own run."""
    *_, last = findings.values()
    plan = FaultPlan(dict.fromkeys(fault for finding in findings.values() for fault in finding.plan))
    for seed in _seeds(findings):
        result = run(plan, seed)
        if all(_violation(result, name) for name in findings):
            return result
    return last.result


def _seeds(findings: dict[str, Finding]) -> Iterator[int]:
    own = [finding.result.seed for finding in findings.values()]
    yield from own
    yield from range(max(own) + 1, max(own) + 4)
