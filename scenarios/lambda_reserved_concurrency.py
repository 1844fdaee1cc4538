"""A burst meets a Lambda function with a reserved concurrency of two: no order is given up before it was tried.

The queue leaves no time to try again. Maximum concurrency keeps the mapping from reading more than the function may
run; without it the rest is throttled until its receives are spent, and goes to the dead-letter queue unseen.
"""

import json
import time

from harness import Fault, LambdaConsumer, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect


def ship(record):
    time.sleep(0.5)
    effect("shipped", json.loads(record["body"])["order_id"])


def lambda_handler(event, context):
    failed = []
    for record in event["Records"]:
        try:
            ship(record)
        except Exception:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


scenario = Scenario(
    name="lambda-reserved-concurrency",
    queues=[Queue("orders", visibility_timeout=6, dead_letter="orders-dlq", max_receives=2)],
    processes=[
        Process(
            "fn",
            LambdaConsumer(
                lambda_handler,
                batch_size=10,
                timeout=6,
                reserved_concurrency=2,
                maximum_concurrency=2,
                report_batch_item_failures=True,
            ),
            queue="orders",
        )
    ],
    handler=ship,
    workload=Workload(to="orders", messages=400, per_second=None, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("shipped"),
    faults=[Fault("lambda.fn", "slow", seconds=0.5, start=10, end=60)],
    invariants=[*invariants.defaults(), invariants.tried_before_dead_lettered()],
    objectives=Objectives(rpo=0, duplicates=0),
    duration=120,
    backends=("memory", "moto"),
)
