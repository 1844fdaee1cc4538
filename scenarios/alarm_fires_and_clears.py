"""The payment service is down for a quarter of an hour, and CloudWatch throttles in the middle of it.

Every error is counted once, in one request a minute; the alarm on the error rate fires when its two periods are full,
and clears when the payments are back.
"""

import os

import requests

from harness import Fault, Objectives, Process, Queue, Scenario, Workload, effects, invariants
from harness.resilience import Classification, ErrorMonitoring, ResilientConsumer, classify, json_body


def charge(message):
    answer = requests.post(f"{os.environ['PAYMENTS_URL']}/charges", json=json_body(message), timeout=5)
    answer.raise_for_status()


def judge(error):
    """What the payments cannot answer for, an order that makes no sense, is no better the hundredth time."""
    return Classification.PERMANENT if isinstance(error, ValueError) else classify(error)


def worker(env):
    monitoring = ErrorMonitoring(service_name="orders", dead_letter_queues=["orders-dlq"])
    monitoring.create_error_alarms()
    ResilientConsumer(
        env.queue_url("orders"),
        charge,
        dlq_url=env.queue_url("orders-dlq"),
        max_receives=100,
        retry_delay=lambda receives: 30,
        classifier=judge,
        listeners=[monitoring.observe],
    ).run()


scenario = Scenario(
    name="alarm-fires-and-clears",
    queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq")],
    processes=[Process("worker", worker, count=2, environ={"PAYMENTS_URL": "{http:payments}"})],
    handler=charge,
    workload=Workload(to="orders", messages=120, per_second=0.1, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
    faults=[
        Fault("dependency.payments", "status", code=503, start=120, end=1020),
        Fault("aws.cloudwatch.PutMetricData", "throttled", start=300, end=420),
    ],
    invariants=[
        *invariants.defaults(),
        invariants.errors_counted_once(),
        invariants.alarms_fire_and_clear("HighErrorRate"),
    ],
    objectives=Objectives(rto="2m", rpo=0),
    duration=1800,
    # Not on moto: alarms are evaluated here, which moto never does (CloudWatch, so no row of docs/sqs-fidelity.md).
)
