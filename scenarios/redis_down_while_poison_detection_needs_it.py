"""Redis is away for a minute while the poison detector counts its failures there.

The detector counts in the process meanwhile and lets messages through: a counter's outage stops no order.
"""

import redis

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import PoisonMessageDetector, ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    detector = PoisonMessageDetector(redis.Redis.from_url(env.redis, socket_timeout=2), poison_threshold=3)
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq"), poison=detector).run()


scenario = Scenario(
    name="redis-down-while-poison-detection-needs-it",
    queues=[Queue("orders", visibility_timeout=20, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    handler=handle,
    workload=Workload(to="orders", messages=200, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("redis.*", "refused", start=20, end=80), Fault("handler", "poison", keys=["30", "90"])],
    invariants=[*invariants.defaults(), invariants.poison_contained(3), invariants.recovers_within(90)],
    objectives=Objectives(rpo=0),
    backends=("memory", "moto"),
)
