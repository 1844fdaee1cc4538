"""The project's quarantine, observed."""

from __future__ import annotations

from typing import Any

import fakeredis

from harness.resilience.poison import PoisonMessageDetector
from tests.unit.observe.helpers import observed

MESSAGE = {"MessageId": "m-1", "Body": "bad", "ReceiptHandle": "h"}


def test_what_goes_into_quarantine_is_written() -> None:
    """The message's id and the reason; counting failures is no event of the history."""
    detector = PoisonMessageDetector(fakeredis.FakeRedis())
    with observed() as record:
        detector.record_failure("m-1")
        detector.quarantine_poison_message(MESSAGE, "failed too often")
    assert record.events == [{"kind": "quarantine", "message": "m-1", "reason": "failed too often"}]


def test_what_is_refused_is_not_written() -> None:
    """A quarantine that is full takes nothing, and the history does not say that it did."""
    detector = PoisonMessageDetector(fakeredis.FakeRedis(), quarantine_limit=1)
    with observed() as record:
        for number in (1, 2):
            detector.quarantine_poison_message({**MESSAGE, "MessageId": f"m-{number}"}, "bad")
        record.running = False
        detector.quarantine_poison_message({**MESSAGE, "MessageId": "m-3"}, "bad")
    assert [event["message"] for event in record.events] == ["m-1"]


class Queue:
    """Takes what is released."""

    def send_message(self, **request: Any) -> dict[str, str]:
        return {"MessageId": "m-new"}


def test_the_key_goes_with_the_message() -> None:
    """In and out again: both events say which message of the workload it is, where that is known."""
    detector = PoisonMessageDetector(fakeredis.FakeRedis(), identity=lambda message: f"by-{message['Body']}")
    keys = {"m-1": "order-7"}
    with observed(key_of=keys.get) as record:
        detector.quarantine_poison_message(MESSAGE, "bad")
        detector.quarantine_poison_message({**MESSAGE, "MessageId": "m-2"}, "bad")
        detector.release("m-1", sqs=Queue(), queue_url="https://sqs/1/orders")
    assert [(event["kind"], event["message"], event.get("key")) for event in record.events] == [
        ("quarantine", "m-1", "order-7"),
        ("quarantine", "m-2", None),
        ("release", "m-1", "order-7"),
    ]
