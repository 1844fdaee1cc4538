"""Twenty seconds of outage, and retries that keep the payment service down after it: a metastable failure.

Ten tries for each order are harmless while the service works and enough to hold it down once it does not: each
failure makes nine more calls, and the calls are what it fails of. The budget that all tries of a process share cuts
this loop: retries are at most a tenth of the calls. Without it the storm outlives its cause, and the workload.

Why it can stay down: the service does 10 units of work a second. An order that it serves is one unit. What would have
to wait for more than half a second it refuses with 503, and a refusal costs half a unit: the connection, the request
and the caller's identity are dealt with before it can say no. At 20 calls a second nothing is left to serve anybody
with; six orders a second, ten tries each, are 60.
"""

import random
import time

import requests

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import Constant, ConsumerOptions, ResilientConsumer, Retry, RetryRatio, json_body
from harness.sim.services.http import HttpResponse


class Payments:
    """A service of limited capacity, in the run's virtual time: a fluid queue of half a second."""

    units_per_second = 10
    refusal_cost = 0.5
    backlog_limit = 0.5  # seconds of work that may wait

    def __init__(self):
        self.queued = 0.0
        self.at = 0.0

    def __call__(self, request):
        now = time.monotonic()
        self.queued = max(0.0, self.queued - (now - self.at) * self.units_per_second)
        self.at = now
        limit = self.backlog_limit * self.units_per_second
        if self.queued + 1 > limit:
            # Bounded: beyond twice its limit the operating system drops what comes, which costs nothing.
            self.queued = min(self.queued + self.refusal_cost, 2 * limit)
            return HttpResponse(503)
        self.queued += 1
        return None


def worker(env):
    def charge(message):
        answer = requests.post(f"{env.http_url('payments')}/charges", json=json_body(message), timeout=5)
        answer.raise_for_status()

    budget = RetryRatio(0.1, min_per_second=0.5)
    ResilientConsumer(
        env.queue_url("orders"),
        charge,
        dlq_url=env.queue_url("orders-dlq"),
        retry=Retry(Constant(0.2), max_retries=9, budget=budget, name="payments"),
        max_receives=1_000,
        retry_delay=lambda receives: random.uniform(20, 40),
        options=ConsumerOptions(concurrency=16),
    ).run()


scenario = Scenario(
    name="retry-storm-with-budget",
    queues=[Queue("orders", visibility_timeout=30), Queue("orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=660, per_second=6, body=lambda n: {"order_id": n}, key="$.order_id"),
    http={"payments": Payments},
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[Fault("dependency.payments", "status", code=503, start=60, end=80)],
    invariants=[
        *invariants.defaults(),
        invariants.not_metastable(),
        invariants.amplification_bounded(2),
        invariants.retry_budget(0.1, 0.5),
        invariants.recovers_within(60),
        invariants.throughput_returns(within=60),
    ],
    objectives=Objectives(rto="2m", rpo=0),
    backends=("memory", "moto"),
)
