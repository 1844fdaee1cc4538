"""Three workers share one breaker through Redis while the payment service is down, and then Redis is down as well.

Five failures, whoever had them, open it for all three; without Redis each goes on with a breaker of its own.
"""

import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import CircuitBreaker, ConsumerOptions, RedisBreakerStore, ResilientConsumer, json_body


def worker(env):
    def charge(message):
        answer = requests.post(f"{env.http_url('payments')}/charges", json=json_body(message), timeout=3)
        answer.raise_for_status()

    # No pauses between the client's own retries: a call waits for the store each time that it is asked in vain.
    client = redis.Redis.from_url(env.redis, socket_timeout=1, retry=Retry(NoBackoff(), 1))
    store = RedisBreakerStore(client)
    breaker = CircuitBreaker(
        failure_threshold=5, recovery_timeout=20, name="payments", store=store, permit_seconds=15, store_pause=5
    )
    ResilientConsumer(
        env.queue_url("orders"),
        charge,
        dlq_url=env.queue_url("orders-dlq"),
        breaker=breaker,
        max_receives=5,
        options=ConsumerOptions(concurrency=2),
    ).run()


scenario = Scenario(
    name="shared-breaker",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=50)],
    processes=[Process("worker", worker, count=3)],
    workload=Workload(to="orders", messages=240, per_second=1.5, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[
        Fault("dependency.payments", "timeout", start=20, end=70),
        Fault("dependency.payments", "status", code=503, start=70, end=115),
        Fault("redis.*", "refused", start=60, end=100),
    ],
    invariants=[
        *invariants.defaults(),
        invariants.breaker_opens(),
        invariants.breaker_stays_open(),
        invariants.breaker_half_open_permits(),
        invariants.breaker_generations(),
        invariants.recovers_within(60),
    ],
    objectives=Objectives(rto="1m", rpo=0),
    backends=("memory", "moto"),
)
