"""SQS fails half of its calls for a minute under a consumer that has nothing but the retries of botocore itself.

What boto3 gives everybody for nothing (standard mode, its quota and backoff) must carry it through.
"""

import json

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect


def worker(env):
    sqs = boto3.client("sqs", config=Config(retries={"mode": "standard", "max_attempts": 5}))
    queue_url = env.queue_url("orders")
    while True:
        try:
            answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
            for message in answer.get("Messages", []):
                effect("charged", json.loads(message["Body"])["order_id"])
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        except (ClientError, BotoCoreError):
            continue  # what was not deleted comes back


scenario = Scenario(
    name="botocore-retries-alone",
    queues=[Queue("orders", visibility_timeout=30)],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=300, per_second=3, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("aws.sqs.*", "internal-error", start=20, end=80, probability=0.5)],
    invariants=[*invariants.defaults(), invariants.recovers_within(60)],
    objectives=Objectives(rto="1m", rpo=0),
    backends=("memory", "moto"),
)
