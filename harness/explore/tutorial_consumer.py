"""Charges customers for the orders that arrive in an SQS queue, the way most tutorials show it.

Nothing in here knows of the harness. It passes its tests, it passes review,
and on a bad day it loses an order and charges a customer twice.
"""

import json
import logging
import os
import urllib.request

import boto3

log = logging.getLogger(__name__)

processed = {}  # SQS may deliver a message twice: remember the ids of those that are done


def charge(order):
    request = urllib.request.Request(
        os.environ["PAYMENTS_URL"] + "/charges",
        data=json.dumps(order).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5):
        log.info("charged order %s", order["order_id"])


def main():
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
