"""What the commands of the runbooks talk to in the test: SQS and CloudWatch by moto, and a Redis, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import boto3
import redis
from botocore.config import Config
from botocore.exceptions import ConnectTimeoutError

from harness.net.child import free_port
from harness.resilience import (
    AuthenticationError,
    DeadLetterQueueHandler,
    PermanentError,
    PoisonMessageDetector,
    json_body,
)
from tests.docs.pages import ROOT

_STARTS_WITHIN = 30.0


class Services:
    """The servers, clients of them, and the environment that a reader of the runbooks would have set."""

    def __init__(self, aws_port: int, redis_port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{aws_port}"
        self.environ: dict[str, str] = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "PAYMENTS_URL": "http://127.0.0.1:9",
        }
        self.sqs: Any = boto3.client(
            "sqs",
            endpoint_url=self.endpoint,
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 1}),
        )
        self.redis: Any = redis.Redis.from_url(self.environ["REDIS_URL"])

    def reset(self) -> None:
        """The state that every page finds: ten dead letters of four kinds, and three messages in quarantine."""
        urlopen(Request(f"{self.endpoint}/moto-api/reset", method="POST"), timeout=10).close()
        self.redis.flushall()
        dlq = self.sqs.create_queue(QueueName="orders-dlq", Attributes={"MessageRetentionPeriod": "1209600"})[
            "QueueUrl"
        ]
        arn = self.sqs.get_queue_attributes(QueueUrl=dlq, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "5"})
        orders = self.sqs.create_queue(QueueName="orders", Attributes={"RedrivePolicy": policy})["QueueUrl"]
        self.environ |= {"ORDERS_URL": orders, "ORDERS_DLQ_URL": dlq}
        self._dead_letters(orders, dlq)
        self._quarantine(orders)

    def depth(self, name: str) -> int:
        """How many messages the queue holds, seen or hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=self.environ[name], AttributeNames=names)
        return sum(int(value) for value in answer["Attributes"].values())

    def quarantined(self) -> int:
        """How many messages are in quarantine."""
        return int(self.redis.llen("poison_messages"))

    def _dead_letters(self, orders: str, dlq: str) -> None:
        handler = DeadLetterQueueHandler(orders, dlq, sqs=self.sqs)
        for number in range(9):
            message = {"MessageId": f"00000000-0000-4000-8000-{number:012}", "Body": _body(number), "Attributes": {}}
            try:
                _charge(message)
            except Exception as error:
                handler._send_to_dlq(message, f"{type(error).__name__}: {error}")
        self.sqs.send_message(QueueUrl=dlq, MessageBody=_body(9))  # as SQS itself moves one: no envelope

    def _quarantine(self, orders: str) -> None:
        detector = PoisonMessageDetector(self.redis)
        for number in (13, 77, 120):
            message = {"MessageId": f"m-{number}", "Body": json.dumps({"order_id": number})}
            for _ in range(detector.poison_threshold):
                detector.record_failure(message["MessageId"])
            detector.quarantine_poison_message(message, "KeyError: 'price'", queue_url=orders)


def _body(number: int) -> str:
    return "{broken" if number < 4 else json.dumps({"order_id": number})


def _charge(message: Mapping[str, Any]) -> None:
    """Fails as the handlers of the runbooks fail."""
    number = json_body(message)["order_id"]
    if number < 7:
        raise ConnectTimeoutError(endpoint_url="https://payments.internal/charges")
    if number == 7:
        raise AuthenticationError("the payment service answered 401 Unauthorized")
    raise PermanentError("validation failed: amount is missing")


@contextmanager
def running() -> Iterator[Services]:
    """The servers for the time of the block: each ended by its own process, whatever happens."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        aws, cache = free_port(), free_port()
        environ = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(ROOT)}
        for command in (_aws(aws), _redis(cache, folder)):
            server = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environ
            )
            stack.callback(_end, server)
        services = Services(aws, cache)
        stack.callback(services.redis.close)
        stack.callback(services.sqs.close)
        _wait(services)
        yield services


def _aws(port: int) -> list[str]:
    return [sys.executable, "-m", "tests.docs.aws_server", str(port)]


def _redis(port: int, folder: str) -> list[str]:
    """A real one where it is installed."""
    program = shutil.which("redis-server")
    if program is None:
        return [sys.executable, "-m", "tests.docs.redis_stub", str(port)]
    settings = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
    return [program, *settings]


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(timeout=5)


def _wait(services: Services) -> None:
    until = time.monotonic() + _STARTS_WITHIN
    while True:
        try:
            urlopen(f"{services.endpoint}/moto-api/data.json", timeout=2).close()
            services.redis.ping()
            return
        except (URLError, ConnectionError, redis.ConnectionError) as error:
            if time.monotonic() > until:
                raise RuntimeError(f"the servers did not answer within {_STARTS_WITHIN:g} s: {error}") from error
            time.sleep(0.05)
