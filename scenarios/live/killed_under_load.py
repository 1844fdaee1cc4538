"""One of three consumers is killed under load, twice, as the kernel does when memory runs out.

What it had in hand comes again to the others when its visibility timeout is over; a record in Redis keeps customers
from being charged twice for what had been done.
"""

import redis

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import Idempotency, RedisIdempotencyStore, ResilientConsumer, json_body


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    store = RedisIdempotencyStore(redis.Redis.from_url(env.redis))
    once = Idempotency(store, key=lambda m: json_body(m)["order_id"])
    ResilientConsumer(
        env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq"), idempotency=once, max_receives=10
    ).run()


scenario = Scenario(
    name="killed-under-load",
    queues=[Queue("orders", visibility_timeout=4, dead_letter="orders-dlq", max_receives=20)],
    processes=[Process("worker", worker, count=3)],
    workload=Workload(to="orders", messages=320, per_second=40, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[
        Fault("process.worker.1", "crash", start=1.5, restart_after=0.5),
        Fault("process.worker.2", "crash", start=3, restart_after=0.5),
    ],
    invariants=[*invariants.defaults(), invariants.duplicates_bounded(2), invariants.recovers_within(12)],
    objectives=Objectives(rto="12s", rpo=0),
    backends=("memory", "live"),
)
