"""Is a run deterministic? The same scenario again, in a fresh process, compared byte for byte."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cli.execute import Job
    from harness.explore.witness import Witness
    from harness.history import History

__all__ = ["Verification", "verify"]


@dataclasses.dataclass(frozen=True)
class Verification:
    """How two runs differ: one text, and the stacks at the first event that does."""

    reason: str
    stacks: dict[str, str]


def verify(job: Job, history: History, witness: Witness) -> Verification | None:
    """Run *job* again in a process of its own; ``None`` if the history is the same, else where it parts and why."""
    from harness.cli.pool import run_alone
    from harness.explore.difference import first_difference
    from harness.explore.suspects import suspect
    from harness.explore.witness import FILE_NAME, Witness, shown
    from harness.history import History as Histories

    folder = Path(tempfile.mkdtemp(prefix="harness-verify-"))
    try:
        again = dataclasses.replace(job, folder=str(folder), place=str(folder), verify=False, draw=False, witness=True)
        entry = run_alone(again)
        if entry.get("history") is None:
            return Verification(f"not deterministic: the second run ended as {entry['verdict']}: {entry['reason']}", {})
        difference = first_difference(history, Histories.load(entry["history"]))
        if difference is None:
            return None
        other = Witness.load(folder / job.name / FILE_NAME)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    stacks = {}
    for which, event, seen in (("first", difference.first, witness), ("second", difference.second, other)):
        if event is not None:
            stacks[f"{event['actor']} at event {difference.number} of the {which} run"] = shown(
                seen.stack(difference.number)
            )
    places = "\n".join(f"{name}:\n{text.rstrip()}" for name, text in stacks.items())
    cause = suspect(difference, witness, other)
    return Verification(f"not deterministic: {difference}. Likely cause: {cause}\n{places}", stacks)
