"""The project's quarantine, observed."""

from __future__ import annotations

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
