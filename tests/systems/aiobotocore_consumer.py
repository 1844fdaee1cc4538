"""A consumer on aiobotocore as people write one: long polls, a task a message, SIGTERM cancels."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import aiohttp
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError


async def _handle(sqs: Any, http: aiohttp.ClientSession, queue_url: str, message: Any) -> None:
    try:
        async with http.post("charges", json=json.loads(message["Body"])) as answer:
            answer.raise_for_status()
        await sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    except (aiohttp.ClientError, TimeoutError, ClientError, BotoCoreError):
        return  # not deleted: it comes back after the visibility timeout


async def _consume(env: Any) -> None:
    main = asyncio.current_task()
    assert main is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    queue_url = env.queue_url("orders")
    async with (
        get_session().create_client("sqs") as sqs,
        aiohttp.ClientSession(f"{env.http_url('payments')}/", timeout=aiohttp.ClientTimeout(total=5)) as http,
        asyncio.TaskGroup() as group,
    ):
        while True:
            try:
                answer = await sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
            except (ClientError, BotoCoreError):
                await asyncio.sleep(1)
                continue
            for message in answer.get("Messages", []):
                group.create_task(_handle(sqs, http, queue_url, message))


def worker(env: Any) -> None:
    """The process's main function."""
    try:
        asyncio.run(_consume(env))
    except asyncio.CancelledError:
        return
