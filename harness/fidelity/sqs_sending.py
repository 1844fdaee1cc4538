"""SendMessage: answers, digests, sizes, what is refused, delays, fair queues."""

from __future__ import annotations

from harness.fidelity.bench import Bench, number, text
from harness.fidelity.rows import case, documented, peer, recorded

__all__: list[str] = []

_MIB = 1_048_576
_OVERSIZE = "One or more parameters are invalid. Reason: Message must be shorter than {} bytes."
_TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


@case(
    201,
    "send-answer",
    "SendMessage answers MessageId and MD5OfMessageBody, and nothing else unasked.",
    recorded("send_receive_message"),
)
def _answer(bench: Bench) -> None:
    answer = bench.send(bench.queue(), "message")
    bench.keys("the answer", answer, "MessageId", "MD5OfMessageBody")
    bench.equal("MD5OfMessageBody", answer["MD5OfMessageBody"], "78e731027d8fd50ed642340b7c9a63b3")


@case(202, "attributes-digest", "The digest of message attributes.", recorded("send_message_with_attributes"))
def _attributes_digest(bench: Bench) -> None:
    answer = bench.send(bench.queue(), MessageAttributes={"k": text("x")})
    bench.equal("MD5OfMessageAttributes", answer.get("MD5OfMessageAttributes"), "a45daa70926828a2f0a1db3418e6feb4")


@case(
    203,
    "system-attributes-digest",
    "System attributes have a digest of their own, in the answer to a send only.",
    recorded("system_attributes_have_no_effect_on_attr_md5"),
)
def _system_digest(bench: Bench) -> None:
    url = bench.queue()
    answer = bench.send(url, MessageSystemAttributes={"AWSTraceHeader": text(_TRACE)})
    bench.equal(
        "MD5OfMessageSystemAttributes", answer.get("MD5OfMessageSystemAttributes"), "5ae4d5d7636402d80f4eb6d213245a88"
    )
    message = bench.one(url, AttributeNames=["AWSTraceHeader"])
    bench.equal("the attributes received", message.get("Attributes"), {"AWSTraceHeader": _TRACE})
    bench.true("MD5OfMessageSystemAttributes" not in message, "a receive has MD5OfMessageSystemAttributes")


@case(204, "empty-body", "An empty body is a missing parameter.", recorded("send_empty_message"))
def _empty_body(bench: Bench) -> None:
    bench.refused(
        "SendMessage",
        "MissingParameter",
        "The request must contain the parameter MessageBody.",
        shape="MissingRequiredParameterException",
        status=400,
        QueueUrl=bench.queue(),
        MessageBody="",
    )


@case(
    205,
    "forbidden-character",
    "A body with a character outside the allowed ranges is refused.",
    recorded("send_message_with_invalid_payload_characters"),
)
def _forbidden(bench: Bench) -> None:
    for letter in ("\x00", "\x1b", "\ufffe"):
        bench.refused(
            "SendMessage",
            "InvalidMessageContents",
            shape="InvalidMessageContents",
            status=400,
            QueueUrl=bench.queue(),
            MessageBody=f"a{letter}b",
        )


@case(
    206,
    "allowed-characters",
    "Tabs, line ends and every other character come back as they were sent.",
    documented("SendMessage, MessageBody"),
)
def _allowed(bench: Bench) -> None:
    url = bench.queue()
    body = "\t\n\r \ud7ff\ue000\ufffd\U00010000\U0010ffff<&>\"'"
    bench.send(url, body)
    bench.equal("the body", bench.one(url)["Body"], body)


@case(
    207,
    "size-1-mib",
    "A message may have 1,048,576 bytes.",
    recorded("send_oversized_message"),
)
def _mib(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url, "a" * _MIB)
    bench.equal("the body's length", len(bench.one(url)["Body"]), _MIB)


@case(
    208,
    "size-over-1-mib",
    "A message of 1,048,577 bytes is refused.",
    recorded("send_oversized_message"),
)
def _over_mib(bench: Bench) -> None:
    bench.refused(
        "SendMessage",
        "InvalidParameterValue",
        _OVERSIZE.format(_MIB),
        shape="InvalidParameterValueException",
        status=400,
        QueueUrl=bench.queue(),
        MessageBody="a" * (_MIB + 1),
    )


@case(
    209,
    "size-of-attributes",
    'An attribute counts with its name, type and value: "k", "String" and "x" are 8 bytes.',
    recorded("send_oversized_message"),
)
def _size_of_attributes(bench: Bench) -> None:
    url = bench.queue(MaximumMessageSize="1024")
    bench.send(url, "a" * 1016, MessageAttributes={"k": text("x")})
    bench.refused(
        "SendMessage",
        "InvalidParameterValue",
        _OVERSIZE.format(1024),
        QueueUrl=url,
        MessageBody="a" * 1017,
        MessageAttributes={"k": text("x")},
    )


@case(
    210,
    "size-of-the-queue",
    "A message is held against its queue's MaximumMessageSize.",
    recorded("send_message_with_updated_maximum_message_size"),
)
def _size_of_queue(bench: Bench) -> None:
    url = bench.queue()
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"MaximumMessageSize": "1024"})
    bench.send(url, "a" * 1024)
    bench.refused("SendMessage", "InvalidParameterValue", _OVERSIZE.format(1024), QueueUrl=url, MessageBody="a" * 1025)


@case(211, "size-in-bytes", "What counts are UTF-8 bytes, not characters.", documented("SendMessage, MessageBody"))
def _size_in_bytes(bench: Bench) -> None:
    url = bench.queue(MaximumMessageSize="1024")
    bench.send(url, "é" * 512)
    bench.refused("SendMessage", "InvalidParameterValue", QueueUrl=url, MessageBody="é" * 513)


@case(
    212,
    "size-without-system-attributes",
    "System attributes do not count towards the size.",
    documented("SendMessage, MessageSystemAttributes"),
)
def _size_without_system(bench: Bench) -> None:
    url = bench.queue(MaximumMessageSize="1024")
    bench.send(url, "a" * 1024, MessageSystemAttributes={"AWSTraceHeader": text(_TRACE)})


@case(213, "ten-attributes", "A message may have ten attributes.", documented("Message attributes"))
def _ten_attributes(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url, MessageAttributes={f"a{n}": number(str(n)) for n in range(10)})
    message = bench.one(url, MessageAttributeNames=["All"])
    bench.equal("the number of attributes", len(message.get("MessageAttributes", {})), 10)


@case(214, "eleven-attributes", "A message with eleven attributes is refused.", documented("Message attributes"))
def _eleven_attributes(bench: Bench) -> None:
    bench.refused(
        "SendMessage",
        "InvalidParameterValue",
        QueueUrl=bench.queue(),
        MessageBody="x",
        MessageAttributes={f"a{n}": number(str(n)) for n in range(11)},
    )


@case(
    215,
    "attribute-names-refused",
    'Names that start with AWS., Amazon. or a dot, end in a dot, or have ! " § ( ? are refused.',
    recorded("send_message_with_invalid_string_attributes"),
)
def _names_refused(bench: Bench) -> None:
    url = bench.queue()
    for name in ("AWS.x", "aws.x", "Amazon.x", "amazon.x", ".x", "x.", "a!", 'a"', "a§", "a(", "a?"):
        bench.refused(
            "SendMessage",
            "InvalidParameterValue",
            QueueUrl=url,
            MessageBody="x",
            MessageAttributes={name: text("v")},
        )


@case(
    216,
    "attribute-names-accepted",
    "Letters like ø, ß, ä and two dots in a row are accepted in names.",
    recorded("send_message_with_invalid_string_attributes"),
)
def _names_accepted(bench: Bench) -> None:
    url = bench.queue()
    for name in ("ø", "ß", "ä", "a..b", "a-b_c.d"):
        bench.send(url, MessageAttributes={name: text("v")})


@case(
    217,
    "attribute-type-refused",
    "A type that does not start with String, Number or Binary is refused.",
    recorded("send_message_with_invalid_string_attributes"),
)
def _type_refused(bench: Bench) -> None:
    bench.refused(
        "SendMessage",
        "InvalidParameterValue",
        QueueUrl=bench.queue(),
        MessageBody="x",
        MessageAttributes={"a": text("v", "Text")},
    )


@case(218, "attribute-type-label", "A type may have a label behind a dot.", documented("Message attributes"))
def _type_label(bench: Bench) -> None:
    url = bench.queue()
    sent = {"n": text("1", "Number.int"), "s": text("x", "String.custom")}
    bench.send(url, MessageAttributes=sent)
    bench.equal("the attributes", bench.one(url, MessageAttributeNames=["All"]).get("MessageAttributes"), sent)


@case(
    219,
    "attribute-empty-string",
    "An attribute with an empty string is refused and named.",
    recorded("send_message_with_empty_string_attribute"),
)
def _empty_string(bench: Bench) -> None:
    bench.refused(
        "SendMessage",
        "InvalidParameterValue",
        "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'.",
        shape="InvalidParameterValueException",
        QueueUrl=bench.queue(),
        MessageBody="x",
        MessageAttributes={"ErrorDetails": text("")},
    )


@case(
    220,
    "attribute-forbidden-character",
    "A forbidden character in an attribute's value is an invalid parameter.",
    recorded("send_message_with_invalid_string_attributes"),
)
def _attribute_character(bench: Bench) -> None:
    bench.refused(
        "SendMessage",
        "InvalidParameterValue",
        QueueUrl=bench.queue(),
        MessageBody="x",
        MessageAttributes={"a": text("b\x00")},
    )


@case(221, "delay-out-of-range", "A delay is 0 to 900 seconds.", peer("moto; the range is documented"))
def _delay_range(bench: Bench) -> None:
    url = bench.queue()
    for delay in (-1, 901):
        bench.refused(
            "SendMessage",
            "InvalidParameterValue",
            f"Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
            QueueUrl=url,
            MessageBody="x",
            DelaySeconds=delay,
        )


@case(
    222,
    "deduplication-id-on-standard",
    "A standard queue takes no MessageDeduplicationId.",
    peer("LocalStack, ElasticMQ"),
)
def _dedup_on_standard(bench: Bench) -> None:
    bench.refused(
        "SendMessage",
        "InvalidParameterValue",
        "Value d for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is "
        "not valid for this queue type.",
        QueueUrl=bench.queue(),
        MessageBody="x",
        MessageDeduplicationId="d",
    )


_GROUP = "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length."


@case(
    223,
    "group-id-on-standard-form",
    "A standard queue, too, refuses a MessageGroupId with a space, or longer than 128.",
    recorded("send_message_to_standard_queue_with_invalid_message_group_id"),
)
def _group_form(bench: Bench) -> None:
    url = bench.queue()
    for group in ("group 123", "a" * 129):
        bench.refused(
            "SendMessage",
            "InvalidParameterValue",
            f"Value {group} for parameter MessageGroupId is invalid. Reason: {_GROUP}",
            shape="InvalidParameterValueException",
            QueueUrl=url,
            MessageBody="x",
            MessageGroupId=group,
        )
    bench.send(url, group="a" * 128)


@case(
    224,
    "fair-queue-keeps-the-group",
    "MessageGroupId on a standard queue is kept and is returned as an attribute.",
    recorded("fair_queue_with_message_group_id"),
)
def _fair_kept(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url, group="tenant-1")
    message = bench.one(url, MessageSystemAttributeNames=["MessageGroupId"])
    bench.equal("the attributes", message.get("Attributes"), {"MessageGroupId": "tenant-1"})


@case(
    225,
    "fair-queue-blocks-nothing",
    "A group in flight does not hold back its other messages on a standard queue.",
    recorded("fair_queue_with_message_group_id"),
)
def _fair_blocks_nothing(bench: Bench) -> None:
    url = bench.queue()
    for body in ("a", "b"):
        bench.send(url, body, group="tenant-1")
    first = bench.one(url)["Body"]
    bench.equal("both messages", sorted([first, bench.one(url)["Body"]]), ["a", "b"])


@case(
    226,
    "no-sequence-on-standard",
    "A standard queue gives no SequenceNumber.",
    recorded("sequence_number"),
)
def _no_sequence(bench: Bench) -> None:
    url = bench.queue()
    bench.true("SequenceNumber" not in bench.send(url), "the send has a SequenceNumber")
    found = bench.one(url, AttributeNames=["All"])["Attributes"]
    bench.true("SequenceNumber" not in found, "the receive has a SequenceNumber")


@case(
    227,
    "delayed-message",
    "A message with a delay is hidden for it.",
    recorded("send_delay_and_wait_time"),
    seconds=2,
)
def _delayed(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url, "later", DelaySeconds=2)
    bench.nothing(url, "before the delay is over")
    bench.wait(2)
    bench.equal("the message", bench.one(url)["Body"], "later")


@case(
    228,
    "delay-of-the-queue",
    "Without a delay of its own a message has its queue's; its own delay, also 0, comes first.",
    documented("SendMessage, DelaySeconds"),
    seconds=2,
)
def _queue_delay(bench: Bench) -> None:
    url = bench.queue(DelaySeconds="2")
    bench.send(url, "queue's")
    bench.send(url, "own", DelaySeconds=0)
    bench.equal("the message", bench.one(url)["Body"], "own")
    bench.wait(2)
    bench.equal("the other", bench.one(url)["Body"], "queue's")


@case(
    229,
    "changed-delay-on-standard",
    "A changed queue delay does not touch messages that are there: standard queue.",
    documented("Delay queues"),
    seconds=1,
)
def _changed_delay(bench: Bench) -> None:
    url = bench.queue(DelaySeconds="1")
    bench.send(url, "early")
    bench.call("SetQueueAttributes", QueueUrl=url, Attributes={"DelaySeconds": "600"})
    bench.wait(1)
    bench.equal("the message", bench.one(url)["Body"], "early")
