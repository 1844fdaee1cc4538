"""Runs a counterexample again: the same scenario, plan, seed and schedule, compared with what was found."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import loading, runner
from harness.errors import ScenarioError
from harness.explore.counterexample import Counterexample
from harness.explore.difference import Difference, first_difference
from harness.explore.locate import find, make_importable
from harness.explore.standstill import debug, stopping_at
from harness.explore.story import Story, tell
from harness.history import Event
from harness.invariants.base import Verdict
from harness.invariants.exceptions import exception_for
from harness.result import Result
from harness.scenario import Scenario

__all__ = ["Replay", "as_it_ran", "replay", "scenario_of", "shown"]


@dataclass(frozen=True)
class Replay:
    """What came of a replay.

    Attributes:
        counterexample: what was replayed.
        result: the run.
        difference: where its history parts from the one that was found; ``None``: nowhere, or there is none.
        changed: what is not as it was when the counterexample was found, one sentence each.
    """

    counterexample: Counterexample
    result: Result
    difference: Difference | None
    changed: tuple[str, ...]

    @property
    def violation(self) -> Verdict | None:
        """The first invariant of the counterexample that this run breaks too."""
        broken = {verdict.name: verdict for verdict in self.result.violated}
        return next((broken[one.name] for one in self.counterexample.violated if one.name in broken), None)

    @property
    def reproduced(self) -> bool:
        """Whether the run breaks an invariant that the counterexample breaks."""
        return self.violation is not None

    @property
    def outcome(self) -> str:
        """``reproduced``, ``reproduced with a different history (first difference at n)`` or ``not reproduced``."""
        if not self.reproduced:
            return "not reproduced"
        if self.difference is None:
            return "reproduced"
        return f"reproduced with a different history (first difference at {self.difference.number})"

    @property
    def story(self) -> Story | None:
        """What happened in this run, where it is reproduced."""
        return None if self.violation is None else tell(self.result.history, self.violation)

    def __str__(self) -> str:
        return "\n".join([*self.changed, f"{self.counterexample.scenario}: {self.outcome}"])

    def raise_for_violation(self) -> None:
        """Raise the violation, with its story, if the run has one: what a test of the counterexample ends with.

        Raises:
            InvariantViolated: the defect is still there.
            SimulationError: the run could not go on.
            HarnessError: nothing was run (the scenario was left out).
        """
        __tracebackhide__ = True
        found = self.violation
        if found is None:
            self.result.raise_for_violation()
            if self.result.verdict == "left out":
                self.result.raise_for_verdict()
            return
        file = self.counterexample.file
        command = self.result.command if file is None else f"harness replay {shlex.quote(shown(file))}"
        error = exception_for(found.name)(found.name, found.detail, found.evidence, command)
        error.add_note(f"\n{self.story}")
        raise error


def shown(path: Path) -> str:
    """*path* from the current folder where it is below it, else in full."""
    here, resolved = Path.cwd(), path.resolve()
    return str(resolved.relative_to(here)) if resolved.is_relative_to(here) else str(resolved)


def scenario_of(counterexample: Counterexample) -> Scenario:
    """The scenario of a counterexample, from the file that it names.

    Raises:
        ScenarioError: the file is not there, or has no scenario of that name.
    """
    where = None if counterexample.file is None else str(counterexample.file)
    named = counterexample.scenario_file
    if named is None:
        raise ScenarioError(
            f"names no file for the scenario {counterexample.scenario!r}",
            file=where,
            field="scenario.file",
            remedy="Hand the scenario in: replay(path, scenario=...)",
        )
    path = find(named, counterexample.file, counterexample.scenario_digest)
    if path is None:
        raise ScenarioError(
            f"is {named!r}, which is not there",
            file=where,
            field="scenario.file",
            remedy="Put it back, or give the command in the folder that has it",
        )
    make_importable(named, path)
    scenarios = loading.load(path)
    for one in scenarios:
        if one.name == counterexample.scenario:
            return one
    raise ScenarioError(
        f"has no scenario {counterexample.scenario!r}",
        file=str(path),
        remedy=f"It has {', '.join(one.name for one in scenarios)}; the counterexample is of an older file",
    )


def as_it_ran(scenario: Scenario, messages: int | None) -> Scenario:
    """The scenario with its workloads cut to the counterexample's number of messages."""
    if messages is None:
        return scenario
    workloads = [dataclasses.replace(one, messages=min(one.messages, messages)) for one in scenario.workloads]
    return dataclasses.replace(scenario, workload=workloads)


def replay(
    source: Counterexample | Path | str,
    *,
    scenario: Scenario | None = None,
    out: Path | str | None = None,
    changed: bool = True,
    witness: Callable[[Event], None] | None = None,
    break_at: int | None = None,
) -> Replay:
    """Run a counterexample again; *scenario* replaces the one in the file that it names.

    With *changed* = False a scenario whose file has changed since is refused.
    *witness* is called with each event where it happens, in its actor. With
    *break_at* the debugger in force (``breakpoint()``: pdb, pytest's, an
    IDE's) is called in the actor that makes the event of that number, while
    virtual time stands still.

    Raises:
        UsageError: the counterexample or its scenario cannot be read, or *changed* is False and it has changed.
    """
    found = source if isinstance(source, Counterexample) else Counterexample.load(source)
    before = found.load_history()
    runner.install()  # before the scenario's file imports anything
    given = scenario if scenario is not None else scenario_of(found)
    if not changed and _has_changed(found, given):
        raise ScenarioError(
            "has changed since the counterexample was found, so that nothing can be compared",
            file=given.file,
            remedy="Put it back as it was, or replay it as it is now with --changed",
        )
    result = runner.run(
        as_it_ran(given, found.messages),
        faults=found.plan,
        seed=found.seed,
        backend=found.backend,
        out=out,
        options=runner.Options(
            tape=found.schedule or None, preempt=found.preempt, witness=_watching(witness, break_at)
        ),
    )
    difference = None if before is None else first_difference(before, result.history)
    missing = before is None and found.history is not None
    return Replay(found, result, difference, tuple(_changed(found, given, result, missing)))


def _watching(witness: Callable[[Event], None] | None, break_at: int | None) -> Callable[[Event], None] | None:
    if break_at is None:
        return witness
    stop = stopping_at(break_at, debug)

    def both(event: Event) -> None:
        if witness is not None:
            witness(event)
        stop(event)

    return both


def _has_changed(found: Counterexample, scenario: Scenario) -> bool:
    return found.scenario_digest is not None and loading.digest(scenario) != found.scenario_digest


def _changed(found: Counterexample, scenario: Scenario, result: Result, missing: bool) -> list[str]:
    header = result.history.header
    now = {"python": header.get("environment", {}).get("python", ""), **header.get("versions", {})}
    changed = [
        f"{name} was {then or 'not there'} and is {is_now or 'not there'}"
        for name, (then, is_now) in found.changed_versions({name: v for name, v in now.items() if v}).items()
    ]
    if _has_changed(found, scenario):
        changed.append(f"the scenario's file {found.scenario_file} has changed since")
    if missing:
        changed.append(f"the history {found.history} is not there: the verdicts alone are compared")
    return changed
