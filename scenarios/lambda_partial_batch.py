"""Some orders of a Lambda function's batches can never be charged; the others are charged once and stay out of the DLQ.

The function reports what failed, and its mapping says ReportBatchItemFailures, so that Lambda deletes the others.
"""

import json

from harness import Fault, LambdaConsumer, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect


def charge(record):
    effect("charged", json.loads(record["body"])["order_id"])


def lambda_handler(event, context):
    failed = []
    for record in event["Records"]:
        try:
            charge(record)
        except Exception:
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


scenario = Scenario(
    name="lambda-partial-batch",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=3)],
    processes=[
        Process("fn", LambdaConsumer(lambda_handler, timeout=5, report_batch_item_failures=True), queue="orders")
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
