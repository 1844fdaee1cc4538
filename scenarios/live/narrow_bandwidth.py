"""Large orders through a narrow line: 100 KB each, at 200 KB a second, for four seconds.

Batches take longer to arrive than a call usually takes; the consumer must neither give up on them nor take them twice.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


scenario = Scenario(
    name="narrow-bandwidth",
    queues=[Queue("orders", visibility_timeout=10, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(
        to="orders",
        messages=40,
        per_second=6,
        body=lambda n: {"order_id": n, "lines": "x" * 100_000},
        key="$.order_id",
    ),
    effects=effects.point("charged"),
    faults=[Fault("network.sqs", "bandwidth", start=1, end=5, rate=200)],
    invariants=[*invariants.defaults(), invariants.recovers_within(8)],
    objectives=Objectives(rto="8s", rpo=0),
    backends=("live",),
)
