"""SQS answers 503 to everything for five minutes, a regional outage.

The consumer must neither die of it nor hammer the service, and work off the backlog afterwards.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


scenario = Scenario(
    name="sqs-down-five-minutes",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=420, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("aws.sqs.*", "unavailable", start=30, end=330)],
    invariants=[*invariants.defaults(), invariants.recovers_within(120), invariants.backlog_drains(180)],
    objectives=Objectives(rto="2m", rpo=0, backlog="3m"),
    backends=("memory", "moto"),
)
