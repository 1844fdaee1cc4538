"""Broken asyncio consumers."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import aiohttp
import boto3


async def _charge(http: aiohttp.ClientSession, one_at_a_time: asyncio.Semaphore, message: Any) -> None:
    async with one_at_a_time:
        while True:
            try:
                async with http.post("charges", json=json.loads(message["Body"])) as answer:
                    answer.raise_for_status()
                return
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(1)


async def _consume(env: Any) -> None:
    sqs = boto3.client("sqs")
    queue_url = env.queue_url("orders")
    main = asyncio.current_task()
    assert main is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    one_at_a_time = asyncio.Semaphore(1)
    limits = aiohttp.ClientTimeout(total=3)
    async with (
        aiohttp.ClientSession(f"{env.http_url('payments')}/", timeout=limits) as http,
        asyncio.TaskGroup() as group,
    ):
        while True:
            answer = await asyncio.to_thread(
                sqs.receive_message, QueueUrl=queue_url, MaxNumberOfMessages=5, WaitTimeSeconds=2
            )
            for message in answer.get("Messages", []):
                handle = message["ReceiptHandle"]
                await asyncio.to_thread(sqs.delete_message, QueueUrl=queue_url, ReceiptHandle=handle)
                group.create_task(_charge(http, one_at_a_time, message))


def deletes_what_a_cancelled_task_has_in_hand(env: Any) -> None:
    """Deletes a message when its task is made: if that is cancelled before the charge, nobody charges any more."""
    try:
        asyncio.run(_consume(env))
    except asyncio.CancelledError:
        return
