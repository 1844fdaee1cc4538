"""Calls a second of `harness sqs-server` beside moto's server and ElasticMQ, one client, one run.

``python -m benchmarks.sqs_servers [--messages N] [--elasticmq URL]``: sends,
receives in batches of ten and deletes, over a plain connection
(``http.client``: what the server itself can do) and through boto3 (what a
Python consumer sees), then sends again with a backlog. ElasticMQ is measured
where one runs already.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from harness.net.child import Child
from harness.net.guard import guarded

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
    """Calls a second of each kind."""
    url = client.call("CreateQueue", QueueName=queue)["QueueUrl"]
    found = {}
    found["send"] = _rate(messages, lambda: client.call("SendMessage", QueueUrl=url, MessageBody='{"order_id": 1}'))
    handles: list[str] = []

    def receive() -> None:
        answer = client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)
        handles.extend(one["ReceiptHandle"] for one in answer.get("Messages", ()))

    found["receive of ten"] = _rate(messages // 10, receive)
    taken = iter(handles)
    found["delete"] = _rate(len(handles), lambda: client.call("DeleteMessage", QueueUrl=url, ReceiptHandle=next(taken)))
    client.call("DeleteQueue", QueueUrl=url)
    return found


def backlog(client: Plain, messages: int, queue: str) -> dict[str, float]:
    """Sends and receives a second when the queue holds so many messages already."""
    url = client.call("CreateQueue", QueueName=queue)["QueueUrl"]
    entries = [{"Id": str(number), "MessageBody": "x"} for number in range(10)]
    for _ in range(messages // 10):
        client.call("SendMessageBatch", QueueUrl=url, Entries=entries)
    found = {
        "send": _rate(200, lambda: client.call("SendMessage", QueueUrl=url, MessageBody="x")),
        "receive of ten": _rate(50, lambda: client.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)),
    }
    client.call("DeleteQueue", QueueUrl=url)
    return found


def _rate(times: int, call: Any) -> float:
    began = time.perf_counter()
    for _ in range(times):
        call()
    return times / (time.perf_counter() - began)


@contextmanager
def servers(elasticmq: str | None) -> Iterator[dict[str, str]]:
    """The URLs of the servers by their names; those that are started here end here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    ours = [sys.executable, "-m", "harness", "sqs-server", "--port", "0", "--announce", "--no-wait-rules"]
    motos = guarded([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)])
    with Child("sqs-server", ours) as own, Child("moto's server", motos, ready=ready, timeout=60):
        found = {"harness sqs-server": own.announced["url"], "moto's server": f"http://127.0.0.1:{port}"}
        yield {**found, **({"ElasticMQ": elasticmq} if elasticmq else {})}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--elasticmq", metavar="URL", help="an ElasticMQ that runs")
    parser.add_argument("--backlogs", type=int, nargs="*", default=[0, 10_000])
    given = parser.parse_args()
    with servers(given.elasticmq) as found:
        for name, url in found.items():
            for label, kind in (("http.client", Plain), ("boto3", Boto)):
                client = kind(url)
                measure(client, max(100, given.messages // 10), "warm")
                rates = measure(client, given.messages, f"bench-{label.replace('.', '-')}")
                client.close()
                text = ", ".join(f"{one} {rate:,.0f}/s" for one, rate in rates.items())
                print(f"{name:20} {label:12} {text}", flush=True)
            for size in given.backlogs:
                plain = Plain(url)
                rates = backlog(plain, size, f"backlog-{size}")
                plain.close()
                text = ", ".join(f"{one} {rate:,.0f}/s" for one, rate in rates.items())
                print(f"{name:20} {size:>6,} there: {text}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
