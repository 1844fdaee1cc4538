"""Where handler faults strike: before, in the middle and after, and what a consumer then does."""

from __future__ import annotations

import dataclasses
import json
import os
import time

import boto3
import pytest

from harness import effects, runner
from harness.errors import UsageError
from harness.faults.plan import Fault
from harness.points import effect
from harness.scenario import Process, Queue, Scenario, Workload


def handle(message: dict[str, str]) -> None:
    effect("begun", json.loads(message["Body"])["order_id"])
    time.sleep(0.5)
    effect("charged", json.loads(message["Body"])["order_id"])


def main() -> None:
    sqs = boto3.client("sqs")
    url = os.environ["QUEUE_URL"]
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []):
            try:
                handle(message)
            except (ConnectionError, ValueError):
                continue
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


BASE = Scenario(
    name="handler-faults",
    queues=[Queue("orders", visibility_timeout=10)],
    processes=[Process("worker", main, environ={"QUEUE_URL": "{queue:orders}"})],
    workload=Workload(to="orders", messages=5, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    handler=handle,
)


@pytest.mark.parametrize(("side", "begun"), [("before", 5), ("middle", 6), ("after", 6)])
def test_sides(side: str, begun: int) -> None:
    """Before: nothing of the handler ran; middle: up to its first sleep; after: all of it, and it comes again."""
    result = runner.run(dataclasses.replace(BASE, faults=[Fault("handler", "transient", side=side, nth=2)]))
    assert result.verdict == "passed", result.verdicts
    assert len([event for event in result.history.of("effect") if event["name"] == "begun"]) == begun
    assert result.faults[f"handler.{side}"]["struck"] == 1
    assert result.messages.duplicated == (1 if side == "after" else 0)


def test_service_time() -> None:
    """The declared service time is spent inside the handler."""
    slow = dataclasses.replace(BASE, service_time=(2, 3), faults=())
    took = [event["took"] for event in runner.run(slow).history.of("handler.end")]
    assert len(took) == 5
    assert all(2.5 <= one <= 3.5 for one in took)


def test_no_handler() -> None:
    """A handler fault without a declared handler is refused with the line to add."""
    with pytest.raises(UsageError, match="handler="):
        runner.run(dataclasses.replace(BASE, handler=None, faults=[Fault("handler", "slow", seconds=3)]))


def test_the_handler_is_put_back() -> None:
    """After a run the module has its own function again."""
    before = handle
    runner.run(BASE)
    assert globals()["handle"] is before
