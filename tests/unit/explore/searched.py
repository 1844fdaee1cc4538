"""Systems that searches are tried on: a right consumer, and one that deletes before it works."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from harness import Process, Queue, Scenario, Workload, effects
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def careful(env: Any) -> None:
    """Handles, then deletes; survives every error."""

    def handle(message: dict[str, Any]) -> None:
        effect("done", json_body(message)["n"])

    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


def hasty(env: Any) -> None:
    """Deletes, then handles: right in everything else."""
    sqs, url = boto3.client("sqs"), env.queue_url("orders")
    while True:
        try:
            for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages", []):
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                effect("done", json.loads(message["Body"])["n"])
        except (ClientError, BotoCoreError):
            continue


def made(worker: Any, messages: int = 6, **more: Any) -> Scenario:
    """A scenario of one worker."""
    return Scenario(
        name="searched",
        queues=[Queue("orders", visibility_timeout=10, dead_letter="orders-dlq", max_receives=5), Queue("orders-dlq")],
        processes=[Process("worker", worker, **more)],
        workload=Workload(to="orders", messages=messages, per_second=2, body=lambda n: {"n": n}, key="$.n"),
        effects=effects.point("done"),
    )
