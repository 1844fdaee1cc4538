"""The line to SQS is cut for three seconds, in the middle of whatever was said on it.

The consumer backs off, comes back by itself, and works the backlog off.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


scenario = Scenario(
    name="sqs-cut-off",
    queues=[Queue("orders", visibility_timeout=5, dead_letter="orders-dlq", max_receives=10)],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=80, per_second=10, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("network.sqs", "down", start=2, end=5)],
    invariants=[*invariants.defaults(), invariants.recovers_within(15)],
    objectives=Objectives(rto="15s", rpo=0),
    backends=("memory", "live"),
)
