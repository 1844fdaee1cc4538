"""Where a search's candidates are run: in this process, or in several, each run in one of its own where need be.

The functions that a process pool calls by name are at top level.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness import runner
from harness.errors import UsageError
from harness.explore.minimise import Candidate
from harness.explore.outcome import Outcome, Runs, try_candidate
from harness.loading import load
from harness.scenario import Scenario

__all__ = ["prepare", "runs_in", "try_one"]

_scenario: Scenario | None = None


def prepare(file: str, name: str, path: list[str]) -> None:
    """Load the scenario, once a process. Ctrl-C is for the process that leads."""
    global _scenario
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr  # what the code under test prints is no result
    for folder in path:
        if folder not in sys.path:
            sys.path.append(folder)
    runner.install()
    _scenario = next(one for one in load(file) if one.name == name)


def try_one(task: tuple[Candidate, str | None]) -> Outcome:
    """One run."""
    assert _scenario is not None
    return try_candidate(_scenario, *task)


@contextmanager
def runs_in(scenario: Scenario, jobs: int, *, alone: bool, maximise: str | None) -> Iterator[Runs]:
    """What runs a round of candidates, in *jobs* processes; with *alone* each run has a process of its own.

    Raises:
        UsageError: there are to be several processes, and the scenario stands in no file that they could load.
    """
    if jobs == 1 and not (alone and scenario.file):

        def here(candidates: Sequence[Candidate]) -> Generator[Outcome, None, None]:
            yield from (try_candidate(scenario, one, maximise) for one in candidates)

        yield here
        return
    if scenario.file is None:
        raise UsageError("stands in no file", field=scenario.name, remedy="Search it in one process")
    pool = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=prepare,
        initargs=(str(Path(scenario.file).resolve()), scenario.name, [path for path in sys.path if path]),
        max_tasks_per_child=1 if alone else None,
    )

    def there(candidates: Sequence[Candidate]) -> Generator[Outcome, None, None]:
        yield from pool.map(try_one, [(one, maximise) for one in candidates])

    try:
        yield there
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
