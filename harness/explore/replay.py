"""Runs a counterexample again: the same scenario, plan, seed and schedule, compared with what was found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from harness import loading
from harness.errors import ScenarioError
from harness.explore.counterexample import Counterexample
from harness.explore.difference import Difference, first_difference
from harness.result import Result
from harness.runner import Options, run
from harness.scenario import Scenario

__all__ = ["Replay", "replay", "scenario_of"]


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
    def reproduced(self) -> bool:
        """Whether the run breaks an invariant that the counterexample breaks."""
        found = {one.name for one in self.counterexample.violated}
        return any(verdict.name in found for verdict in self.result.violated)

    @property
    def outcome(self) -> str:
        """``reproduced``, ``reproduced with a different history (first difference at n)`` or ``not reproduced``."""
        if not self.reproduced:
            return "not reproduced"
        if self.difference is None:
            return "reproduced"
        return f"reproduced with a different history (first difference at {self.difference.number})"

    def __str__(self) -> str:
        return "\n".join([f"{self.counterexample.scenario}: {self.outcome}", *self.changed])

    def raise_for_violation(self) -> None:
        """Raise the violation, if the run has one: what a test of the counterexample ends with.

        Raises:
            InvariantViolated: the defect is still there.
            SimulationError: the run could not go on.
        """
        self.result.raise_for_violation()


def scenario_of(counterexample: Counterexample) -> Scenario:
    """The scenario of a counterexample, from the file that it names.

    Raises:
        ScenarioError: the file is not there, or has no scenario of that name.
    """
    where = None if counterexample.file is None else str(counterexample.file)
    if counterexample.scenario_file is None:
        raise ScenarioError(
            f"names no file for the scenario {counterexample.scenario!r}",
            file=where,
            field="scenario.file",
            remedy="Hand the scenario in: replay(path, scenario=...)",
        )
    scenarios = loading.load(_find(counterexample))
    for one in scenarios:
        if one.name == counterexample.scenario:
            return one
    raise ScenarioError(
        f"has no scenario {counterexample.scenario!r}",
        file=counterexample.scenario_file,
        remedy=f"It has {', '.join(one.name for one in scenarios)}; the counterexample is of an older file",
    )


def _find(counterexample: Counterexample) -> Path:
    """The scenario's file: as named from here, else from the counterexample's folder or one above it."""
    assert counterexample.scenario_file is not None
    named = Path(counterexample.scenario_file)
    if named.is_file() or counterexample.file is None:
        return named
    for folder in counterexample.file.resolve().parents:
        if (folder / named).is_file():
            return folder / named
    return named


def _as_it_ran(scenario: Scenario, messages: int | None) -> Scenario:
    """The scenario with its workloads cut to the counterexample's number of messages."""
    if messages is None:
        return scenario
    workloads = [dataclasses.replace(one, messages=min(one.messages, messages)) for one in scenario.workloads]
    return dataclasses.replace(scenario, workload=workloads)


def replay(
    source: Counterexample | Path | str, *, scenario: Scenario | None = None, out: Path | str | None = None
) -> Replay:
    """Run a counterexample again; *scenario* replaces the one in the file that it names.

    Raises:
        UsageError: the counterexample or its scenario cannot be read.
    """
    found = source if isinstance(source, Counterexample) else Counterexample.load(source)
    given = scenario if scenario is not None else scenario_of(found)
    result = run(
        _as_it_ran(given, found.messages),
        faults=found.plan,
        seed=found.seed,
        backend=found.backend,
        out=out,
        options=Options(tape=found.schedule or None),
    )
    before = found.load_history()
    difference = None if before is None else first_difference(before, result.history)
    return Replay(found, result, difference, tuple(_changed(found, given, result)))


def _changed(found: Counterexample, scenario: Scenario, result: Result) -> list[str]:
    header = result.history.header
    now = {"python": header.get("environment", {}).get("python", ""), **header.get("versions", {})}
    changed = [
        f"{name} was {then or 'not there'} and is {is_now or 'not there'}"
        for name, (then, is_now) in found.changed_versions({name: v for name, v in now.items() if v}).items()
    ]
    if found.scenario_digest and loading.digest(scenario) != found.scenario_digest:
        changed.append(f"the scenario's file {found.scenario_file} has changed since")
    return changed
