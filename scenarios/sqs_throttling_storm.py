"""SQS throttles nine calls in ten for two minutes, as when a neighbour's batch job eats the account's API quota.

The consumer slows down with growing pauses, loses nothing, and is back to normal soon after the storm.
"""

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


scenario = Scenario(
    name="sqs-throttling-storm",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=600, per_second=3, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("aws.sqs.*", "throttled", start=30, end=150, probability=0.9)],
    invariants=[*invariants.defaults(), invariants.recovers_within(60), invariants.not_metastable()],
    objectives=Objectives(rto="1m", rpo=0),
    backends=("memory", "moto"),
)
