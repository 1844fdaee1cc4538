"""A timeout kills a Lambda function while an order's record says "in progress"; the order is charged later, once.

The record's lease ends with the invocation that took it, so that the next delivery takes the order over.
"""

import json
import os

import redis

from harness import Fault, LambdaConsumer, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import RedisIdempotencyStore
from harness.resilience.idempotency import Status


def charge(record):
    effect("charged", json.loads(record["body"])["order_id"])


def lambda_handler(event, context):
    store = RedisIdempotencyStore(redis.Redis.from_url(os.environ["REDIS_URL"]))
    failed = []
    for record in event["Records"]:
        key, owner = record["messageId"], context.aws_request_id
        claim = store.begin(key, owner, context.get_remaining_time_in_millis() / 1000)
        if claim.status is Status.STARTED:
            charge(record)
            store.complete(key, owner, None, 86_400)
        elif claim.status is Status.IN_PROGRESS:
            failed.append({"itemIdentifier": key})
    return {"batchItemFailures": failed}


scenario = Scenario(
    name="lambda-record-left-in-progress",
    queues=[Queue("orders", visibility_timeout=30)],
    processes=[
        Process(
            "fn",
            LambdaConsumer(lambda_handler, timeout=5, report_batch_item_failures=True),
            queue="orders",
            environ={"REDIS_URL": "{redis}"},
        )
    ],
    handler=charge,
    service_time=(0.01, 0.05),
    workload=Workload(to="orders", messages=80, per_second=10, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("handler", "hang", start=1, end=6, probability=0.1)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    backends=("memory", "moto"),
)
