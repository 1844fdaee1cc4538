"""Every kind of fault, once, under real boto3, redis-py and requests: what reaches the client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from harness import effects, points
from harness.faults.kinds import Kind, all_kinds
from harness.faults.plan import Fault
from harness.result import Result
from harness.runner import run
from harness.scenario import Process, Queue, Scenario, Workload

TARGETS = {
    "workload": "workload.orders",
    "handler": "handler",
    "aws": "aws.sqs.DeleteMessage",
    "sqs": "aws.sqs.*",
    "redis": "redis.INCR",
    "dependency": "dependency.payments",
    "network": "network.sqs",
    "process": "process.worker",
    "clock": "clock.worker",
}

#: What the client sees, for kinds that it sees as an error of a call.
SEEN = {
    ("aws", "throttled"): "RequestThrottled",
    ("aws", "unavailable"): "ServiceUnavailable",
    ("aws", "internal-error"): "InternalFailure",
    ("aws", "timeout"): "ReadTimeoutError",
    ("aws", "access-denied"): "AccessDenied",
    ("aws", "expired-token"): "ExpiredToken",
    ("aws", "clock-skew"): "SignatureDoesNotMatch",
    ("redis", "refused"): "ConnectionError",
    ("redis", "timeout"): "TimeoutError",
    ("redis", "loading"): "BusyLoadingError",
    ("redis", "readonly"): "ReadOnlyError",
    ("redis", "out-of-memory"): "OutOfMemoryError",
    ("dependency", "status"): "503",
    ("dependency", "reset"): "ConnectionError",
    ("dependency", "timeout"): "ReadTimeout",
}

seen: list[tuple[str, str]] = []


def handle(body: str) -> None:
    """The work: a Redis counter, a call, an effect."""
    import redis
    import requests

    client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=2, retry=None)
    try:
        client.incr("handled")
    except redis.RedisError as error:
        seen.append(("redis", type(error).__name__))
    try:
        answer = requests.post(os.environ["PAYMENTS_URL"] + "/charge", json={"body": body}, timeout=3)
        if answer.status_code >= 400:
            seen.append(("dependency", str(answer.status_code)))
    except requests.RequestException as error:
        seen.append(("dependency", type(error).__name__))
    points.effect("charged", body)


def main() -> None:
    """A consumer that goes on whatever happens, and notes what its clients raise."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(retries={"mode": "standard", "max_attempts": 1}, read_timeout=5, connect_timeout=5)
    sqs = boto3.client("sqs", region_name="us-east-1", config=config)
    url = os.environ["QUEUE_URL"]
    while True:
        try:
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            messages = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2, MaxNumberOfMessages=2).get("Messages", [])
            for message in messages:
                try:
                    handle(message["Body"])
                except (ConnectionError, ValueError) as error:
                    seen.append(("handler", type(error).__name__))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            if messages:
                handles = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(messages)]
                sqs.delete_message_batch(QueueUrl=url, Entries=handles)
        except ClientError as error:
            seen.append(("aws", error.response["Error"]["Code"]))
        except BotoCoreError as error:
            seen.append(("aws", type(error).__name__))


def fault_of(kind: Kind, side: str) -> Fault:
    """The kind with its defaults, from the start to the sixtieth second."""
    if kind.layer in ("process", "clock"):
        return Fault(TARGETS[kind.layer], kind.name, start=0 if kind.name == "slow-start" else 2, end=60)
    return Fault(TARGETS[kind.layer], kind.name, side=side, end=60)


def result_of(*faults: Fault) -> Result:
    return run(
        Scenario(
            name="every-kind",
            queues=[Queue("orders", visibility_timeout=30)],
            processes=[
                Process(
                    "worker",
                    "tests.scenarios.test_every_kind:main",
                    environ={
                        "QUEUE_URL": "{queue:orders}",
                        "REDIS_URL": "{redis}",
                        "PAYMENTS_URL": "{http:payments}",
                    },
                )
            ],
            workload=Workload(to="orders", messages=8, per_second=2, body=str),
            effects=effects.point("charged"),
            handler="tests.scenarios.test_every_kind:handle",
            duration=90,
        ),
        faults=faults,
        seed=1,
    )


@pytest.fixture(autouse=True)
def _nothing_seen() -> Iterator[None]:
    seen.clear()
    yield
    seen.clear()


#: At process.NAME there is one side.
CASES = [
    (kind, side)
    for kind in all_kinds()
    if not kind.live_only
    for side in (kind.sides if kind.layer != "process" else ("before",))
]


@pytest.mark.parametrize(("kind", "side"), CASES, ids=[f"{kind.layer}-{kind.name}-{side}" for kind, side in CASES])
def test_every_kind_strikes_and_reaches_the_client(kind: Kind, side: str) -> None:
    """The fault struck, the run came to its end, and the client saw the error that the real thing would send."""
    result = result_of(fault_of(kind, side))
    assert result.verdict != "error", result.reason
    assert result.unstruck == []
    expected = SEEN.get((kind.layer, kind.name))
    if expected is not None:
        assert expected in {error for layer, error in seen if layer == kind.layer}, set(seen)
    strikes = result.history.of("fault.strike")
    assert strikes
    assert {strike["fault_kind"] for strike in strikes} == {kind.name}


def test_without_a_fault_nothing_is_seen() -> None:
    """The consumer sees no error of itself, so what the other tests see comes from the fault."""
    result = result_of()
    assert seen == []
    assert result.history.of("fault.strike", "call.failed") == []
    assert result.messages.processed == 8


def after_effect(*faults: Fault) -> list[dict[str, Any]]:
    """The deletes that really happened."""
    return [dict(event) for event in result_of(*faults).history.of("delete") if event["found"]]


def test_before_has_no_effect_and_after_has() -> None:
    """A lost request leaves the message there, a lost answer does not."""
    batch = Fault("aws.sqs.DeleteMessageBatch", "timeout", end=60)
    before = after_effect(Fault("aws.sqs.DeleteMessage", "timeout", side="before", end=60), batch)
    after = after_effect(Fault("aws.sqs.DeleteMessage", "timeout", side="after", end=60), batch)
    assert min((event["t"] for event in before), default=99) >= 60
    assert min(event["t"] for event in after) < 10
