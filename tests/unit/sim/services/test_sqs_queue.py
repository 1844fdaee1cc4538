"""The standard queue: order, visibility, handles, dead letters, retention, twists."""

from __future__ import annotations

import pytest

from harness.sim.services import sqs_queue
from harness.sim.verdicts import Twist
from tests.unit.sim.services.sqs_desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_order_without_faults_is_first_in_first_out(desk: Desk) -> None:
    """Without a fault a standard queue gives messages in the order of their sending."""
    queue = desk.queue()
    for number in range(25):
        desk.send(queue, str(number))
    seen = [desk.bodies(queue, 7), desk.bodies(queue, 10), desk.bodies(queue, 10)]
    assert [body for bodies in seen for body in bodies] == [str(number) for number in range(25)]


def test_message_comes_back_before_later_ones(desk: Desk) -> None:
    """A message whose timeout ran out is given before one sent meanwhile [inflight_message_requeue]."""
    queue = desk.queue(VisibilityTimeout="5")
    desk.send(queue, "first")
    assert desk.bodies(queue, 1) == ["first"]
    desk.send(queue, "second")
    desk.later(5)
    assert desk.bodies(queue) == ["first", "second"]


def test_received_three_times_goes_to_the_back(desk: Desk) -> None:
    """A message received three times and not deleted goes to the back; until then it comes first."""
    queue = desk.queue(VisibilityTimeout="5")
    desk.send(queue, "poison")
    desk.send(queue, "good")
    for _ in range(3):
        assert desk.bodies(queue, 1) == ["poison"]
        desk.later(5)
    assert desk.bodies(queue, 10) == ["good", "poison"]


def test_visibility_timeout_hides_and_shows(desk: Desk) -> None:
    """A received message is hidden for the timeout of its receive, to the microsecond."""
    queue = desk.queue(VisibilityTimeout="30")
    desk.send(queue, "a")
    desk.receive(queue, VisibilityTimeout=2)
    desk.later(1.999999)
    assert desk.bodies(queue) == []
    desk.later(0.000001)
    assert desk.bodies(queue) == ["a"]


def test_receive_with_timeout_zero_counts(desk: Desk) -> None:
    """ReceiveMessage's VisibilityTimeout=0 shows the message again at once and counts as a receive."""
    queue = desk.queue()
    desk.send(queue, "a")
    counts = [
        desk.receive(queue, VisibilityTimeout=0, AttributeNames=["All"])[0]["Attributes"]["ApproximateReceiveCount"]
        for _ in range(3)
    ]
    assert counts == ["1", "2", "3"]


def test_every_receive_gives_another_handle(desk: Desk) -> None:
    """Each receive of one message gives another handle."""
    queue = desk.queue(VisibilityTimeout="0")
    desk.send(queue, "a")
    assert len({desk.receive(queue)[0]["ReceiptHandle"] for _ in range(5)}) == 5


def test_delete_after_expiry(desk: Desk) -> None:
    """A handle whose timeout ran out deletes on a standard queue [delete_after_visibility_timeout]."""
    queue = desk.queue(VisibilityTimeout="1")
    desk.send(queue, "a")
    message = desk.receive(queue)[0]
    desk.later(2)
    desk.delete(queue, message)
    desk.later(60)
    assert desk.bodies(queue) == []
    assert desk.sqs.inventory()[queue] == {"visible": 0, "in_flight": 0, "delayed": 0}


def test_delete_with_superseded_handle(desk: Desk) -> None:
    """A superseded handle never errs; whether it deletes is left open by AWS.

    [remove_message_with_old_receipt_handle]
    """
    for deletes in (True, False):
        desk = Desk()
        desk.sqs.superseded_handle_deletes = deletes
        queue = desk.queue(VisibilityTimeout="1")
        desk.send(queue, "a")
        old = desk.receive(queue)[0]
        desk.later(1)
        assert desk.bodies(queue) == ["a"]
        desk.delete(queue, old)
        desk.later(1)
        assert desk.bodies(queue) == ([] if deletes else ["a"])
        assert desk.of("delete")[0]["found"] is deletes


def test_delete_twice(desk: Desk) -> None:
    """Deleting again is no error; the second finds nothing [delete_message_with_deleted_receipt_handle]."""
    queue = desk.queue()
    sent = desk.send(queue, "a")
    message = desk.receive(queue)[0]
    desk.delete(queue, message)
    desk.delete(queue, message)
    assert [(event["message"], event["found"]) for event in desk.of("delete")] == [
        (sent["MessageId"], True),
        (sent["MessageId"], False),
    ]


def test_change_visibility_counts_from_the_call(desk: Desk) -> None:
    """The new timeout counts from the call, and holds for that receive only."""
    queue = desk.queue(VisibilityTimeout="10")
    desk.send(queue, "a")
    message = desk.receive(queue)[0]
    desk.later(6)
    desk.hide(queue, message, 7)
    desk.later(6.9)
    assert desk.bodies(queue) == []
    desk.later(0.1)
    assert desk.bodies(queue) == ["a"]
    desk.later(9.9)
    assert desk.bodies(queue) == []
    desk.later(0.1)
    assert desk.bodies(queue) == ["a"]


def test_change_visibility_to_zero_shows_at_once(desk: Desk) -> None:
    """Zero shows the message at once."""
    queue = desk.queue()
    desk.send(queue, "a")
    desk.hide(queue, desk.receive(queue)[0], 0)
    assert desk.bodies(queue) == ["a"]


def test_change_visibility_after_expiry_hides_again(desk: Desk) -> None:
    """After expiry a change is accepted and hides again.

    [change_message_visibility_after_visibility_timeout_expiration]
    """
    queue = desk.queue(VisibilityTimeout="1")
    desk.send(queue, "a")
    message = desk.receive(queue)[0]
    desk.later(2)
    desk.hide(queue, message, 5)
    assert desk.bodies(queue) == []
    desk.later(5)
    assert desk.bodies(queue) == ["a"]


def test_message_hidden_after_expiry_comes_back_once(desk: Desk) -> None:
    """A message that was hidden again after its expiry is not given twice by one receive."""
    queue = desk.queue(VisibilityTimeout="1")
    desk.send(queue, "a")
    message = desk.receive(queue)[0]
    for _ in range(3):
        desk.later(2)
        desk.hide(queue, message, 1)
    desk.later(1)
    assert desk.bodies(queue) == ["a"]


def test_superseded_handle_changes_visibility(desk: Desk) -> None:
    """A superseded handle changes visibility while another consumer holds it.

    [terminate_visibility_timeout_after_receive]
    """
    queue = desk.queue(VisibilityTimeout="1")
    desk.send(queue, "a")
    old = desk.receive(queue)[0]
    desk.later(1)
    assert desk.bodies(queue, VisibilityTimeout=100) == ["a"]
    desk.hide(queue, old, 0)
    assert desk.bodies(queue) == ["a"]


def test_change_visibility_of_a_deleted_message(desk: Desk) -> None:
    """Changing the visibility of a deleted message is refused [change_visibility_on_deleted_message]."""
    queue = desk.queue()
    desk.send(queue, "a")
    message = desk.receive(queue)[0]
    desk.delete(queue, message)
    handle = message["ReceiptHandle"]
    error = desk.refused("ChangeMessageVisibility", QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=5)
    assert (error.code, error.shape, error.status) == ("InvalidParameterValue", "InvalidParameterValueException", 400)
    assert error.message == (
        f"Value {handle} for parameter ReceiptHandle is invalid. "
        "Reason: Message does not exist or is not available for visibility timeout change."
    )


def test_twelve_hours_in_all(desk: Desk) -> None:
    """A message is hidden for 12 hours in all at most, counted from its receive."""
    queue = desk.queue()
    desk.send(queue, "a")
    message = desk.receive(queue)[0]
    handle = message["ReceiptHandle"]
    desk.hide(queue, message, 43_200)
    desk.later(10)
    error = desk.refused("ChangeMessageVisibility", QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=43_200)
    assert error.message == (
        "Value 43200 for parameter VisibilityTimeout is invalid. "
        "Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]"
    )
    error = desk.refused("ChangeMessageVisibility", QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=43_201)
    assert error.code == "InvalidParameterValue"
    desk.hide(queue, message, 43_190)


@pytest.mark.parametrize("handle", ["garbage", "AAAA", "", "ä", "A" * 48])
def test_illegal_handle(desk: Desk, handle: str) -> None:
    """What was never a handle is refused as such [delete_message_with_illegal_receipt_handle]."""
    error = desk.refused("DeleteMessage", QueueUrl=desk.queue(), ReceiptHandle=handle)
    assert (error.code, error.shape) == ("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid")
    assert error.message == f'The input receipt handle "{handle}" is not a valid receipt handle.'


def test_handle_of_another_queue(desk: Desk) -> None:
    """A handle is good for its own queue only, not even for a later queue of the same name."""
    one, two = desk.queue("one"), desk.queue("two")
    desk.send(one, "a")
    desk.send(two, "a")
    handle = desk.receive(one)[0]["ReceiptHandle"]
    assert desk.refused("DeleteMessage", QueueUrl=two, ReceiptHandle=handle).code == "ReceiptHandleIsInvalid"
    desk.call("DeleteQueue", QueueUrl=one)
    desk.later(60)
    desk.queue("one")
    desk.send(one, "b")
    assert desk.refused("DeleteMessage", QueueUrl=one, ReceiptHandle=handle).code == "ReceiptHandleIsInvalid"


def test_delay_of_queue_and_message(desk: Desk) -> None:
    """A message is hidden for its own delay, else for the queue's; a changed queue delay is not retroactive."""
    queue = desk.queue(DelaySeconds="5")
    desk.send(queue, "queue's")
    desk.send(queue, "own", DelaySeconds=2)
    desk.send(queue, "none", DelaySeconds=0)
    assert desk.sqs.inventory()[queue] == {"visible": 1, "in_flight": 0, "delayed": 2}
    assert desk.bodies(queue) == ["none"]
    desk.call("SetQueueAttributes", QueueUrl=queue, Attributes={"DelaySeconds": "900"})
    desk.later(2)
    assert desk.bodies(queue) == ["own"]
    desk.later(3)
    assert desk.bodies(queue) == ["queue's"]


def test_retention(desk: Desk) -> None:
    """A message is gone when its retention has run out, visible or in flight, and the history says so."""
    queue = desk.queue(MessageRetentionPeriod="60", VisibilityTimeout="1000")
    ids = [desk.send(queue, body)["MessageId"] for body in ("a", "b")]
    desk.receive(queue, 1)
    desk.later(59.999999)
    assert desk.sqs.inventory()[queue] == {"visible": 1, "in_flight": 1, "delayed": 0}
    desk.later(0.000001)
    assert desk.bodies(queue) == []
    assert desk.sqs.inventory()[queue] == {"visible": 0, "in_flight": 0, "delayed": 0}
    assert [event["message"] for event in desk.of("expire")] == ids


def test_in_flight_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 120,000 messages in flight a standard queue refuses receives with OverLimit (here with 20)."""
    assert sqs_queue.IN_FLIGHT_MAX == 120_000
    monkeypatch.setattr(sqs_queue, "IN_FLIGHT_MAX", 20)
    queue = desk.queue()
    for _ in range(21):
        desk.send(queue, "x")
    first = desk.receive(queue, 10)
    assert len(desk.receive(queue, 10)) == 10
    assert desk.refused("ReceiveMessage", QueueUrl=queue).shape == "OverLimit"
    desk.delete(queue, first[0])
    assert len(desk.receive(queue, 10)) == 1


def test_dead_letter_move(desk: Desk) -> None:
    """At the receive that would exceed maxReceiveCount the message moves; id, body, count stay.

    [dead_letter_queue_message_attributes]
    """
    queue, dead = desk.with_dead_letters(receives=1, VisibilityTimeout="1")
    attributes = {"a": {"DataType": "String", "StringValue": "x"}}
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}}
    sent = desk.send(queue, "body", MessageAttributes=attributes, MessageSystemAttributes=trace)
    first = desk.receive(queue, AttributeNames=["All"])[0]
    assert "DeadLetterQueueSourceArn" not in first["Attributes"]
    desk.later(1)
    assert desk.receive(queue) == []
    moved = desk.receive(dead, AttributeNames=["All"], MessageAttributeNames=["All"])[0]
    assert (moved["MessageId"], moved["Body"]) == (sent["MessageId"], "body")
    assert moved["MessageAttributes"] == attributes
    assert moved["Attributes"]["ApproximateReceiveCount"] == "2"
    assert moved["Attributes"]["AWSTraceHeader"] == "Root=1"
    assert moved["Attributes"]["DeadLetterQueueSourceArn"] == desk.arn(queue)
    assert moved["Attributes"]["SentTimestamp"] == first["Attributes"]["SentTimestamp"]
    move = desk.of("move")[0]
    assert (move["message"], move["queue"], move["to"], move["receive_count"]) == (sent["MessageId"], queue, dead, 1)


def test_receive_goes_on_past_dead_letters(desk: Desk) -> None:
    """The receive that moves dead letters still returns the others."""
    queue, dead = desk.with_dead_letters(receives=1, VisibilityTimeout="1")
    desk.send(queue, "poison")
    desk.receive(queue)
    desk.later(1)
    desk.send(queue, "good")
    assert desk.bodies(queue, 1) == ["good"]
    assert desk.bodies(dead) == ["poison"]


def test_retention_runs_on_in_a_standard_dead_letter_queue(desk: Desk) -> None:
    """On standard queues retention runs on from the first enqueue after a move."""
    queue, dead = desk.with_dead_letters(receives=1, VisibilityTimeout="1")
    desk.call("SetQueueAttributes", QueueUrl=dead, Attributes={"MessageRetentionPeriod": "100"})
    desk.send(queue, "old")
    desk.receive(queue)
    desk.later(90)
    assert desk.receive(queue) == []
    desk.later(9.9)
    assert desk.sqs.inventory()[dead]["visible"] == 1
    desk.later(0.1)
    assert desk.sqs.inventory()[dead]["visible"] == 0


def test_dead_letter_queue_that_was_deleted(desk: Desk) -> None:
    """If the dead-letter queue is gone, messages stay and go on coming: nothing is lost silently."""
    queue, dead = desk.with_dead_letters(receives=1, VisibilityTimeout="0")
    desk.send(queue, "a")
    desk.call("DeleteQueue", QueueUrl=dead)
    assert [desk.bodies(queue) for _ in range(3)] == [["a"]] * 3


def test_twist_duplicate_in_flight(desk: Desk) -> None:
    """Duplicate: one message of the receive is delivered once more although it is in flight."""
    queue = desk.queue()
    desk.send(queue, "a")
    assert desk.bodies(queue, twist=Twist("duplicate")) == ["a"]
    again = desk.receive(queue, AttributeNames=["All"])
    assert [message["Attributes"]["ApproximateReceiveCount"] for message in again] == ["2"]
    assert desk.bodies(queue) == []
    desk.delete(queue, again[0])
    desk.later(100)
    assert desk.bodies(queue) == []


def test_twist_duplicate_after_delete(desk: Desk) -> None:
    """Duplicate: the copy comes although the message was deleted, and then never again."""
    queue = desk.queue()
    desk.send(queue, "a")
    message = desk.receive(queue, twist=Twist("duplicate"))[0]
    desk.delete(queue, message)
    again = desk.receive(queue)
    assert [message["Body"] for message in again] == ["a"]
    desk.delete(queue, again[0])
    assert desk.of("delete")[-1]["found"] is False
    desk.later(100)
    assert desk.bodies(queue) == []
    assert desk.sqs.inventory()[queue] == {"visible": 0, "in_flight": 0, "delayed": 0}


def test_twist_duplicate_strikes_one_message_a_receive(desk: Desk) -> None:
    """Duplicate: each strike delivers one message twice, so that duplicates are bounded by strikes."""
    queue = desk.queue()
    for number in range(10):
        desk.send(queue, str(number))
    assert len(desk.receive(queue, twist=Twist("duplicate"))) == 10
    assert len(desk.receive(queue)) == 1


def test_twist_duplicate_on_send(desk: Desk) -> None:
    """Duplicate on SendMessage: the first delivery is followed by a second one."""
    queue = desk.queue()
    desk.call("SendMessage", QueueUrl=queue, MessageBody="a", twist=Twist("duplicate"))
    assert desk.bodies(queue) == ["a"]
    assert desk.bodies(queue) == ["a"]
    assert desk.bodies(queue) == []


def test_twist_duplicate_respects_the_receive_count(desk: Desk) -> None:
    """Duplicate: a message is never delivered more often than its redrive policy allows."""
    queue, _ = desk.with_dead_letters(receives=1)
    desk.send(queue, "a")
    assert desk.bodies(queue, twist=Twist("duplicate")) == ["a"]
    assert desk.bodies(queue) == []


def test_twist_reorder(desk: Desk) -> None:
    """Reorder: a receive gives messages of the front in another order, and loses none."""
    queue = desk.queue()
    for number in range(40):
        desk.send(queue, str(number))
    seen = [body for _ in range(4) for body in desk.bodies(queue, twist=Twist("reorder"))]
    assert seen != [str(number) for number in range(40)]
    assert sorted(map(int, seen)) == list(range(40))


def test_twist_reorder_on_send(desk: Desk) -> None:
    """Reorder on SendMessage: the message overtakes some that were sent before it."""
    queue = desk.queue()
    for number in range(40):
        desk.send(queue, str(number))
    desk.call("SendMessage", QueueUrl=queue, MessageBody="last", twist=Twist("reorder"))
    seen = [body for _ in range(5) for body in desk.bodies(queue)]
    assert len(seen) == 41
    assert seen.index("last") < 40


def test_twist_delay(desk: Desk) -> None:
    """Delay: a sent message appears that much later; a receive's messages hide without counting as received."""
    queue = desk.queue()
    desk.call("SendMessage", QueueUrl=queue, MessageBody="a", twist=Twist("delay", {"seconds": 7}))
    assert desk.bodies(queue) == []
    desk.later(7)
    assert desk.bodies(queue, twist=Twist("delay", {"seconds": 3})) == []
    desk.later(3)
    assert desk.receive(queue, AttributeNames=["All"])[0]["Attributes"]["ApproximateReceiveCount"] == "1"


def test_twist_empty_receive(desk: Desk) -> None:
    """Empty receive: nothing is found although a message is there; a long poll waits its whole time."""
    queue = desk.queue()
    desk.send(queue, "a")
    assert desk.bodies(queue, twist=Twist("empty-receive")) == []
    start = desk.clock.us
    assert desk.bodies(queue, twist=Twist("empty-receive"), WaitTimeSeconds=5) == []
    assert desk.clock.us - start == 5_000_000
    assert desk.bodies(queue) == ["a"]


def test_twist_stale_attributes(desk: Desk) -> None:
    """Stale attributes: counts are those of some moment of the last minute."""
    queue = desk.queue()
    desk.later(10)
    for _ in range(5):
        desk.send(queue, "a")
    assert desk.attributes(queue)["ApproximateNumberOfMessages"] == "5"
    assert desk.attributes(queue, twist=Twist("stale-attributes"))["ApproximateNumberOfMessages"] == "0"


def test_same_seed_same_twists() -> None:
    """What a twist draws comes from the stream that was handed in: two services do the same."""

    def story() -> list[list[str]]:
        desk = Desk()
        queue = desk.queue()
        for number in range(40):
            desk.send(queue, str(number))
        return [desk.bodies(queue, twist=Twist("reorder")) for _ in range(4)]

    assert story() == story()
