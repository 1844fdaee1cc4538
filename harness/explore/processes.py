"""Processes that run one scenario again and again, for searches and sweeps.

A task is a top-level function that is given the scenario first, so that a
process pool can call it by name.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

from harness import runner
from harness.errors import UsageError
from harness.loading import load
from harness.scenario import Scenario

__all__ = ["perform", "processes", "tidy"]

T = TypeVar("T")
R = TypeVar("R")

_scenario: Scenario | None = None

_COLLECT_EVERY = 256  # runs
_untidy = 0


def processes(scenario: Scenario, jobs: int, *, alone: bool, remedy: str) -> ProcessPoolExecutor:
    """A pool of *jobs* processes that have loaded *scenario*; with *alone* each task has a process of its own.

    Raises:
        UsageError: the scenario stands in no file that they could load.
    """
    if scenario.file is None:
        raise UsageError("stands in no file", field=scenario.name, remedy=remedy)
    return ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare,
        initargs=(str(Path(scenario.file).resolve()), scenario.name, [path for path in sys.path if path]),
        max_tasks_per_child=1 if alone else None,
    )


def perform(task: tuple[Callable[[Scenario, T], R], T]) -> R:
    """In a process of the pool: what the task's function returns for the scenario and the task's argument."""
    assert _scenario is not None
    tidy()
    function, argument = task
    return function(_scenario, argument)


def tidy() -> None:
    """Between two runs of very many: collect what old runs have left in cycles, now and then.

    A run keeps the collector off and looks at the youngest objects only when it ends; what outlives that is never
    looked at again where one run follows the other.
    """
    global _untidy
    _untidy += 1
    if _untidy >= _COLLECT_EVERY:
        _untidy = 0
        gc.collect()


def _prepare(file: str, name: str, path: list[str]) -> None:
    """Load the scenario, once a process. Ctrl-C is for the process that leads."""
    global _scenario
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr  # what the code under test prints is no result
    for folder in path:
        if folder not in sys.path:
            sys.path.append(folder)
    runner.install()
    _scenario = next(one for one in load(file) if one.name == name)
