"""Every scenario of the catalogue: it passes, each of its faults strikes, and the same seed gives the same bytes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from harness import runner
from harness.loading import load, scenario_files
from harness.scenario import Scenario
from harness.sim.wire import botocore as botocore_wire

CATALOGUE = Path(__file__).resolve().parents[2] / "scenarios"

#: Those that run simulated and have what they need here.
SCENARIOS = [
    scenario
    for path in scenario_files(CATALOGUE)
    for scenario in load(path)
    if "memory" in scenario.backends and all(map(importlib.util.find_spec, scenario.needs))
]


#: Those that take seconds: each runs once in every test run; what needs two more runs of it is for nightly. That two
#: processes write the same bytes of it is seen by ``python -m benchmarks.determinism``.
LONG = {"alarm-fires-and-clears", "degradation-under-overload", "retry-storm-with-budget", "rolling-mix"}

everyone = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
twice = pytest.mark.parametrize(
    "scenario",
    [pytest.param(one, id=one.name, marks=[pytest.mark.slow] if one.name in LONG else []) for one in SCENARIOS],
)


@everyone
def test_it_passes_with_every_fault_struck(scenario: Scenario) -> None:
    """With our components the scenario passes, and no fault of its plan was an empty threat."""
    result = runner.run(scenario)
    result.raise_for_verdict()
    assert result.verdict == "passed"
    assert result.unstruck == []
    assert result.messages.lost == 0


@twice
def test_the_same_seed_gives_the_same_bytes_on_the_short_cut_and_on_the_full_wire(scenario: Scenario) -> None:
    """Two runs of one seed are equal byte for byte, also when every call takes botocore's whole path."""
    first = runner.run(scenario, seed=5).history.to_bytes()
    before = botocore_wire.short_cut(False)
    try:
        second = runner.run(scenario, seed=5).history.to_bytes()
    finally:
        botocore_wire.short_cut(before)
    assert first == second


@twice
def test_another_seed_gives_another_history(scenario: Scenario) -> None:
    """The seed is what decides: two seeds give two histories."""
    assert runner.run(scenario, seed=1).history.to_bytes() != runner.run(scenario, seed=2).history.to_bytes()


@everyone
def test_it_says_in_a_sentence_what_outage_it_stands_for(scenario: Scenario) -> None:
    """A reader of the table knows what each scenario is about."""
    assert 20 < len(scenario.sentence) < 200


def test_there_are_at_least_twelve() -> None:
    """The catalogue is large enough to mean something."""
    assert len(SCENARIOS) >= 12
