"""aws-lambda-powertools: a batch processor behind SQS, while the payment service answers 503 for a minute.

The function reports the messages that failed; those alone come back, and each order is charged once.
"""

import os
from contextlib import suppress

from harness import Fault, LambdaConsumer, Objectives, Process, Queue, Scenario, Workload, effects, invariants

with suppress(ImportError):  # a run without them leaves the scenario out
    import requests
    from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response


def charge(record):
    requests.post(f"{os.environ['PAYMENTS_URL']}/charges", json=record.json_body, timeout=2).raise_for_status()


def lambda_handler(event, context):
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(event=event, record_handler=charge, processor=processor, context=context)


scenario = Scenario(
    name="powertools-batch",
    queues=[Queue("orders", visibility_timeout=180, dead_letter="orders-dlq", max_receives=5)],
    processes=[
        Process(
            "orders-fn",
            LambdaConsumer(lambda_handler, timeout=30, report_batch_item_failures=True),
            queue="orders",
            environ={"PAYMENTS_URL": "{http:payments}"},
        )
    ],
    workload=Workload(to="orders", messages=120, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[
        Fault("dependency.payments", "status", code=503, start=10, end=60, probability=0.4),
        Fault("aws.sqs.ReceiveMessage", "throttled", start=20, end=30),
    ],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    needs=("aws_lambda_powertools", "requests"),
)
