"""An asyncio consumer is told to stop with messages in hand: what it has begun it finishes, the rest comes back.

SIGTERM cancels the main task, and with it the task group; a message whose charge has begun is seen through to its
deletion within the grace period. boto3 is called on threads; aiohttp and redis.asyncio run on the loop itself.
"""

import asyncio
import json
import signal

import aiohttp
import boto3
import redis.asyncio
from botocore.exceptions import BotoCoreError, ClientError

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants


async def settle(order, sqs, http, paid, delete):
    """Charge an order that was not charged before, and delete its message."""
    if not await paid.exists(f"paid:{order['order_id']}"):
        async with http.post("charges", json=order) as answer:
            answer.raise_for_status()
        await paid.set(f"paid:{order['order_id']}", 1, ex=86_400)
    await asyncio.to_thread(sqs.delete_message, **delete)


async def handle(message, queue_url, sqs, http, paid):
    order = json.loads(message["Body"])
    delete = {"QueueUrl": queue_url, "ReceiptHandle": message["ReceiptHandle"]}
    work = asyncio.create_task(settle(order, sqs, http, paid, delete))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await work  # what has begun is finished
        raise
    except (aiohttp.ClientError, redis.RedisError, ClientError, BotoCoreError, TimeoutError):
        return  # not deleted: it comes back after the visibility timeout


async def consume(env):
    sqs = boto3.client("sqs")
    queue_url = env.queue_url("orders")
    main = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    limits = aiohttp.ClientTimeout(total=3)
    async with (
        redis.asyncio.from_url(env.redis) as paid,
        aiohttp.ClientSession(f"{env.http_url('payments')}/", timeout=limits) as http,
        asyncio.TaskGroup() as group,
    ):
        while True:
            try:
                answer = await asyncio.to_thread(
                    sqs.receive_message, QueueUrl=queue_url, MaxNumberOfMessages=5, WaitTimeSeconds=2
                )
            except (ClientError, BotoCoreError):
                await asyncio.sleep(1)
                continue
            for message in answer.get("Messages", []):
                group.create_task(handle(message, queue_url, sqs, http, paid))


def worker(env):
    try:
        asyncio.run(consume(env))
    except asyncio.CancelledError:
        return  # told to stop


scenario = Scenario(
    name="asyncio-cancelled-on-sigterm",
    queues=[Queue("orders", visibility_timeout=30)],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=200, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[
        Fault("dependency.payments", "slow", seconds=1, start=0, end=100),
        Fault("process.worker", "sigterm", start=30, grace=15),
        Fault("process.worker", "sigterm", start=70.2, grace=15),
        Fault("dependency.payments", "status", code=503, start=80, end=90),
    ],
    invariants=[*invariants.defaults(), invariants.effects_once(), invariants.recovers_within(60)],
    objectives=Objectives(rpo=0, duplicates=0),
    needs=("aiohttp",),
)
