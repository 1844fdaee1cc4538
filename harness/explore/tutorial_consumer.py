"""Charges customers for the orders that arrive in an SQS queue, the way most tutorials show it."""

import json
import logging
import os
import urllib.request
from typing import Any

import boto3

log = logging.getLogger(__name__)

processed: dict[str, bool] = {}  # SQS may deliver a message twice: remember the ids of those that are done


def charge(order: dict[str, Any]) -> None:
    request = urllib.request.Request(
        os.environ["PAYMENTS_URL"] + "/charges",
        data=json.dumps(order).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=5).close()  # raises for an answer of 400 and above
    log.info("charged order %s", order["order_id"])


def main() -> None:
    sqs = boto3.client("sqs")
    queue_url = os.environ["QUEUE_URL"]
    while True:
        response = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in response.get("Messages", []):
            try:
                if message["MessageId"] not in processed:
                    charge(json.loads(message["Body"]))
                    processed[message["MessageId"]] = True
            except Exception:
                log.exception("could not process message %s", message["MessageId"])
            finally:
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
