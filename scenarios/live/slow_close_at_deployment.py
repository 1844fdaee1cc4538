"""A deployment while connections close slowly: SIGTERM, and each goodbye takes a second and a half to arrive.

The old consumers finish what they have in hand and leave within their grace; the new ones find nothing missing.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


scenario = Scenario(
    name="slow-close-at-deployment",
    queues=[Queue("orders", visibility_timeout=5, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=80, per_second=12, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[
        Fault("network.sqs", "slow_close", start=1, end=6, delay=1500),
        Fault("process.worker", "sigterm", start=3, grace=5),
    ],
    invariants=[*invariants.defaults(), invariants.recovers_within(10)],
    objectives=Objectives(rto="10s", rpo=0),
    backends=("live",),
)
