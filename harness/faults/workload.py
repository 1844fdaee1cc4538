"""Workload faults: messages that no consumer can decode, among the good ones.

They change what the outside world sends, before SQS accepts it, and so
strike in decoding, before any handler.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.faults.acts import Decision, Noted
from harness.faults.kinds import Kind, Passing

__all__ = ["BYTES_MAX", "KINDS", "Content", "spoil"]

#: The largest body with its attributes that SQS accepts: 1 MiB (Amazon SQS developer guide, quotas for messages).
BYTES_MAX = 1_048_576

#: What Amazon S3 sends to a queue once when notifications to it are switched on; consumers of orders are not
#: prepared for it (Amazon S3 user guide, "Event message structure", the s3:TestEvent message).
_FOREIGN: Mapping[str, Any] = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2030-01-01T00:00:00.000Z",
    "Bucket": "example-bucket",
    "RequestId": "5582815E1AEA5ADF",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
}
#: Attributes as another team's producer sets them: one of each type, the binary one no text at all.
_FOREIGN_ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {
    "traceparent": {"DataType": "String", "StringValue": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
    "schema.version": {"DataType": "Number.int", "StringValue": "7"},
    "checksum": {"DataType": "Binary", "BinaryValue": b"\x00\xff\xfe\x80"},
}


@dataclass(frozen=True, slots=True)
class Content:
    """A message's body and its attributes, as boto3 takes them (``None``: none)."""

    body: str
    attributes: Mapping[str, Mapping[str, Any]] | None


def _attribute_bytes(attributes: Mapping[str, Mapping[str, Any]] | None) -> int:
    """What SQS counts for attributes: the UTF-8 bytes of each name, type and value."""
    total = 0
    for name, value in (attributes or {}).items():
        binary = value.get("BinaryValue")
        content = binary if isinstance(binary, (bytes, bytearray)) else str(value.get("StringValue", "")).encode()
        total += len(name.encode()) + len(str(value.get("DataType", "")).encode()) + len(content)
    return total


def _malformed(content: Content) -> Content:
    """The body breaks off in the middle, as a producer's crash or a wrong Content-Length leaves it."""
    return Content(content.body[: max(1, len(content.body) // 2)] if content.body else "{", content.attributes)


def _foreign(content: Content) -> Content:
    return Content(json.dumps(_FOREIGN), {**(content.attributes or {}), **_FOREIGN_ATTRIBUTES})


def _empty(content: Content) -> Content:
    """SQS refuses a body of no bytes, so the emptiest body that arrives is one space."""
    return Content(" ", content.attributes)


def _oversized(content: Content) -> Content:
    """Exactly as large as SQS accepts; a JSON object stays one and keeps its fields."""
    room = BYTES_MAX - _attribute_bytes(content.attributes)
    try:
        document = json.loads(content.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        return Content(content.body + "x" * (room - len(content.body.encode())), content.attributes)
    document["padding"] = ""
    frame = len(json.dumps(document).encode())
    document["padding"] = "x" * (room - frame)
    return Content(json.dumps(document), content.attributes)


_SPOIL = {"malformed": _malformed, "foreign": _foreign, "empty": _empty, "oversized": _oversized}


def spoil(kind: str, content: Content) -> Content:
    """What is sent instead of *content* when a workload fault of this kind strikes."""
    return _SPOIL[kind](content)


def _replaced(passing: Passing) -> Decision:
    return Noted("is sent in place of the message")


KINDS = (
    Kind(
        name="malformed",
        layer="workload",
        summary="The body breaks off in the middle: it is no JSON any more.",
        phrase="sends bodies that break off",
        decide=_replaced,
    ),
    Kind(
        name="foreign",
        layer="workload",
        summary="The body and attributes are another producer's: S3's test event, and attributes of every type, "
        "a binary one among them.",
        phrase="sends messages of another producer",
        decide=_replaced,
        source="Amazon S3 user guide, Event message structure: s3:TestEvent",
    ),
    Kind(
        name="empty",
        layer="workload",
        summary="The body is one space, the emptiest that SQS accepts.",
        phrase="sends empty bodies",
        decide=_replaced,
        source="SQS refuses a body of no bytes: MissingParameter",
    ),
    Kind(
        name="oversized",
        layer="workload",
        summary="The body is as large as SQS accepts with its attributes, 1,048,576 bytes; a JSON object stays one "
        "and keeps its key. One more attribute makes it too large to send on.",
        phrase="sends bodies of 1 MiB",
        decide=_replaced,
        source="Amazon SQS developer guide, Amazon SQS message quotas",
    ),
)
