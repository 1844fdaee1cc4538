"""A timeout kills a Lambda function in the middle of an order; its record in Powertools lets the next call have it.

The function is what Powertools for AWS Lambda documents: its batch processor, and its idempotency on a DynamoDB table.
The record's "in progress" ends with the call that wrote it, because the function hands over its context.
"""

import json
from contextlib import suppress

import boto3

from harness import Fault, LambdaConsumer, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect

with suppress(ImportError):  # a run without it leaves the scenario out
    from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
    from aws_lambda_powertools.utilities.idempotency import (
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent_function,
    )


def charge(order):
    effect("charged", order["order_id"])
    return order["order_id"]


def lambda_handler(event, context):
    config = IdempotencyConfig(event_key_jmespath="order_id")
    config.register_lambda_context(context)

    @idempotent_function(
        data_keyword_argument="order", config=config, persistence_store=DynamoDBPersistenceLayer("records")
    )
    def once(order):
        return charge(order)

    return process_partial_response(
        event=event,
        record_handler=lambda record: once(order=json.loads(record.body)),
        processor=BatchProcessor(event_type=EventType.SQS),
        context=context,
    )


def deployment():
    boto3.client("dynamodb").create_table(
        TableName="records",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


scenario = Scenario(
    name="powertools-timeout",
    queues=[Queue("orders", visibility_timeout=30)],
    processes=[
        Process("deployment", deployment),
        Process("fn", LambdaConsumer(lambda_handler, timeout=5, report_batch_item_failures=True), queue="orders"),
    ],
    handler=charge,
    service_time=(0.01, 0.05),
    workload=Workload(
        to="orders", messages=40, per_second=8, start=2, body=lambda n: {"order_id": n}, key="$.order_id"
    ),
    effects=effects.point("charged"),
    faults=[Fault("handler", "hang", start=3, end=6, probability=0.15)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    backends=("memory", "moto"),
    needs=("aws_lambda_powertools", "moto"),
)
