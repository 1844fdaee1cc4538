"""One process of a sweep's ``-j``: runs single faults of one scenario and tells what became of each.

Top-level functions, so that a process pool can call them by name.
"""

from __future__ import annotations

import sys
from typing import Any

from harness import runner
from harness.explore.space import Choice
from harness.explore.sweep import Single, run_single
from harness.loading import load
from harness.scenario import Scenario

__all__ = ["prepare", "try_single"]

_scenario: Scenario | None = None


def prepare(file: str, name: str, path: list[str]) -> None:
    """Load the scenario, once a process."""
    global _scenario
    for folder in path:
        if folder not in sys.path:
            sys.path.append(folder)
    runner.install()
    _scenario = next(one for one in load(file) if one.name == name)


def try_single(task: tuple[str, str, str, int, int]) -> dict[str, Any]:
    """One run: (point, side, kind, nth, seed)."""
    assert _scenario is not None
    point, side, kind, nth, seed = task
    outcome, _ = run_single(_scenario, Single(Choice(point, side, kind), nth), seed)
    return outcome.to_json()
