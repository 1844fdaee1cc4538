"""Explanations: which faults are needed, the nearest run that passes, where the two part, what led to the violation."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from harness import Fault, Process, Queue, Scenario, Workload, effects, invariants, runner
from harness.explore.counterexample import Counterexample
from harness.explore.explained import WIDTH, told
from harness.explore.explanation import NotReproduced, _less, explain, parting
from harness.faults.plan import FaultPlan
from harness.points import effect
from harness.result import Result
from harness.sim import world
from tests.histories import HistoryBuilder
from tests.unit.explore.searched import hasty, made


def _late(env: Any) -> None:
    """Handles, then deletes, without asking whether it was done before."""
    sqs, url = boto3.client("sqs"), env.queue_url("orders")
    while True:
        try:
            for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages", []):
                effect("done", json.loads(message["Body"])["n"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except (ClientError, BotoCoreError):
            continue


def _fragile(env: Any) -> None:
    """Ends at the first error."""
    sqs, url = boto3.client("sqs"), env.queue_url("orders")
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages", []):
            effect("done", json.loads(message["Body"])["n"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _racing(env: Any) -> None:
    """Right, unless the second worker comes first, which is a matter of the schedule alone."""
    _started.append((world.current(), env.process))
    if next(process for run, process in _started if run is world.current()) == "worker.2":
        effect("done", 0)
    _late(env)


_started: list[tuple[object, str]] = []


def _scenario(worker: Any, messages: int = 2, count: int = 1) -> Scenario:
    return Scenario(
        name="explained",
        queues=[Queue("orders", visibility_timeout=10)],
        processes=[Process("worker", worker, count=count)],
        workload=Workload(to="orders", messages=messages, per_second=2, body=lambda n: {"n": n}, key="$.n"),
        effects=effects.point("done"),
        invariants=[*invariants.defaults(), invariants.effects_once()],
    )


def _found(scenario: Scenario, *faults: Fault, **more: Any) -> Counterexample:
    result: Result = runner.run(scenario, faults=faults)
    broken = [one for one in result.violated if one.name == "effects-once"] or result.violated
    return Counterexample.of(result.history, broken, **more)


_LOST_DELETE = Fault("aws.sqs.DeleteMessage", "access-denied", nth=1)
_IDLE = Fault("aws.sqs.ReceiveMessage", "empty-receive", nth=1)


def test_a_needed_fault_and_one_that_is_not() -> None:
    """Each is left out in turn; the nearest run that passes is the one without the needed one."""
    scenario = _scenario(_late)
    explanation = explain(_found(scenario, _IDLE, _LOST_DELETE), scenario=scenario)
    assert [(one.index, one.breaks) for one in explanation.faults] == [(0, True), (1, False)]
    assert [one.index for one in explanation.needed] == [1]
    assert explanation.nearest is not None
    assert (explanation.nearest.kind, explanation.nearest.index) == ("fault", 1)


def test_where_the_two_part_and_how_it_came_about() -> None:
    """They part at the strike; the chain begins there and ends at the evidence."""
    scenario = _scenario(_late)
    explanation = explain(_found(scenario, _LOST_DELETE), scenario=scenario)
    assert explanation.difference is not None
    first, second = explanation.difference.first, explanation.difference.second
    assert first is not None
    assert second is not None
    assert first["kind"] == "fault.strike"
    assert second["kind"] == "delete"
    chain = [(link.event["kind"], link.how) for link in explanation.links]
    assert chain[0] == ("fault.strike", "")
    assert ("receive", "came back") in chain
    assert explanation.links[-1].event["n"] == max(explanation.verdict.evidence)
    assert {row.of for row in explanation.beside} == {"both", "failed", "passed"}
    assert explanation.beside[0].of == "both"


def test_it_is_json_and_text() -> None:
    """Everything as values, for reports; as text within the width, ending with expected, seen, because."""
    scenario = _scenario(_late)
    explanation = explain(_found(scenario, _LOST_DELETE), scenario=scenario)
    value = json.loads(json.dumps(explanation.to_json()))
    assert value["violated"] == "effects-once"
    assert [one["needed"] for one in value["faults"]] == [True]
    assert value["difference"]["words"]["failed"].endswith("was answered 403 AccessDenied and had no effect")
    assert value["chain"][0]["after"] is None
    assert value["story"]["mermaid"].startswith("sequenceDiagram")
    lines = told(explanation).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert any(line.startswith("  needed      fault 1: ") for line in lines)
    assert any(line.startswith("nearest run that passed: the same without fault 1") for line in lines)
    assert [line.split()[0] for line in lines if line.startswith(("expected:", "seen:", "because:"))] == [
        "expected:",
        "seen:",
        "because:",
    ]


def test_a_message_less() -> None:
    """No fault is needed, but the last message: it has the key of the first."""
    scenario = dataclasses.replace(
        _scenario(_late, 3),
        workload=Workload(to="orders", messages=3, per_second=2, body=lambda n: {"n": n % 2}, key="$.n"),
    )
    explanation = explain(_found(scenario), scenario=scenario)
    assert explanation.faults == ()
    assert explanation.nearest is not None
    assert explanation.nearest.what == "message 3 of 3"
    assert explanation.links


def test_a_choice_of_the_schedule() -> None:
    """Neither fault nor message: the choice that made it happen is named with the event that followed."""
    scenario = _scenario(_racing, 1, count=2)
    assert runner.run(scenario, options=runner.Options(tape=())).verdict == "passed"
    result = runner.run(scenario, options=runner.Options(tape=(1,)))
    found = Counterexample.of(result.history, result.violated, schedule=result.schedule)
    explanation = explain(found, scenario=scenario)
    assert explanation.faults == ()
    assert [(one.kind, one.index) for one in explanation.more if not one.breaks] == [("choice", 0)]
    assert explanation.nearest is not None
    assert explanation.nearest.what == "choice 1 of the schedule, made before event 4"
    assert "needed      choice 1 of the schedule" in told(explanation)


def test_each_of_two_is_enough() -> None:
    """Two faults, each of which does it alone: none is needed, and no run with one thing less passes."""
    scenario = _scenario(_late, 1)
    again = Fault("aws.sqs.ReceiveMessage", "duplicate", nth=1)
    explanation = explain(_found(scenario, _LOST_DELETE, again), scenario=scenario)
    assert [one.breaks for one in explanation.faults] == [True, True]
    assert explanation.nearest is None
    assert "none; each of 2 runs with one thing less breaks something" in told(explanation)


def test_a_chance_keeps_its_chance() -> None:
    """A fault before one with a chance stays in the plan and strikes nothing: the other's chance does not move."""
    by_chance = Fault("aws.sqs.DeleteMessage", "timeout", side="before", probability=0.5)
    less = _less(FaultPlan([_IDLE, by_chance]), 0)
    assert len(less) == 2
    assert less[1] == by_chance
    assert less[0].nth == 1_000_000_000
    assert len(_less(FaultPlan([_IDLE, by_chance]), 1)) == 1


def test_what_is_mended_has_nothing_to_explain() -> None:
    """A counterexample whose run breaks nothing any more."""
    scenario = _scenario(_late)
    found = _found(scenario, _LOST_DELETE)
    with pytest.raises(NotReproduced, match="explained: not reproduced: the run breaks none of effects-once"):
        explain(dataclasses.replace(found, plan=FaultPlan()), scenario=scenario)


def test_a_lost_message() -> None:
    """The process was killed between delete and effect: the chain goes from the crash to what was lost."""
    scenario = made(hasty, 2)
    crash = Fault("aws.sqs.DeleteMessage", "crash", side="after", nth=1, restart_after=5)
    explanation = explain(_found(scenario, crash), scenario=scenario)
    assert [one.index for one in explanation.needed] == [0]
    assert explanation.verdict.name == "no-message-loss"
    assert "was killed" in " ".join(explanation.texts) + explanation.chart.story.because


def test_numbers_of_events_and_faults_part_nothing() -> None:
    """Runs that differ in these alone say the same; a window that opens is not told."""
    one, other = HistoryBuilder(), HistoryBuilder()
    one.add("fault.start", fault=0, target="x", fault_kind="y", at=0.0)
    for history in (one, other):
        history.send("m1", "7", at=1.0)
    assert parting(one.history, other.history) is None
    other.receive("m1")
    parted = parting(one.history, other.history)
    assert parted is not None
    assert parted.first is None
    assert parted.second is not None
    assert parted.second["kind"] == "receive"


def test_what_nobody_was_left_to_do() -> None:
    """A message that is stuck because its worker died before it came: the chain ends with the worker's end."""
    scenario = _scenario(_fragile, 1)
    denied = Fault("aws.sqs.ReceiveMessage", "access-denied", nth=1)
    explanation = explain(_found(scenario, denied), scenario=scenario)
    assert [(link.event["kind"], link.how) for link in explanation.links] == [
        ("fault.strike", ""),
        ("call.failed", "then"),
        ("process.exit", "ended it"),
    ]
