"""Somebody lowers a queue's visibility timeout below what a Lambda function takes, so that batches come while they run.

AWS compares the two only when the mapping is made. The function claims each order in Redis and charges it once.
"""

import json
import os
import time

import boto3
import redis

from harness import Fault, LambdaConsumer, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import RedisIdempotencyStore
from harness.resilience.idempotency import Status


def charge(record):
    time.sleep(1)
    effect("charged", json.loads(record["body"])["order_id"])


def lambda_handler(event, context):
    store = RedisIdempotencyStore(redis.Redis.from_url(os.environ["REDIS_URL"]))
    failed = []
    for record in event["Records"]:
        key, owner = record["messageId"], context.aws_request_id
        claim = store.begin(key, owner, context.get_remaining_time_in_millis() / 1000)
        if claim.status is Status.STARTED:
            try:
                charge(record)
            except Exception:
                store.release(key, owner)
                failed.append({"itemIdentifier": key})
            else:
                store.complete(key, owner, None, 86_400)
        elif claim.status is Status.IN_PROGRESS:
            failed.append({"itemIdentifier": key})
    return {"batchItemFailures": failed}


def operator(env):
    time.sleep(5)
    boto3.client("sqs").set_queue_attributes(QueueUrl=env.queue_url("orders"), Attributes={"VisibilityTimeout": "4"})


scenario = Scenario(
    name="lambda-timeout-past-visibility",
    queues=[Queue("orders", visibility_timeout=120, dead_letter="orders-dlq", max_receives=30)],
    processes=[
        Process(
            "fn",
            LambdaConsumer(lambda_handler, timeout=20, report_batch_item_failures=True),
            queue="orders",
            environ={"REDIS_URL": "{redis}"},
        ),
        Process("operator", operator),
    ],
    handler=charge,
    workload=Workload(to="orders", messages=120, per_second=6, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("handler", "slow", seconds=2, start=5, end=15, probability=0.1)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    backends=("memory", "moto"),
)
