"""One scenario run for a command: run, verify, draw, and give the entry that reports take."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import EnvironmentFailed

if TYPE_CHECKING:
    from harness.result import Result
    from harness.scenario import Scenario
    from harness.sim.preempt_rewrite import Level

__all__ = ["Job", "discard", "execute", "failed", "interrupted", "refresh"]


@dataclasses.dataclass(frozen=True)
class Job:
    """What to run and how; JSON both ways, since workers get it through a pipe.

    *folder* is where the run writes, *place* where that will be afterwards.
    """

    file: str
    name: str
    folder: str
    place: str
    seed: int = 0
    backend: str = "memory"
    durable: bool = False
    preempt: Level | None = None
    verify: bool = False
    witness: bool = False  # save where each event was written, for whoever verifies
    draw: bool = True
    objectives: Mapping[str, Any] | None = None
    live: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # which servers a live run uses
    again: str = ""  # the command that repeats exactly this run

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Job:
        return cls(**value)


def failed(job: Job, reason: str, sentence: str = "") -> dict[str, Any]:
    """The entry of a run that gave no result."""
    return {
        "name": job.name,
        "verdict": "error",
        "seed": job.seed,
        "backend": job.backend,
        "simulated_seconds": 0.0,
        "wall_seconds": 0.0,
        "history": None,
        "messages": {},
        "recovery_seconds": None,
        "faults": {},
        "invariants": [],
        "reason": reason,
        "sentence": sentence,
        "command": job.again,
    }


def execute(scenario: Scenario, job: Job) -> dict[str, Any]:
    """Run *scenario* as *job* says. What it prints goes to standard error.

    Raises:
        UsageError: the scenario or its plan is wrong.
    """
    from harness import runner
    from harness.environments.live.options import LiveOptions
    from harness.explore.witness import FILE_NAME as WITNESS_FILE
    from harness.explore.witness import Witness

    folder = Path(job.folder)
    witness = Witness() if job.verify or job.witness else None
    with redirect_stdout(sys.stderr), witness or nullcontext():
        try:
            result = runner.run(
                scenario,
                seed=job.seed,
                backend=job.backend,
                out=folder,
                options=runner.Options(
                    durable=job.durable, preempt=job.preempt, witness=witness, live=LiveOptions(**job.live)
                ),
            )
        except EnvironmentFailed as error:
            return failed(job, str(error), scenario.sentence)
    entry = _entry(result, job)
    if witness is not None and result.verdict not in ("left out", "error"):
        if job.witness:
            witness.save(folder / scenario.name / WITNESS_FILE)
        elif result.backend != "live":
            from harness.cli.verify import verify

            found = verify(job, result.history, witness)
            if found is not None:
                entry = {**entry, "verdict": "error", "reason": found.reason, "stacks": found.stacks}
    if not job.draw:
        return entry
    try:
        return refresh(entry, result, folder)
    except OSError as error:  # as a rule the disk is full: what is not on it cannot be shown
        reason = f"its timeline could not be written: {error.strerror or error}"
        return {
            **entry,
            "verdict": "error",
            "reason": f"{entry['reason']}; {reason}" if entry.get("reason") else reason,
        }


def refresh(entry: Mapping[str, Any], result: Result, folder: Path) -> dict[str, Any]:
    """*entry* with its picture drawn into *folder* and the texts of its evidence."""
    from harness.report.folder import draw

    return draw(folder, entry, result.history.header, result.history.events)


def _entry(result: Result, job: Job) -> dict[str, Any]:
    entry = result.to_json()
    if result.history_file is not None:
        entry["history"] = str(Path(job.place) / result.history_file.relative_to(job.folder))
    entry["stacks"] = dict(result.stacks)
    entry["command"] = job.again or result.command
    return entry


def interrupted(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The entry of a run that was broken off: it is judged as nothing."""
    return {**entry, "verdict": "error", "reason": "interrupted", "invariants": [], "unstruck": []}


def discard(folder: Path, name: str) -> None:
    """Take away what a run that is not to be reported has written."""
    shutil.rmtree(folder / name, ignore_errors=True)
