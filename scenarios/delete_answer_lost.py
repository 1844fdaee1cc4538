"""The answers of DeleteMessage get lost for a minute, as behind a flaky NAT gateway: messages come a second time.

Customers are charged once all the same, because the effect is recorded in Redis under the order's id.
"""

import redis
import requests

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import Idempotency, RedisIdempotencyStore, ResilientConsumer, json_body


def worker(env):
    def charge(message):
        order = json_body(message)
        requests.post(f"{env.http_url('payments')}/charges", json=order, timeout=5).raise_for_status()

    once = Idempotency(RedisIdempotencyStore(redis.Redis.from_url(env.redis)), key=lambda m: json_body(m)["order_id"])
    ResilientConsumer(env.queue_url("orders"), charge, dlq_url=env.queue_url("orders-dlq"), idempotency=once).run()


scenario = Scenario(
    name="delete-answer-lost",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=200, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[Fault("aws.sqs.DeleteMessage", "timeout", side="after", start=10, end=70)],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
)
