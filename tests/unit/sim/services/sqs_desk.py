"""An SQS on a clock that the test moves, with short calls and the recorded events."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from harness.sim.services.errors import ServiceError
from harness.sim.services.sqs import SqsService
from harness.sim.services.timebase import Waiters
from harness.sim.verdicts import Twist

EPOCH_US = 1_893_456_000_000_000


class HandClock:
    """A timebase for one caller: waiting runs what was put on the agenda, until notified or time is up."""

    def __init__(self) -> None:
        self.us = EPOCH_US
        self._agenda: list[tuple[int, Callable[[], object]]] = []
        self._notified: Waiters | None = None

    def now_us(self) -> int:
        return self.us

    def at(self, seconds: float, function: Callable[[], object]) -> None:
        """Call *function* this much later, while somebody waits."""
        self._agenda.append((self.us + round(seconds * 1e6), function))
        self._agenda.sort(key=lambda entry: entry[0])

    def call_at(self, at_us: int, function: Callable[[], object]) -> None:
        self._agenda.append((at_us, function))
        self._agenda.sort(key=lambda entry: entry[0])

    def pass_to(self, us: int) -> None:
        """Move on to a time, with what is on the agenda until then."""
        while self._agenda and self._agenda[0][0] <= us:
            at_us, function = self._agenda.pop(0)
            self.us = max(self.us, at_us)
            function()
        self.us = us

    def wait(self, waiters: Waiters, until_us: int) -> bool:
        waiters.waiting.append(self)
        self._notified = None
        while self._agenda and self._agenda[0][0] <= until_us:
            at_us, function = self._agenda.pop(0)
            self.us = max(self.us, at_us)
            function()
            if self._notified is waiters:
                return True
        waiters.waiting.remove(self)
        self.us = max(self.us, until_us)
        return False

    def notify(self, waiters: Waiters) -> None:
        if waiters.waiting:
            waiters.waiting.popleft()
            self._notified = waiters


class Desk:
    """The service with short calls. Queues are named by their bare names."""

    def __init__(self, **options: Any) -> None:
        self.clock = HandClock()
        self.events: list[dict[str, Any]] = []
        self.sqs = SqsService(self.clock, random.Random(1), self._record, **options)

    def _record(self, kind: str, message: str | None = None, **fields: Any) -> int:
        self.events.append({"kind": kind, "message": message, **fields})
        return len(self.events)

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] in kinds]

    def later(self, seconds: float) -> None:
        self.clock.pass_to(self.clock.us + round(seconds * 1e6))

    def call(self, operation: str, *, twist: Twist | None = None, region: str = "us-east-1", **parameters: Any) -> Any:
        return self.sqs.call(operation, parameters, region=region, twist=twist)

    def refused(self, operation: str, **parameters: Any) -> ServiceError:
        """The error that a call is refused with."""
        with pytest.raises(ServiceError) as caught:
            self.call(operation, **parameters)
        return caught.value

    def queue(self, name: str = "q", **attributes: str) -> str:
        """Make a queue; returns its name, which serves as QueueUrl. ``.fifo`` makes a FIFO queue."""
        if name.endswith(".fifo"):
            attributes = {"FifoQueue": "true", **attributes}
        self.sqs.create_queue(name, attributes)
        return name

    def with_dead_letters(self, name: str = "q", receives: int = 2, **attributes: str) -> tuple[str, str]:
        """A queue with a dead-letter queue."""
        dead = self.queue("dead.fifo" if name.endswith(".fifo") else "dead")
        policy = {"deadLetterTargetArn": self.arn(dead), "maxReceiveCount": receives}
        return self.queue(name, RedrivePolicy=json.dumps(policy), **attributes), dead

    def arn(self, name: str) -> str:
        return f"arn:aws:sqs:us-east-1:000000000000:{name}"

    def send(self, queue: str, body: str, group: str | None = None, dedup: str | None = None, **more: Any) -> Any:
        if queue.endswith(".fifo"):
            more = {"MessageGroupId": group or "g", "MessageDeduplicationId": dedup or body, **more}
        elif group is not None:
            more["MessageGroupId"] = group
        return self.call("SendMessage", QueueUrl=queue, MessageBody=body, **more)

    def receive(self, queue: str, limit: int = 10, *, twist: Twist | None = None, **more: Any) -> list[dict[str, Any]]:
        answer = self.call("ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages=limit, twist=twist, **more)
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def bodies(self, queue: str, limit: int = 10, **more: Any) -> list[str]:
        return [message["Body"] for message in self.receive(queue, limit, **more)]

    def delete(self, queue: str, message: dict[str, Any]) -> None:
        assert self.call("DeleteMessage", QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"]) == {}

    def hide(self, queue: str, message: dict[str, Any], seconds: int) -> None:
        handle = message["ReceiptHandle"]
        self.call("ChangeMessageVisibility", QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=seconds)

    def attributes(self, queue: str, *names: str, twist: Twist | None = None) -> dict[str, str]:
        answer = self.call("GetQueueAttributes", QueueUrl=queue, AttributeNames=list(names or ("All",)), twist=twist)
        found: dict[str, str] = answer.get("Attributes", {})
        return found
