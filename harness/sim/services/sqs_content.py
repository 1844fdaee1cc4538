"""What is inside a message: bodies, message attributes, their checks, sizes and MD5s."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from harness.sim.services.sqs_errors import (
    empty_string_attribute,
    invalid_contents,
    invalid_parameter,
    missing_parameter,
    parameter_reason,
)

__all__ = [
    "Attributes",
    "attributes_md5",
    "attributes_size",
    "body_md5",
    "body_size",
    "check_attributes",
    "check_body",
    "check_token",
    "plain_attributes",
    "select_attributes",
]

#: Message attributes as boto3 gives and takes them: name -> {DataType, StringValue | BinaryValue}.
Attributes: TypeAlias = Mapping[str, Mapping[str, Any]]

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Letters of any alphabet are accepted on AWS, although the documentation names ASCII only.
_ATTRIBUTE_NAME = re.compile(r"[\w.-]{1,256}")
_ATTRIBUTE_TYPE = re.compile(r"(String|Number|Binary)(\..{1,249})?")
_TOKEN = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}")


def check_body(body: str) -> None:
    """A body is neither empty nor has a character that SQS forbids."""
    if not body:
        raise missing_parameter("MessageBody")
    if not body.isprintable() and _FORBIDDEN.search(body):
        raise invalid_contents()


def body_size(body: str) -> int:
    return len(body) if body.isascii() else len(body.encode("utf-8"))


def body_md5(body: str) -> str:
    return hashlib.md5(body.encode("utf-8"), usedforsecurity=False).hexdigest()


def check_token(value: str, parameter: str) -> None:
    """A message group id or deduplication id."""
    if not _TOKEN.fullmatch(value):
        raise parameter_reason(
            value,
            parameter,
            f"{parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length.",
        )


def check_attributes(attributes: Attributes) -> None:
    """The message attributes of one message."""
    if len(attributes) > 10:
        raise invalid_parameter(
            "Number of message attributes [" + str(len(attributes)) + "] exceeds the allowed maximum [10]."
        )
    for name, value in attributes.items():
        lowered = name.lower()
        if not _ATTRIBUTE_NAME.fullmatch(name) or lowered.startswith(("aws.", "amazon.", ".")) or name.endswith("."):
            raise invalid_parameter(f"Message (user) attribute name '{name}' is invalid.")
        data_type = value.get("DataType") or ""
        if not _ATTRIBUTE_TYPE.fullmatch(data_type):
            raise invalid_parameter(f"The message (user) attribute '{name}' has an invalid message attribute type.")
        if data_type.startswith("Binary"):
            if not value.get("BinaryValue"):
                raise invalid_parameter(f"The message (user) attribute '{name}' must contain a non-empty binary value.")
            continue
        text = value.get("StringValue")
        if not text:
            raise empty_string_attribute(name)
        if not text.isprintable() and _FORBIDDEN.search(text):
            raise invalid_parameter(f"The message (user) attribute '{name}' has a forbidden character in its value.")


def plain_attributes(attributes: Attributes) -> dict[str, dict[str, Any]]:
    """A copy that keeps of each its value and its type, in the order of the service's model."""
    result: dict[str, dict[str, Any]] = {}
    for name, value in attributes.items():
        field = "BinaryValue" if value["DataType"].startswith("Binary") else "StringValue"
        result[name] = {field: value[field], "DataType": value["DataType"]}
    return result


def attributes_size(attributes: Attributes) -> int:
    """Bytes that count towards the limit: name, data type and value of each."""
    total = 0
    for name, value in attributes.items():
        total += len(name.encode("utf-8")) + len(value["DataType"].encode("utf-8")) + len(_value(value))
    return total


def attributes_md5(attributes: Attributes) -> str:
    """AWS's digest: sorted by name, each part with a 4-byte length, a byte for the transport type."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        value = attributes[name]
        for part in (name.encode("utf-8"), value["DataType"].encode("utf-8")):
            digest.update(struct.pack("!I", len(part)))
            digest.update(part)
        digest.update(b"\x02" if value["DataType"].startswith("Binary") else b"\x01")
        data = _value(value)
        digest.update(struct.pack("!I", len(data)))
        digest.update(data)
    return digest.hexdigest()


def _value(value: Mapping[str, Any]) -> bytes:
    if value["DataType"].startswith("Binary"):
        return bytes(value["BinaryValue"])
    return str(value["StringValue"]).encode("utf-8")


def select_attributes(attributes: Attributes, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The attributes that a receive asks for; ``All``, ``*``, ``.*`` mean all, ``abc.*`` is a prefix."""
    wanted: set[str] = set()
    prefixes: list[str] = []
    for name in names:
        if name in ("All", "*", ".*"):
            return {key: dict(value) for key, value in attributes.items()}
        if name.endswith(".*"):
            prefixes.append(name[:-2])
        else:
            wanted.add(name)
    starts = tuple(prefixes)
    return {
        key: dict(value) for key, value in attributes.items() if key in wanted or (starts and key.startswith(starts))
    }
