"""DeleteMessage times out for a minute, sometimes before and sometimes after it took effect: messages come twice.

Customers are charged once all the same, because the effect is recorded in Redis under the order's id.
"""

import boto3
import redis
import requests
from botocore.config import Config

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import Idempotency, RedisIdempotencyStore, ResilientConsumer, json_body


def worker(env):
    def charge(message):
        order = json_body(message)
        requests.post(f"{env.http_url('payments')}/charges", json=order, timeout=5).raise_for_status()

    once = Idempotency(RedisIdempotencyStore(redis.Redis.from_url(env.redis)), key=lambda m: json_body(m)["order_id"])
    sqs = boto3.client("sqs", config=Config(read_timeout=22))  # a little more than the longest poll
    dlq_url = env.queue_url("orders-dlq")
    ResilientConsumer(env.queue_url("orders"), charge, sqs=sqs, dlq_url=dlq_url, idempotency=once).run()


scenario = Scenario(
    name="delete-answer-lost",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2)],
    workload=Workload(to="orders", messages=200, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[
        Fault("aws.sqs.DeleteMessage", "timeout", side="before", start=10, end=40),
        Fault("aws.sqs.DeleteMessage", "timeout", side="after", start=40, end=70),
    ],
    invariants=[*invariants.defaults(), invariants.effects_once()],
    objectives=Objectives(rpo=0, duplicates=0),
    backends=("memory", "moto"),
)
