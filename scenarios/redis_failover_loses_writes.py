"""Redis fails over to a replica that lacks the writes of the last two seconds; idempotency records are among them.

Nothing is lost. Orders whose record was lost may be handled again, and only those: no store that loses
writes can do better.
"""

import redis

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import Idempotency, RedisIdempotencyStore, ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    once = Idempotency(RedisIdempotencyStore(redis.Redis.from_url(env.redis)), key=lambda m: json_body(m)["order_id"])
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq"), idempotency=once).run()


scenario = Scenario(
    name="redis-failover-loses-writes",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=200, per_second=4, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[
        Fault("redis.*", "failover", start=25, lost_seconds=2),
        Fault("aws.sqs.ReceiveMessage", "duplicate", start=5, end=45, probability=0.5),
    ],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0),
    # Not on moto: a standard queue may deliver twice; moto never does by itself (no row: no test can force it on AWS).
)
