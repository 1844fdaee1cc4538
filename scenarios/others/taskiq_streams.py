"""taskiq on a Redis stream (taskiq-redis): asyncio workers, one is killed with tasks in hand and the other claims them.

Orders keep coming while that happens: the broker looks for what others left only after it has read something new.
"""

import asyncio
import logging
import time
from contextlib import suppress

from harness import Fault, Objectives, Process, RedisStream, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without them leaves the scenario out
    from taskiq import SmartRetryMiddleware
    from taskiq.api import run_receiver_task
    from taskiq_redis import RedisStreamBroker

IDLE_MS = 20_000


def broker_and_task(env, name):
    logging.getLogger("taskiq").setLevel(logging.CRITICAL)
    broker = RedisStreamBroker(
        env.redis,
        queue_name="orders",
        consumer_group_name="workers",
        consumer_name=name,
        consumer_id="0",
        idle_timeout=IDLE_MS,
        unacknowledged_lock_timeout=10,
    ).with_middlewares(SmartRetryMiddleware(default_retry_count=10, default_delay=0))

    @broker.task(task_name="charge", retry_on_error=True)
    async def charge(order_id):
        await asyncio.sleep(0.05)
        point("charge")
        effect("charged", order_id)

    return broker, charge


async def send(env):
    broker, charge = broker_and_task(env, "shop")
    await broker.startup()
    for number in range(120):
        await charge.kiq(number)
        await asyncio.sleep(0.5)
    await broker.shutdown()


async def receive(env):
    broker, _ = broker_and_task(env, f"{env.process}-{time.time():.0f}")
    await broker.startup()
    await run_receiver_task(broker, max_async_tasks=5)


def shop(env):
    asyncio.run(send(env))


def worker(env):
    asyncio.run(receive(env))


scenario = Scenario(
    name="taskiq-streams",
    queues=[RedisStream("orders", group="workers", create_group=False, visibility_timeout=30)],
    processes=[Process("shop", shop), Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=0, key="$.args[0]"),
    effects=effects.point("charged"),
    faults=[
        Fault("point.charge", "transient", start=10, end=20, probability=0.3),
        Fault("point.charge", "crash", nth=70, restart_after=5),
    ],
    invariants=[*invariants.defaults(), invariants.duplicates_bounded()],
    objectives=Objectives(rpo=0),
    duration=90,
    needs=("taskiq", "taskiq_redis"),
)
