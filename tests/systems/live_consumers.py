"""Small consumers for live runs, right and broken: what a live run finds must be in here and nowhere else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness import Process, Queue, Scenario, Workload, effects, invariants, points


def _sqs() -> Any:
    return boto3.client("sqs", region_name="us-east-1", config=Config(read_timeout=3))


def _loop(env: Any, each: Any) -> None:
    """Receive, hand over, until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    sqs, url = _sqs(), env.queue_url("jobs")
    while not stopping:
        try:
            batch = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=5).get("Messages", [])
        except (BotoCoreError, ClientError) as error:
            print(f"again: {error}", file=sys.stderr)
            time.sleep(0.2)
            continue
        for message in batch:
            try:
                each(sqs, url, message)
            except Exception as error:
                print(f"kept: {error}", file=sys.stderr)  # it comes again


def handle(message: Any) -> None:
    """The handler that faults may strike."""
    points.effect("done", json.loads(message["Body"])["id"])


def _right(sqs: Any, url: str, message: Any) -> None:
    handle(message)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _deletes_first(sqs: Any, url: str, message: Any) -> None:
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    points.point("in-hand")
    handle(message)


def right(env: Any) -> None:
    _loop(env, _right)


def deletes_first(env: Any) -> None:
    _loop(env, _deletes_first)


def dies_of_the_first(env: Any) -> None:
    message = _sqs().receive_message(QueueUrl=env.queue_url("jobs"), WaitTimeSeconds=10)["Messages"][0]
    raise ValueError(f"what is {message['Body']}?")


def slow(env: Any) -> None:
    """Half a second of waiting for each message, in a system call that no signal of the run cuts short."""

    def each(sqs: Any, url: str, message: Any) -> None:
        subprocess.run(["sleep", "0.5"], check=True)
        _right(sqs, url, message)

    _loop(env, each)


def calls_the_till(env: Any) -> None:
    """Each message is a request to a dependency, which counts as its effect."""

    def each(sqs: Any, url: str, message: Any) -> None:
        request = urllib.request.Request(
            os.environ["TILL"] + "/charges", message["Body"].encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=2):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    _loop(env, each)


def forwards(env: Any) -> None:
    """Each message is sent on to another queue, and then deleted."""

    def each(sqs: Any, url: str, message: Any) -> None:
        sqs.send_message(QueueUrl=env.queue_url("next"), MessageBody=message["Body"])
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    _loop(env, each)


def _scenario(name: str, worker: Any, **changes: Any) -> Scenario:
    own: dict[str, Any] = {
        "queues": [Queue("jobs", visibility_timeout=2, dead_letter="jobs-dlq", max_receives=5)],
        "effects": effects.point("done"),
        "handler": handle,
        "processes": [Process("worker", worker)],
        "invariants": invariants.defaults(),
        "backends": ("memory", "live"),
        **changes,
    }
    return Scenario(
        name=name,
        workload=Workload(to="jobs", messages=10, per_second=20, body=lambda n: {"id": n}, key="$.id"),
        **own,
    )


NEXT = Queue("next", visibility_timeout=2)
scenarios = [
    _scenario("right", right),
    _scenario("deletes-first", deletes_first),
    _scenario("cannot-start", "tests.systems.live_refuses:main"),
    _scenario("starts-slowly", "tests.systems.live_starts_slowly:main"),
    _scenario("dies", dies_of_the_first),
    _scenario("slow", slow),
    _scenario(
        "till",
        calls_the_till,
        processes=[Process("worker", calls_the_till, environ={"TILL": "{http:till}"})],
        effects=effects.http("POST {http:till}/charges", key="$.id"),
        handler=None,
    ),
    _scenario(
        "forwards",
        forwards,
        queues=[Queue("jobs", visibility_timeout=2), NEXT],
        effects=effects.queue("next", key="$.id"),
        handler=None,
    ),
]
