"""sqs-workers: jobs that fail are hidden for longer at each try; a batch's deletes are lost for ten seconds."""

import json
from contextlib import suppress

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect, point

with suppress(ImportError):  # a run without it leaves the scenario out
    from sqs_workers import ExponentialBackoff, RawQueue, SQSEnv


def worker(env):
    sqs = SQSEnv(backoff_policy=ExponentialBackoff(min_visibility_timeout=2, max_visbility_timeout=60))
    orders = sqs.queue("orders", RawQueue)

    @orders.raw_processor()
    def charge(message):
        point("charge")
        effect("charged", json.loads(message.body)["order_id"])

    orders.process_queue()


scenario = Scenario(
    name="sqs-workers-batches",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=8)],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=100, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[
        Fault("point.charge", "transient", start=10, end=30, probability=0.3),
        Fault("aws.sqs.DeleteMessageBatch", "timeout", side="before", start=35, end=45),
        Fault("point.charge", "crash", nth=15, restart_after=5),
    ],
    invariants=[*invariants.defaults(), invariants.duplicates_bounded()],
    objectives=Objectives(rpo=0),
    needs=("sqs_workers",),
)
