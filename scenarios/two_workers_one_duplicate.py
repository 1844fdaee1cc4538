"""SQS delivers a message twice, to two workers that handle it at the same time; the customer is charged once.

One worker claims the order in Redis; the other one finds the claim, gives its copy back, and later finds it done.
"""

import time

import redis

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import Idempotency, RedisIdempotencyStore, ResilientConsumer, json_body


def handle(message):
    order = json_body(message)
    time.sleep(2)  # the payment service thinks: long enough for the second copy to arrive
    effect("charged", order["order_id"])


def worker(env):
    once = Idempotency(RedisIdempotencyStore(redis.Redis.from_url(env.redis)), key=lambda m: json_body(m)["order_id"])
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq"), idempotency=once).run()


scenario = Scenario(
    name="two-workers-one-duplicate",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=40, per_second=0.8, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("aws.sqs.ReceiveMessage", "duplicate", start=5, end=45)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    # Not on moto: a standard queue may deliver twice; moto never does by itself (no row: no test can force it on AWS).
)
