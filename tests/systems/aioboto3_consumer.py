"""A consumer on aioboto3's resources."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aioboto3

from harness.points import effect


async def _consume(env: Any) -> None:
    async with aioboto3.Session().resource("sqs") as sqs:
        queue = await sqs.Queue(env.queue_url("orders"))
        while True:
            for message in await queue.receive_messages(MaxNumberOfMessages=10, WaitTimeSeconds=20):
                effect("charged", json.loads(await message.body)["order_id"])
                await message.delete()


def worker(env: Any) -> None:
    """The process's main function."""
    asyncio.run(_consume(env))
