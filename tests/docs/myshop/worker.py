"""Charges each order once it is received and deletes it after."""

from __future__ import annotations

import json
import os

import boto3
import requests
from botocore.exceptions import BotoCoreError, ClientError


def main() -> None:
    """Consume QUEUE_URL, charge at PAYMENTS_URL."""
    sqs = boto3.client("sqs")
    url = os.environ["QUEUE_URL"]
    while True:
        try:
            answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
            for message in answer.get("Messages", []):
                charge(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except (ClientError, BotoCoreError, requests.RequestException):
            continue  # what was not deleted comes back


def charge(order: dict[str, int]) -> None:
    """The effect: one call a charge, which the payment service recognises by its order."""
    address = f"{os.environ['PAYMENTS_URL']}/charges"
    requests.post(address, json=order, timeout=5).raise_for_status()
