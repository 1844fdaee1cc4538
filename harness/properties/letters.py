"""Dead letters in any shape: which message is one of, and is anything of that message missing?

Nothing is asked of an envelope's form. What the message held must be found
in the dead letter's body or attributes: its body as text or as the JSON value
that it is, each attribute's value, a binary one as it is or in Base64 or hex.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Original", "problem_of", "told_in"]

_DEPTH_MAX = 6
#: A field of such a name says that the whole of it is elsewhere: a body as large as SQS allows fits in no envelope.
_REFERENCES = ("reference", "pointer", "location", "s3", "uri", "url", "bucket")
_LARGE = 900_000  # characters


@dataclass(frozen=True)
class Original:
    """A message as it was sent."""

    message: str
    key: str
    body: str


def told_in(body: str, attributes: Mapping[str, Any], originals: Iterable[Original]) -> Original | None:
    """The message that a dead letter of *body* and *attributes* is one of, if it can be told."""
    known = list(originals)
    by_id = {one.message: one for one in known}
    texts = [body, *_texts(_parsed(body)), *_strings(attributes)]
    for text in texts:
        if text in by_id:
            return by_id[text]
    for text in texts:
        same = [one for one in known if one.body == text]
        if len(same) == 1:
            return same[0]
    values = list(_values(_parsed(body)))
    for one in known:
        document = _parsed(one.body)
        if isinstance(document, (dict, list)) and document in values:
            return one
    return None


def problem_of(original: Original, sent: Mapping[str, Any], body: str, attributes: Mapping[str, Any]) -> str:
    """What of *original*, whose attributes were *sent*, a dead letter lacks; "" if nothing."""
    document = _parsed(body)
    texts = {body, *_texts(document), *_strings(attributes)}
    elsewhere = len(original.body) > _LARGE and any(
        word in name.lower() for name in (*_names(document), *attributes) for word in _REFERENCES
    )
    if not elsewhere and not _holds_body(original.body, document, texts):
        return "does not hold the message's body"
    for name, attribute in sent.items():
        if not _holds(name, attribute, document, texts, attributes) and not elsewhere:
            kind = str(attribute.get("DataType", "String")).partition(".")[0]
            return f"does not hold the value of its attribute {name!r} ({kind})"
    return ""


def _holds_body(body: str, document: Any, texts: set[str]) -> bool:
    if body in texts:
        return True
    parsed = _parsed(body)
    return parsed is not None and any(parsed == value for value in _values(document))


def _holds(name: str, attribute: Mapping[str, Any], document: Any, texts: set[str], there: Mapping[str, Any]) -> bool:
    binary = attribute.get("BinaryValue")
    if binary is None:
        text = str(attribute.get("StringValue"))
        if text in texts:
            return True
        return attribute.get("DataType", "").startswith("Number") and any(
            isinstance(one, (int, float)) and not isinstance(one, bool) and _same_number(one, text)
            for one in _values(document)
        )
    data = bytes(binary)
    if any(bytes(one.get("BinaryValue") or b"") == data for one in there.values()):
        return True
    spelt = {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode(), binascii.hexlify(data).decode()}
    spelt |= {one.rstrip("=") for one in spelt} | {data.hex().upper(), data.decode("latin-1")}
    return not spelt.isdisjoint(texts) or any(isinstance(one, list) and one == list(data) for one in _values(document))


def _same_number(one: float, text: str) -> bool:
    try:
        return float(text) == float(one)
    except ValueError:
        return False


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _values(value: Any, depth: int = 0) -> Iterator[Any]:
    """*value* and what is in it, and in JSON that stands in it as text."""
    yield value
    if depth >= _DEPTH_MAX:
        return
    if isinstance(value, dict):
        for one in value.values():
            yield from _values(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            yield from _values(one, depth + 1)
    elif isinstance(value, str) and value[:1] in "{[":
        inner = _parsed(value)
        if inner is not None:
            yield from _values(inner, depth + 1)


def _texts(value: Any) -> list[str]:
    return [one for one in _values(value) if isinstance(one, str)]


def _names(value: Any) -> list[str]:
    return [name for one in _values(value) if isinstance(one, dict) for name in one]


def _strings(attributes: Mapping[str, Any]) -> list[str]:
    found = [str(one["StringValue"]) for one in attributes.values() if one.get("StringValue") is not None]
    return [text for one in found for text in (one, *_texts(_parsed(one)))]
