"""A fixed part of the catalogue survives every sort of single fault; the whole of it is swept in nightly."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.explore.sweep import Sweep, run_single, summary
from harness.loading import load

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


@pytest.mark.parametrize(
    "name",
    [
        "killed_between_dead_letter_and_delete",
        "live/slow_network",
        pytest.param("clock_an_hour_off", marks=pytest.mark.slow),
        pytest.param("poison_message_among_good_ones", marks=pytest.mark.slow),
    ],
)
def test_the_first_of_every_point_and_kind_is_survived(name: str) -> None:
    """One run for each (point, kind), at its first passing: no invariant is broken, no run ends as error."""
    (scenario,) = load(SCENARIOS / f"{name}.py")
    sweep = Sweep.of(scenario)
    assert sweep.alone == ""
    outcomes = [run_single(scenario, one, 0)[0] for one in sweep.singles if one.nth == 1]
    counts = summary(outcomes)
    assert counts["tried"] > 40
    assert [one for one in outcomes if one.violated or one.verdict == "error"] == []
    assert counts["survived"] + counts["not_struck"] == counts["tried"]
