"""The FIFO queue: groups, deduplication, handles that expire, repeated receives, sequence numbers."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from harness.sim.services import sqs_fifo
from harness.sim.verdicts import Twist
from tests.unit.sim.services.sqs_desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def fill(desk: Desk, queue: str, *bodies: str) -> None:
    """Send bodies like ``g1-a``: the group is what stands before the hyphen."""
    for body in bodies:
        desk.send(queue, body, body.partition("-")[0])


# -- order within a group --------------------------------------------------------


def test_one_group_in_order(desk: Desk) -> None:
    """A group's messages come in the order of sending, ten a receive."""
    queue = desk.queue("q.fifo")
    fill(desk, queue, *(f"g-{number:02}" for number in range(15)))
    first = desk.receive(queue)
    assert [message["Body"] for message in first] == [f"g-{number:02}" for number in range(10)]
    assert desk.bodies(queue) == []
    for message in first:
        desk.delete(queue, message)
    assert desk.bodies(queue) == [f"g-{number:02}" for number in range(10, 15)]


def extend(desk: Desk, *extended: int) -> list[str]:
    """Three of one group received, some extended; what comes once the others have expired."""
    queue = desk.queue("q.fifo", VisibilityTimeout="2")
    fill(desk, queue, "g-1", "g-2", "g-3")
    taken = desk.receive(queue)
    for number in extended:
        desk.hide(queue, taken[number - 1], 60)
    desk.later(3)
    return desk.bodies(queue)


@pytest.mark.parametrize(("extended", "seen"), [(2, ["g-1"]), (3, ["g-1", "g-2"]), (1, [])])
def test_group_gives_what_stands_before_its_first_hidden_message(desk: Desk, extended: int, seen: list[str]) -> None:
    """Extending one message holds back those behind it only [fifo_group_visibility_extends, 19 Nov 2025]."""
    assert extend(desk, extended) == seen


def test_terminated_timeout_of_the_first(desk: Desk) -> None:
    """Two received, the first set to 0: it comes again although the second is in flight.

    [after_terminate_visibility_timeout]
    """
    queue = desk.queue("q.fifo")
    fill(desk, queue, "g-1", "g-2", "g-3")
    first = desk.receive(queue, 2)[0]
    desk.hide(queue, first, 0)
    assert desk.bodies(queue) == ["g-1"]


def test_partial_delete(desk: Desk) -> None:
    """First deleted, second in flight: nothing of the group [after_partial_delete]."""
    queue = desk.queue("q.fifo")
    fill(desk, queue, "g-1", "g-2", "g-3")
    taken = desk.receive(queue, 2)
    desk.delete(queue, taken[0])
    assert desk.bodies(queue) == []


def test_all_deleted_frees_the_group_for_a_long_poll(desk: Desk) -> None:
    """All received ones deleted: the rest is free at once, also for a waiting long poll.

    [fifo_message_group_visibility]
    """
    queue = desk.queue("q.fifo")
    fill(desk, queue, "g-1", "g-2", "g-3")
    taken = desk.receive(queue, 2)

    def delete_both() -> None:
        for message in taken:
            desk.delete(queue, message)

    start = desk.clock.us
    desk.clock.at(3, delete_both)
    assert desk.bodies(queue, WaitTimeSeconds=20) == ["g-3"]
    assert desk.clock.us - start == 3_000_000


def test_order_is_kept_after_a_timeout(desk: Desk) -> None:
    """After a timeout the group starts again with its oldest message."""
    queue = desk.queue("q.fifo", VisibilityTimeout="2")
    fill(desk, queue, "g-1", "g-2", "g-3")
    desk.receive(queue, 2)
    desk.later(2)
    assert desk.bodies(queue) == ["g-1", "g-2", "g-3"]


def test_received_often_stays_in_front(desk: Desk) -> None:
    """FIFO never reorders: a message received many times still comes first."""
    queue = desk.queue("q.fifo", VisibilityTimeout="1")
    fill(desk, queue, "g-1", "g-2")
    for _ in range(5):
        assert desk.bodies(queue, 1) == ["g-1"]
        desk.later(1)


@pytest.mark.parametrize("kind", ["duplicate", "reorder"])
def test_twists_of_standard_queues_leave_fifo_alone(desk: Desk, kind: str) -> None:
    """Duplicate delivery and disorder are for standard queues only."""
    queue = desk.queue("q.fifo")
    fill(desk, queue, *(f"g-{number}" for number in range(9)))
    assert desk.bodies(queue, twist=Twist(kind)) == [f"g-{number}" for number in range(9)]
    assert desk.bodies(queue) == []


def test_twist_delay_keeps_the_order_of_a_group(desk: Desk) -> None:
    """A late message holds its group back instead of being overtaken; other groups go on."""
    queue = desk.queue("q.fifo")
    fill(desk, queue, "g-1", "h-1", "g-2")
    assert desk.bodies(queue, 1, twist=Twist("delay", {"seconds": 5})) == ["h-1"]
    assert desk.bodies(queue) == []
    desk.later(5)
    assert desk.bodies(queue) == ["g-1", "g-2"]


# -- order among groups ------------------------------------------------------------


def test_takes_all_it_can_from_one_group(desk: Desk) -> None:
    """Sent g1 g2 g1 g1, ten asked: g1 g1 g1 g2."""
    queue = desk.queue("q.fifo")
    fill(desk, queue, "g1-a", "g2-b", "g1-c", "g1-d")
    assert desk.bodies(queue) == ["g1-a", "g1-c", "g1-d", "g2-b"]


def test_served_group_goes_to_the_end_of_the_line(desk: Desk) -> None:
    """After a receive of 3 with timeout 0 from g1, g1, g2 the next ten are g3, g1, g1, g2, g2."""
    queue = desk.queue("q.fifo")
    fill(desk, queue, "g1-a", "g1-b", "g2-a", "g2-b", "g3-a")
    assert desk.bodies(queue, 3, VisibilityTimeout=0) == ["g1-a", "g1-b", "g2-a"]
    assert desk.bodies(queue) == ["g3-a", "g1-a", "g1-b", "g2-a", "g2-b"]


def test_counts_do_not_hide_siblings(desk: Desk) -> None:
    """A group in flight does not hide its siblings from the counts: 6 in 3 groups, 2 received: 4 and 2."""
    queue = desk.queue("q.fifo")
    fill(desk, queue, "g1-a", "g1-b", "g2-a", "g2-b", "g3-a", "g3-b")
    desk.receive(queue, 2)
    counts = desk.attributes(queue)
    assert counts["ApproximateNumberOfMessages"] == "4"
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "2"


def test_in_flight_limit_gives_nothing_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the in-flight limit a FIFO queue answers without an error and gives nothing more (here with 20)."""
    assert sqs_fifo.IN_FLIGHT_MAX == 120_000
    monkeypatch.setattr(sqs_fifo, "IN_FLIGHT_MAX", 15)
    queue = desk.queue("q.fifo")
    fill(desk, queue, *(f"g{number}-a" for number in range(30)))
    assert [len(desk.receive(queue)) for _ in range(3)] == [10, 5, 0]


def test_groups_far_back_are_not_looked_at(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first 120,000 messages are looked at for free groups (here 3) [doc, quotas-fifo]."""
    assert sqs_fifo.LOOKS_AT == 120_000
    monkeypatch.setattr(sqs_fifo, "LOOKS_AT", 3)
    queue = desk.queue("q.fifo")
    fill(desk, queue, "g-1", "g-2", "g-3", "h-1", "i-1")
    (first,) = desk.receive(queue, 1)
    assert desk.bodies(queue) == []  # h is free, but three messages of g stand before it
    desk.delete(queue, first)
    assert desk.bodies(queue) == ["g-2", "g-3", "h-1"]
    assert desk.bodies(queue) == []


def test_a_poll_wakes_when_a_group_comes_into_sight(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long poll gets a message of a group that is looked at once another message was deleted."""
    monkeypatch.setattr(sqs_fifo, "LOOKS_AT", 2)
    queue = desk.queue("q.fifo")
    fill(desk, queue, "g-1", "g-2", "h-1")
    first, _ = desk.receive(queue, 2)
    desk.clock.at(3, lambda: desk.delete(queue, first))
    assert desk.bodies(queue, WaitTimeSeconds=10) == ["h-1"]


def test_many_groups_leave_no_trace(desk: Desk) -> None:
    """Groups whose messages are all deleted are forgotten."""
    queue = desk.queue("q.fifo")
    for number in range(200):
        desk.send(queue, f"g{number}", f"g{number}")
        for message in desk.receive(queue):
            desk.delete(queue, message)
    desk.receive(queue)
    (kept,) = desk.sqs._queues.values()
    assert len(kept._groups) == 0
    assert len(kept._line) == 0


# -- handles --------------------------------------------------------------------------


def test_delete_after_expiry_is_refused(desk: Desk) -> None:
    """A FIFO handle whose time ran out does not delete [fifo_delete_after_visibility_timeout, 28 Mar 2025]."""
    queue = desk.queue("q.fifo", VisibilityTimeout="1")
    fill(desk, queue, "g-1")
    handle = desk.receive(queue)[0]["ReceiptHandle"]
    desk.later(1)
    error = desk.refused("DeleteMessage", QueueUrl=queue, ReceiptHandle=handle)
    assert (error.code, error.shape, error.status) == ("InvalidParameterValue", "InvalidParameterValueException", 400)
    assert error.message == (
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
    )
    assert desk.bodies(queue) == ["g-1"]


def test_delete_with_superseded_handle_is_refused(desk: Desk) -> None:
    """A superseded FIFO handle whose time ran out does not delete what another consumer holds."""
    queue = desk.queue("q.fifo", VisibilityTimeout="1")
    fill(desk, queue, "g-1")
    handle = desk.receive(queue)[0]["ReceiptHandle"]
    desk.later(1)
    desk.receive(queue)
    assert "expired" in desk.refused("DeleteMessage", QueueUrl=queue, ReceiptHandle=handle).message


def test_delete_within_extended_time(desk: Desk) -> None:
    """A handle extended in time deletes within the new time [fifo_delete_after_visibility_timeout_extended]."""
    queue = desk.queue("q.fifo", VisibilityTimeout="1")
    fill(desk, queue, "g-1")
    message = desk.receive(queue)[0]
    desk.hide(queue, message, 10)
    desk.later(5)
    desk.delete(queue, message)
    assert desk.of("delete")[0]["found"] is True


# -- deduplication ----------------------------------------------------------------------


def test_duplicate_is_accepted_and_not_delivered(desk: Desk) -> None:
    """A duplicate within five minutes is answered with the first MessageId and not delivered, even after a delete."""
    queue = desk.queue("q.fifo")
    first = desk.send(queue, "a", dedup="1")
    for message in desk.receive(queue):
        desk.delete(queue, message)
    desk.later(299.999999)
    second = desk.send(queue, "b", dedup="1")
    assert second["MessageId"] == first["MessageId"]
    assert desk.bodies(queue) == []
    assert len(desk.of("send")) == 1
    desk.later(0.000001)
    assert desk.send(queue, "c", dedup="1")["MessageId"] != first["MessageId"]
    assert desk.bodies(queue) == ["c"]


def test_content_based_deduplication(desk: Desk) -> None:
    """The content-based id is the SHA-256 of the body; an explicit id equal to it is a duplicate, another is not."""
    queue = desk.queue("q.fifo", ContentBasedDeduplication="true")
    send = {"QueueUrl": queue, "MessageBody": "body", "MessageGroupId": "g"}
    first = desk.call("SendMessage", **send)
    again = desk.call("SendMessage", **send, MessageAttributes={"a": {"DataType": "String", "StringValue": "x"}})
    explicit = desk.call("SendMessage", **send, MessageDeduplicationId=hashlib.sha256(b"body").hexdigest())
    other = desk.call("SendMessage", **send, MessageDeduplicationId="other")
    assert first["MessageId"] == again["MessageId"] == explicit["MessageId"] != other["MessageId"]
    assert len(desk.receive(queue)) == 2


def test_scope_queue_deduplicates_across_groups(desk: Desk) -> None:
    """With DeduplicationScope queue the window covers all groups."""
    queue = desk.queue("q.fifo")
    assert (
        desk.send(queue, "a", group="g1", dedup="1")["MessageId"]
        == desk.send(queue, "a", group="g2", dedup="1")["MessageId"]
    )


def test_scope_group_deduplicates_within_the_group(desk: Desk) -> None:
    """With scope messageGroup it covers one group, without the high-throughput limit.

    [sqs_fifo_message_group_scope_no_throughput_setting]
    """
    queue = desk.queue("q.fifo", DeduplicationScope="messageGroup")
    ids = {desk.send(queue, "a", group=group, dedup="1")["MessageId"] for group in ("g1", "g2", "g1")}
    assert len(ids) == 2


@pytest.mark.parametrize(("before", "after", "ids"), [("queue", "messageGroup", 1), ("messageGroup", "queue", 2)])
def test_changed_scope_has_no_effect(desk: Desk, before: str, after: str, ids: int) -> None:
    """Changing the scope of an existing queue reads back changed and has no effect, in both directions."""
    queue = desk.queue("q.fifo", DeduplicationScope=before)
    desk.call("SetQueueAttributes", QueueUrl=queue, Attributes={"DeduplicationScope": after})
    assert desk.attributes(queue)["DeduplicationScope"] == after
    assert len({desk.send(queue, "a", group=group, dedup="1")["MessageId"] for group in ("g1", "g2")}) == ids


def test_purge_clears_the_window(desk: Desk) -> None:
    """PurgeQueue clears the deduplication window [purge_queue_clears_fifo_deduplication_cache]."""
    queue = desk.queue("q.fifo")
    desk.send(queue, "a", dedup="1")
    desk.call("PurgeQueue", QueueUrl=queue)
    desk.send(queue, "b", dedup="1")
    assert desk.bodies(queue) == ["b"]


def test_missing_deduplication_id(desk: Desk) -> None:
    """Without id and content-based deduplication a send is refused.

    [posting_to_fifo_requires_deduplicationid_group_id]
    """
    error = desk.refused("SendMessage", QueueUrl=desk.queue("q.fifo"), MessageBody="a", MessageGroupId="g")
    assert (error.code, error.shape) == ("InvalidParameterValue", "InvalidParameterValueException")
    assert error.message == (
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
    )


def test_missing_group_id(desk: Desk) -> None:
    """Without a group id a send is refused as MissingParameter [posting_to_fifo_requires_deduplicationid_group_id]."""
    error = desk.refused("SendMessage", QueueUrl=desk.queue("q.fifo"), MessageBody="a", MessageDeduplicationId="1")
    assert (error.code, error.shape) == ("MissingParameter", "MissingRequiredParameterException")
    assert error.message == "The request must contain the parameter MessageGroupId."


def test_missing_group_id_in_a_batch_fails_all(desk: Desk) -> None:
    """In a batch it is InvalidParameterValue, and the whole batch fails [send_batch_missing_message_group_id]."""
    queue = desk.queue("q.fifo", ContentBasedDeduplication="true")
    entries: list[dict[str, Any]] = [
        {"Id": "1", "MessageBody": "a", "MessageGroupId": "g"},
        {"Id": "2", "MessageBody": "b"},
    ]
    error = desk.refused("SendMessageBatch", QueueUrl=queue, Entries=entries)
    assert (error.code, error.shape) == ("InvalidParameterValue", "InvalidParameterValueException")
    assert error.message == "The request must contain the parameter MessageGroupId."
    assert desk.bodies(queue) == []


@pytest.mark.parametrize("token", ["", "x" * 129, "group 123", "ü"])
@pytest.mark.parametrize("name", ["MessageGroupId", "MessageDeduplicationId"])
def test_bad_ids(desk: Desk, name: str, token: str) -> None:
    """Group and deduplication ids: 1 to 128 letters, digits and punctuation [30 Jul 2025]."""
    parameters = {"MessageGroupId": "g", "MessageDeduplicationId": "1", name: token}
    error = desk.refused("SendMessage", QueueUrl=desk.queue("q.fifo"), MessageBody="a", **parameters)
    assert error.code == "InvalidParameterValue"
    assert error.message == (
        f"Value {token} for parameter {name} is invalid. "
        f"Reason: {name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
    )
    parameters[name] = "~" * 128
    assert desk.call("SendMessage", QueueUrl="q.fifo", MessageBody="a", **parameters)["MessageId"]


# -- sequence numbers, delay ---------------------------------------------------------------


def test_sequence_numbers_rise(desk: Desk) -> None:
    """Sequence numbers rise strictly, have 20 digits, and come with sends and receives.

    [fifo_sequence_number_increases]
    """
    queue = desk.queue("q.fifo")
    sent = [desk.send(queue, str(number))["SequenceNumber"] for number in range(5)]
    assert all(len(number) == 20 for number in sent)
    assert sent == sorted(set(sent))
    received = desk.receive(queue, AttributeNames=["SequenceNumber"])
    assert [message["Attributes"]["SequenceNumber"] for message in received] == sent


def test_system_attributes_of_fifo(desk: Desk) -> None:
    """FIFO adds MessageGroupId, MessageDeduplicationId and SequenceNumber to All."""
    queue = desk.queue("q.fifo")
    desk.send(queue, "a", group="g", dedup="d")
    attributes = desk.receive(queue, AttributeNames=["All"])[0]["Attributes"]
    assert (attributes["MessageGroupId"], attributes["MessageDeduplicationId"]) == ("g", "d")
    assert set(attributes) == {
        "SenderId",
        "SentTimestamp",
        "ApproximateReceiveCount",
        "ApproximateFirstReceiveTimestamp",
        "MessageGroupId",
        "MessageDeduplicationId",
        "SequenceNumber",
    }


def test_message_delay_is_refused_but_zero(desk: Desk) -> None:
    """Per message only delay 0 is taken, and means the queue's.

    [fifo_queue_send_message_with_delay_seconds_fails; ..zero_delay_defaults_to_queue_delay, 31 Jul 2025]
    """
    queue = desk.queue("q.fifo", DelaySeconds="5")
    error = desk.refused(
        "SendMessage", QueueUrl=queue, MessageBody="a", MessageGroupId="g", MessageDeduplicationId="1", DelaySeconds=2
    )
    assert error.message == (
        "Value 2 for parameter DelaySeconds is invalid. "
        "Reason: The request include parameter that is not valid for this queue type."
    )
    desk.send(queue, "a", DelaySeconds=0)
    assert desk.bodies(queue) == []
    desk.later(5)
    assert desk.bodies(queue) == ["a"]


def test_changed_queue_delay_is_retroactive(desk: Desk) -> None:
    """A changed delay of a FIFO queue holds for messages that wait already, longer or shorter."""
    queue = desk.queue("q.fifo", DelaySeconds="10")
    fill(desk, queue, "g-1", "h-1")
    desk.later(3)
    desk.call("SetQueueAttributes", QueueUrl=queue, Attributes={"DelaySeconds": "20"})
    desk.later(16)
    assert desk.bodies(queue) == []
    desk.call("SetQueueAttributes", QueueUrl=queue, Attributes={"DelaySeconds": "19"})
    assert desk.bodies(queue) == ["g-1", "h-1"]


# -- repeated receives ------------------------------------------------------------------------


def test_attempt_id_gives_the_same_again(desk: Desk) -> None:
    """The same attempt id returns the same messages and handles and starts the timeout afresh."""
    queue = desk.queue("q.fifo", VisibilityTimeout="10")
    fill(desk, queue, "g-1", "g-2")
    first = desk.receive(queue, ReceiveRequestAttemptId="try")
    desk.later(8)
    assert desk.receive(queue, ReceiveRequestAttemptId="try") == first
    desk.later(8)
    assert desk.bodies(queue) == []
    desk.delete(queue, first[0])


@pytest.mark.parametrize("change", ["delete", "hide"])
def test_attempt_id_after_a_change(desk: Desk, change: str) -> None:
    """Once a message was deleted or its visibility changed, the receive is not retryable."""
    queue = desk.queue("q.fifo")
    fill(desk, queue, "g-1", "g-2")
    message = desk.receive(queue, ReceiveRequestAttemptId="try")[0]
    if change == "delete":
        desk.delete(queue, message)
    else:
        desk.hide(queue, message, 60)
    error = desk.refused("ReceiveMessage", QueueUrl=queue, ReceiveRequestAttemptId="try")
    assert error.message == (
        "Value try for parameter ReceiveRequestAttemptId is invalid. "
        "Reason: The receiveRequestAttemptId is not valid anymore since the receive call is not retryable."
    )


def test_attempt_id_lasts_five_minutes(desk: Desk) -> None:
    """After five minutes an attempt id is new again."""
    queue = desk.queue("q.fifo", VisibilityTimeout="1000")
    fill(desk, queue, "g-1", "h-1")
    desk.receive(queue, 1, ReceiveRequestAttemptId="try")
    desk.later(300)
    assert desk.bodies(queue, 1, ReceiveRequestAttemptId="try") == ["h-1"]


# -- dead letters -------------------------------------------------------------------------------


def test_dead_letter_frees_the_group(desk: Desk) -> None:
    """A message that moves to the dead-letter queue frees its group in the same receive.

    [dead_letter_queue_with_fifo]
    """
    queue, dead = desk.with_dead_letters("q.fifo", receives=1, VisibilityTimeout="1")
    fill(desk, queue, "g-1", "g-2")
    desk.receive(queue, 1)
    desk.later(1)
    assert desk.bodies(queue) == ["g-2"]
    moved = desk.receive(dead, AttributeNames=["All"])[0]
    assert moved["Body"] == "g-1"
    assert moved["Attributes"]["MessageGroupId"] == "g"


def test_retention_starts_anew_in_a_fifo_dead_letter_queue(desk: Desk) -> None:
    """On FIFO queues retention starts anew after a move."""
    queue, dead = desk.with_dead_letters("q.fifo", receives=1, VisibilityTimeout="1")
    desk.call("SetQueueAttributes", QueueUrl=dead, Attributes={"MessageRetentionPeriod": "100"})
    fill(desk, queue, "g-1")
    desk.receive(queue)
    desk.later(90)
    desk.receive(queue)
    desk.later(99)
    assert desk.sqs.inventory()[dead]["visible"] == 1
    desk.later(1)
    assert desk.sqs.inventory()[dead]["visible"] == 0


def test_expired_messages_free_the_group(desk: Desk) -> None:
    """Retention takes the head of a group away; what was sent later is given."""
    queue = desk.queue("q.fifo", MessageRetentionPeriod="60", VisibilityTimeout="1000")
    fill(desk, queue, "g-1")
    desk.receive(queue)
    desk.later(30)
    fill(desk, queue, "g-2")
    assert desk.bodies(queue) == []
    desk.later(30)
    assert desk.bodies(queue) == ["g-2"]


def test_dead_letter_queue_must_be_fifo(desk: Desk) -> None:
    """A FIFO queue's dead-letter queue is a FIFO queue."""
    desk.queue("dead")
    policy = json.dumps({"deadLetterTargetArn": desk.arn("dead"), "maxReceiveCount": 1})
    error = desk.refused("CreateQueue", QueueName="q.fifo", Attributes={"FifoQueue": "true", "RedrivePolicy": policy})
    assert error.code == "InvalidParameterValue"
