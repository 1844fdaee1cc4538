"""A bad release refuses every order for fifty seconds; a fixed one follows, and the dead letters are replayed.

Every order that was dead-lettered comes back once and is charged once, although messages went on arriving meanwhile.
The replay keeps a journal in Redis, so that it could be killed and go on.
"""

import time

import redis

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import (
    DLQAnalyzer,
    Idempotency,
    RedisIdempotencyStore,
    ResilientConsumer,
    StoreJournal,
    json_body,
)

REPLAY_AT = 75


def handle(message):
    effect("charged", json_body(message)["order_id"])


def worker(env):
    once = Idempotency(RedisIdempotencyStore(redis.Redis.from_url(env.redis)), key=lambda m: json_body(m)["order_id"])
    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq"), idempotency=once).run()


def operator(env):
    """Waits for the fixed release, looks at what there is, and replays what the bad one refused."""
    time.sleep(REPLAY_AT)
    dlq = env.queue_url("orders-dlq")
    analyzer = DLQAnalyzer(dlq)
    largest = analyzer.analyze_failed_messages()["groups"][0]
    journal = StoreJournal(RedisIdempotencyStore(redis.Redis.from_url(env.redis)), dlq)
    analyzer.replay_messages(env.queue_url("orders"), group=largest["group"], rate=20, patience=120, journal=journal)


scenario = Scenario(
    name="replay-after-bad-deployment",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq"), Queue("orders-dlq")],
    processes=[Process("worker", worker, count=2), Process("operator", operator)],
    workload=Workload(to="orders", messages=140, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    handler=handle,
    # The bad release: it takes each order for one that it cannot read.
    faults=[Fault("handler", "permanent", error="harness.resilience:InvalidMessageFormatError", start=10, end=60)],
    invariants=[
        *invariants.defaults(),
        invariants.replay_once(),
        invariants.effects_once(),
        invariants.envelope_complete(),
    ],
    objectives=Objectives(rto="2m", rpo=0, duplicates=0),
    duration=120,
    record_bodies=True,
    backends=("memory", "moto"),
)
