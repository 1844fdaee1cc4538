"""One batch of a FIFO queue holds orders of several customers, and one of them fails: nobody's order overtakes another.

After a failure the function leaves the rest of that customer's orders alone and reports them with the failed one. An
order that can never be charged it sets aside itself: waiting for SQS to do so would take the orders behind it along. It
remembers in Redis what it has charged: a batch whose answer is lost comes again.
"""

import json
import os

import boto3
import redis

from harness import Fault, LambdaConsumer, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import RedisIdempotencyStore
from harness.resilience.idempotency import Status


def charge(record):
    effect("charged", json.loads(record["body"])["order_id"])


def set_aside(record):
    boto3.client("sqs").send_message(
        QueueUrl=os.environ["DLQ_URL"],
        MessageBody=record["body"],
        MessageGroupId=record["attributes"]["MessageGroupId"],
        MessageDeduplicationId=record["messageId"],
    )


def charge_once(record, store, context):
    """Whether the order is charged by now; False: another sandbox is at it."""
    key, owner = record["messageId"], context.aws_request_id
    claim = store.begin(key, owner, context.get_remaining_time_in_millis() / 1000)
    if claim.status is not Status.STARTED:
        return claim.status is not Status.IN_PROGRESS
    try:
        charge(record)
    except ValueError:
        set_aside(record)
    except Exception:
        store.release(key, owner)
        raise
    store.complete(key, owner, None, 86_400)
    return True


def lambda_handler(event, context):
    store = RedisIdempotencyStore(redis.Redis.from_url(os.environ["REDIS_URL"]))
    failed, blocked = [], set()
    for record in event["Records"]:
        customer = record["attributes"]["MessageGroupId"]
        try:
            if customer not in blocked and not charge_once(record, store, context):
                blocked.add(customer)
        except Exception:
            blocked.add(customer)
        if customer in blocked:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


scenario = Scenario(
    name="lambda-several-groups",
    queues=[Queue("orders.fifo", visibility_timeout=30, dead_letter="orders-dlq.fifo")],
    processes=[
        Process(
            "fn",
            LambdaConsumer(lambda_handler, timeout=5, report_batch_item_failures=True, maximum_concurrency=2),
            queue="orders.fifo",
            environ={"REDIS_URL": "{redis}", "DLQ_URL": "{queue:orders-dlq.fifo}"},
        )
    ],
    handler=charge,
    service_time=(0.02, 0.2),
    workload=Workload(
        to="orders.fifo",
        messages=120,
        per_second=30,
        body=lambda n: {"order_id": n, "customer": f"c{n % 7}"},
        key="$.order_id",
        group=lambda n: f"c{n % 7}",
    ),
    effects=effects.point("charged"),
    faults=[Fault("handler", "transient", start=1, end=4, probability=0.2)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    # Not on moto: row 705 of docs/sqs-fidelity.md, a group starts again with its oldest message after a timeout.
    backends=("memory",),
)
