"""The scenarios that name moto, on another implementation of SQS: same verdicts, same counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import runner
from harness.loading import load, scenario_files
from harness.result import Result
from harness.scenario import Scenario

CATALOGUE = Path(__file__).resolve().parents[2] / "scenarios"
SCENARIOS = [
    scenario
    for path in scenario_files(CATALOGUE)
    for scenario in load(path)
    if "moto" in scenario.backends and "memory" in scenario.backends
]
#: Those that take less than a second of CPU on moto; the others run in nightly.
QUICK = {
    "claim-check-in-s3",
    "clock-an-hour-off",
    "delete-answer-lost",
    "idempotency-in-dynamodb",
    "killed-between-dead-letter-and-delete",
    "malformed-and-oversized",
    "poison-message-among-good-ones",
    "redis-down-while-poison-detection-needs-it",
    "slow-handler-past-visibility",
}


def told(result: Result) -> tuple[object, ...]:
    """What must be the same: the verdict, each invariant's, and the counts."""
    return result.verdict, {one.name: one.status for one in result.verdicts}, result.messages, result.unstruck


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(one, id=one.name, marks=() if one.name in QUICK else (pytest.mark.slow,)) for one in SCENARIOS],
)
def test_verdicts_and_counts_are_those_of_the_in_memory_services(scenario: Scenario) -> None:
    """A second implementation of SQS leads every scenario to the same end."""
    assert told(runner.run(scenario, backend="moto")) == told(runner.run(scenario))


def test_two_runs_on_moto_are_told_alike() -> None:
    """Determinism on moto: the same seed gives the same verdicts and counts; here even the same events."""
    scenario = next(one for one in SCENARIOS if one.name == "killed-between-dead-letter-and-delete")
    first, second = (runner.run(scenario, seed=3, backend="moto") for _ in range(2))
    assert told(first) == told(second)
    assert first.history.to_bytes() == second.history.to_bytes()


def test_most_scenarios_name_it() -> None:
    """moto is left out where a scenario rests on a rule that it does not have, and nowhere else."""
    assert len(SCENARIOS) >= 16
    assert {one.name for one in SCENARIOS} >= QUICK
