"""The shop announces orders on an SNS topic; SNS throttles, then takes publishes whose answers are lost.

Billing gets every order and no test order, in SNS's envelope, some of them twice, and charges each once.
"""

import json
import time

import boto3
import redis
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.points import effect
from harness.resilience import Idempotency, RedisIdempotencyStore, ResilientConsumer, json_body


def topic_of(sns, env):
    """The topic with billing's subscription. Who comes second makes nothing new."""
    arn = sns.create_topic(Name="order-events")["TopicArn"]
    queue = {"QueueUrl": env.queue_url("billing"), "AttributeNames": ["QueueArn"]}
    sns.subscribe(
        TopicArn=arn,
        Protocol="sqs",
        Endpoint=boto3.client("sqs").get_queue_attributes(**queue)["Attributes"]["QueueArn"],
        Attributes={"FilterPolicy": json.dumps({"kind": [{"anything-but": "test"}]})},
    )
    return arn


def shop(env):
    sns = boto3.client("sns", config=Config(read_timeout=5))
    topic = None
    while topic is None:
        try:
            topic = topic_of(sns, env)
        except (ClientError, BotoCoreError):
            time.sleep(2)  # SNS may be away when the shop opens, too

    def announce(message):
        for kind in ("order", "test"):
            attributes = {"kind": {"DataType": "String", "StringValue": kind}}
            sns.publish(TopicArn=topic, Message=message["Body"], MessageAttributes=attributes)

    ResilientConsumer(env.queue_url("intake"), announce, dlq_url=env.queue_url("intake-dlq")).run()


def order_of(message):
    return json.loads(json_body(message, required=["Message"])["Message"])["order_id"]


def billing(env):
    once = Idempotency(RedisIdempotencyStore(redis.Redis.from_url(env.redis)), key=order_of)
    ResilientConsumer(
        env.queue_url("billing"),
        lambda message: effect("charged", order_of(message)),
        dlq_url=env.queue_url("billing-dlq"),
        idempotency=once,
    ).run()


scenario = Scenario(
    name="orders-through-sns",
    queues=[
        Queue("intake", visibility_timeout=60, dead_letter="intake-dlq"),
        Queue("billing", visibility_timeout=30, dead_letter="billing-dlq"),
    ],
    processes=[Process("shop", shop), Process("billing", billing, count=2)],
    workload=Workload(to="intake", messages=120, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
    faults=[
        Fault("aws.sns.Publish", "throttled", start=10, end=25, probability=0.8),
        Fault("aws.sns.Publish", "timeout", side="after", start=30, end=50, probability=0.3),
    ],
    invariants=[*invariants.defaults(), invariants.effects_once(), invariants.not_metastable()],
    objectives=Objectives(rpo=0, duplicates=0),
    duration=120,
    backends=("memory", "moto"),
)
