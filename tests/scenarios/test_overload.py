"""Degradation and the retry storm in whole runs: what is broken in them is found, and the storm is a real one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import runner
from harness.loading import load
from harness.resilience.degradation import LEVELS, MEASURES
from harness.result import Result
from harness.scenario import Process, Scenario
from tests.systems import broken, degraded

CATALOGUE = Path(__file__).resolve().parents[2] / "scenarios"


def scenario(name: str) -> Scenario:
    return load(CATALOGUE / f"{name}.py")[0]


def with_worker(found: Scenario, worker: Callable[[Any], None], **changes: Any) -> Scenario:
    count = found.processes[0].count
    return dataclasses.replace(found, processes=[Process("worker", worker, count=count)], **changes)


def verdict(result: Result, name: str) -> tuple[str, str, set[str]]:
    found = next(one for one in result.verdicts if one.name == name)
    kinds = {event["n"]: event["kind"] for event in result.history}
    return found.status, found.detail, {kinds[n] for n in found.evidence}


@pytest.mark.parametrize(
    ("worker", "fails", "says", "evidence"),
    [
        (degraded.measures_that_are_empty, "measures-applied", "the rate is not limited", "degradation.measure"),
        pytest.param(
            degraded.a_limit_that_nobody_keeps, "measures-applied", "limits to", "receive", marks=pytest.mark.slow
        ),
        pytest.param(
            degraded.measures_that_are_not_lifted,
            "measures-applied",
            "has not lifted features",
            "degradation.level",
            marks=pytest.mark.slow,
        ),
        (degraded.a_level_that_comes_too_late, "level-follows-health", "stays below", "degradation.health"),
        (degraded.a_level_that_stays, "level-follows-health", "is kept above", "degradation.health"),
        (
            degraded.a_judgement_that_leaves_out_a_metric,
            "level-follows-health",
            "although queue_depth is",
            "degradation.health",
        ),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_broken_degradation_is_found(worker: Callable[[Any], None], fails: str, says: str, evidence: str) -> None:
    """Each trap of a degradation manager violates its invariant in a run, with events that show it."""
    changes: dict[str, Any] = {"duration": 900} if worker is degraded.a_level_that_stays else {}
    status, detail, kinds = verdict(
        runner.run(with_worker(scenario("degradation_under_overload"), worker, **changes)), fails
    )
    assert (status, says in detail) == ("violated", True), detail
    assert evidence in kinds


def test_every_level_and_measure_is_gone_through() -> None:
    """Under overload the level rises to emergency mode and falls step by step; each measure is applied and lifted."""
    history = runner.run(scenario("degradation_under_overload")).history
    for process in ("worker.1", "worker.2"):
        own = [event for event in history if event["actor"].partition("/")[0] == process]
        levels = [event["level"] for event in own if event["kind"] == "degradation.level"]
        assert LEVELS[4] in levels
        assert levels[-4:] == list(reversed(LEVELS[:4]))
        measures = [event for event in own if event["kind"] == "degradation.measure"]
        assert {event["measure"] for event in measures if event["active"]} == set(MEASURES)
        assert {event["measure"] for event in measures if not event["active"]} == set(MEASURES)
        last = measures[-1]
        assert (last["rate"], last["off"], last["breakers"], last["intake"]) == (None, [], [], "open")


def test_what_is_switched_off_is_not_called() -> None:
    """Recommendations are fetched before and after the overload, and not while the feature is off."""
    found = scenario("degradation_under_overload")
    asked: list[str] = []

    class Watched(found.http["shop"]):  # type: ignore[misc, name-defined]  # the scenario's own class
        def __call__(self, request: Any) -> Any:
            asked.append(request.path)
            return super().__call__(request)

    result = runner.run(dataclasses.replace(found, http={"shop": Watched}))
    charges = asked.count("/charges")
    assert result.messages.processed is not None
    assert 100 < asked.count("/recommendations") < charges / 2


def test_the_storm_needs_its_trigger() -> None:
    """Without the outage the same system without a budget is healthy: it is metastable, not just too small."""
    found = with_worker(scenario("retry_storm_with_budget"), broken.retries_without_a_budget, faults=[])
    result = runner.run(found)
    assert verdict(result, "no-message-loss")[0] == "holds"
    assert verdict(result, "amplification-bounded")[0] == "holds"
    assert result.messages.processed == found.workloads[0].messages
    assert not result.history.of("call.failed")


@pytest.mark.slow
def test_the_storm_outlives_trigger_and_load() -> None:
    """With the outage nothing at all is served any more, though the outage is over and later the load, too."""
    found = with_worker(scenario("retry_storm_with_budget"), broken.retries_without_a_budget)
    history = runner.run(found).history
    (over,) = (event["t"] for event in history.of("fault.end"))
    calm = max(event["t"] for event in history.of("send") if event["queue"] == "orders")
    served = [event["t"] for event in history.of("effect")]
    refused = [event["t"] for event in history.of("call.failed") if event["fault"] is None]
    end = history.of("run.end")[0]["t"]
    assert not [t for t in served if t > over + 10]
    assert end - calm > 60
    assert sum(t > calm for t in refused) / (end - calm) > 20, "more calls a second than leave it any capacity"
