"""A bad afternoon: throttling, a dead node, lost answers, Redis away, a slow dependency and a deployment.

Orders are charged once each, none is lost, and the last fault leaves nothing behind.
"""

import signal

import redis
import requests

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import (
    CircuitBreaker,
    ExponentialBackoffRetry,
    Idempotency,
    PoisonMessageDetector,
    RedisIdempotencyStore,
    ResilientConsumer,
    json_body,
)


def worker(env):
    def charge(message):
        answer = requests.post(f"{env.http_url('payments')}/charges", json=json_body(message), timeout=5)
        answer.raise_for_status()

    client = redis.Redis.from_url(env.redis, socket_timeout=2)
    ResilientConsumer(
        env.queue_url("orders"),
        charge,
        dlq_url=env.queue_url("orders-dlq"),
        poison=PoisonMessageDetector(client),
        idempotency=Idempotency(RedisIdempotencyStore(client), key=lambda message: json_body(message)["order_id"]),
        breaker=CircuitBreaker(recovery_timeout=20, name="payments"),
        retry=ExponentialBackoffRetry(max_retries=2),
        max_receives=5,
    ).run(stop_on=(signal.SIGTERM,))


scenario = Scenario(
    name="rolling-mix",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=3)],
    workload=Workload(to="orders", messages=600, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[
        Fault("aws.sqs.*", "throttled", start=30, end=90, probability=0.7),
        Fault("process.worker.1", "crash", start=120, restart_after=20),
        Fault("aws.sqs.DeleteMessage", "timeout", side="after", start=150, end=200),
        Fault("redis.*", "refused", start=240, end=290),
        Fault("dependency.payments", "slow", seconds=4, start=320, end=380),
        Fault("aws.sqs.ReceiveMessage", "duplicate", start=400, end=440, probability=0.3),
        Fault("process.worker", "sigterm", start=460, grace=30),
        Fault("process.worker.2", "pause", start=500, seconds=45),
    ],
    invariants=[*invariants.defaults(), invariants.effects_once(), invariants.recovers_within(180)],
    objectives=Objectives(rto="3m", rpo=0, duplicates=0),
    # Not on moto: a standard queue may deliver twice; moto never does by itself (no row: no test can force it on AWS).
)
