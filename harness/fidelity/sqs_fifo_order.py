"""FIFO queues, the receiving side: order, groups, handles that expire, receives that are repeated."""

from __future__ import annotations

from typing import Any

from harness.fidelity.bench import Bench
from harness.fidelity.rows import case, documented, recorded, rule

__all__: list[str] = []


def _send(bench: Bench, url: str, *bodies: str) -> None:
    """Send bodies like ``g1-a``: the group is what stands before the hyphen."""
    for body in bodies:
        bench.send(url, body, body.partition("-")[0])


def _queue(bench: Bench, *bodies: str, **attributes: str) -> str:
    url = bench.fifo(**attributes)
    _send(bench, url, *bodies)
    return url


def _bodies(messages: list[dict[str, Any]]) -> list[str]:
    return [message["Body"] for message in messages]


@case(
    701,
    "group-in-order",
    "The messages of a group come in the order of their sending.",
    recorded("fifo_queue_send_multiple_messages_multiple_single_receives"),
)
def _order(bench: Bench) -> None:
    url = _queue(bench, "g-1", "g-2", "g-3")
    found = []
    for _ in range(3):
        message = bench.one(url)
        found.append(message["Body"])
        bench.delete(url, message)
    bench.equal("the messages", found, ["g-1", "g-2", "g-3"])


@case(
    702,
    "one-group-before-the-next",
    "One receive takes as much as it can from one group before the next.",
    recorded("fifo_receive_message_group_id_ordering"),
)
def _one_group(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g2-1", "g1-2", "g1-3")
    bench.equal("the messages", bench.bodies(url), ["g1-1", "g1-2", "g1-3", "g2-1"])


@case(
    703,
    "served-group-goes-to-the-end",
    "A group that was served goes to the end of the line, its own order stays.",
    recorded("fifo_receive_message_with_zero_visibility_timeout"),
)
def _served(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g2-1", "g2-2", "g3-1", "g1-2")
    first = _bodies(bench.receive(url, 3, VisibilityTimeout=0))
    bench.equal("the first receive", first, ["g1-1", "g1-2", "g2-1"])
    second = _bodies(bench.receive(url, 10, VisibilityTimeout=0))
    bench.equal("the second receive", second, ["g3-1", "g1-1", "g1-2", "g2-1", "g2-2"])


@case(
    704,
    "group-in-flight-gives-nothing",
    "While messages of a group are in flight the rest of it is not given.",
    recorded("fifo_receive_message_visibility_timeout_shared_in_group"),
)
def _in_flight(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g1-2", "g1-3", "g2-1")
    bench.equal("the first receive", bench.bodies(url, 2), ["g1-1", "g1-2"])
    bench.equal("the second receive", bench.bodies(url), ["g2-1"])


@case(
    705,
    "group-again-after-timeout",
    "After the timeout a group starts again with its oldest message.",
    recorded("fifo_messages_in_order_after_timeout"),
    seconds=1,
)
def _after_timeout(bench: Bench) -> None:
    url = _queue(bench, "g-1", "g-2", "g-3", VisibilityTimeout="1")
    bench.equal("the first receive", bench.bodies(url), ["g-1", "g-2", "g-3"])
    bench.wait(1)
    bench.equal("the second receive", bench.bodies(url), ["g-1", "g-2", "g-3"])


def _extended(bench: Bench, position: int, expected: list[str]) -> None:
    """Three of a group received, one of them extended; what comes once the others have expired."""
    url = _queue(bench, "g-1", "g-2", "g-3", VisibilityTimeout="1")
    messages = bench.take(url, 3)
    bench.change(url, messages[position], 600)
    bench.wait(1)
    bench.equal("the messages", bench.bodies(url), expected)


_EXTENDS = "fifo_group_visibility_extends_with_change_message_visibility"


@case(
    706,
    "first-extended",
    "The first of a group extended: when the others have expired none comes.",
    recorded(_EXTENDS),
    seconds=1,
)
def _first_extended(bench: Bench) -> None:
    _extended(bench, 0, [])


@case(
    707,
    "second-extended",
    "The second of a group extended: only the first comes.",
    recorded(_EXTENDS),
    seconds=1,
)
def _second_extended(bench: Bench) -> None:
    _extended(bench, 1, ["g-1"])


@case(
    708,
    "third-extended",
    "The third of a group extended: the first and the second come.",
    recorded(_EXTENDS),
    seconds=1,
)
def _third_extended(bench: Bench) -> None:
    _extended(bench, 2, ["g-1", "g-2"])


@case(
    709,
    "first-set-to-zero",
    "Two received, the first set to 0: it comes again although the second is in flight.",
    recorded("fifo_message_group_visibility_after_terminate_visibility_timeout"),
)
def _set_to_zero(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g1-2", "g2-1")
    bench.change(url, bench.take(url, 2)[0], 0)
    bench.equal("the messages", bench.bodies(url, 3), ["g2-1", "g1-1"])


@case(
    710,
    "first-shortened",
    "Two received, the first shortened: it comes again when its time is over.",
    recorded("fifo_message_group_visibility_after_change_message_visibility"),
    seconds=1,
)
def _shortened(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g1-2", "g2-1")
    bench.change(url, bench.take(url, 2)[0], 1)
    bench.wait(1)
    bench.equal("the messages", bench.bodies(url, 3), ["g2-1", "g1-1"])


@case(
    711,
    "partial-delete",
    "The first deleted, the second in flight: nothing of the group.",
    recorded("fifo_message_group_visibility_after_partial_delete"),
)
def _partial_delete(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g2-1", "g1-2", "g2-2", "g1-3", "g3-1")
    bench.delete(url, bench.take(url, 2)[0])
    bench.equal("the messages", bench.bodies(url), ["g2-1", "g2-2", "g3-1"])


@case(
    712,
    "all-deleted",
    "Every received message of a group deleted: the rest is free at once.",
    recorded("fifo_message_group_visibility_after_delete"),
)
def _all_deleted(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g1-2", "g1-3")
    for message in bench.take(url, 2):
        bench.delete(url, message)
    bench.equal("the messages", bench.bodies(url), ["g1-3"])


@case(
    713,
    "counts-of-a-group-in-flight",
    "A group in flight does not hide its other messages from the counts.",
    recorded("fifo_approximate_number_of_messages_not_visible"),
)
def _counts(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g1-2", "g1-3", "g2-1", "g2-2", "g3-1")
    bench.take(url, 2)
    bench.eventually("the counts", lambda: bench.counts(url), (4, 2, 0))


@case(
    714,
    "fifo-never-reorders",
    "A message that was received often stays in front of its group.",
    documented("Available CloudWatch metrics, ApproximateAgeOfOldestMessage"),
)
def _never_reorders(bench: Bench) -> None:
    url = _queue(bench, "g-1", "g-2")
    for _ in range(4):
        bench.equal("the message", bench.one(url, VisibilityTimeout=0)["Body"], "g-1")


@case(
    715,
    "delete-after-expiry-fifo",
    "On a FIFO queue a handle whose timeout ran out does not delete: it is refused.",
    recorded("fifo_delete_after_visibility_timeout"),
    seconds=1,
)
def _delete_late(bench: Bench) -> None:
    url = _queue(bench, "g-1", VisibilityTimeout="1")
    handle = bench.one(url)["ReceiptHandle"]
    bench.wait(1)
    bench.refused(
        "DeleteMessage",
        "InvalidParameterValue",
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.",
        shape="InvalidParameterValueException",
        status=400,
        QueueUrl=url,
        ReceiptHandle=handle,
    )


@case(
    716,
    "delete-extended-fifo",
    "On a FIFO queue a handle whose timeout was extended deletes within the new time.",
    recorded("fifo_delete_after_visibility_timeout_extended"),
    seconds=1,
)
def _delete_extended(bench: Bench) -> None:
    url = _queue(bench, "g-1", VisibilityTimeout="1")
    message = bench.one(url)
    bench.change(url, message, 600)
    bench.wait(1)
    bench.delete(url, message)
    bench.eventually("the counts", lambda: bench.counts(url), (0, 0, 0))


@case(
    717,
    "delete-superseded-fifo",
    "On a FIFO queue a handle whose time ran out and that a later receive superseded is refused.",
    recorded("fifo_delete_message_with_expired_receipt_handle"),
    seconds=1,
)
def _delete_superseded(bench: Bench) -> None:
    url = _queue(bench, "g-1", VisibilityTimeout="1")
    handle = bench.one(url)["ReceiptHandle"]
    bench.wait(1)
    bench.one(url, VisibilityTimeout=600)
    bench.refused("DeleteMessage", "InvalidParameterValue", QueueUrl=url, ReceiptHandle=handle)


@case(
    718,
    "attempt-repeated",
    "A receive repeated with its ReceiveRequestAttemptId gives the same messages and the same handles.",
    documented("ReceiveMessage, ReceiveRequestAttemptId"),
)
def _attempt(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g1-2", "g2-1")
    first = bench.receive(url, 2, ReceiveRequestAttemptId="attempt")
    second = bench.receive(url, 2, ReceiveRequestAttemptId="attempt")
    for field in ("Body", "ReceiptHandle"):
        bench.equal(field, [message[field] for message in second], [message[field] for message in first])


@case(
    719,
    "attempt-not-retryable",
    "After a message of it was deleted the receive cannot be repeated.",
    documented("ReceiveMessage, ReceiveRequestAttemptId"),
)
def _not_retryable(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g1-2")
    bench.delete(url, bench.receive(url, 2, ReceiveRequestAttemptId="attempt")[0])
    bench.refused(
        "ReceiveMessage",
        "InvalidParameterValue",
        "Value attempt for parameter ReceiveRequestAttemptId is invalid. Reason: The receiveRequestAttemptId is not "
        "valid anymore since the receive call is not retryable.",
        QueueUrl=url,
        ReceiveRequestAttemptId="attempt",
    )


@case(
    720,
    "retention-fifo",
    "A FIFO queue's messages are gone when its retention has passed.",
    recorded("message_retention_fifo"),
    seconds=62,
)
def _retention(bench: Bench) -> None:
    url = _queue(bench, "g1-1", "g2-1", MessageRetentionPeriod="60")
    bench.wait(62)
    bench.nothing(url, "after their retention")


@case(
    721,
    "emptied-group-comes-back",
    "A group that was emptied takes new messages.",
    recorded("fifo_empty_message_groups_added_back_to_queue"),
)
def _emptied(bench: Bench) -> None:
    url = _queue(bench, "g1-1")
    bench.delete(url, bench.one(url))
    _send(bench, url, "g1-2")
    bench.equal("the messages", bench.bodies(url), ["g1-2"])


@case(
    722,
    "fifo-delay-of-the-queue",
    "A FIFO queue's delay hides each message for it; then they come in order.",
    recorded("fifo_queue_send_message_with_delay_on_queue_works"),
    seconds=1,
)
def _delay(bench: Bench) -> None:
    url = _queue(bench, "g-1", "g-2", "g-3", DelaySeconds="1")
    bench.nothing(url, "before the delay is over")
    bench.wait(1)
    bench.equal("the messages", bench.bodies(url), ["g-1", "g-2", "g-3"])


@case(
    723,
    "high-throughput-in-order",
    "High throughput keeps the order within groups.",
    recorded("fifo_high_throughput_ordering"),
)
def _high_throughput(bench: Bench) -> None:
    attributes = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    url = _queue(bench, "g1-1", "g2-1", "g1-2", "g2-2", **attributes)
    found = _bodies(bench.take(url, 4))
    for group in ("g1", "g2"):
        own = [body for body in found if body.startswith(group)]
        bench.equal(f"the order of {group}", own, [f"{group}-1", f"{group}-2"])


rule(
    724,
    "in-flight-limit-fifo",
    "With 120,000 messages in flight a FIFO queue gives nothing more, without an error.",
    documented("Amazon SQS FIFO queue quotas"),
    tested="tests/unit/sim/services/test_sqs_fifo.py::test_in_flight_limit_gives_nothing_more",
)

rule(
    725,
    "fifo-looks-at-120-000",
    "A FIFO queue looks at its first 120,000 messages to find groups that are free.",
    documented("Amazon SQS FIFO queue quotas"),
    tested="tests/unit/sim/services/test_sqs_fifo.py::test_groups_far_back_are_not_looked_at",
)
