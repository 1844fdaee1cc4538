"""The workload is sent at its times, with what the plan makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from harness import Fault, Workload
from harness.environments.live.clock import LiveClock
from harness.environments.live.processes import LiveActions
from harness.environments.live.recorder import LiveRecorder
from harness.environments.live.sender import LiveSender
from harness.errors import EnvironmentFailed
from harness.faults.engine import FaultEngine
from harness.faults.plan import FaultPlan
from harness.loading import load
from harness.seeds import Seeds
from tests.systems import live_consumers


def sent(workload: Workload, *faults: Fault, first: int = 0, failing: bool = False) -> tuple[list[Any], LiveSender]:
    """What a sender handed over, all of its times come at once."""
    scenario = dataclasses.replace(load(live_consumers.__file__)[0], workload=workload)
    clock = LiveClock(1_000_000.0)
    clock.start()
    engine = FaultEngine(FaultPlan(faults), Seeds(0), clock, LiveRecorder(clock), LiveActions(clock))
    got: list[Any] = []

    def send(message: Mapping[str, Any]) -> None:
        if failing:
            raise EnvironmentFailed("the SQS server does not answer")
        got.append(dict(message))

    sender = LiveSender(scenario, workload, first, clock, engine, send)
    sender.start()
    sender.join()
    clock.stop()
    assert sender.done
    return got, sender


def test_messages_have_body_key_and_attributes() -> None:
    """Binary attributes travel as base64."""
    workload = Workload(
        to="jobs",
        messages=2,
        per_second=10,
        body=lambda n: {"id": n + 7},
        key="$.id",
        attributes=lambda n: {"raw": {"DataType": "Binary", "BinaryValue": b"\xff"}},
    )
    got, _ = sent(workload)
    assert [(one["queue"], one["key"]) for one in got] == [("jobs", "7"), ("jobs", "8")]
    assert got[0]["body"].replace(" ", "") == '{"id":7}'
    assert got[0]["attributes"] == {"raw": {"DataType": "Binary", "BinaryValue": "/w=="}}


def test_faults_of_the_workload_spoil_bodies() -> None:
    """The second message is no JSON any more; it keeps its key."""
    workload = Workload(to="jobs", messages=3, per_second=10, body=lambda n: {"id": n}, key="$.id")
    got, _ = sent(workload, Fault("workload.jobs", "malformed", nth=2))
    assert [one["body"].startswith("{") and one["body"].endswith("}") for one in got] == [True, False, True]
    assert [one["key"] for one in got] == ["0", "1", "2"]


def test_fifo_messages_have_a_group_and_an_id_of_their_own() -> None:
    """Two workloads do not deduplicate each other's messages."""
    workload = Workload(to="jobs.fifo", messages=2, per_second=10, body=lambda n: str(n), group=lambda n: f"g{n}")
    got, _ = sent(workload, first=5)
    assert [(one["group"], one["deduplication"]) for one in got] == [("g0", "5"), ("g1", "6")]


def test_a_server_that_does_not_answer_is_told() -> None:
    """The run sees the failure; the thread does not die of it unseen."""
    _, sender = sent(Workload(to="jobs", messages=2, per_second=10, body=str), failing=True)
    assert sender.failure is not None
    assert "does not answer" in str(sender.failure)


@pytest.mark.parametrize("per_second", [1000])
def test_the_end_of_the_run_is_the_end_of_sending(per_second: int) -> None:
    """Messages that would be due later are never sent."""
    clock = LiveClock()
    clock.over.set()
    scenario = load(live_consumers.__file__)[0]
    engine = FaultEngine(FaultPlan(), Seeds(0), clock, LiveRecorder(clock), LiveActions(clock))
    got: list[Any] = []
    workload = Workload(to="jobs", messages=5, per_second=per_second, start=3600, body=str)
    sender = LiveSender(scenario, workload, 0, clock, engine, got.append)
    sender.start()
    sender.join()
    assert sender.done
    assert got == []
