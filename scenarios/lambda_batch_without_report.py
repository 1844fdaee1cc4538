"""A dependency of a Lambda function fails now and then, and each failure brings a whole batch back, done or not.

The mapping does not say ReportBatchItemFailures; the function remembers in Redis what it has charged, and charges once.
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
    for record in event["Records"]:
        key, owner = record["messageId"], context.aws_request_id
        claim = store.begin(key, owner, context.get_remaining_time_in_millis() / 1000)
        if claim.status is Status.COMPLETED:
            continue
        if claim.status is Status.IN_PROGRESS:
            raise RuntimeError("another call is at it")
        try:
            charge(record)
        except Exception:
            store.release(key, owner)
            raise
        store.complete(key, owner, None, 86_400)


scenario = Scenario(
    name="lambda-batch-without-report",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=10)],
    processes=[
        Process("fn", LambdaConsumer(lambda_handler, timeout=5), queue="orders", environ={"REDIS_URL": "{redis}"})
    ],
    handler=charge,
    service_time=(0.01, 0.05),
    workload=Workload(to="orders", messages=150, per_second=None, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("handler", "transient", end=4, probability=0.05)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    backends=("memory", "moto"),
)
