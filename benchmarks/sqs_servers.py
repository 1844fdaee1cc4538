"""Calls a second of `harness sqs-server` beside moto's server and ElasticMQ, one client, one run.

``python -m benchmarks.sqs_servers [--messages N] [--backlogs N ...]``: sends
ten, receives the ten in one call, deletes them, again and again, over a plain
connection (``http.client``: what the server itself can do) and through boto3
(what a Python consumer sees); then sends and receives where the queue holds a
backlog. ElasticMQ where ELASTICMQ_JARS says that it is.

moto receives about once a second from 2,000 messages: for each message that it
gives it asks for the queue's attributes, to know the retention period, and
each of them is counted by a look at every message of the queue.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from benchmarks.sqs_peers import SERVERS, served
from harness.errors import EnvironmentFailed

SAMPLES = 50  # calls of each kind with a backlog
ENOUGH_S = 10  # no more receives once they took so long

_HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=00",
}


class Plain:
    """SQS over one kept connection, without an SDK."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)

    def call(self, operation: str, **parameters: Any) -> Any:
        headers = {**_HEADERS, "X-Amz-Target": f"AmazonSQS.{operation}"}
        self._connection.request("POST", "/", json.dumps(parameters), headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{operation}: {answer.status} {body[:300]!r}")
        return json.loads(body) if body else {}

    def close(self) -> None:
        self._connection.close()


class Boto:
    """SQS through boto3."""

    def __init__(self, url: str) -> None:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        config = Config(read_timeout=60)
        self._client = boto3.client("sqs", endpoint_url=url, region_name="us-east-1", config=config, **keys)

    def call(self, operation: str, **parameters: Any) -> Any:
        return self._client._make_api_call(operation, parameters)

    def close(self) -> None:
        self._client.close()


def measure(client: Plain | Boto, messages: int, queue: str) -> dict[str, float]:
    """Calls a second of each kind, on a queue of ten messages at most."""
    url = client.call("CreateQueue", QueueName=queue)["QueueUrl"]
    taken: dict[str, list[float]] = {"send": [], "receive of ten": [], "delete": []}
    for _ in range(messages // 10):
        for _ in range(10):
            _time(taken["send"], lambda: client.call("SendMessage", QueueUrl=url, MessageBody='{"order_id": 1}'))
        got: list[str] = []
        for _ in range(10):  # a server may give fewer than it has
            if len(got) < 10:
                answer = _time(
                    taken["receive of ten"],
                    lambda: client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10),
                )
                got += [one["ReceiptHandle"] for one in answer.get("Messages", ())]
        for handle in got:
            _time(taken["delete"], partial(client.call, "DeleteMessage", QueueUrl=url, ReceiptHandle=handle))
    client.call("DeleteQueue", QueueUrl=url)
    return {name: len(times) / sum(times) for name, times in taken.items()}


def backlog(client: Plain, messages: int, queue: str) -> dict[str, float]:
    """Sends and receives a second when the queue holds so many messages already."""
    url = client.call("CreateQueue", QueueName=queue)["QueueUrl"]
    entries = [{"Id": str(number), "MessageBody": "x"} for number in range(10)]
    for _ in range(messages // 10):
        client.call("SendMessageBatch", QueueUrl=url, Entries=entries)
    sends: list[float] = []
    receives: list[float] = []
    for _ in range(SAMPLES):
        _time(sends, lambda: client.call("SendMessage", QueueUrl=url, MessageBody="x"))
        if sum(receives) < ENOUGH_S:
            _time(receives, lambda: client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10))
    client.call("DeleteQueue", QueueUrl=url)
    return {"send": len(sends) / sum(sends), "receive of ten": len(receives) / sum(receives)}


def _time(into: list[float], call: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    answer = call()
    into.append(time.perf_counter() - began)
    return answer


def row(name: str, what: str, rates: dict[str, float]) -> str:
    """One line of the table."""
    return f"{name:20} {what:16} " + ", ".join(f"{one} {rate:,.0f}/s" for one, rate in rates.items())


def main() -> int:
    """Print the table: one server after the other, so that none takes time from another."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--backlogs", type=int, nargs="*", default=[1_000])
    given = parser.parse_args()
    for name in SERVERS:
        try:
            with served(name, "--no-wait-rules") as url:
                for label, kind in (("http.client", Plain), ("boto3", Boto)):
                    client = kind(url)
                    measure(client, max(100, given.messages // 2), "warm")
                    print(row(name, label, measure(client, given.messages, f"bench-{label[:4]}")), flush=True)
                    client.close()
                for size in given.backlogs:
                    plain = Plain(url)
                    print(row(name, f"{size:,} there", backlog(plain, size, f"backlog-{size}")), flush=True)
                    plain.close()
        except EnvironmentFailed as missing:
            print(f"{name:20} left out: {missing}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
