"""us-east-1 loses answers and then fails as a whole for two minutes; orders go to us-west-2 until it is back.

What was in the lost region is handled when it returns, an order that went to both is charged once, and the first
region takes orders again.
"""

import boto3
import redis
from botocore.config import Config

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect, sometimes
from harness.resilience import (
    CircuitBreaker,
    ConsumerOptions,
    Idempotency,
    RedisIdempotencyStore,
    ResilientConsumer,
    ResilientProducer,
    json_body,
)

EAST, WEST = "us-east-1", "us-west-2"


def sqs(region):
    return boto3.client("sqs", region_name=region, config=Config(read_timeout=22, retries={"total_max_attempts": 2}))


def router(env):
    """Hands each order on to the first region that takes it. Its own queue is in the west, where the shop is."""
    breaker = CircuitBreaker(failure_threshold=3, recovery_timeout=20, name="orders-east")
    hasty = boto3.client("sqs", region_name=EAST, config=Config(read_timeout=2, retries={"total_max_attempts": 1}))
    first = ResilientProducer(env.queue_url("orders-east"), sqs=hasty, breaker=breaker)
    second = ResilientProducer(env.queue_url("orders-west"), sqs=sqs(WEST))
    failed_over = False

    def route(message):
        nonlocal failed_over
        try:
            first.send(message["Body"])
        except Exception:  # the region's, or the breaker's: whatever it is, there is another region
            failed_over = True
            second.send(message["Body"])
        else:
            sometimes(failed_over, "back in the first region")

    ResilientConsumer(
        env.queue_url("intake"),
        route,
        sqs=sqs(WEST),
        dlq_url=env.queue_url("intake-dlq"),
        options=ConsumerOptions(concurrency=2),
    ).run()


def consumer(env, name, region):
    """Charges the orders of one region; which ones are charged is known to both."""
    once = Idempotency(
        RedisIdempotencyStore(redis.Redis.from_url(env.redis)), key=lambda m: json_body(m)["order_id"], scope="orders"
    )
    ResilientConsumer(
        env.queue_url(name),
        lambda message: effect("charged", json_body(message)["order_id"]),
        sqs=sqs(region),
        dlq_url=env.queue_url(f"{name}-dlq"),
        idempotency=once,
    ).run()


def east(env):
    consumer(env, "orders-east", EAST)


def west(env):
    consumer(env, "orders-west", WEST)


scenario = Scenario(
    name="region-down-fail-over",
    queues=[
        Queue("intake", visibility_timeout=60, dead_letter="intake-dlq", region=WEST),
        Queue("orders-east", visibility_timeout=30, dead_letter="orders-east-dlq", region=EAST),
        Queue("orders-west", visibility_timeout=30, dead_letter="orders-west-dlq", region=WEST),
    ],
    processes=[Process("router", router), Process("east", east), Process("west", west)],
    workload=Workload(to="intake", messages=250, per_second=1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[
        Fault("aws.sqs.SendMessage@us-east-1", "timeout", side="after", start=25, end=40),
        Fault("aws.*@us-east-1", "unavailable", start=40, end=160),
    ],
    invariants=[
        *invariants.defaults(),
        invariants.effects_once(),
        invariants.breaker_opens(),
        invariants.breaker_stays_open(),
        invariants.recovers_within(60),
        invariants.not_metastable(),
    ],
    objectives=Objectives(rto="1m", rpo=0, duplicates=0),
    backends=("memory", "moto"),
)
