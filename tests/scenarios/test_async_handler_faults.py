"""Where handler faults strike a coroutine function: as in a function, and the event loop's other tasks go on."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from typing import Any

import boto3
import pytest

from harness import effects, runner
from harness.faults.plan import Fault
from harness.points import effect, point
from harness.scenario import Process, Queue, Scenario, Workload


async def handle(message: dict[str, str]) -> None:
    order = json.loads(message["Body"])["order_id"]
    effect("begun", order)
    await asyncio.sleep(0.5)
    point("slept")
    effect("charged", order)


async def consume() -> None:
    sqs = boto3.client("sqs")
    url = os.environ["QUEUE_URL"]

    async def one(message: Any) -> None:
        try:
            await handle(message)
        except (ConnectionError, ValueError):
            return
        await asyncio.to_thread(sqs.delete_message, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    async with asyncio.TaskGroup() as group:
        while True:
            answer = await asyncio.to_thread(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
            for message in answer.get("Messages", []):
                group.create_task(one(message))


def main() -> None:
    asyncio.run(consume())


BASE = Scenario(
    name="async-handler-faults",
    queues=[Queue("orders", visibility_timeout=10)],
    processes=[Process("worker", main, environ={"QUEUE_URL": "{queue:orders}"})],
    workload=Workload(to="orders", messages=5, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    handler=handle,
)


def run(*faults: Fault, **changes: Any) -> runner.Result:
    return runner.run(dataclasses.replace(BASE, faults=list(faults), **changes))


@pytest.mark.parametrize(("side", "begun"), [("before", 5), ("middle", 6), ("after", 6)])
def test_sides(side: str, begun: int) -> None:
    """Before: nothing of the handler ran; middle: up to its first sleep; after: all of it, and it comes again."""
    result = run(Fault("handler", "transient", side=side, nth=2))
    assert result.verdict == "passed", result.verdicts
    assert len([event for event in result.history.of("effect") if event["name"] == "begun"]) == begun
    assert result.faults[f"handler.{side}"]["struck"] == 1
    assert result.messages.duplicated == (1 if side == "after" else 0)


def ends(result: runner.Result) -> dict[str, float]:
    """When each message's handler first came to its end."""
    found: dict[str, float] = {}
    for event in result.history.of("handler.end"):
        found.setdefault(event["key"], event["t"])
    return found


@pytest.mark.parametrize("side", ["before", "middle"])
def test_a_slow_handler_stops_its_task_alone(side: str) -> None:
    """Four seconds in one task: the messages after it are handled meanwhile."""
    at = ends(run(Fault("handler", "slow", side=side, seconds=4, nth=1)))
    assert at["0"] > 4.5
    assert at["3"] < 4


def test_a_handler_that_hangs_stops_its_task_alone() -> None:
    """A handler that never goes on: its message comes again and is handled by another task of the same loop."""
    result = run(Fault("handler", "hang", nth=1))
    assert result.verdict == "passed", result.verdicts
    assert result.messages.processed == 5


def test_service_time_is_spent_beside_the_loop() -> None:
    """Three seconds each, side by side, not one after the other."""
    at = ends(run(service_time=3))
    assert at["4"] < 4 + 3 + 0.5 + 0.5


def test_poison_knows_the_message_of_the_task() -> None:
    """Faults by key strike the tasks of that message alone, though tasks interleave in one actor."""
    changed = dataclasses.replace(
        BASE, queues=[Queue("orders", visibility_timeout=5, dead_letter="dead", max_receives=2), Queue("dead")]
    )
    result = runner.run(dataclasses.replace(changed, faults=[Fault("handler", "poison", keys=["2"])]))
    struck = {event["key"] for event in result.history.of("fault.strike")}
    assert struck == {"2"}
    assert result.messages.processed == 4
    assert result.messages.dead_lettered == 1


def test_events_name_tasks() -> None:
    """What a task does is recorded under its name."""
    result = run()
    actors = {event["actor"] for event in result.history.of("handler.end")}
    assert len(actors) == 5
    assert all(actor.startswith("worker/Task-") for actor in actors)
