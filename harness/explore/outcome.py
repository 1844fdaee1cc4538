"""One candidate of a search, run, and what is worth remembering of it. What is here goes between processes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from harness.errors import HarnessError
from harness.explore.coverage import Feature, features
from harness.explore.measures import measure
from harness.explore.minimise import Candidate, carry_out
from harness.scenario import Scenario

__all__ = ["Outcome", "Runs", "try_candidate"]


@dataclass(frozen=True)
class Outcome:
    """What became of a candidate. ``schedule`` holds the recorded choices of one that failed."""

    verdict: str
    violated: tuple[str, ...] = ()
    covered: tuple[Feature, ...] = ()
    schedule: tuple[int, ...] = ()
    figure: float = 0.0
    reason: str = ""


Runs: TypeAlias = Callable[[Sequence[Candidate]], Generator[Outcome, None, None]]


def try_candidate(scenario: Scenario, candidate: Candidate, maximise: str | None = None) -> Outcome:
    """Run *candidate* and say what is worth remembering of it."""
    try:
        result = carry_out(scenario, candidate)
    except HarnessError as error:
        return Outcome("refused", reason=str(error))
    violated = tuple(one.name for one in result.violated)
    return Outcome(
        result.verdict,
        violated,
        tuple(features(result.history)) if len(candidate.plan) else (),
        tuple(result.schedule) if violated else (),
        0.0 if maximise is None else measure(maximise, result),
        result.reason.partition("\n")[0],
    )
