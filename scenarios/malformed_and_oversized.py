"""A producer's bad release sends broken JSON, another team's events, blank bodies and bodies of the largest size.

Each bad message is dead-lettered once, whole, with the reason; the good ones between them are handled.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message, required=["order_id", "amount"])["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


scenario = Scenario(
    name="malformed-and-oversized",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(
        to="orders", messages=100, per_second=2, body=lambda n: {"order_id": n, "amount": 5}, key="$.order_id"
    ),
    effects=effects.point("charged"),
    faults=[
        Fault("workload.orders", "malformed", start=5, end=30, probability=0.2),
        Fault("workload.orders", "foreign", start=5, end=30, probability=0.2),
        Fault("workload.orders", "empty", start=15, end=40, probability=0.2),
        Fault("workload.orders", "oversized", nth=42),
    ],
    invariants=[
        *invariants.defaults(),
        invariants.envelope_complete(),
        invariants.not_processed_and_dead_lettered(),
    ],
    objectives=Objectives(rpo=0),
    record_bodies=True,
    backends=("memory", "moto"),
)
