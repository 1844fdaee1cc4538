"""Batches: what fails one entry, what fails all of them."""

from __future__ import annotations

from typing import Any

from harness.fidelity.bench import Bench, text
from harness.fidelity.rows import case, documented, peer, recorded

__all__: list[str] = []

_MIB = 1_048_576
_FRONT = "AWS.SimpleQueueService."
_ID_TEXT = (
    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. "
    "It can be at most 80 letters long."
)


def _entries(count: int, body: str = "x") -> list[dict[str, Any]]:
    return [{"Id": f"e{n}", "MessageBody": body} for n in range(count)]


def _batch(bench: Bench, url: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return bench.call("SendMessageBatch", QueueUrl=url, Entries=list(entries))


def _failed(bench: Bench, answer: dict[str, Any]) -> dict[str, Any]:
    """The one entry that failed."""
    failed = answer.get("Failed", [])
    bench.equal("the number of entries that failed", len(failed), 1)
    found: dict[str, Any] = failed[0]
    return found


@case(
    301,
    "batch-answer",
    "A batch answers each entry by its id, and has no Failed key when nothing failed.",
    recorded("send_message_batch"),
)
def _answer(bench: Bench) -> None:
    answer = _batch(bench, bench.queue(), *_entries(2))
    bench.keys("the answer", answer, "Successful")
    bench.equal("the ids", [entry["Id"] for entry in answer["Successful"]], ["e0", "e1"])
    bench.keys("an entry", answer["Successful"][0], "Id", "MessageId", "MD5OfMessageBody")


@case(
    302,
    "batch-all-failed",
    "A batch of which all failed has no Successful key.",
    recorded("send_message_batch_with_oversized_contents_with_updated_maximum_message_size"),
)
def _all_failed(bench: Bench) -> None:
    url = bench.queue(MaximumMessageSize="1024")
    bench.keys("the answer", _batch(bench, url, {"Id": "a", "MessageBody": "x" * 1025}), "Failed")


@case(303, "batch-ten", "A batch may have ten entries.", recorded("send_message_batch"))
def _ten(bench: Bench) -> None:
    bench.equal("the entries", len(_batch(bench, bench.queue(), *_entries(10))["Successful"]), 10)


@case(
    304,
    "batch-empty-send",
    "SendMessageBatch without entries is refused.",
    recorded("send_message_batch_errors", by="moto"),
)
def _empty_send(bench: Bench) -> None:
    bench.refused(
        "SendMessageBatch",
        _FRONT + "EmptyBatchRequest",
        "There should be at least one SendMessageBatchRequestEntry in the request.",
        shape="EmptyBatchRequest",
        status=400,
        QueueUrl=bench.queue(),
        Entries=[],
    )


@case(
    305,
    "batch-empty-delete",
    "DeleteMessageBatch without entries is refused.",
    recorded("delete_message_batch_with_zero_entries", by="moto"),
)
def _empty_delete(bench: Bench) -> None:
    bench.refused(
        "DeleteMessageBatch",
        _FRONT + "EmptyBatchRequest",
        "There should be at least one DeleteMessageBatchRequestEntry in the request.",
        shape="EmptyBatchRequest",
        QueueUrl=bench.queue(),
        Entries=[],
    )


@case(
    306,
    "batch-empty-change",
    "ChangeMessageVisibilityBatch without entries is refused.",
    documented("ChangeMessageVisibilityBatch, EmptyBatchRequest"),
)
def _empty_change(bench: Bench) -> None:
    bench.refused(
        "ChangeMessageVisibilityBatch",
        _FRONT + "EmptyBatchRequest",
        shape="EmptyBatchRequest",
        QueueUrl=bench.queue(),
        Entries=[],
    )


@case(
    307,
    "batch-too-many-send",
    "SendMessageBatch with more than ten entries is refused.",
    recorded("too_many_entries_in_batch_request"),
)
def _too_many_send(bench: Bench) -> None:
    bench.refused(
        "SendMessageBatch",
        _FRONT + "TooManyEntriesInBatchRequest",
        "Maximum number of entries per request are 10. You have sent 20.",
        shape="TooManyEntriesInBatchRequest",
        status=400,
        QueueUrl=bench.queue(),
        Entries=_entries(20),
    )


@case(
    308,
    "batch-too-many-delete",
    "DeleteMessageBatch and ChangeMessageVisibilityBatch with more than ten entries are refused.",
    recorded("delete_message_batch_with_too_large_batch"),
)
def _too_many_others(bench: Bench) -> None:
    url = bench.queue()
    entries = [{"Id": f"e{n}", "ReceiptHandle": "x"} for n in range(11)]
    message = "Maximum number of entries per request are 10. You have sent 11."
    code = _FRONT + "TooManyEntriesInBatchRequest"
    bench.refused("DeleteMessageBatch", code, message, QueueUrl=url, Entries=entries)
    hidden = [{**entry, "VisibilityTimeout": 1} for entry in entries]
    bench.refused("ChangeMessageVisibilityBatch", code, message, QueueUrl=url, Entries=hidden)


@case(
    309,
    "batch-bad-id",
    "An entry id is letters, digits, hyphens and underscores.",
    recorded("invalid_batch_id"),
)
def _bad_id(bench: Bench) -> None:
    url = bench.queue()
    for bad in ("with a space", "a:b", ""):
        bench.refused(
            "SendMessageBatch",
            _FRONT + "InvalidBatchEntryId",
            _ID_TEXT,
            shape="InvalidBatchEntryId",
            status=400,
            QueueUrl=url,
            Entries=[{"Id": bad, "MessageBody": "x"}],
        )


@case(310, "batch-long-id", "An entry id has 80 letters at most.", recorded("invalid_batch_id"))
def _long_id(bench: Bench) -> None:
    url = bench.queue()
    _batch(bench, url, {"Id": "a" * 80, "MessageBody": "x"})
    bench.refused(
        "SendMessageBatch",
        _FRONT + "InvalidBatchEntryId",
        _ID_TEXT,
        QueueUrl=url,
        Entries=[{"Id": "a" * 81, "MessageBody": "x"}],
    )


@case(
    311,
    "batch-bad-id-delete",
    "DeleteMessageBatch holds entry ids to the same form.",
    recorded("delete_message_batch_invalid_msg_id"),
)
def _bad_id_delete(bench: Bench) -> None:
    bench.refused(
        "DeleteMessageBatch",
        _FRONT + "InvalidBatchEntryId",
        _ID_TEXT,
        QueueUrl=bench.queue(),
        Entries=[{"Id": "a:b", "ReceiptHandle": "x"}],
    )


@case(
    312,
    "batch-repeated-id",
    "The first entry id that is met a second time is named.",
    recorded("send_message_batch_errors", by="moto"),
)
def _repeated_id(bench: Bench) -> None:
    entries = [{"Id": id, "MessageBody": "x"} for id in ("id_1", "id_2", "id_2", "id_1")]
    bench.refused(
        "SendMessageBatch",
        _FRONT + "BatchEntryIdsNotDistinct",
        "Id id_2 repeated.",
        shape="BatchEntryIdsNotDistinct",
        QueueUrl=bench.queue(),
        Entries=entries,
    )


@case(
    313,
    "batch-total-size",
    "A batch of more than 1 MiB in all is refused as a whole.",
    recorded("send_message_batch_with_oversized_contents"),
)
def _total(bench: Bench) -> None:
    half = _MIB // 2
    url = bench.queue()
    bench.refused(
        "SendMessageBatch",
        _FRONT + "BatchRequestTooLong",
        f"Batch requests cannot be longer than {_MIB} bytes. You have sent {_MIB + 1} bytes.",
        shape="BatchRequestTooLong",
        status=400,
        QueueUrl=url,
        Entries=[{"Id": "a", "MessageBody": "a" * half}, {"Id": "b", "MessageBody": "b" * (half + 1)}],
    )
    bench.nothing(url, "of a batch that was refused")


@case(
    314,
    "batch-one-oversized",
    "A single entry of 1,048,577 bytes makes the batch too long.",
    recorded("send_message_batch_errors", by="moto"),
)
def _one_oversized(bench: Bench) -> None:
    bench.refused(
        "SendMessageBatch",
        _FRONT + "BatchRequestTooLong",
        f"Batch requests cannot be longer than {_MIB} bytes. You have sent {_MIB + 1} bytes.",
        QueueUrl=bench.queue(),
        Entries=[{"Id": "a", "MessageBody": "a" * (_MIB + 1)}],
    )


@case(
    315,
    "batch-total-against-1-mib",
    "A batch's total is held against 1 MiB, never against the queue's MaximumMessageSize.",
    recorded("send_batch_message_size"),
)
def _total_against(bench: Bench) -> None:
    url = bench.queue(MaximumMessageSize="1024")
    bench.equal("the entries", len(_batch(bench, url, *_entries(10, "x" * 1024))["Successful"]), 10)


@case(
    316,
    "batch-oversized-entry",
    "An entry over the queue's MaximumMessageSize fails by itself.",
    recorded("send_message_batch_with_oversized_contents_with_updated_maximum_message_size"),
)
def _oversized_entry(bench: Bench) -> None:
    url = bench.queue(MaximumMessageSize="1024")
    answer = _batch(bench, url, {"Id": "a", "MessageBody": "x"}, {"Id": "b", "MessageBody": "x" * 1025})
    bench.equal("the entries", [entry["Id"] for entry in answer["Successful"]], ["a"])
    bench.equal(
        "the failed entry",
        _failed(bench, answer),
        {
            "Id": "b",
            "SenderFault": True,
            "Code": "InvalidParameterValue",
            "Message": "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.",
        },
    )


@case(
    317,
    "batch-forbidden-character",
    "An entry with a forbidden character fails by itself.",
    recorded("batch_send_with_invalid_char_should_succeed"),
)
def _forbidden(bench: Bench) -> None:
    answer = _batch(bench, bench.queue(), {"Id": "a", "MessageBody": "x"}, {"Id": "b", "MessageBody": "\x00"})
    failed = _failed(bench, answer)
    bench.equal("id and code", (failed["Id"], failed["Code"]), ("b", "InvalidMessageContents"))
    bench.equal("SenderFault", failed.get("SenderFault"), True)


@case(318, "batch-bad-delay", "An entry with a delay out of range fails by itself.", peer("moto"))
def _bad_delay(bench: Bench) -> None:
    entries = ({"Id": "a", "MessageBody": "x"}, {"Id": "b", "MessageBody": "x", "DelaySeconds": 1800})
    failed = _failed(bench, _batch(bench, bench.queue(), *entries))
    bench.equal("id and code", (failed["Id"], failed["Code"]), ("b", "InvalidParameterValue"))
    bench.equal(
        "the text",
        failed["Message"],
        "Value 1800 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
    )


@case(
    319,
    "batch-order-of-checks",
    "Too many entries are found before bad ids, bad ids before repeated ones, those before the size.",
    peer("LocalStack"),
)
def _order(bench: Bench) -> None:
    url = bench.queue()
    bad = [{"Id": "a b", "MessageBody": "x"}]
    repeated = [{"Id": "a", "MessageBody": "x" * _MIB}] * 2
    for entries, code in (
        (bad * 11, "TooManyEntriesInBatchRequest"),
        (repeated + bad, "InvalidBatchEntryId"),
        (repeated, "BatchEntryIdsNotDistinct"),
    ):
        bench.refused("SendMessageBatch", _FRONT + code, QueueUrl=url, Entries=entries)


@case(
    320,
    "batch-digests",
    "A batch answers the digests of each entry.",
    documented("SendMessageBatch"),
)
def _digests(bench: Bench) -> None:
    entry = {"Id": "a", "MessageBody": "message", "MessageAttributes": {"k": text("x")}}
    (found,) = _batch(bench, bench.queue(), entry)["Successful"]
    bench.equal("MD5OfMessageBody", found["MD5OfMessageBody"], "78e731027d8fd50ed642340b7c9a63b3")
    bench.equal("MD5OfMessageAttributes", found.get("MD5OfMessageAttributes"), "a45daa70926828a2f0a1db3418e6feb4")


@case(
    321,
    "delete-batch",
    "DeleteMessageBatch answers each entry by its id and deletes the messages.",
    recorded("publish_get_delete_message_batch"),
)
def _delete(bench: Bench) -> None:
    url = bench.queue()
    _batch(bench, url, *_entries(2))
    handles = [message["ReceiptHandle"] for message in bench.take(url, 2)]
    entries = [{"Id": f"e{n}", "ReceiptHandle": handle} for n, handle in enumerate(handles)]
    answer = bench.call("DeleteMessageBatch", QueueUrl=url, Entries=entries)
    bench.equal("the answer", answer, {"Successful": [{"Id": "e0"}, {"Id": "e1"}]})
    bench.eventually("the counts", lambda: bench.counts(url), (0, 0, 0))


@case(
    322,
    "delete-batch-bad-handle",
    "A handle that is none fails its entry of a DeleteMessageBatch, the others are deleted.",
    documented("DeleteMessageBatch"),
)
def _delete_bad_handle(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    handle = bench.one(url)["ReceiptHandle"]
    entries = [{"Id": "good", "ReceiptHandle": handle}, {"Id": "bad", "ReceiptHandle": "garbage"}]
    answer = bench.call("DeleteMessageBatch", QueueUrl=url, Entries=entries)
    bench.equal("Successful", answer.get("Successful"), [{"Id": "good"}])
    failed = _failed(bench, answer)
    bench.equal("id and code", (failed["Id"], failed["Code"]), ("bad", "ReceiptHandleIsInvalid"))


@case(
    323,
    "change-batch",
    "ChangeMessageVisibilityBatch changes each entry; a handle that is none fails its entry only.",
    documented("ChangeMessageVisibilityBatch"),
)
def _change(bench: Bench) -> None:
    url = bench.queue(VisibilityTimeout="600")
    bench.send(url, "again")
    handle = bench.one(url)["ReceiptHandle"]
    entries = [
        {"Id": "good", "ReceiptHandle": handle, "VisibilityTimeout": 0},
        {"Id": "bad", "ReceiptHandle": "garbage", "VisibilityTimeout": 0},
    ]
    answer = bench.call("ChangeMessageVisibilityBatch", QueueUrl=url, Entries=entries)
    bench.equal("Successful", answer.get("Successful"), [{"Id": "good"}])
    bench.equal("the failed entry", _failed(bench, answer)["Id"], "bad")
    bench.equal("the message", bench.one(url)["Body"], "again")
