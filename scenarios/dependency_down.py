"""The payment service stops answering for a minute and answers 503 for another.

The breaker opens instead of hammering it, the consumer stops taking orders that it cannot handle, a probe finds the
service back, and every order is charged.
"""

import requests

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import CircuitBreaker, ConsumerOptions, ResilientConsumer, json_body


def worker(env):
    def charge(message):
        answer = requests.post(f"{env.http_url('payments')}/charges", json=json_body(message), timeout=5)
        answer.raise_for_status()

    breaker = CircuitBreaker(failure_threshold=5, recovery_timeout=20, name="payments")
    ResilientConsumer(
        env.queue_url("orders"),
        charge,
        dlq_url=env.queue_url("orders-dlq"),
        breaker=breaker,
        max_receives=5,
        options=ConsumerOptions(concurrency=4),
    ).run()


scenario = Scenario(
    name="dependency-down",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker)],
    workload=Workload(to="orders", messages=300, per_second=1.5, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[
        Fault("dependency.payments", "timeout", start=30, end=90),
        Fault("dependency.payments", "status", code=503, start=90, end=150),
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
