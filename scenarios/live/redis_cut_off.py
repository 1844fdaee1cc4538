"""The line to Redis, which remembers what was charged, is cut for three seconds.

An order that cannot be looked up is not charged on a guess: it waits, and nobody is charged twice.
"""

import redis

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import Idempotency, RedisIdempotencyStore, ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    client = redis.Redis.from_url(env.redis, socket_timeout=1, socket_connect_timeout=1)
    once = Idempotency(RedisIdempotencyStore(client), key=lambda m: json_body(m)["order_id"])
    ResilientConsumer(
        env.queue_url("orders"),
        handle,
        dlq_url=env.queue_url("orders-dlq"),
        idempotency=once,
        max_receives=10,
        retry_delay=lambda receives: 1.0,
    ).run()


scenario = Scenario(
    name="redis-cut-off",
    queues=[Queue("orders", visibility_timeout=10, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=80, per_second=10, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[Fault("network.redis", "down", start=2, end=5)],
    invariants=[*invariants.defaults(), invariants.effects_once(), invariants.recovers_within(8)],
    objectives=Objectives(rto="8s", rpo=0, duplicates=0),
    backends=("memory", "live"),
)
