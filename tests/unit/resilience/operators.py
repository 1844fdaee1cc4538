"""An operator at work in a run: real boto3 clients on the simulated SQS, with dead letters of every kind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import boto3
import pytest

from harness import runner
from harness.faults.plan import Fault
from harness.resilience.dlq import dead_letter_request
from harness.resilience.envelope import Envelope
from harness.result import Result
from harness.scenario import Process, Queue, Scenario, Workload
from harness.sim.kernel import EPOCH_US

BINARY = {
    "b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    "n": {"DataType": "Number", "StringValue": "7"},
}


class Bench:
    """What an operator's function gets: a client, the queues' URLs, and short ways to fill and look."""

    def __init__(self, env: Any, ending: str) -> None:
        self.sqs = boto3.client("sqs")
        self.main: str = env.queue_url(f"orders{ending}")
        self.dlq: str = env.queue_url(f"orders-dlq{ending}")
        self.other: str = env.queue_url(f"other{ending}")
        self.redis: str = env.redis

    # -- dead letters

    def envelopes(self, *bodies: str, reason: str = "KeyError: 'id'", **fields: Any) -> None:
        """Ours, of messages that really were in the queue."""
        for body in bodies:
            message = {
                "MessageId": f"original-{body[:20]}",
                "Body": body,
                "MessageAttributes": fields.get("attributes", {}),
                "Attributes": {"ApproximateReceiveCount": "3", **fields.get("system", {})},
            }
            envelope = Envelope.of(
                message,
                fields.get("reason", reason),
                queue=fields.get("queue", self.main),
                failed_at=fields.get("failed_at"),
                error_class=fields.get("error_class"),
                stack=fields.get("stack"),
            )
            self.sqs.send_message(**dead_letter_request(envelope, self.dlq))

    def older(self, *bodies: str, reason: str = "Connection timeout") -> None:
        """Envelopes without a version, in local time, as earlier tools wrote them."""
        for body in bodies:
            document = {
                "originalMessage": body,
                "originalAttributes": {"tenant": {"StringValue": "t1", "DataType": "String"}},
                "errorReason": reason,
                "failedAt": "2029-12-31T23:00:00.000001",
                "originalMessageId": f"original-{body}",
            }
            labels = {"OriginalQueue": {"DataType": "String", "StringValue": self.main}}
            self.sqs.send_message(QueueUrl=self.dlq, MessageBody=json.dumps(document), MessageAttributes=labels)

    def plain(self, *bodies: str, attributes: dict[str, Any] | None = None, **more: Any) -> None:
        """Anything that somebody puts there."""
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.dlq, MessageBody=body, MessageAttributes=attributes or {}, **more)

    # -- looking

    def take(self, url: str, hide: int = 3_600) -> list[dict[str, Any]]:
        """Everything that is visible in a queue, with all that it has."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                VisibilityTimeout=hide,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
            if not answer.get("Messages"):
                return found
            found += answer["Messages"]

    def bodies(self, url: str) -> list[str]:
        return sorted(message["Body"] for message in self.take(url))

    def count(self, url: str) -> tuple[int, int]:
        """Visible and in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        values = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return int(values[names[0]]), int(values[names[1]])


def operate(
    *steps: Callable[[Bench], object],
    fifo: bool = False,
    faults: Iterable[Fault] = (),
    visibility: int = 30,
    max_receives: int | None = 3,
    duration: float = 3_600,
    seed: int = 0,
) -> Result:
    """Run each step as a process of its own, ten minutes apart; an error of one is raised here."""
    ending = ".fifo" if fifo else ""
    errors: list[BaseException] = []
    finished: set[int] = set()

    def process(step: Callable[[Bench], object], number: int) -> Callable[[Any], None]:
        def main(env: Any) -> None:
            # A process that was killed and started again has had its wait.
            time.sleep(max(0.0, EPOCH_US / 1e6 + 600 * number - time.time()))
            try:
                step(Bench(env, ending))
                finished.add(number)
            except (Exception, pytest.fail.Exception) as error:  # that of pytest.raises is no Exception
                errors.append(error)

        return main

    scenario = Scenario(
        name="operators",
        queues=[
            Queue(
                f"orders{ending}",
                visibility_timeout=visibility,
                dead_letter=f"orders-dlq{ending}",
                max_receives=max_receives,
            ),
            Queue(f"orders-dlq{ending}"),
            Queue(f"other{ending}"),
        ],
        processes=[Process(f"operator{number}", process(step, number)) for number, step in enumerate(steps)],
        workload=Workload(to=f"orders{ending}", messages=0),
        duration=duration,
        record_bodies=True,
    )
    result = runner.run(scenario, faults=list(faults), seed=seed, options=runner.Options(judge=False))
    if errors:
        raise errors[0]
    assert finished == set(range(len(steps))), "a step did not come to its end within the run"
    return result
