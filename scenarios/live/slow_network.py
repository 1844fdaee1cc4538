"""The way to SQS takes a third of a second longer in each direction, give or take, for four seconds.

Everything is slower and nothing is wrong: no order is lost, none is handled twice, and the pace returns at once.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


scenario = Scenario(
    name="slow-network",
    queues=[Queue("orders", visibility_timeout=10, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=80, per_second=10, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[
        Fault("network.sqs", "latency", start=2, end=6, latency=300, jitter=100, stream="upstream"),
        Fault("network.sqs", "latency", start=2, end=6, latency=300, jitter=100, stream="downstream"),
    ],
    invariants=[*invariants.defaults(), invariants.recovers_within(5)],
    objectives=Objectives(rto="5s", rpo=0),
    backends=("memory", "live"),
)
