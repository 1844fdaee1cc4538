"""FIFO queues, the sending side: what they must be told, deduplication, sequence numbers, delays."""

from __future__ import annotations

import hashlib
from operator import lt

from harness.fidelity.bench import Bench, text
from harness.fidelity.rows import case, documented, peer, recorded

__all__: list[str] = []

_NO_DEDUP = (
    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
)
_NO_GROUP = "The request must contain the parameter MessageGroupId."


@case(
    601,
    "fifo-needs-deduplication-id",
    "Without content-based deduplication a send needs a MessageDeduplicationId.",
    recorded("posting_to_fifo_requires_deduplicationid_group_id"),
)
def _needs_dedup(bench: Bench) -> None:
    bench.refused(
        "SendMessage",
        "InvalidParameterValue",
        _NO_DEDUP,
        shape="InvalidParameterValueException",
        status=400,
        QueueUrl=bench.fifo(),
        MessageBody="x",
        MessageGroupId="g",
    )


@case(
    602,
    "fifo-needs-group-id",
    "A send without MessageGroupId lacks a parameter.",
    recorded("posting_to_fifo_requires_deduplicationid_group_id"),
)
def _needs_group(bench: Bench) -> None:
    bench.refused(
        "SendMessage",
        "MissingParameter",
        _NO_GROUP,
        shape="MissingRequiredParameterException",
        status=400,
        QueueUrl=bench.fifo(),
        MessageBody="x",
        MessageDeduplicationId="d",
    )


@case(
    603,
    "fifo-batch-needs-group-id",
    "A batch with an entry without MessageGroupId fails as a whole, with another code than a single send.",
    recorded("send_batch_missing_message_group_id_for_fifo_queue"),
)
def _batch_needs_group(bench: Bench) -> None:
    url = bench.fifo()
    entries = [
        {"Id": "a", "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "1"},
        {"Id": "b", "MessageBody": "x", "MessageDeduplicationId": "2"},
    ]
    bench.refused(
        "SendMessageBatch",
        "InvalidParameterValue",
        _NO_GROUP,
        shape="InvalidParameterValueException",
        status=400,
        QueueUrl=url,
        Entries=entries,
    )
    bench.nothing(url, "of a batch that was refused")


@case(
    604,
    "fifo-batch-needs-deduplication-id",
    "A batch with an entry without MessageDeduplicationId fails as a whole.",
    recorded("send_batch_missing_deduplication_id_for_fifo_queue"),
)
def _batch_needs_dedup(bench: Bench) -> None:
    bench.refused(
        "SendMessageBatch",
        "InvalidParameterValue",
        _NO_DEDUP,
        QueueUrl=bench.fifo(),
        Entries=[{"Id": "a", "MessageBody": "x", "MessageGroupId": "g"}],
    )


@case(
    605,
    "fifo-no-delay-per-message",
    "A FIFO queue refuses a delay of a message of its own.",
    recorded("fifo_queue_send_message_with_delay_seconds_fails"),
)
def _no_delay(bench: Bench) -> None:
    bench.refused(
        "SendMessage",
        "InvalidParameterValue",
        "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for "
        "this queue type.",
        shape="InvalidParameterValueException",
        status=400,
        QueueUrl=bench.fifo(),
        MessageBody="x",
        MessageGroupId="g",
        MessageDeduplicationId="d",
        DelaySeconds=2,
    )


@case(
    606,
    "fifo-delay-of-zero",
    "A delay of 0 is accepted and means the queue's delay.",
    recorded("fifo_queue_send_message_with_zero_delay_defaults_to_queue_delay"),
    seconds=2,
)
def _delay_zero(bench: Bench) -> None:
    url = bench.fifo(DelaySeconds="2")
    bench.send(url, "a", DelaySeconds=0)
    bench.nothing(url, "before the queue's delay is over")
    bench.wait(2)
    bench.equal("the message", bench.one(url)["Body"], "a")


@case(
    607,
    "changed-delay-on-fifo",
    "A changed queue delay holds for messages that are there: FIFO queue.",
    documented("Delay queues"),
    seconds=1,
)
def _changed_delay(bench: Bench) -> None:
    url = bench.fifo(DelaySeconds="1")
    bench.send(url, "a")
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"DelaySeconds": "600"})
    bench.wait(1)
    bench.nothing(url, "although the delay is longer now")


@case(
    608,
    "deduplication-id-form",
    "A MessageDeduplicationId is 1 to 128 letters, digits and punctuation.",
    recorded("message_deduplication_id_invalid"),
)
def _dedup_form(bench: Bench) -> None:
    url = bench.fifo()
    for bad in ("dedup 1", "a" * 129, ""):
        bench.refused(
            "SendMessage",
            "InvalidParameterValue",
            f"Value {bad} for parameter MessageDeduplicationId is invalid. Reason: MessageDeduplicationId can only "
            "include alphanumeric and punctuation characters. 1 to 128 in length.",
            shape="InvalidParameterValueException",
            QueueUrl=url,
            MessageBody="x",
            MessageGroupId="g",
            MessageDeduplicationId=bad,
        )


@case(
    609,
    "deduplication-id-of-128",
    "A MessageDeduplicationId may have 128 characters, with any punctuation.",
    recorded("message_deduplication_id_success"),
)
def _dedup_long(bench: Bench) -> None:
    url = bench.fifo()
    bench.send(url, "a", dedup="a" * 128)
    bench.send(url, "b", dedup="!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


@case(610, "group-id-form", "A MessageGroupId of 129 characters is refused.", recorded("message_group_id_too_long"))
def _group_form(bench: Bench) -> None:
    group = "a" * 129
    bench.refused(
        "SendMessage",
        "InvalidParameterValue",
        f"Value {group} for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include "
        "alphanumeric and punctuation characters. 1 to 128 in length.",
        QueueUrl=bench.fifo(),
        MessageBody="x",
        MessageGroupId=group,
        MessageDeduplicationId="d",
    )


@case(
    611,
    "duplicate-not-delivered",
    "A second message with the same deduplication id is accepted and not delivered.",
    recorded("fifo_content_based_message_deduplication_arrives_once"),
)
def _duplicate(bench: Bench) -> None:
    url = bench.fifo()
    bench.send(url, "first", dedup="d")
    bench.send(url, "second", dedup="d")
    bench.equal("the messages", bench.bodies(url), ["first"])


@case(
    612,
    "duplicate-answers-first-id",
    "A duplicate is answered with the MessageId of the first.",
    peer("LocalStack, ElasticMQ"),
)
def _duplicate_id(bench: Bench) -> None:
    url = bench.fifo()
    first, second = bench.send(url, "a", dedup="d"), bench.send(url, "b", dedup="d")
    bench.equal("the second MessageId", second["MessageId"], first["MessageId"])


@case(
    613,
    "duplicate-after-delete",
    "Deduplication holds although the first was received and deleted.",
    recorded("fifo_deduplication_arrives_once_after_delete"),
)
def _after_delete(bench: Bench) -> None:
    url = bench.fifo()
    bench.send(url, "a", dedup="d")
    bench.delete(url, bench.one(url))
    bench.send(url, "b", dedup="d")
    bench.nothing(url, "which is a duplicate")


@case(
    614,
    "deduplication-across-groups",
    "With DeduplicationScope=queue, the default, deduplication goes across groups.",
    recorded("fifo_deduplication_not_on_message_group_id"),
)
def _across_groups(bench: Bench) -> None:
    url = bench.fifo()
    bench.send(url, "a", "g1", "d")
    bench.send(url, "b", "g2", "d")
    bench.equal("the messages", bench.bodies(url), ["a"])


@case(
    615,
    "deduplication-within-group",
    "With DeduplicationScope=messageGroup it holds within a group, also without the high-throughput limit.",
    recorded("sqs_fifo_message_group_scope_no_throughput_setting"),
)
def _within_group(bench: Bench) -> None:
    url = bench.fifo(DeduplicationScope="messageGroup")
    for body, group in (("a", "g1"), ("b", "g2"), ("c", "g1")):
        bench.send(url, body, group, "d")
    bench.equal("the messages", sorted(bench.bodies(url)), ["a", "b"])


@case(
    616,
    "deduplication-within-group-high-throughput",
    "The same with FifoThroughputLimit=perMessageGroupId.",
    recorded("sqs_fifo_same_dedup_id_different_message_groups"),
)
def _within_group_high(bench: Bench) -> None:
    url = bench.fifo(DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    bench.send(url, "a", "g1", "d")
    bench.send(url, "b", "g2", "d")
    bench.equal("the messages", sorted(bench.bodies(url)), ["a", "b"])


@case(
    617,
    "scope-change-to-group-without-effect",
    "A change of DeduplicationScope to messageGroup reads back and has no effect.",
    recorded("fifo_change_to_high_throughput_after_creation"),
)
def _scope_to_group(bench: Bench) -> None:
    url = bench.fifo()
    changed = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes=changed)
    bench.equal("the attributes", bench.attributes(url, *changed), changed)
    bench.send(url, "a", "g1", "d")
    bench.send(url, "b", "g2", "d")
    bench.equal("the messages", bench.bodies(url), ["a"])


@case(
    618,
    "scope-change-to-queue-without-effect",
    "A change of DeduplicationScope to queue has no effect either.",
    recorded("fifo_change_to_regular_throughput_after_creation"),
)
def _scope_to_queue(bench: Bench) -> None:
    url = bench.fifo(DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    changed = {"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"}
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes=changed)
    bench.equal("the attributes", bench.attributes(url, *changed), changed)
    bench.send(url, "a", "g1", "d")
    bench.send(url, "b", "g2", "d")
    bench.equal("the messages", sorted(bench.bodies(url)), ["a", "b"])


@case(
    619,
    "purge-clears-deduplication",
    "PurgeQueue clears the deduplication window.",
    recorded("purge_queue_clears_fifo_deduplication_cache"),
)
def _purge(bench: Bench) -> None:
    url = bench.fifo()
    bench.send(url, "a", dedup="d")
    bench.call("PurgeQueue", QueueUrl=url)
    if bench.remote:
        bench.wait(60)
    bench.send(url, "b", dedup="d")
    bench.equal("the messages", bench.bodies(url), ["b"])


@case(
    620,
    "deduplication-for-five-minutes",
    "Deduplication holds for five minutes, then the same id is new.",
    recorded("deduplication_interval"),
    seconds=301,
)
def _five_minutes(bench: Bench) -> None:
    url = bench.fifo(VisibilityTimeout="600")
    bench.send(url, "a", "g1", "d")
    bench.one(url)
    bench.wait(270)
    bench.send(url, "b", "g2", "d")
    bench.nothing(url, "within five minutes")
    bench.wait(31)
    bench.send(url, "c", "g2", "d")
    bench.equal("the message", bench.one(url)["Body"], "c")


def _content_based(bench: Bench) -> str:
    return bench.fifo(ContentBasedDeduplication="true")


def _plain_send(bench: Bench, url: str, body: str, **more: object) -> None:
    bench.call("SendMessage", QueueUrl=url, MessageBody=body, MessageGroupId="g", **more)


@case(
    621,
    "content-based-id",
    "The content-based id is the SHA-256 of the body, in hexadecimal digits.",
    documented("SendMessage, MessageDeduplicationId"),
)
def _content_id(bench: Bench) -> None:
    url = _content_based(bench)
    _plain_send(bench, url, "message")
    found = bench.one(url, AttributeNames=["MessageDeduplicationId"])["Attributes"]["MessageDeduplicationId"]
    bench.equal("MessageDeduplicationId", found, hashlib.sha256(b"message").hexdigest())


@case(
    622,
    "content-based-without-attributes",
    "Message attributes are no part of the content-based id.",
    documented("Content-based deduplication"),
)
def _content_attributes(bench: Bench) -> None:
    url = _content_based(bench)
    _plain_send(bench, url, "a", MessageAttributes={"k": text("1")})
    _plain_send(bench, url, "a", MessageAttributes={"k": text("2")})
    bench.equal("the messages", bench.bodies(url), ["a"])


@case(
    623,
    "explicit-id-overrides-content",
    "An explicit deduplication id comes before the content-based one.",
    documented("SendMessage, MessageDeduplicationId"),
)
def _explicit(bench: Bench) -> None:
    url = _content_based(bench)
    _plain_send(bench, url, "a", MessageDeduplicationId="1")
    _plain_send(bench, url, "a", MessageDeduplicationId="2")
    bench.equal("the messages", bench.bodies(url), ["a", "a"])


@case(
    624,
    "explicit-id-equal-to-content",
    "An explicit id that equals the SHA-256 of an earlier body makes a duplicate.",
    documented("SendMessage, MessageDeduplicationId"),
)
def _explicit_equal(bench: Bench) -> None:
    url = _content_based(bench)
    _plain_send(bench, url, "a")
    _plain_send(bench, url, "b", MessageDeduplicationId=hashlib.sha256(b"a").hexdigest())
    bench.equal("the messages", bench.bodies(url), ["a"])


@case(
    625,
    "content-based-switched-on",
    "ContentBasedDeduplication can be switched on for a queue that is there.",
    documented("SendMessage, MessageDeduplicationId"),
)
def _switched_on(bench: Bench) -> None:
    url = bench.fifo()
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"ContentBasedDeduplication": "true"})
    _plain_send(bench, url, "a")
    bench.equal("the messages", bench.bodies(url), ["a"])


@case(
    626,
    "sequence-rises",
    "SequenceNumber rises strictly from send to send.",
    recorded("fifo_sequence_number_increases"),
)
def _rises(bench: Bench) -> None:
    url = bench.fifo()
    found = [int(bench.send(url, f"m{n}", f"g{n % 3}")["SequenceNumber"]) for n in range(12)]
    bench.true(all(map(lt, found, found[1:])), "the sequence numbers do not rise")


@case(627, "sequence-of-20-digits", "A SequenceNumber has 20 digits.", recorded("fifo_sequence_number_increases"))
def _digits(bench: Bench) -> None:
    found = bench.send(bench.fifo(), "a")["SequenceNumber"]
    bench.true(found.isdigit() and len(found) == 20, f"SequenceNumber is {found!r}")


@case(
    628,
    "sequence-on-receive",
    "A received message has the SequenceNumber that its send was answered with.",
    recorded("fifo_sequence_number_increases"),
)
def _on_receive(bench: Bench) -> None:
    url = bench.fifo()
    sent = bench.send(url, "a")["SequenceNumber"]
    found = bench.one(url, AttributeNames=["SequenceNumber"])["Attributes"]["SequenceNumber"]
    bench.equal("SequenceNumber", found, sent)


@case(
    629,
    "fifo-system-attributes",
    "On a FIFO queue All gives MessageGroupId, MessageDeduplicationId and SequenceNumber besides.",
    recorded("fifo_message_attributes"),
)
def _system(bench: Bench) -> None:
    url = bench.fifo()
    bench.send(url, "a", "group", "dedup")
    found = bench.one(url, AttributeNames=["All"])["Attributes"]
    bench.keys(
        "Attributes",
        found,
        "SenderId",
        "SentTimestamp",
        "ApproximateReceiveCount",
        "ApproximateFirstReceiveTimestamp",
        "MessageGroupId",
        "MessageDeduplicationId",
        "SequenceNumber",
    )
    bench.equal("group and id", (found["MessageGroupId"], found["MessageDeduplicationId"]), ("group", "dedup"))


@case(
    630,
    "fifo-batch-answer",
    "A batch answers a SequenceNumber for each entry.",
    documented("SendMessageBatch"),
)
def _batch(bench: Bench) -> None:
    entries = [
        {"Id": id, "MessageBody": id, "MessageGroupId": "g", "MessageDeduplicationId": id} for id in "abcdefghij"
    ]
    answer = bench.call("SendMessageBatch", QueueUrl=bench.fifo(), Entries=entries)
    found = [int(entry["SequenceNumber"]) for entry in answer["Successful"]]
    bench.true(all(map(lt, found, found[1:])), "the sequence numbers do not rise")
