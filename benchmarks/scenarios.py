"""The scenarios that are measured: an hour with 10,000 messages, and a small one as a search runs it."""

from __future__ import annotations

import json

import boto3
from botocore.exceptions import ClientError

from harness import Fault, Process, Queue, Scenario, Workload, effects
from harness.points import effect


def batch_worker(env):  # type: ignore[no-untyped-def]  # written as a user would
    """Receives ten at a time, handles each, deletes the batch."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    while True:
        try:
            messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20).get("Messages", [])
        except ClientError:
            continue
        for message in messages:
            effect("charged", json.loads(message["Body"])["order_id"])
        if messages:
            entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)


_client = boto3.client("sqs", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")


def plain_worker(env):  # type: ignore[no-untyped-def]  # written as a user would
    """Receives, handles and deletes one by one, with a client made at import as most consumers have it."""
    url = env.queue_url("orders")
    while True:
        answer = _client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in answer.get("Messages", []):
            effect("charged", json.loads(message["Body"])["order_id"])
            _client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def hour(messages: int = 10_000) -> Scenario:
    """One virtual hour of *messages* messages and 4 consumers that work in batches of ten."""
    return Scenario(
        name="one-hour",
        queues=[Queue("orders", visibility_timeout=30)],
        processes=[Process("worker", batch_worker, count=4)],
        workload=Workload(
            to="orders",
            messages=messages,
            per_second=messages / 3600,
            body=lambda n: {"order_id": n},
            key="$.order_id",
        ),
        effects=effects.point("charged"),
        faults=[Fault("aws.sqs.ReceiveMessage", "throttled", start=600, end=660)],
        duration=3600,
    )


def small() -> Scenario:
    """Twenty messages, 4 consumers, one fault: what a search runs."""
    return Scenario(
        name="twenty-messages",
        queues=[Queue("orders", visibility_timeout=30)],
        processes=[Process("worker", plain_worker, count=4)],
        workload=Workload(to="orders", messages=20, per_second=10, body=lambda n: {"order_id": n}, key="$.order_id"),
        effects=effects.point("charged"),
        faults=[Fault("aws.sqs.DeleteMessage", "internal-error", side="before", nth=3)],
    )
