"""Consumers as people bring them: plain functions over boto3, told where things are by the environment."""

from __future__ import annotations

import json
import os

import boto3

from harness.points import effect, point


def careful() -> None:
    """Works first, deletes after."""
    sqs = boto3.client("sqs")
    url = os.environ["QUEUE_URL"]
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []):
            effect("charged", json.loads(message["Body"])["order_id"])
            point("charged")
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def hasty() -> None:
    """Deletes first, works after: what is deleted when it dies is lost."""
    sqs = boto3.client("sqs")
    url = os.environ["QUEUE_URL"]
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            point("deleted")
            effect("charged", json.loads(message["Body"])["order_id"])
