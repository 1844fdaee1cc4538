"""What a quarantine keeps of a message, as JSON, and how it becomes a message again."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from harness.resilience.envelope import decode_attributes, encode_attributes

__all__ = ["QuarantinedMessage", "Release", "describe", "parse"]

VERSION = 1


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    """One entry of the quarantine.

    ``queue_url``: where it came from, if that was said. ``raw``: the entry as
    Redis holds it. ``version`` 0: an earlier tool wrote it.
    """

    message_id: str
    identity: str
    body: str
    reason: str
    quarantined_at: datetime | None
    failure_count: int
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    group_id: str | None = None
    queue_url: str | None = None
    document: Mapping[str, Any] = field(default_factory=dict)
    version: int = VERSION
    raw: Any = None

    def to_request(self, queue_url: str | None = None) -> dict[str, Any]:
        """The arguments of ``send_message`` that send it again.

        Raises:
            ValueError: no queue is given, and the entry names none.
        """
        queue_url = queue_url or self.queue_url
        if not queue_url:
            raise ValueError(f"message {self.message_id} does not say which queue it came from; give queue_url")
        request: dict[str, Any] = {"QueueUrl": queue_url, "MessageBody": self.body}
        if self.attributes:
            request["MessageAttributes"] = {name: dict(value) for name, value in self.attributes.items()}
        if queue_url.endswith(".fifo"):
            request["MessageGroupId"] = self.group_id or self.message_id
            # The same for each try to release this entry, another one if it comes here again.
            seed = f"{self.message_id}:{self.document.get('quarantineTime')}"
            request["MessageDeduplicationId"] = hashlib.sha256(seed.encode()).hexdigest()
        return request


@dataclass(frozen=True, slots=True)
class Release:
    """A message that left the quarantine, and the id that it has in its queue now."""

    entry: QuarantinedMessage
    new_message_id: str


def describe(
    message: Mapping[str, Any],
    reason: str,
    identity: str,
    failures: int,
    now: datetime,
    queue_url: str | None = None,
) -> str:
    """The entry of *message* as JSON text. Everything is kept: bytes, times, and what JSON cannot hold as its text."""
    body = message.get("Body", "")
    document: dict[str, Any] = {
        "messageId": _text(message.get("MessageId", "")),
        "messageBody": _text(body),
        "quarantineReason": reason,
        "quarantineTime": now.astimezone(UTC).isoformat(),
        "failureCount": failures,
        "version": VERSION,
        "identity": identity,
        "queue": queue_url,
        "messageAttributes": encode_attributes(message.get("MessageAttributes") or {}),
        "systemAttributes": _plain(message.get("Attributes") or {}),
        "otherFields": _plain(
            {
                name: value
                for name, value in message.items()
                if name not in ("MessageId", "Body", "MessageAttributes", "Attributes", "ReceiptHandle")
            }
        ),
    }
    if not isinstance(body, str):
        document["otherFields"]["Body"] = _plain(body)
    return json.dumps(document)


def parse(raw: Any) -> QuarantinedMessage:
    """One entry of the list, whoever wrote it. What is no JSON object becomes an entry with its text as the body."""
    text = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else str(raw)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return QuarantinedMessage("", "", text, "", None, 0, version=0, raw=raw)
    system = document.get("systemAttributes")
    group = system.get("MessageGroupId") if isinstance(system, dict) else None
    queue = document.get("queue")
    message_id = _text(document.get("messageId", ""))
    count = document.get("failureCount")
    version = document.get("version")
    return QuarantinedMessage(
        message_id=message_id,
        identity=_text(document.get("identity", message_id)),
        body=_text(document.get("messageBody", "")),
        reason=_text(document.get("quarantineReason", "")),
        quarantined_at=_moment(document.get("quarantineTime")),
        failure_count=int(count) if isinstance(count, int | float | str) and str(count).isdigit() else 0,
        attributes=decode_attributes(document.get("messageAttributes")),
        group_id=group if isinstance(group, str) else None,
        queue_url=queue if isinstance(queue, str) else None,
        document=document,
        version=version if isinstance(version, int) else 0,
        raw=raw,
    )


def _plain(value: Any) -> Any:
    """*value* as JSON can hold it: bytes in base64 under a name of their own, what nothing can hold as its text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(bytes(value)).decode("ascii")}
    if isinstance(value, datetime | date):
        return {"$time": value.isoformat()}
    if isinstance(value, Mapping):
        return {_text(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return {"$set": sorted((_plain(inner) for inner in value), key=repr)}
    return {"$text": str(value)}


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
