"""The wall clock jumps four minutes ahead and later back, as after a bad NTP server: calls still work, AWS allows five.

The breaker of the flaky dependency must not care: it counts on the monotonic clock.
"""

import requests

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import CircuitBreaker, ResilientConsumer, json_body


def worker(env):
    def charge(message):
        answer = requests.post(f"{env.http_url('payments')}/charges", json=json_body(message), timeout=5)
        answer.raise_for_status()

    breaker = CircuitBreaker(failure_threshold=5, recovery_timeout=30, name="payments")
    ResilientConsumer(
        env.queue_url("orders"), charge, dlq_url=env.queue_url("orders-dlq"), breaker=breaker, max_receives=5
    ).run()


scenario = Scenario(
    name="clock-four-minutes-off",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker)],
    workload=Workload(to="orders", messages=180, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[
        Fault("dependency.payments", "status", code=503, start=20, end=60),
        Fault("clock.worker", "jump", seconds=240, start=30, end=120),
    ],
    invariants=[
        *invariants.defaults(),
        invariants.breaker_opens(),
        invariants.breaker_stays_open(),
        invariants.recovers_within(90),
    ],
    objectives=Objectives(rpo=0),
    backends=("memory", "moto"),
)
