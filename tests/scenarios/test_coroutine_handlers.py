"""A consumer whose handler is a coroutine function, in simulation: its event loop runs in virtual time too."""

from __future__ import annotations

import asyncio
from typing import Any

from harness import Fault, Process, Queue, Scenario, Workload, effects, invariants, points, runner
from harness.resilience import ConsumerOptions, ResilientConsumer, json_body


def worker(env: Any) -> None:
    async def charge(message: dict[str, Any]) -> None:
        await asyncio.sleep(0.2)
        points.effect("charged", json_body(message)["order_id"])

    ResilientConsumer(
        env.queue_url("orders"),
        charge,
        dlq_url=env.queue_url("orders-dlq"),
        options=ConsumerOptions(concurrency=2),
    ).run()


def scenario() -> Scenario:
    return Scenario(
        name="coroutine-handlers",
        queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=5)],
        processes=[Process("worker", worker, count=2)],
        workload=Workload(to="orders", messages=20, per_second=1.5, body=lambda n: {"order_id": n}, key="$.order_id"),
        effects=effects.point("charged"),
        faults=[Fault("aws.sqs.DeleteMessage", "timeout", side="after", nth=3)],
        invariants=[*invariants.defaults()],
    )


def test_coroutines_are_awaited_before_their_messages_are_deleted() -> None:
    """Two workers with two threads each and one event loop a process: each message has its effect, and runs repeat."""
    first, second = runner.run(scenario()), runner.run(scenario())
    assert first.verdict == "passed", [(one.name, one.status, one.detail) for one in first.verdicts]
    assert list(first.history) == list(second.history)
