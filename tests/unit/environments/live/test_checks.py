"""What cannot run live is refused before anything is started, with the remedy."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness import Fault, RedisList, effects
from harness.cli.live_options import live_options_given
from harness.environments.live.options import LiveOptions
from harness.environments.live.run import check_plan, check_scenario
from harness.environments.live.services import check_url
from harness.errors import PlanError, ScenarioError, UsageError
from harness.faults.plan import FaultPlan
from harness.loading import load
from harness.scenario import Scenario
from tests.systems import live_consumers


def plain() -> Scenario:
    return load(live_consumers.__file__)[0]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("clock.worker", "jump", start=1, seconds=60), "machine's clock"),
        (Fault("redis.*", "loading", start=1, end=2), "is not made to answer loading"),
        (Fault("redis.GET", "refused", start=1, end=2), "as a whole, for a window"),
        (Fault("redis", "refused", nth=3), "as a whole, for a window"),
    ],
)
def test_faults_that_only_a_simulation_has_are_refused(fault: Fault, says: str) -> None:
    """The message names the fault's place in the plan and another backend."""
    with pytest.raises(PlanError, match=says) as caught:
        check_plan(FaultPlan([Fault("aws.sqs.*", "throttled", start=0, end=1), fault]))
    assert "faults[1]" in str(caught.value)
    assert "--backend memory" in str(caught.value)


def test_faults_of_every_live_layer_are_taken() -> None:
    """A plan of all of them passes."""
    check_plan(
        FaultPlan(
            [
                Fault("aws.sqs.*", "throttled", start=0, end=1),
                Fault("network.sqs", "latency", start=0, end=1, latency=100),
                Fault("redis", "refused", start=0, end=1),
                Fault("process.worker", "crash", start=1),
                Fault("handler", "transient", nth=1),
            ]
        )
    )


def test_a_live_workload_does_not_send_to_redis() -> None:
    """A process of the scenario does, with the library that reads the queue."""
    jobs = dataclasses.replace(plain().workloads[0], to="in-redis")
    sends = dataclasses.replace(plain(), queues=[RedisList("in-redis")], workload=jobs)
    with pytest.raises(ScenarioError, match="let a process send"):
        check_scenario(sends)
    check_scenario(dataclasses.replace(sends, workload=dataclasses.replace(jobs, messages=0)))


def test_a_scenario_without_a_file_cannot_be_loaded_by_processes() -> None:
    """It is told so."""
    with pytest.raises(ScenarioError, match="stands in no file"):
        check_scenario(dataclasses.replace(plain(), file=None))


@pytest.mark.parametrize("effect", [effects.redis("SET done:{key}"), effects.sqlite("orders", "id")])
def test_effects_inside_a_process_are_not_seen_from_outside(effect: Any) -> None:
    """The remedy is an effect that the code tells."""
    with pytest.raises(ScenarioError, match="outside a process") as caught:
        check_scenario(dataclasses.replace(plain(), effects=(effect,)))
    assert "points.effect" in str(caught.value)


@pytest.mark.parametrize("scale", [0, -1, 1001, float("nan")])
def test_a_time_scale_without_sense_is_refused(scale: float) -> None:
    """Above 0, at most 1000."""
    with pytest.raises(UsageError, match="--time-scale"):
        LiveOptions(time_scale=scale)


def test_another_sqs_server_has_no_faster_clock() -> None:
    """--sqs and --time-scale exclude each other."""
    with pytest.raises(UsageError, match="--time-scale"):
        LiveOptions(sqs="moto", time_scale=2)


def test_live_options_are_for_live_runs() -> None:
    """In a simulation they would do nothing, silently."""
    with pytest.raises(UsageError, match=r"--time-scale.*backend is memory"):
        live_options_given({"time_scale": 2.0}, "memory")
    assert live_options_given({"time_scale": 2.0, "sqs": None}, "live") == {"time_scale": 2.0}


@pytest.mark.parametrize("url", ["http://192.0.2.1:9324", "https://sqs.us-east-1.amazonaws.example", "nonsense"])
def test_servers_outside_loopback_need_to_be_meant(url: str) -> None:
    """--allow-remote lets addresses through, but no nonsense."""
    with pytest.raises(UsageError, match="--sqs"):
        check_url(url, "--sqs", False)
    if "//" in url:
        check_url(url, "--sqs", True)
