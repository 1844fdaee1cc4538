"""Judges live runs: what real time cannot decide at once is tried again with the same plan.

A violated safety invariant fails a run. A bound on time that was missed may be
the machine's fault: the plan is run twice more, and only three of three fail;
otherwise the verdict is ``flaky``. A run that could not go on is an ``error``,
never a pass.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from harness.environments.live.options import LiveOptions
from harness.environments.live.run import LiveRun
from harness.errors import EnvironmentFailed
from harness.faults.plan import FaultPlan
from harness.history import Event, Header
from harness.invariants.base import Spec, Verdict
from harness.invariants.judge import Judge
from harness.result import overall
from harness.scenario import Scenario

__all__ = ["TIMING", "LiveOutcome", "run_live"]

#: Invariants that judge how long something took, not what happened.
TIMING: Final = frozenset(
    (
        "recovers-within",
        "backlog-drains",
        "throughput-returns",
        "not-metastable",
        "backoff-bounds",
        "deadline-kept",
        "breaker-stays-open",
        "alarms-fire-and-clear",
        "no-flapping",
        "level-follows-health",
    )
)
_TRIES: Final = 3


@dataclass
class LiveOutcome:
    """One or more runs of one plan, as one outcome; events and verdicts are those of the last one."""

    verdict: str
    verdicts: list[Verdict]
    events: list[Event]
    judge: Judge
    faults: dict[str, dict[str, int]]
    unstruck: list[str]
    notes: list[str]
    seconds: float
    wall_seconds: float
    strikes: int
    reason: str = ""


def run_live(
    scenario: Scenario, plan: FaultPlan, seed: int, specs: Sequence[Spec], header: Header, options: LiveOptions
) -> LiveOutcome:
    """Run *scenario* live and judge it. Ctrl-C ends it as an error, ``interrupted``, with what there was until then.

    Raises:
        UsageError, ScenarioError, PlanError: it cannot run live.
        EnvironmentFailed: it could not begin.
    """
    missed: list[str] = []
    notes: list[str] = []
    for attempt in range(1, _TRIES + 1):
        outcome = _once(scenario, plan, seed, specs, header, options)
        late = _only_timing(outcome)
        if not late:
            if missed and outcome.verdict == "passed":
                outcome.verdict = "flaky"
            break
        missed += late
        notes.append(f"run {attempt} of {_TRIES}: missed {', '.join(late)}")
    outcome.notes = [*notes, *outcome.notes] if missed else outcome.notes
    return outcome


def _only_timing(outcome: LiveOutcome) -> list[str]:
    """The bounds on time that were missed, if nothing worse happened."""
    violated = [verdict.name for verdict in outcome.verdicts if verdict.status == "violated"]
    return violated if outcome.verdict == "failed" and TIMING.issuperset(violated) else []


def _once(
    scenario: Scenario, plan: FaultPlan, seed: int, specs: Sequence[Spec], header: Header, options: LiveOptions
) -> LiveOutcome:
    live = LiveRun(scenario, plan, seed, options)
    began = time.perf_counter()
    failure = ""
    try:
        try:
            live.execute()
        finally:
            live.close()
    except KeyboardInterrupt:
        failure = "interrupted"
    except EnvironmentFailed as error:
        if not live.started:
            raise  # nothing has happened: it is the environment that could not be started
        failure = str(error)
    judge = Judge(specs, header)
    for event in live.events:
        judge.step(event)
    verdicts = [_with_scale(verdict, options) for verdict in judge.finish()]
    unstruck = live.unstruck()
    return LiveOutcome(
        verdict="error" if failure else overall(verdicts, unstruck),
        verdicts=verdicts,
        events=live.events,
        judge=judge,
        faults=live.table(),
        unstruck=unstruck,
        notes=live.notes,
        seconds=live.clock.seconds if not live.events else float(live.events[-1]["t"]),
        wall_seconds=time.perf_counter() - began,
        strikes=sum(live.strikes()),
        reason=failure,
    )


def _with_scale(verdict: Verdict, options: LiveOptions) -> Verdict:
    """Where only the services' clock is faster, nothing that compares times means anything."""
    if options.time_scale == 1.0 or verdict.name not in TIMING:
        return verdict
    reason = f"times are not comparable at time scale {options.time_scale:g}: consumers wait in real time"
    return Verdict(verdict.name, "inconclusive", reason, ())
