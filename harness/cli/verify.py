"""Is a run deterministic? The same scenario again, in a fresh process, compared byte for byte."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cli.execute import Job
    from harness.history import History

__all__ = ["verify"]


def verify(job: Job, history: History) -> str:
    """Run *job* again in a process of its own; "" if the history is the same, else what differs and why, likely."""
    from harness.cli.pool import run_alone
    from harness.explore.difference import first_difference, likely_cause
    from harness.history import History as Histories

    folder = Path(tempfile.mkdtemp(prefix="harness-verify-"))
    try:
        again = dataclasses.replace(job, folder=str(folder), place=str(folder), verify=False, draw=False)
        entry = run_alone(again)
        if entry.get("history") is None:
            return f"not deterministic: the second run ended as {entry['verdict']}: {entry.get('reason', '')}"
        difference = first_difference(history, Histories.load(entry["history"]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if difference is None:
        return ""
    return f"not deterministic: {difference}. Likely cause: {likely_cause(difference)}"
