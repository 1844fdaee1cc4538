"""The fault model in runs: its plans break the strong form for everybody, and its weak form still breaks the broken."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
import requests

from harness import Fault, FaultPlan, Process, Queue, Scenario, Workload, effects, invariants
from harness.faults.model import MODEL
from harness.invariants.base import Spec, Verdict
from harness.invariants.judge import Judge
from harness.loading import load
from harness.points import effect, point
from harness.resilience import DeadLetterQueueHandler, ResilientConsumer, json_body
from harness.result import Result
from harness.runner import run
from tests.docs.pages import ROOT

ROWS = {row.name: row for row in MODEL}


def plan_of(name: str) -> FaultPlan:
    return FaultPlan.from_json(ROWS[name].plan)


def judged(result: Result, spec: Spec) -> Verdict:
    """What *spec* says of the run, not weakened."""
    judge = Judge([spec], result.history.header)
    for event in result.history:
        judge.step(event)
    return judge.finish()[0]


def status(result: Result, name: str) -> str:
    return next(verdict.status for verdict in result.verdicts if verdict.name == name)


def recorded() -> Scenario:
    """A consumer that records its effects, as well as that can be done."""
    (scenario,) = load(ROOT / "scenarios" / "delete_answer_lost.py")
    return scenario


def unrecorded(env: Any) -> None:
    """The same consumer, without a record of its effects."""

    def charge(message: dict[str, Any]) -> None:
        requests.post(f"{env.http_url('payments')}/charges", json=json_body(message), timeout=5).raise_for_status()

    ResilientConsumer(env.queue_url("orders"), charge, dlq_url=env.queue_url("orders-dlq")).run()


def test_a_worker_that_stands_still_after_the_effect() -> None:
    """The strong form is broken by the best consumer; the weak one holds for it."""
    result = run(recorded(), faults=plan_of("stopped beside the effect"))
    assert judged(result, invariants.effects_once()).status == "violated"
    assert status(result, "effects-once") == "holds"
    assert result.verdict == "passed"


def test_a_short_pause_is_no_excuse() -> None:
    """Who goes on in time can record the effect: a consumer that does not is found, dependency faults or not."""
    naive = dataclasses.replace(recorded(), processes=[Process("worker", unrecorded, count=2)])
    faults = [
        Fault("dependency.payments", "pause", side="after", seconds=0.5, start=10, end=40),
        Fault("aws.sqs.DeleteMessage", "timeout", side="before", start=12, end=38),
        Fault("dependency.payments", "timeout", side="after", start=100, end=101),
    ]
    assert status(run(naive, faults=faults), "effects-once") == "violated"
    assert status(run(recorded(), faults=faults), "effects-once") == "holds"


def handle(message: dict[str, Any]) -> None:
    time.sleep(2)
    effect("charged", json_body(message)["order_id"])


def without_a_store(env: Any) -> None:
    DeadLetterQueueHandler(env.queue_url("orders"), env.queue_url("orders-dlq"), max_retries=2).process_with_dlq(handle)


def puts_aside_what_it_has_done(env: Any) -> None:
    """Sends a copy of each message to the dead-letter queue, handled or not."""
    import boto3

    sqs = boto3.client("sqs")

    def both(message: dict[str, Any]) -> None:
        handle(message)
        sqs.send_message(QueueUrl=env.queue_url("orders-dlq"), MessageBody=message["Body"])

    DeadLetterQueueHandler(env.queue_url("orders"), env.queue_url("orders-dlq")).process_with_dlq(both)


@pytest.mark.parametrize(("worker", "weakly"), [(without_a_store, "holds"), (puts_aside_what_it_has_done, "violated")])
def test_a_message_in_two_hands(worker: Any, weakly: str) -> None:
    """Without a store a message is handled and put aside at once; who does both without a second delivery is found."""
    scenario = Scenario(
        name="two-hands",
        queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
        processes=[Process("worker", worker, count=3)],
        workload=Workload(to="orders", messages=40, per_second=0.8, body=lambda n: {"order_id": n}, key="$.order_id"),
        effects=effects.point("charged"),
        invariants=[invariants.not_processed_and_dead_lettered()],
    )
    result = run(scenario, faults=plan_of("in two hands, and nobody who knows"))
    assert judged(result, invariants.not_processed_and_dead_lettered()).status == "violated"
    assert status(result, "not-processed-and-dead-lettered") == weakly


def charge(message: dict[str, Any]) -> None:
    effect("charged", json_body(message)["order_id"])
    time.sleep(2)
    point("after-charge")


def charges(env: Any) -> None:
    DeadLetterQueueHandler(env.queue_url("orders"), env.queue_url("orders-dlq"), max_retries=2).process_with_dlq(charge)


def charges_and_puts_aside(env: Any) -> None:
    """Sends a copy of each message to the dead-letter queue, charged or not."""
    import boto3

    sqs = boto3.client("sqs")

    def both(message: dict[str, Any]) -> None:
        charge(message)
        sqs.send_message(QueueUrl=env.queue_url("orders-dlq"), MessageBody=message["Body"])

    DeadLetterQueueHandler(env.queue_url("orders"), env.queue_url("orders-dlq"), max_retries=2).process_with_dlq(both)


AFTERWARDS = [
    Fault("handler", "poison", side="middle", keys=["3"]),
    Fault("handler", "poison", side="after", keys=["3"]),
    Fault("point.after-charge", "poison", keys=["3"]),
]


@pytest.mark.parametrize("fault", AFTERWARDS, ids=str)
@pytest.mark.parametrize(("worker", "weakly"), [(charges, "holds"), (charges_and_puts_aside, "violated")])
def test_a_message_that_is_poison_after_its_effect(worker: Any, weakly: str, fault: Fault) -> None:
    """Who always fails after the effect is dead-lettered with its effect done; other messages are held to the rule."""
    scenario = Scenario(
        name="poison-afterwards",
        queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
        processes=[Process("worker", worker, count=2)],
        handler=charge,
        workload=Workload(to="orders", messages=6, per_second=0.8, body=lambda n: {"order_id": n}, key="$.order_id"),
        effects=effects.point("charged"),
        invariants=[invariants.not_processed_and_dead_lettered()],
    )
    result = run(scenario, faults=[fault])
    assert judged(result, invariants.not_processed_and_dead_lettered()).status == "violated"
    assert status(result, "not-processed-and-dead-lettered") == weakly
