"""A payment service drops connections, then slows down, under plain boto3, tenacity and pybreaker.

Nothing of harness.resilience is in it: the libraries that most teams already have, driven as they are.
"""

import json
import time

import boto3
import pybreaker
import requests
import tenacity
from botocore.exceptions import BotoCoreError, ClientError

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants

breaker_settings = {"fail_max": 5, "reset_timeout": 20, "name": "payments"}


def worker(env):
    sqs = boto3.client("sqs")
    queue_url = env.queue_url("orders")
    breaker = pybreaker.CircuitBreaker(**breaker_settings)

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(requests.ConnectionError),
        wait=tenacity.wait_exponential(multiplier=0.5, max=4),
        stop=tenacity.stop_after_attempt(3),
        reraise=True,
    )
    @breaker
    def charge(order):
        requests.post(f"{env.http_url('payments')}/charges", json=order, timeout=3).raise_for_status()

    while True:
        try:
            answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=1, WaitTimeSeconds=20)
        except (ClientError, BotoCoreError):
            time.sleep(2)  # botocore's own retries are used up, or it makes none
            continue
        for message in answer.get("Messages", []):
            try:
                charge(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            except (requests.RequestException, pybreaker.CircuitBreakerError):
                continue  # not deleted: it comes back after the visibility timeout
            except (ClientError, BotoCoreError, ValueError):
                continue  # charged and perhaps not deleted, or unreadable: SQS puts it aside in the end


scenario = Scenario(
    name="tenacity-and-pybreaker",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=6)],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=200, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[
        Fault("dependency.payments", "reset", start=30, end=90),
        Fault("dependency.payments", "slow", seconds=2, start=90, end=150),
    ],
    invariants=[*invariants.defaults(), invariants.breaker_opens(), invariants.recovers_within(90)],
    objectives=Objectives(rpo=0),
    needs=("requests", "tenacity", "pybreaker"),
    backends=("memory", "moto"),
)
