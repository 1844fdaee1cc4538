"""The payment service's connections break in the middle of its answers for three seconds: was the order charged?

The consumer cannot know, tries again, and the service, which knows orders by their id, charges each once.
"""

import redis
import requests

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import Idempotency, RedisIdempotencyStore, ResilientConsumer, json_body


def worker(env):
    once = Idempotency(RedisIdempotencyStore(redis.Redis.from_url(env.redis)), key=lambda m: json_body(m)["order_id"])

    def charge(message):
        order = json_body(message)
        requests.post(f"{env.http_url('payments')}/charges", json=order, timeout=2).raise_for_status()
        effect("charged", order["order_id"])

    ResilientConsumer(
        env.queue_url("orders"),
        charge,
        dlq_url=env.queue_url("orders-dlq"),
        idempotency=once,
        max_receives=10,
        retry_delay=lambda receives: 1.0,
    ).run()


scenario = Scenario(
    name="reset-in-mid-answer",
    queues=[Queue("orders", visibility_timeout=10, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=60, per_second=12, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    http={"payments": lambda request: {"charged": request.json()["order_id"]}},
    faults=[Fault("network.payments", "reset_after", start=1, end=4, bytes=40)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    backends=("live",),
)
