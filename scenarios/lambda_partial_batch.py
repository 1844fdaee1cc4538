"""Some orders of a Lambda function's batches can never be charged; the others are charged once and stay out of the DLQ.

The function reports what failed, and its mapping says ReportBatchItemFailures, so that Lambda deletes the others. It
remembers in Redis what it has charged: SQS delivers at least once.
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


def charge_once(record, store, key, owner):
    try:
        charge(record)
    except Exception:
        store.release(key, owner)
        raise
    store.complete(key, owner, None, 86_400)


def lambda_handler(event, context):
    store = RedisIdempotencyStore(redis.Redis.from_url(os.environ["REDIS_URL"]))
    owner = context.aws_request_id
    failed = []
    for record in event["Records"]:
        key = record["messageId"]
        try:
            claim = store.begin(key, owner, context.get_remaining_time_in_millis() / 1000)
            if claim.status is Status.STARTED:
                charge_once(record, store, key, owner)
            elif claim.status is Status.IN_PROGRESS:
                failed.append({"itemIdentifier": key})
        except Exception:
            failed.append({"itemIdentifier": key})
    return {"batchItemFailures": failed}


scenario = Scenario(
    name="lambda-partial-batch",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=3)],
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
    workload=Workload(to="orders", messages=150, per_second=50, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("handler", "poison", keys=["20", "77", "103"])],
    invariants=[
        *invariants.defaults(),
        invariants.effects_once(),
        invariants.poison_contained(),
        invariants.not_processed_and_dead_lettered(),
    ],
    objectives=Objectives(rpo=0, duplicates=0),
    backends=("memory", "moto"),
)
