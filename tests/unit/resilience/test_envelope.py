"""The dead-letter envelope: lossless, readable by earlier readers, and always small enough."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.resilience.envelope import (
    CONTEXT_ATTRIBUTE,
    MAX_MESSAGE_BYTES,
    Envelope,
    message_bytes,
    read_envelope,
    sendable_attributes,
)

MESSAGE = {
    "MessageId": "m-1",
    "Body": '{"order": 7, "name": "Zoë \\u0000"}',
    "Attributes": {
        "ApproximateReceiveCount": "4",
        "SentTimestamp": "1893456000123",
        "ApproximateFirstReceiveTimestamp": "1893456001000",
        "MessageGroupId": "g",
        "MessageDeduplicationId": "d",
        "SequenceNumber": "18870000000000000000",
        "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
    },
    "MessageAttributes": {
        "text": {"DataType": "String", "StringValue": "ü"},
        "number": {"DataType": "Number.int", "StringValue": "7"},
        "binary": {"DataType": "Binary.png", "BinaryValue": b"\x00\xff\x89PNG"},
    },
}


def envelope(message: dict[str, Any] = MESSAGE, reason: str = "why", **keywords: Any) -> Envelope:
    keywords.setdefault("queue", "https://sqs/1/orders")
    keywords.setdefault("failed_at", datetime(2030, 1, 1, 12, tzinfo=UTC))
    return Envelope.of(message, reason, **keywords)


def received(outgoing: Any, message_id: str = "dlq-1") -> dict[str, Any]:
    """The outgoing message as a receive from the dead-letter queue gives it."""
    return {"MessageId": message_id, "Body": outgoing.body, "MessageAttributes": outgoing.attributes}


def test_everything_comes_back() -> None:
    """Body, attributes (binary ones too), error, counts, times and ids survive the way through the queue."""
    sent = envelope(error_class="ValueError", stack="line 1\nline 2")
    assert read_envelope(received(sent.to_message())) == sent
    assert sent.sent_at == datetime(2030, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)
    assert sent.receive_count == 4
    assert sent.group_id == "g"


def test_times_are_utc_and_say_so() -> None:
    """Times are ISO 8601 with an offset: naive local time cannot be compared."""
    document = json.loads(envelope().to_message().body)
    assert document["failedAt"] == "2030-01-01T12:00:00+00:00"
    assert document["sentAt"].endswith("+00:00")
    assert document["version"] == 1


@given(
    body=st.text(st.characters(codec="utf-8", exclude_characters="\ufffe\uffff"), max_size=200),
    attributes=st.dictionaries(
        st.text("abc", min_size=1, max_size=5),
        st.one_of(
            st.text(min_size=1, max_size=20).map(lambda value: {"DataType": "String", "StringValue": value}),
            st.binary(min_size=1, max_size=20).map(lambda value: {"DataType": "Binary", "BinaryValue": value}),
        ),
        max_size=10,
    ),
    reason=st.text(max_size=50),
    limit=st.integers(200, 3_000),
)
def test_body_is_never_lost(body: str, attributes: dict[str, Any], reason: str, limit: int) -> None:
    """Whatever the limit, reading gives back the whole body and all attributes, and SQS's limits are kept."""
    message = {"MessageId": "m", "Body": body, "MessageAttributes": attributes}
    outgoing = envelope(message, reason, stack="s" * 500).to_message(max_bytes=limit)
    read = read_envelope(received(outgoing))
    assert read.body == body
    assert read.attributes == attributes
    assert len(outgoing.attributes) <= 10
    if outgoing.form != "plain":
        assert outgoing.size <= limit
        assert read.message_id == "m"
    else:
        assert outgoing.size == message_bytes(body, attributes)


def test_naive_envelope_is_too_large() -> None:
    """The usual envelope of a message near the limit is over it; ours gets through with its context."""
    body = '"' * (MAX_MESSAGE_BYTES - 5_000)
    naive = json.dumps({"originalMessage": body, "errorReason": "x"})
    assert len(naive) > MAX_MESSAGE_BYTES
    outgoing = envelope({"MessageId": "m", "Body": body}, "x").to_message()
    assert outgoing.form == "attributes"
    assert outgoing.size <= MAX_MESSAGE_BYTES
    read = read_envelope(received(outgoing))
    assert (read.body, read.reason, read.message_id) == (body, "x", "m")
    assert read.queue == "https://sqs/1/orders"


def test_message_of_exactly_the_limit_passes_plain() -> None:
    """A message that fills the limit leaves no room for context; it is kept whole."""
    attributes = {"k": {"DataType": "String", "StringValue": "v"}}
    body = "b" * (MAX_MESSAGE_BYTES - message_bytes("", attributes))
    outgoing = envelope({"MessageId": "m", "Body": body, "MessageAttributes": attributes}).to_message()
    assert outgoing.form == "plain"
    assert outgoing.size == MAX_MESSAGE_BYTES
    assert outgoing.attributes == attributes


def test_long_stack_and_reason_are_shortened_first() -> None:
    """A huge stack costs the stack, not the envelope."""
    outgoing = envelope(stack="s" * MAX_MESSAGE_BYTES, error_class="E").to_message()
    assert outgoing.form == "envelope"
    read = read_envelope(received(outgoing))
    assert read.error_class == "E"
    assert 0 < len(read.stack or "") <= 4_000
    outgoing = envelope(reason="r" * MAX_MESSAGE_BYTES).to_message()
    assert outgoing.form == "envelope"


def test_ten_attributes_with_an_oversize_body() -> None:
    """Ten attributes leave no place for labels: they travel in the context, and come back as they were."""
    attributes = {f"a{n}": {"DataType": "Binary", "BinaryValue": bytes([n])} for n in range(10)}
    message = {"MessageId": "m", "Body": "\n" * 600_000, "MessageAttributes": attributes}
    outgoing = envelope(message).to_message()
    assert outgoing.form == "attributes"
    assert len(outgoing.attributes) == 3
    assert read_envelope(received(outgoing)).attributes == attributes


def test_large_attributes_travel_as_attributes() -> None:
    """Attributes that are too large for the context stay attributes beside it."""
    attributes = {"big": {"DataType": "Binary", "BinaryValue": b"x" * 900_000}}
    message = {"MessageId": "m", "Body": "b" * 100_000, "MessageAttributes": attributes}
    outgoing = envelope(message).to_message()
    assert outgoing.form == "attributes"
    assert set(outgoing.attributes) == {"big", CONTEXT_ATTRIBUTE, "ErrorType", "OriginalQueue"}
    read = read_envelope(received(outgoing))
    assert read.attributes == attributes
    assert read.message_id == "m"


def test_characters_that_sqs_refuses_are_escaped() -> None:
    """An error text with control characters, lone surrogates or non-characters makes no message that SQS refuses."""
    outgoing = envelope(reason="\x00\x1f\ud800\uffff").to_message()
    for character in outgoing.body:
        assert character in "\t\n\r" or "\x20" <= character <= "\ud7ff" or "\ue000" <= character <= "\ufffd"
    assert json.loads(outgoing.body)["errorReason"] == "\x00\x1f\ud800\uffff"


def test_reads_the_unversioned_form() -> None:
    """An envelope without a version, as earlier tools wrote it, is read with the queue from its attributes."""
    body = {
        "originalMessage": "hello",
        "originalAttributes": {"k": {"StringValue": "v", "DataType": "String"}},
        "errorReason": "connection timeout",
        "failedAt": "2024-05-01T10:00:00.123456",
        "originalMessageId": "old-1",
    }
    labels = {"OriginalQueue": {"DataType": "String", "StringValue": "https://sqs/1/old"}}
    read = read_envelope({"MessageId": "x", "Body": json.dumps(body), "MessageAttributes": labels})
    assert (read.form, read.version) == ("unversioned", 0)
    assert (read.body, read.message_id, read.reason) == ("hello", "old-1", "connection timeout")
    assert read.queue == "https://sqs/1/old"
    assert read.attributes == {"k": {"DataType": "String", "StringValue": "v"}}
    assert read.failed_at == datetime(2024, 5, 1, 10, 0, 0, 123_456, tzinfo=UTC)


def test_reads_plain_messages_of_native_redrive() -> None:
    """A message that SQS itself moved is its own original, with its id and the source's ARN."""
    source = "arn:aws:sqs:us-east-1:1:orders"
    message = {
        "MessageId": "m-1",
        "Body": '{"order": 7}',
        "Attributes": {"DeadLetterQueueSourceArn": source, "ApproximateReceiveCount": "5"},
        "MessageAttributes": {"k": {"DataType": "Binary", "BinaryValue": b"\x00"}},
    }
    read = read_envelope(message)
    assert (read.form, read.version, read.queue) == ("plain", 0, source)
    assert (read.body, read.message_id, read.receive_count) == ('{"order": 7}', "m-1", 5)
    assert read.attributes == {"k": {"DataType": "Binary", "BinaryValue": b"\x00"}}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[1]",
        "null",
        "[" * 100_000,
        '{"originalMessage": 5, "errorReason": null, "version": "x", "failedAt": 7, "originalAttributes": [1]}',
        '{"originalMessage": {"a": 1}, "errorReason": "r", "originalAttributes": {"k": {"BinaryValue": "!"}}}',
        '{"originalMessage": "m", "errorReason": "r", "failedAt": "yesterday", "receiveCount": true}',
    ],
)
def test_junk_is_read_without_an_error(body: str) -> None:
    """A dead-letter queue may hold anything: junk is read as what it is."""
    read = read_envelope(
        {"MessageId": "j", "Body": body, "MessageAttributes": {CONTEXT_ATTRIBUTE: {"StringValue": "{"}}}
    )
    assert isinstance(read.body, str)
    assert read.failed_at is None


def test_received_attributes_become_sendable() -> None:
    """Attributes as received carry list fields and bytearrays, which a send refuses."""
    as_received = {
        "s": {"DataType": "String", "StringValue": "v", "StringListValues": [], "BinaryListValues": []},
        "b": {"DataType": "Binary", "BinaryValue": bytearray(b"\x01")},
    }
    assert sendable_attributes(as_received) == {
        "s": {"DataType": "String", "StringValue": "v"},
        "b": {"DataType": "Binary", "BinaryValue": b"\x01"},
    }


def test_size_counts_names_types_and_values() -> None:
    """The recorded example of AWS: "k" + "String" + "x" are 8 bytes; the body counts in UTF-8."""
    assert message_bytes("é", {"k": {"DataType": "String", "StringValue": "x"}}) == 2 + 8
