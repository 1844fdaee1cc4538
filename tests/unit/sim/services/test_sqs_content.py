"""Bodies, message attributes, MD5s, sizes: what may be inside a message."""

from __future__ import annotations

from typing import Any

import pytest

from harness.sim.services.sqs_content import attributes_md5, attributes_size, body_md5, select_attributes
from tests.unit.sim.services.sqs_desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def text(value: str, kind: str = "String") -> dict[str, str]:
    return {"DataType": kind, "StringValue": value}


def test_recorded_md5_of_body() -> None:
    """The MD5 of the body "message" is the one recorded on AWS."""
    assert body_md5("message") == "78e731027d8fd50ed642340b7c9a63b3"


def test_recorded_md5_of_attributes() -> None:
    """The MD5s of attributes and of system attributes are those recorded on AWS."""
    assert attributes_md5({"k": text("x")}) == "a45daa70926828a2f0a1db3418e6feb4"
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    assert attributes_md5({"AWSTraceHeader": text(trace)}) == "5ae4d5d7636402d80f4eb6d213245a88"


def test_md5_is_independent_of_order_and_sees_types() -> None:
    """Attributes are sorted by name; a binary value of the same bytes has another digest."""
    one = {"a": text("1"), "b": {"DataType": "Binary", "BinaryValue": b"\x00"}}
    assert attributes_md5(one) == attributes_md5(dict(reversed(one.items())))
    assert attributes_md5({"a": text("x")}) != attributes_md5({"a": {"DataType": "Binary", "BinaryValue": b"x"}})


def test_size_of_attributes() -> None:
    """Name, type and value count: "k" + "String" + "x" = 8 [send_oversized_message]."""
    assert attributes_size({"k": text("x")}) == 8
    assert attributes_size({"ä": text("ß")}) == 10


def test_empty_body(desk: Desk) -> None:
    """An empty body is a missing parameter [send_empty_message, 22 Sep 2025]."""
    error = desk.refused("SendMessage", QueueUrl=desk.queue(), MessageBody="")
    assert (error.code, error.shape, error.status, error.message) == (
        "MissingParameter",
        "MissingRequiredParameterException",
        400,
        "The request must contain the parameter MessageBody.",
    )


@pytest.mark.parametrize("character", ["\x00", "\x08", "\x0b", "\x1f", "￾", "\uffff", "\ud800"])
def test_forbidden_characters(desk: Desk, character: str) -> None:
    """A body with a forbidden character is refused [send_message_with_invalid_payload_characters]."""
    error = desk.refused("SendMessage", QueueUrl=desk.queue(), MessageBody=f"a{character}")
    assert (error.code, error.shape, error.status) == ("InvalidMessageContents", "InvalidMessageContents", 400)


@pytest.mark.parametrize("body", ["\t\n\r", "\x7f\x85", "퟿", "�", "😀", "ü", " "])
def test_allowed_characters(desk: Desk, body: str) -> None:
    """Every other character is taken and comes back as it was."""
    queue = desk.queue()
    desk.send(queue, body)
    assert desk.bodies(queue) == [body]


def test_oversized_message(desk: Desk) -> None:
    """Body and attributes together may have 1 MiB, not a byte more [send_oversized_message, 19 Aug 2025]."""
    queue = desk.queue()
    attributes = {"k": text("x")}
    desk.send(queue, "b" * (1_048_576 - 8), MessageAttributes=attributes)
    error = desk.refused("SendMessage", QueueUrl=queue, MessageBody="b" * (1_048_576 - 7), MessageAttributes=attributes)
    assert (error.code, error.shape) == ("InvalidParameterValue", "InvalidParameterValueException")
    assert error.message == ("One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.")


def test_size_counts_utf8_bytes(desk: Desk) -> None:
    """What counts are UTF-8 bytes, not characters."""
    queue = desk.queue(MaximumMessageSize="1024")
    desk.send(queue, "ü" * 512)
    assert "1024" in desk.refused("SendMessage", QueueUrl=queue, MessageBody="ü" * 513).message


def test_system_attributes_do_not_count(desk: Desk) -> None:
    """System attributes do not count towards the size."""
    queue = desk.queue(MaximumMessageSize="1024")
    answer = desk.send(queue, "b" * 1024, MessageSystemAttributes={"AWSTraceHeader": text("Root=1")})
    assert answer["MD5OfMessageSystemAttributes"]


@pytest.mark.parametrize(
    "name",
    ["", "a" * 257, "AWS.a", "aws.a", "Amazon.a", "AMAZON.a", ".a", "a.", "a!", 'a"', "a§", "a(", "a?", "a b"],
)
def test_bad_attribute_names(desk: Desk, name: str) -> None:
    """Names that AWS refuses [send_message_with_invalid_string_attributes]."""
    error = desk.refused("SendMessage", QueueUrl=desk.queue(), MessageBody="a", MessageAttributes={name: text("x")})
    assert (error.code, error.shape) == ("InvalidParameterValue", "InvalidParameterValueException")


@pytest.mark.parametrize("name", ["a" * 256, "ø", "ß", "ä", "a..b", "a-b_c.d", "awsome"])
def test_good_attribute_names(desk: Desk, name: str) -> None:
    """Letters of any alphabet and two dots in a row are accepted [send_message_with_invalid_string_attributes]."""
    queue = desk.queue()
    desk.send(queue, "a", MessageAttributes={name: text("x")})
    assert desk.receive(queue, MessageAttributeNames=["All"])[0]["MessageAttributes"] == {name: text("x")}


@pytest.mark.parametrize("kind", ["", "Str", "string", "Float", ".String", "String."])
def test_bad_attribute_types(desk: Desk, kind: str) -> None:
    """A type starts String, Number or Binary."""
    attributes = {"a": text("1", kind)}
    assert (
        desk.refused("SendMessage", QueueUrl=desk.queue(), MessageBody="a", MessageAttributes=attributes).status == 400
    )


@pytest.mark.parametrize("kind", ["String", "Number", "String.custom", "Number.int"])
def test_good_attribute_types(desk: Desk, kind: str) -> None:
    """A type may have a custom label behind a dot."""
    assert desk.send(desk.queue(), "a", MessageAttributes={"a": text("1", kind)})["MD5OfMessageAttributes"]


def test_empty_string_attribute(desk: Desk) -> None:
    """An empty string value is refused with its name."""
    error = desk.refused(
        "SendMessage", QueueUrl=desk.queue(), MessageBody="a", MessageAttributes={"ErrorDetails": text("")}
    )
    assert error.message == "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'."


def test_forbidden_character_in_attribute(desk: Desk) -> None:
    """A forbidden character in a string attribute is InvalidParameterValue."""
    error = desk.refused("SendMessage", QueueUrl=desk.queue(), MessageBody="a", MessageAttributes={"a": text("\x01")})
    assert error.code == "InvalidParameterValue"


def test_ten_attributes(desk: Desk) -> None:
    """A message has ten attributes at most."""
    queue = desk.queue()
    desk.send(queue, "a", MessageAttributes={f"a{number}": text("x") for number in range(10)})
    eleven = {f"a{number}": text("x") for number in range(11)}
    assert desk.refused("SendMessage", QueueUrl=queue, MessageBody="a", MessageAttributes=eleven).status == 400


ATTRIBUTES: dict[str, dict[str, Any]] = {"Hello": text("1"), "Help": text("2"), "Other": text("3")}


@pytest.mark.parametrize(
    ("names", "selected"),
    [
        (["All"], ["Hello", "Help", "Other"]),
        (["*"], ["Hello", "Help", "Other"]),
        ([".*"], ["Hello", "Help", "Other"]),
        (["Hel.*"], ["Hello", "Help"]),
        (["Other", "Hello"], ["Hello", "Other"]),
        (["unknown", "AWS.", "!!"], []),
        ([], []),
    ],
)
def test_attribute_filters(names: list[str], selected: list[str]) -> None:
    """All, * and .* mean all, Hel.* is a prefix, unknown names give nothing.

    [receive_message_message_attribute_names_filters]
    """
    assert sorted(select_attributes(ATTRIBUTES, names)) == selected


def test_md5_covers_what_is_returned(desk: Desk) -> None:
    """MD5OfMessageAttributes covers the returned ones and is absent when none is.

    [receive_message_message_attribute_names_filters]
    """
    queue = desk.queue(VisibilityTimeout="0")
    sent = desk.send(queue, "a", MessageAttributes=ATTRIBUTES)
    every = desk.receive(queue, MessageAttributeNames=["All"])[0]
    assert every["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"] == attributes_md5(ATTRIBUTES)
    some = desk.receive(queue, MessageAttributeNames=["Hel.*"])[0]
    assert some["MD5OfMessageAttributes"] == attributes_md5({"Hello": text("1"), "Help": text("2")})
    none = desk.receive(queue, MessageAttributeNames=["nope"])[0]
    assert "MD5OfMessageAttributes" not in none
    assert "MessageAttributes" not in none


def test_caller_cannot_change_a_sent_message(desk: Desk) -> None:
    """What was sent stays as it was when the caller changes its dictionaries, or those that it received."""
    queue = desk.queue(VisibilityTimeout="0")
    attributes = {"a": text("x")}
    desk.send(queue, "a", MessageAttributes=attributes)
    attributes["a"]["StringValue"] = "changed"
    received = desk.receive(queue, MessageAttributeNames=["All"])[0]
    received["MessageAttributes"]["a"]["StringValue"] = "changed"
    assert desk.receive(queue, MessageAttributeNames=["All"])[0]["MessageAttributes"] == {"a": text("x")}
