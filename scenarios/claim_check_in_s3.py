"""A bad release refuses orders of a megabyte, and S3, which keeps what is too large for a dead letter, fails as well.

Each dead letter keeps its order, in S3 or without its context; after the fixed release all of them are replayed, and
each order is charged once.
"""

import hashlib
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import DLQAnalyzer, ResilientConsumer, json_body

REPLAY_AT = 75


class Bucket:
    """Payloads in S3, each under its digest: put again after a lost answer, it is the same object."""

    def __init__(self):
        self.s3 = boto3.client("s3", config=Config(read_timeout=3))
        while True:
            try:
                self.s3.create_bucket(Bucket="letters")
                return
            except (ClientError, BotoCoreError):
                time.sleep(2)  # S3 may be away when a worker starts, too

    def put(self, payload):
        key = hashlib.sha256(payload).hexdigest()
        self.s3.put_object(Bucket="letters", Key=key, Body=payload)
        return key

    def get(self, reference):
        return self.s3.get_object(Bucket="letters", Key=reference)["Body"].read()


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq"), payloads=Bucket()).run()


def operator(env):
    """Waits for the fixed release, then replays what the bad one refused; once more what S3 did not give back."""
    time.sleep(REPLAY_AT)
    analyzer = DLQAnalyzer(env.queue_url("orders-dlq"))
    for _ in range(2):
        analyzer.replay_messages(env.queue_url("orders"), payloads=Bucket(), patience=60)
        time.sleep(60)


scenario = Scenario(
    name="claim-check-in-s3",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq"), Queue("orders-dlq")],
    processes=[Process("worker", worker), Process("operator", operator)],
    workload=Workload(to="orders", messages=60, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    handler=handle,
    faults=[
        *(Fault("workload.orders", "oversized", nth=nth) for nth in (5, 14, 22, 31, 47)),
        # The bad release: it takes each order for one that it cannot read.
        Fault("handler", "permanent", error="harness.resilience:InvalidMessageFormatError", start=10, end=45),
        Fault("aws.s3.PutObject", "timeout", side="after", nth=1),
        Fault("aws.s3.PutObject", "unavailable", start=18, end=26),
        Fault("aws.s3.GetObject", "unavailable", nth=1),
    ],
    invariants=[
        *invariants.defaults(),
        invariants.replay_once(),
        invariants.effects_once(),
        invariants.envelope_complete(),
    ],
    objectives=Objectives(rpo=0, duplicates=0),
    duration=300,
    record_bodies=True,
    backends=("memory", "moto"),
    needs=("moto",),
)
