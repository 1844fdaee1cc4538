"""The payment service's machine is gone without a word for three seconds: connections are accepted and never answered.

Timeouts end the waiting, the breaker opens instead of waiting for each order, and every order is charged afterwards.
"""

import requests

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import CircuitBreaker, ConsumerOptions, ResilientConsumer, json_body


def worker(env):
    def charge(message):
        answer = requests.post(f"{env.http_url('payments')}/charges", json=json_body(message), timeout=0.5)
        answer.raise_for_status()

    ResilientConsumer(
        env.queue_url("orders"),
        charge,
        dlq_url=env.queue_url("orders-dlq"),
        breaker=CircuitBreaker(failure_threshold=3, recovery_timeout=2, name="payments"),
        max_receives=10,
        retry_delay=lambda receives: 1.0,
        options=ConsumerOptions(concurrency=4),
    ).run()


scenario = Scenario(
    name="half-open-server",
    queues=[Queue("orders", visibility_timeout=10, dead_letter="orders-dlq")],
    processes=[Process("worker", worker)],
    workload=Workload(to="orders", messages=60, per_second=10, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[Fault("network.payments", "half_open", start=2, end=5)],
    invariants=[*invariants.defaults(), invariants.breaker_opens(), invariants.recovers_within(8)],
    objectives=Objectives(rto="8s", rpo=0),
    backends=("memory", "live"),
)
