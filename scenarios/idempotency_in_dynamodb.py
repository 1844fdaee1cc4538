"""Workers die, payments are slow, and DynamoDB, which keeps the claims on orders, throttles and loses answers.

An order that is delivered twice is claimed once, by a conditional write: the customer is charged once.
"""

import json
import time

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import Idempotency, ResilientConsumer, json_body
from harness.resilience.idempotency import Claim, Status


class DynamoDbStore:
    """Claims in a DynamoDB table, one item each, every change a conditional write.

    Leases are counted by the consumers' clocks: they must agree to within the lease.
    """

    MINE = "#state = :progress AND #owner = :me"
    NAMES = {"#state": "state", "#owner": "owner"}

    def __init__(self, table):
        self.table = table
        self.client = boto3.client("dynamodb", config=Config(read_timeout=3))

    def create(self):
        try:
            self.client.create_table(
                TableName=self.table,
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )
        except self.client.exceptions.ResourceInUseException:
            pass  # the other worker was first

    def begin(self, key, owner, lease_seconds):
        try:
            self._put(
                key,
                owner,
                "progress",
                None,
                lease_seconds,
                f"attribute_not_exists(id) OR expires < :now OR {self.MINE}",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            held = error.response["Item"]
            if held["state"]["S"] == "done":
                return Claim(Status.COMPLETED, json.loads(held["result"]["S"]))
            return Claim(Status.IN_PROGRESS, retry_after=max(0.0, float(held["expires"]["N"]) - time.time()))
        return Claim(Status.STARTED)

    def extend(self, key, owner, lease_seconds):
        return self._if_mine(lambda: self._put(key, owner, "progress", None, lease_seconds, self.MINE))

    def complete(self, key, owner, result, ttl_seconds):
        before = self._put(key, owner, "done", result, ttl_seconds).get("Attributes")
        return before is None or before["owner"]["S"] == owner

    def release(self, key, owner):
        values = {":progress": {"S": "progress"}, ":me": {"S": owner}}
        self._if_mine(
            lambda: self.client.delete_item(
                TableName=self.table,
                Key={"id": {"S": key}},
                ConditionExpression=self.MINE,
                ExpressionAttributeNames=self.NAMES,
                ExpressionAttributeValues=values,
            )
        )

    def _put(self, key, owner, state, result, seconds, condition=None):
        item = {
            "id": {"S": key},
            "owner": {"S": owner},
            "state": {"S": state},
            "result": {"S": json.dumps(result)},
            "expires": {"N": str(time.time() + seconds)},
        }
        if condition is None:
            return self.client.put_item(TableName=self.table, Item=item, ReturnValues="ALL_OLD")
        values = {":now": {"N": str(time.time())}, ":progress": {"S": "progress"}, ":me": {"S": owner}}
        return self.client.put_item(
            TableName=self.table,
            Item=item,
            ConditionExpression=condition,
            ExpressionAttributeNames=self.NAMES,
            ExpressionAttributeValues={name: value for name, value in values.items() if name in condition},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    @staticmethod
    def _if_mine(write):
        try:
            write()
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True


def worker(env):
    def charge(message):
        requests.post(f"{env.http_url('payments')}/charges", json=json_body(message), timeout=60).raise_for_status()

    store = DynamoDbStore("claims")
    store.create()
    once = Idempotency(store, key=lambda message: json_body(message)["order_id"])
    sqs = boto3.client("sqs", config=Config(read_timeout=22))  # a little more than the longest poll
    dlq_url = env.queue_url("orders-dlq")
    ResilientConsumer(env.queue_url("orders"), charge, sqs=sqs, dlq_url=dlq_url, idempotency=once).run()


scenario = Scenario(
    name="idempotency-in-dynamodb",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=60, per_second=0.5, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[
        Fault("dependency.payments", "slow", seconds=35, nth=5),
        Fault("aws.dynamodb.*", "throttled", start=20, end=60, probability=0.5),
        Fault("aws.dynamodb.PutItem", "timeout", side="after", start=60, end=110, probability=0.5),
        Fault("aws.sqs.DeleteMessage", "timeout", side="before", start=60, end=100, probability=0.3),
        Fault("dependency.payments", "slow", seconds=35, nth=45),
        # The claim was made, or the charge was written down, and the worker is gone.
        Fault("aws.dynamodb.PutItem", "crash", side="after", nth=5, restart_after=5),
        Fault("aws.dynamodb.PutItem", "crash", side="after", nth=12, restart_after=5),
    ],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    backends=("memory", "moto"),
    needs=("moto", "requests"),
)
