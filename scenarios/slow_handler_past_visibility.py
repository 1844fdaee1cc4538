"""A handler takes a minute and a half while its message is hidden for thirty seconds: a slow database, a large order.

The heartbeat extends the visibility timeout, so that no second worker takes the same order; should SQS deliver one
twice all the same, its record in Redis says that it is shipped.
"""

import redis

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import Idempotency, RedisIdempotencyStore, ResilientConsumer, json_body


def handle(message):
    effect("shipped", json_body(message)["order_id"])


def worker(env):
    once = Idempotency(RedisIdempotencyStore(redis.Redis.from_url(env.redis)), key=lambda m: json_body(m)["order_id"])
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq"), idempotency=once).run()


scenario = Scenario(
    name="slow-handler-past-visibility",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    handler=handle,
    service_time=(0.05, 0.2),
    workload=Workload(to="orders", messages=120, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("shipped"),
    faults=[Fault("handler", "slow", seconds=90, start=20, end=80, probability=0.1)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    backends=("memory", "moto"),
)
