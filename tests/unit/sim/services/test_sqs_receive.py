"""ReceiveMessage and what follows a receive: parameters, attributes, long polls, batches."""

from __future__ import annotations

from typing import Any

import pytest

from harness.sim.services.sqs_receive import SENDER_ID
from harness.sim.verdicts import Twist
from tests.unit.sim.services.sqs_desk import EPOCH_US, Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_empty_receive_has_no_messages_key(desk: Desk) -> None:
    """An empty receive answers without a Messages key."""
    assert desk.call("ReceiveMessage", QueueUrl=desk.queue()) == {}


def test_nothing_unless_asked(desk: Desk) -> None:
    """A receive gives id, handle, MD5 and body, and nothing else unless asked."""
    queue = desk.queue()
    desk.send(queue, "a", MessageAttributes={"k": {"DataType": "String", "StringValue": "x"}})
    (message,) = desk.call("ReceiveMessage", QueueUrl=queue)["Messages"]
    assert set(message) == {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"}


def test_system_attributes(desk: Desk) -> None:
    """All gives sender, times in milliseconds and the count; the sender is an IAM id, not the account."""
    queue = desk.queue(VisibilityTimeout="1")
    desk.later(1)
    desk.send(queue, "a")
    desk.later(1)
    desk.receive(queue)
    desk.later(1)
    attributes = desk.receive(queue, AttributeNames=["All"])[0]["Attributes"]
    assert attributes == {
        "SenderId": SENDER_ID,
        "SentTimestamp": str(EPOCH_US // 1000 + 1000),
        "ApproximateReceiveCount": "2",
        "ApproximateFirstReceiveTimestamp": str(EPOCH_US // 1000 + 2000),
    }
    assert attributes["SenderId"].startswith(("AIDA", "AROA"))


def test_names_that_do_not_apply_are_ignored(desk: Desk) -> None:
    """System attributes that a message does not have are left out."""
    queue = desk.queue()
    desk.send(queue, "a")
    names = ["SequenceNumber", "ApproximateReceiveCount", "DeadLetterQueueSourceArn"]
    message = desk.receive(queue, MessageSystemAttributeNames=names)[0]
    assert message["Attributes"] == {"ApproximateReceiveCount": "1"}


def test_the_newer_name_wins(desk: Desk) -> None:
    """With both names given JSON answers what the newer asks [message_system_attribute_names_with_attribute_names]."""
    queue = desk.queue()
    desk.send(queue, "a")
    message = desk.receive(queue, AttributeNames=["SenderId"], MessageSystemAttributeNames=["All"])[0]
    assert len(message["Attributes"]) == 4


@pytest.mark.parametrize("number", [0, 11, -1])
def test_max_number_of_messages(desk: Desk, number: int) -> None:
    """MaxNumberOfMessages is 1 to 10 [send_receive_max_number_of_messages]."""
    error = desk.refused("ReceiveMessage", QueueUrl=desk.queue(), MaxNumberOfMessages=number)
    assert (error.code, error.shape) == ("InvalidParameterValue", "InvalidParameterValueException")
    assert error.message == (
        f"Value {number} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
    )


@pytest.mark.parametrize("seconds", [-1, 21])
def test_wait_time(desk: Desk, seconds: int) -> None:
    """WaitTimeSeconds is 0 to 20 [send_receive_wait_time_seconds]."""
    error = desk.refused("ReceiveMessage", QueueUrl=desk.queue(), WaitTimeSeconds=seconds)
    assert error.message == (
        f"Value {seconds} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."
    )


def test_long_poll_ends_empty(desk: Desk) -> None:
    """A long poll of an empty queue takes its whole time, the queue's where the call names none."""
    queue = desk.queue(ReceiveMessageWaitTimeSeconds="7")
    for parameters, seconds in (({}, 7), ({"WaitTimeSeconds": 3}, 3), ({"WaitTimeSeconds": 0}, 0)):
        start = desk.clock.us
        assert desk.bodies(queue, **parameters) == []
        assert desk.clock.us - start == seconds * 1_000_000


def test_long_poll_returns_with_the_first_message(desk: Desk) -> None:
    """A long poll returns as soon as one message is there, it does not fill up to the maximum."""
    queue = desk.queue()
    start = desk.clock.us
    desk.clock.at(3, lambda: desk.send(queue, "a"))
    desk.clock.at(4, lambda: desk.send(queue, "b"))
    assert desk.bodies(queue, WaitTimeSeconds=20) == ["a"]
    assert desk.clock.us - start == 3_000_000


@pytest.mark.parametrize("how", ["delay", "timeout", "change", "delayed send"])
def test_long_poll_sees_what_appears_by_time(desk: Desk, how: str) -> None:
    """A long poll returns when a delay or a visibility timeout ends, also one that began meanwhile."""
    queue = desk.queue(VisibilityTimeout="5")
    if how == "delay":
        desk.send(queue, "a", DelaySeconds=5)
    elif how == "delayed send":
        desk.clock.at(2, lambda: desk.send(queue, "a", DelaySeconds=3))
    else:
        desk.send(queue, "a")
        message = desk.receive(queue)[0]
        if how == "change":
            desk.hide(queue, message, 900)
            desk.clock.at(2, lambda: desk.hide(queue, message, 3))
    start = desk.clock.us
    assert desk.bodies(queue, WaitTimeSeconds=20) == ["a"]
    assert desk.clock.us - start == 5_000_000


def test_long_poll_of_a_queue_that_is_deleted(desk: Desk) -> None:
    """A long poll ends with an error when its queue is deleted meanwhile."""
    queue = desk.queue()
    desk.clock.at(2, lambda: desk.call("DeleteQueue", QueueUrl=queue))
    assert desk.refused("ReceiveMessage", QueueUrl=queue, WaitTimeSeconds=20).shape == "QueueDoesNotExist"


def test_delete_batch(desk: Desk) -> None:
    """A delete batch answers each entry; a bad handle fails its entry only."""
    queue = desk.queue()
    desk.send(queue, "a")
    handle = desk.receive(queue)[0]["ReceiptHandle"]
    batch = [{"Id": "good", "ReceiptHandle": handle}, {"Id": "bad", "ReceiptHandle": "garbage"}]
    answer = desk.call("DeleteMessageBatch", QueueUrl=queue, Entries=batch)
    assert answer["Successful"] == [{"Id": "good"}]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("bad", "ReceiptHandleIsInvalid")]


def test_partial_failure_of_a_delete_batch(desk: Desk) -> None:
    """Entries that a partial failure strikes are not deleted."""
    queue = desk.queue(VisibilityTimeout="1")
    for body in "abcd":
        desk.send(queue, body)
    batch = [{"Id": message["Body"], "ReceiptHandle": message["ReceiptHandle"]} for message in desk.receive(queue)]
    answer = desk.call(
        "DeleteMessageBatch", QueueUrl=queue, Entries=batch, twist=Twist("partial-failure", {"share": 0.5})
    )
    failed = sorted(entry["Id"] for entry in answer["Failed"])
    assert len(failed) == 2
    desk.later(1)
    assert sorted(desk.bodies(queue)) == failed


def test_change_visibility_batch(desk: Desk) -> None:
    """A visibility batch changes each entry, and answers what failed."""
    queue = desk.queue()
    desk.send(queue, "a")
    handle = desk.receive(queue)[0]["ReceiptHandle"]
    batch: list[dict[str, Any]] = [
        {"Id": "good", "ReceiptHandle": handle, "VisibilityTimeout": 0},
        {"Id": "bad", "ReceiptHandle": handle, "VisibilityTimeout": 50_000},
    ]
    answer = desk.call("ChangeMessageVisibilityBatch", QueueUrl=queue, Entries=batch)
    assert answer["Successful"] == [{"Id": "good"}]
    assert answer["Failed"][0]["Code"] == "InvalidParameterValue"
    assert desk.bodies(queue) == ["a"]


def test_events_of_a_delivery(desk: Desk) -> None:
    """Receive, visibility and delete are recorded with handle, count and the time of reappearance."""
    queue = desk.queue(VisibilityTimeout="30")
    desk.later(2)
    message_id = desk.send(queue, "a")["MessageId"]
    message = desk.receive(queue)[0]
    desk.hide(queue, message, 5)
    desk.delete(queue, message)
    handle = message["ReceiptHandle"]
    assert desk.of("receive", "visibility", "delete") == [
        {
            "kind": "receive",
            "message": message_id,
            "queue": queue,
            "receive_count": 1,
            "handle": handle,
            "visible_at": 32.0,
        },
        {"kind": "visibility", "message": message_id, "queue": queue, "handle": handle, "visible_at": 7.0},
        {"kind": "delete", "message": message_id, "queue": queue, "handle": handle, "found": True},
    ]
