"""Visibility timeouts and receipt handles: who may delete and hide what, and when."""

from __future__ import annotations

from harness.fidelity.bench import Bench
from harness.fidelity.rows import case, documented, peer, recorded, rule

__all__: list[str] = []


@case(
    501,
    "hidden-after-receive",
    "A received message is hidden from other receives for its visibility timeout, then it comes again.",
    recorded("receive_after_visibility_timeout"),
    seconds=1,
)
def _hidden(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="1")
    bench.send(url, "a")
    bench.one(url)
    if not bench.remote:
        bench.nothing(url, "within the timeout")
    bench.wait(1)
    bench.equal("the message", bench.one(url)["Body"], "a")


@case(
    502,
    "receive-with-its-own-timeout",
    "A receive's VisibilityTimeout comes before the queue's.",
    recorded("receive_message_with_visibility_timeout_updates_timeout"),
    seconds=1,
)
def _own_timeout(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="600")
    bench.send(url, "a")
    bench.one(url, VisibilityTimeout=1)
    bench.wait(1)
    bench.equal("the message", bench.one(url)["Body"], "a")
    bench.nothing(url, "within the queue's timeout")


@case(
    503,
    "receive-with-timeout-zero",
    "A receive with VisibilityTimeout=0 shows the message again at once and counts as a receive.",
    recorded("receive_terminate_visibility_timeout"),
)
def _zero(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    bench.one(url, VisibilityTimeout=0)
    message = bench.one(url, AttributeNames=["ApproximateReceiveCount"])
    bench.equal("the count", message["Attributes"]["ApproximateReceiveCount"], "2")


@case(
    504,
    "handle-per-receive",
    "Each receive of a message gives another handle.",
    recorded("receive_terminate_visibility_timeout"),
)
def _handles(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="0")
    bench.send(url)
    first, second = bench.one(url), bench.one(url)
    bench.equal("the message's id", second["MessageId"], first["MessageId"])
    bench.true(first["ReceiptHandle"] != second["ReceiptHandle"], "both receives gave the same handle")


@case(505, "delete", "A deleted message never comes again.", recorded("publish_get_delete_message"), seconds=1)
def _delete(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="1")
    bench.send(url)
    bench.delete(url, bench.one(url))
    bench.wait(1)
    bench.nothing(url, "after its deletion")


@case(
    506,
    "delete-after-expiry-standard",
    "On a standard queue a handle whose timeout ran out still deletes.",
    recorded("delete_after_visibility_timeout"),
    seconds=1,
)
def _delete_late(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="1")
    bench.send(url)
    message = bench.one(url)
    bench.wait(1)
    bench.delete(url, message)
    bench.nothing(url, "after its deletion")


@case(
    507,
    "delete-again",
    "Deleting a deleted message is no error.",
    recorded("delete_message_with_deleted_receipt_handle"),
)
def _delete_again(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    message = bench.one(url)
    bench.delete(url, message)
    bench.delete(url, message)


@case(
    508,
    "delete-with-superseded-handle",
    "Deleting with a handle that a later receive superseded is no error; whether it deletes is left open.",
    documented("DeleteMessage"),
)
def _delete_superseded(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    first = bench.one(url, VisibilityTimeout=0)
    bench.one(url)
    bench.delete(url, first)


@case(
    509,
    "illegal-handle",
    "A handle that is none is refused, on delete and on change.",
    recorded("delete_message_with_illegal_receipt_handle"),
)
def _illegal(bench: Bench) -> None:
    url = bench.queue()
    expected = 'The input receipt handle "garbage" is not a valid receipt handle.'
    code = "ReceiptHandleIsInvalid"
    bench.refused("DeleteMessage", code, expected, shape=code, QueueUrl=url, ReceiptHandle="garbage")
    bench.refused("ChangeMessageVisibility", code, QueueUrl=url, ReceiptHandle="garbage", VisibilityTimeout=60)


@case(
    510,
    "change-to-zero",
    "ChangeMessageVisibility to 0 shows the message at once.",
    recorded("change_message_visibility_not_permanent"),
)
def _change_zero(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="600")
    bench.send(url, "a")
    bench.change(url, bench.one(url), 0)
    bench.equal("the message", bench.one(url)["Body"], "a")


@case(
    511,
    "change-counts-from-the-call",
    "The new timeout counts from the call, not from the receive.",
    recorded("extend_message_visibility_timeout_set_in_queue"),
    seconds=3,
)
def _from_the_call(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="2")
    bench.send(url, "a")
    message = bench.one(url)
    bench.wait(1)
    bench.change(url, message, 2)
    bench.wait(0.9)
    if not bench.remote:
        bench.nothing(url, "2 s after its receive, 1 s after the change")
    bench.wait(1.1)
    bench.equal("the message", bench.one(url)["Body"], "a")


@case(
    512,
    "change-holds-once",
    "A changed timeout holds for that receive only: the next one has the queue's again.",
    recorded("change_message_visibility_not_permanent"),
)
def _once(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="600")
    bench.send(url)
    bench.change(url, bench.one(url), 0)
    bench.one(url)
    bench.nothing(url, "within the queue's timeout")


@case(
    513,
    "change-after-expiry-standard",
    "On a standard queue a change after the timeout ran out is accepted and hides the message again.",
    recorded("change_message_visibility_after_visibility_timeout_expiration"),
    seconds=1,
)
def _change_late(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="1")
    bench.send(url)
    message = bench.one(url)
    bench.wait(1)
    bench.change(url, message, 600)
    bench.nothing(url, "although it was hidden again")


@case(
    514,
    "change-with-superseded-handle",
    "A superseded handle changes the visibility while another consumer holds the message.",
    recorded("terminate_visibility_timeout_after_receive"),
)
def _change_superseded(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="600")
    bench.send(url, "a")
    first = bench.one(url, VisibilityTimeout=0)
    bench.one(url)
    bench.change(url, first, 0)
    bench.equal("the message", bench.one(url)["Body"], "a")


@case(
    515,
    "change-deleted",
    "Changing the visibility of a deleted message is refused.",
    recorded("change_visibility_on_deleted_message_raises_invalid_parameter_value"),
)
def _change_deleted(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    message = bench.one(url)
    bench.delete(url, message)
    handle = message["ReceiptHandle"]
    bench.refused(
        "ChangeMessageVisibility",
        "InvalidParameterValue",
        f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available "
        "for visibility timeout change.",
        shape="InvalidParameterValueException",
        status=400,
        QueueUrl=url,
        ReceiptHandle=handle,
        VisibilityTimeout=1,
    )


@case(
    516,
    "change-over-12-hours",
    "A timeout over 43,200 seconds is refused.",
    peer("moto; the limit is documented"),
)
def _change_over(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    handle = bench.one(url)["ReceiptHandle"]
    bench.refused(
        "ChangeMessageVisibility",
        "InvalidParameterValue",
        "Value 43201 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is "
        "beyond the limit [43200 seconds]",
        QueueUrl=url,
        ReceiptHandle=handle,
        VisibilityTimeout=43_201,
    )


@case(
    517,
    "change-over-12-hours-in-all",
    "A message is hidden for 12 hours in all at most, counted from its receive.",
    documented("ChangeMessageVisibility"),
    seconds=2,
)
def _change_over_in_all(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    handle = bench.one(url)["ReceiptHandle"]
    bench.wait(2)
    bench.refused(
        "ChangeMessageVisibility",
        "InvalidParameterValue",
        QueueUrl=url,
        ReceiptHandle=handle,
        VisibilityTimeout=43_200,
    )


@case(
    518,
    "delete-after-change",
    "A message deletes with its handle after its visibility was changed.",
    recorded("delete_message_deletes_with_change_visibility_timeout"),
)
def _delete_after_change(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="600")
    bench.send(url)
    bench.change(url, bench.one(url), 0)
    message = bench.one(url)
    bench.change(url, message, 10)
    bench.delete(url, message)
    bench.eventually("the counts", lambda: bench.counts(url), (0, 0, 0))


@case(
    519,
    "old-handle-deletes",
    "A handle whose timeout ran out deletes although the message is visible again.",
    recorded("remove_message_with_old_receipt_handle"),
    seconds=2,
)
def _old_handle(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="1")
    bench.send(url)
    message = bench.one(url)
    bench.wait(2)
    bench.delete(url, message)
    bench.eventually("the counts", lambda: bench.counts(url), (0, 0, 0))


@case(
    520,
    "returned-before-later-sent",
    "A message that comes back after its timeout is given before one that was sent meanwhile.",
    recorded("inflight_message_requeue"),
    seconds=1,
)
def _returned_first(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="1")
    bench.send(url, "first")
    bench.one(url)
    bench.send(url, "second")
    bench.wait(1)
    bench.equal("the message", bench.one(url)["Body"], "first")


@case(
    521,
    "back-after-three-receives",
    "A message received three times and not deleted goes to the back of a standard queue.",
    documented("Available CloudWatch metrics, ApproximateAgeOfOldestMessage"),
)
def _back(bench: Bench) -> None:
    url = bench.queue()
    for body in ("poison", "good"):
        bench.send(url, body)
    for _ in range(3):
        bench.equal("the message", bench.one(url, VisibilityTimeout=0)["Body"], "poison")
    bench.equal("the message after three receives", bench.one(url)["Body"], "good")


@case(
    522,
    "back-with-redrive-policy",
    "The same with a redrive policy: the message goes to the back first, to the dead-letter queue later.",
    documented("Available CloudWatch metrics, ApproximateAgeOfOldestMessage"),
)
def _back_with_redrive(bench: Bench) -> None:
    url, _ = bench.dead_letters(10)
    for body in ("poison", "good"):
        bench.send(url, body)
    for _ in range(3):
        bench.equal("the message", bench.one(url, VisibilityTimeout=0)["Body"], "poison")
    bench.equal("the message after three receives", bench.one(url)["Body"], "good")


@case(
    523,
    "handle-of-another-queue",
    "A handle is good for its own queue only.",
    documented("DeleteMessage, ReceiptHandleIsInvalid"),
)
def _other_queue(bench: Bench) -> None:
    url, other = bench.queue(VisibilityTimeout="600"), bench.queue()
    bench.send(url)
    handle = bench.one(url)["ReceiptHandle"]
    bench.refused("DeleteMessage", "ReceiptHandleIsInvalid", QueueUrl=other, ReceiptHandle=handle)
    bench.eventually("the counts", lambda: bench.counts(url), (0, 1, 0))


_TESTS = "tests/unit/sim/services/test_sqs_queue.py"

rule(
    524,
    "in-flight-limit-standard",
    "With 120,000 messages in flight a standard queue refuses a receive with OverLimit.",
    documented("ReceiveMessage, OverLimit"),
    tested=f"{_TESTS}::test_in_flight_limit",
)
