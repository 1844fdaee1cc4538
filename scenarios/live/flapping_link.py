"""A loose plug: the line to SQS comes and goes every second.

Each time connections break in mid-call and are made anew; nothing is lost, and what was in hand comes again.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


scenario = Scenario(
    name="flapping-link",
    queues=[Queue("orders", visibility_timeout=4, dead_letter="orders-dlq", max_receives=20)],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=80, per_second=12, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("network.sqs", "down", start=second, end=second + 0.5) for second in (1, 2, 3, 4, 5)],
    invariants=[*invariants.defaults(), invariants.recovers_within(12)],
    objectives=Objectives(rto="12s", rpo=0),
    backends=("memory", "live"),
)
