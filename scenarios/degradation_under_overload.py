"""For forty seconds a shop gets four times the load that its backend can bear.

The consumers notice by themselves, take fewer orders a second, leave the recommendations out and tighten their
breaker; when the backlog is gone they take each measure back, one level at a time, without flapping. Every order is
charged.

The backend does eight units of work a second: a charge is one, a recommendation another one, and to refuse a request
with 503 costs a quarter of one, because it has to be read before it can be refused.
"""

import time

import requests

from harness import Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import (
    CircuitBreaker,
    ConsumerOptions,
    ResilientConsumer,
    ServiceDegradationManager,
    json_body,
)
from harness.sim.services.http import HttpResponse


class Shop:
    """Serves what it has time for. Work that is queued may wait for a second; what would wait longer is refused."""

    units_per_second = 8
    refusal_cost = 0.25

    def __init__(self):
        self.queued = 0.0
        self.at = 0.0

    def __call__(self, request):
        now = time.monotonic()
        self.queued = max(0.0, self.queued - (now - self.at) * self.units_per_second)
        self.at = now
        if self.queued + 1 > self.units_per_second:
            self.queued = min(self.queued + self.refusal_cost, 2 * self.units_per_second)
            return HttpResponse(503)
        self.queued += 1
        return None


def worker(env):
    shop = env.http_url("shop")
    degradation = ServiceDegradationManager(
        features=["recommendations"],
        thresholds={"queue_depth": (50, 100, 400, 10_000)},
        name="shop",
    )

    def handle(message):
        order = json_body(message)
        if degradation.features.enabled("recommendations"):
            requests.get(f"{shop}/recommendations", timeout=5).raise_for_status()
        requests.post(f"{shop}/charges", json=order, timeout=5).raise_for_status()

    ResilientConsumer(
        env.queue_url("orders"),
        handle,
        dlq_url=env.queue_url("orders-dlq"),
        degradation=degradation,
        breaker=CircuitBreaker(failure_threshold=8, recovery_timeout=5, name="shop"),
        max_receives=50,
        retry_delay=lambda receives: min(60, 2**receives),
        options=ConsumerOptions(concurrency=4),
    ).run()


def orders(start, messages, per_second, first):
    return Workload(
        to="orders",
        start=start,
        messages=messages,
        per_second=per_second,
        body=lambda n: {"order_id": first + n},
        key="$.order_id",
        attributes=lambda n: {"priority": {"DataType": "String", "StringValue": "normal" if n % 5 else "high"}},
    )


scenario = Scenario(
    name="degradation-under-overload",
    queues=[Queue("orders", visibility_timeout=30), Queue("orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=[orders(0, 120, 2, 0), orders(60, 640, 16, 1_000), orders(100, 600, 2, 2_000)],
    http={"shop": Shop},
    effects=effects.http("POST {http:shop}/charges", key="$.order_id"),
    invariants=[
        *invariants.defaults(),
        invariants.level_follows_health(),
        invariants.no_flapping(),
        invariants.measures_applied(),
    ],
    objectives=Objectives(rpo=0),
    # Not on moto: row 521 of docs/sqs-fidelity.md, a message received three times goes to the back of the queue.
)
