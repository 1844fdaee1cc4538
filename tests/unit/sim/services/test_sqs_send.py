"""SendMessage and SendMessageBatch: answers, batches, what the history says."""

from __future__ import annotations

from typing import Any

import pytest

from harness.sim.services.sqs import SqsError
from harness.sim.services.sqs_content import body_md5
from harness.sim.verdicts import Twist
from tests.unit.sim.services.sqs_desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def entries(*bodies: str, **more: Any) -> list[dict[str, Any]]:
    return [{"Id": str(number), "MessageBody": body, **more} for number, body in enumerate(bodies)]


def test_answer_of_a_send(desk: Desk) -> None:
    """A send answers the id and the digests, a standard queue no sequence number."""
    answer = desk.send(desk.queue(), "message")
    assert set(answer) == {"MessageId", "MD5OfMessageBody"}
    assert answer["MD5OfMessageBody"] == "78e731027d8fd50ed642340b7c9a63b3"
    assert len(answer["MessageId"].split("-")) == 5


def test_ids_come_from_the_stream() -> None:
    """Two services with the same stream give the same ids, and no id twice."""
    first, second = Desk(), Desk()
    ids = [[desk.send(desk.queue(), str(n))["MessageId"] for n in range(100)] for desk in (first, second)]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 100


def test_batch(desk: Desk) -> None:
    """A batch answers each entry by its id; no Failed key when nothing failed."""
    answer = desk.call("SendMessageBatch", QueueUrl=desk.queue(), Entries=entries("a", "b"))
    assert set(answer) == {"Successful"}
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "1"]
    assert [entry["MD5OfMessageBody"] for entry in answer["Successful"]] == [body_md5("a"), body_md5("b")]
    assert desk.bodies("q") == ["a", "b"]


def test_bad_entries_fail_alone(desk: Desk) -> None:
    """A bad character, an oversized entry and a bad delay fail their entry only."""
    queue = desk.queue(MaximumMessageSize="1024")
    batch = entries("good", "\x00", "x" * 1025, "late")
    batch[3]["DelaySeconds"] = 901
    answer = desk.call("SendMessageBatch", QueueUrl=queue, Entries=batch)
    assert [entry["Id"] for entry in answer["Successful"]] == ["0"]
    failed = {entry["Id"]: entry for entry in answer["Failed"]}
    assert failed["1"]["Code"] == "InvalidMessageContents"
    assert failed["2"] == {
        "Id": "2",
        "SenderFault": True,
        "Code": "InvalidParameterValue",
        "Message": "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.",
    }
    assert failed["3"]["Code"] == "InvalidParameterValue"
    assert desk.bodies(queue) == ["good"]


def test_no_successful_key_when_all_failed(desk: Desk) -> None:
    """A list that is empty is left out of a batch's answer."""
    answer = desk.call("SendMessageBatch", QueueUrl=desk.queue(), Entries=entries("\x00"))
    assert set(answer) == {"Failed"}


def test_empty_batch(desk: Desk) -> None:
    """An empty batch is refused and names the kind of entry.

    [moto send_message_batch_errors, delete_message_batch_with_zero_entries]
    """
    queue = desk.queue()
    for operation in ("SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
        error = desk.refused(operation, QueueUrl=queue, Entries=[])
        assert (error.code, error.shape) == ("AWS.SimpleQueueService.EmptyBatchRequest", "EmptyBatchRequest")
        assert error.message == f"There should be at least one {operation}RequestEntry in the request."


def test_too_many_entries(desk: Desk) -> None:
    """More than ten entries are refused in all three batch operations."""
    queue = desk.queue()
    batch = [{"Id": str(n), "MessageBody": "a", "ReceiptHandle": "h"} for n in range(20)]
    for operation in ("SendMessageBatch", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"):
        error = desk.refused(operation, QueueUrl=queue, Entries=batch)
        assert error.code == "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
        assert error.message == "Maximum number of entries per request are 10. You have sent 20."


@pytest.mark.parametrize("entry_id", ["", "x" * 81, "a.b", "a b", "ä"])
def test_bad_entry_ids(desk: Desk, entry_id: str) -> None:
    """Entry ids: 1 to 80 letters, digits, hyphens, underscores.

    [invalid_batch_id, delete_message_batch_invalid_msg_id]
    """
    queue = desk.queue()
    for operation in ("SendMessageBatch", "DeleteMessageBatch"):
        error = desk.refused(
            operation, QueueUrl=queue, Entries=[{"Id": entry_id, "MessageBody": "a", "ReceiptHandle": "h"}]
        )
        assert error.code == "AWS.SimpleQueueService.InvalidBatchEntryId"
        assert error.message == (
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
            "It can be at most 80 letters long."
        )


def test_repeated_entry_ids(desk: Desk) -> None:
    """The first id met a second time is named [send_message_batch_errors]."""
    batch = [{"Id": f"id_{n}", "MessageBody": "a"} for n in (1, 2, 3, 2, 1)]
    error = desk.refused("SendMessageBatch", QueueUrl=desk.queue(), Entries=batch)
    assert error.code == "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"
    assert error.message == "Id id_2 repeated."


def test_order_of_batch_checks(desk: Desk) -> None:
    """Too many entries are found before bad ids, bad ids before repeated ones, those before the size."""
    queue = desk.queue()
    bad = [{"Id": "!", "MessageBody": "a"}] * 11
    assert desk.refused("SendMessageBatch", QueueUrl=queue, Entries=bad).shape == "TooManyEntriesInBatchRequest"
    assert desk.refused("SendMessageBatch", QueueUrl=queue, Entries=bad[:2]).shape == "InvalidBatchEntryId"
    twice = [{"Id": "a", "MessageBody": "x" * 1_048_577}] * 2
    assert desk.refused("SendMessageBatch", QueueUrl=queue, Entries=twice).shape == "BatchEntryIdsNotDistinct"


def test_batch_too_long(desk: Desk) -> None:
    """A batch may have 1 MiB in all [send_message_batch_with_oversized_contents, 19 Aug 2025]."""
    queue = desk.queue()
    half = 1_048_576 // 2
    assert "Failed" not in desk.call("SendMessageBatch", QueueUrl=queue, Entries=entries("x" * half, "y" * half))
    for batch in (entries("x" * half, "y" * (half + 1)), entries("x" * 1_048_577)):
        error = desk.refused("SendMessageBatch", QueueUrl=queue, Entries=batch)
        assert error.code == "AWS.SimpleQueueService.BatchRequestTooLong"
        assert error.message == "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes."


def test_batch_total_is_not_held_against_the_queue(desk: Desk) -> None:
    """A batch's total is held against 1 MiB, never against MaximumMessageSize; each entry is.

    [send_batch_message_size; send_message_batch_with_oversized_contents_with_updated_maximum_message_size]
    """
    queue = desk.queue(MaximumMessageSize="1024")
    answer = desk.call("SendMessageBatch", QueueUrl=queue, Entries=entries(*["x" * 1024] * 10))
    assert len(answer["Successful"]) == 10
    answer = desk.call("SendMessageBatch", QueueUrl=queue, Entries=entries("x" * 1024, "x" * 1025))
    assert len(answer["Successful"]) == 1
    assert answer["Failed"][0]["Message"] == (
        "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes."
    )


@pytest.mark.parametrize("delay", [-1, 901])
def test_delay_out_of_range(desk: Desk, delay: int) -> None:
    """A delay is 0 to 900 seconds."""
    error = desk.refused("SendMessage", QueueUrl=desk.queue(), MessageBody="a", DelaySeconds=delay)
    assert error.message == (
        f"Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."
    )


def test_deduplication_id_on_a_standard_queue(desk: Desk) -> None:
    """A standard queue takes no deduplication id."""
    error = desk.refused("SendMessage", QueueUrl=desk.queue(), MessageBody="a", MessageDeduplicationId="1")
    assert error.message.endswith("The request includes a parameter that is not valid for this queue type.")


def test_fair_queue(desk: Desk) -> None:
    """A group id on a standard queue is kept, returned and blocks nothing.

    [fair_queue_with_message_group_id, 18 Aug 2025]
    """
    queue = desk.queue()
    for body in ("a", "b"):
        desk.send(queue, body, group="tenant")
    assert len(desk.receive(queue, 1)) == 1
    received = desk.receive(queue, 1, AttributeNames=["MessageGroupId"])
    assert received[0]["Attributes"] == {"MessageGroupId": "tenant"}


@pytest.mark.parametrize("group", ["", "x" * 129, "group 123"])
def test_bad_group_on_a_standard_queue(desk: Desk, group: str) -> None:
    """A standard queue holds group ids to the same form [30 Jul 2025]."""
    error = desk.refused("SendMessage", QueueUrl=desk.queue(), MessageBody="a", MessageGroupId=group)
    assert error.message.startswith(f"Value {group} for parameter MessageGroupId is invalid.")


def test_partial_failure(desk: Desk) -> None:
    """A partial failure fails the share of the entries, as the service's fault, and they have no effect."""
    queue = desk.queue()
    twist = Twist("partial-failure", {"share": 0.3})
    answer = desk.call("SendMessageBatch", QueueUrl=queue, Entries=entries(*"abcdefghij"), twist=twist)
    assert len(answer["Failed"]) == 3
    assert {(entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]} == {("InternalError", False)}
    failed = {"abcdefghij"[int(entry["Id"])] for entry in answer["Failed"]}
    assert set(desk.bodies(queue)) == set("abcdefghij") - failed


@pytest.mark.parametrize(("share", "failed"), [(0.01, 1), (0.5, 2), (1.0, 4)])
def test_partial_failure_strikes_at_least_one(desk: Desk, share: float, failed: int) -> None:
    """However small the share, one entry fails; with 1.0 all do."""
    twist = Twist("partial-failure", {"share": share})
    answer = desk.call("SendMessageBatch", QueueUrl=desk.queue(), Entries=entries(*"abcd"), twist=twist)
    assert len(answer["Failed"]) == failed


def test_event_of_a_process(desk: Desk) -> None:
    """A process's send is recorded with length and digest, not with its body."""
    sent = desk.send(desk.queue(), "secret", DelaySeconds=3)
    (event,) = desk.of("send")
    assert event["message"] == sent["MessageId"]
    assert (event["queue"], event["bytes"], event["length"], event["origin"]) == ("q", 6, 6, "process")
    assert event["delay"] == 3.0
    assert "secret" not in str(event)
    assert event["digest"]


def test_digests_are_keyed() -> None:
    """The same body has another digest under another key."""
    digests = set()
    for key in (b"one", b"two"):
        desk = Desk(digest_key=key)
        desk.send(desk.queue(), "secret")
        digests.add(desk.of("send")[0]["digest"])
    assert len(digests) == 2


def test_record_bodies() -> None:
    """With record_bodies every body is written."""
    desk = Desk(record_bodies=True)
    desk.send(desk.queue(), "open")
    assert desk.of("send")[0]["body"] == "open"


def test_put(desk: Desk) -> None:
    """The workload's send needs no wire, keeps its key, and its body is recorded."""
    desk.queue()
    message_id = desk.sqs.put("q", "body", key="7", group="tenant", delay=0)
    (event,) = desk.of("send")
    assert (event["message"], event["key"], event["origin"], event["body"], event["group"]) == (
        message_id,
        "7",
        "workload",
        "body",
        "tenant",
    )
    with pytest.raises(SqsError, match="NonExistentQueue"):
        desk.sqs.put("nope", "body")


def test_keys(desk: Desk) -> None:
    """key_of is asked at each send without a key; its answer stands on every later event about the message."""
    asked: list[tuple[str, str, object]] = []

    def key_of(queue: str, body: str, attributes: object) -> tuple[str | None, str | None]:
        asked.append((queue, body, attributes))
        return f"key-{body}", "original-id"

    desk.sqs.key_of = key_of
    queue, dead = desk.with_dead_letters(receives=1, VisibilityTimeout="1")
    sent = desk.send(queue, "a")
    assert sent["MessageId"]
    assert asked == [(queue, "a", {})]
    assert desk.of("send")[0]["original"] == "original-id"
    desk.hide(queue, desk.receive(queue)[0], 0)
    desk.receive(queue)
    desk.delete(dead, desk.receive(dead)[0])
    about = desk.of("send", "receive", "visibility", "move", "delete")
    assert [event["kind"] for event in about] == ["send", "receive", "visibility", "move", "receive", "delete"]
    assert {event["key"] for event in about} == {"key-a"}
