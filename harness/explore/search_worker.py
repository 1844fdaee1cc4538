"""Where a search's candidates are run: in this process, or in several, each run in one of its own where need be."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from harness.explore.minimise import Candidate
from harness.explore.outcome import Outcome, Runs, try_candidate
from harness.explore.processes import perform, processes
from harness.scenario import Scenario

__all__ = ["runs_in", "try_one"]


def try_one(scenario: Scenario, task: tuple[Candidate, str | None]) -> Outcome:
    """One run, of a candidate, with the measure that is maximised."""
    return try_candidate(scenario, *task)


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
    pool = processes(scenario, jobs, alone=alone, remedy="Search it in one process")

    def there(candidates: Sequence[Candidate]) -> Generator[Outcome, None, None]:
        yield from pool.map(perform, [(try_one, (one, maximise)) for one in candidates])

    try:
        yield there
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
