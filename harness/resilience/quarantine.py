"""The quarantine: what it keeps of a message, as JSON, and how to look through it, release from it and erase.

::

    quarantine = Quarantine(redis.Redis(...))
    page = quarantine.page()
    quarantine.release("0b8e...", sqs=boto3.client("sqs"))
    quarantine.erase("customer-42", anywhere=True)

Each operation is one script or command whose keys share a hash slot, so that it
works on a cluster too, with clients that decode and with clients that do not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, TypeAlias

from harness.resilience import _poison_scripts as scripts
from harness.resilience.envelope import MAX_MESSAGE_BYTES, decode_attributes, encode_attributes, message_bytes
from harness.resilience.idempotency import default_redis_client

__all__ = ["Page", "Quarantine", "QuarantineEvent", "QuarantinedMessage", "Release", "describe", "parse"]

VERSION = 1
MARK = "ReplayOf"

QuarantineEvent: TypeAlias = Literal["released", "erased", "purged", "expired"]


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

    def is_about(self, key: str, *, anywhere: bool = False) -> bool:
        """Whether its message id or identity is *key*; ``anywhere``: or a value in its body or attributes."""
        if key in (self.message_id, self.identity):
            return True
        if not anywhere:
            return False
        if any(str(value.get("StringValue")) == key for value in self.attributes.values()):
            return True
        try:
            return key in _values(json.loads(self.body))
        except (ValueError, RecursionError):
            return re.search(rf"(?<!\w){re.escape(key)}(?!\w)", self.body) is not None

    def to_request(self, queue_url: str | None = None) -> dict[str, Any]:
        """The arguments of ``send_message`` that send it again.

        Raises:
            ValueError: no queue is given, and the entry names none.
        """
        queue_url = queue_url or self.queue_url
        if not queue_url:
            raise ValueError(f"message {self.message_id} does not say which queue it came from; give queue_url")
        request: dict[str, Any] = {"QueueUrl": queue_url, "MessageBody": self.body}
        attributes = {name: dict(value) for name, value in self.attributes.items()}
        # Names the message that it was: a consumer that sees two copies can tell.
        marked = {**attributes, MARK: {"DataType": "String", "StringValue": self.message_id}}
        if self.message_id and len(marked) <= 10 and message_bytes(self.body, marked) <= MAX_MESSAGE_BYTES:
            attributes = marked
        if attributes:
            request["MessageAttributes"] = attributes
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


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, newest first. ``cursor`` gets the next page, ``None`` after the last; ``total`` of all pages."""

    entries: list[QuarantinedMessage]
    cursor: int | None
    total: int


def _tell_nobody(kind: QuarantineEvent, entry: QuarantinedMessage | None, count: int) -> None:
    """For a quarantine without a detector."""


class Quarantine:
    """See the module. ``scan``: how many entries are asked for at once.

    ``clock``: seconds since 1970 (``None``: the Redis server's). ``on_event``
    is told what left the quarantine. Every method raises what the clients raise.
    """

    def __init__(
        self,
        redis_client: Any = None,
        *,
        scan: int = 1_000,
        clock: Callable[[], float] | None = None,
        on_event: Callable[[QuarantineEvent, QuarantinedMessage | None, int], object] = _tell_nobody,
    ) -> None:
        self.redis = redis_client if redis_client is not None else default_redis_client()
        self._scan = max(1, min(scan, 1_000))
        self._clock = clock
        self._tell = on_event
        self._scripts: dict[str, Any] = {}

    # -- looking

    def __len__(self) -> int:
        self._expire()
        return int(self.redis.llen(scripts.QUARANTINE_KEYS[0]))

    def entries(self, *, limit: int = 100, offset: int = 0) -> list[QuarantinedMessage]:
        """Entries newest first, those of earlier tools included."""
        self._expire()
        return self._range(offset, offset + limit - 1)

    def page(self, cursor: int | None = None, *, limit: int = 50) -> Page:
        """The newest entries, or those after *cursor*.

        The cursor counts from the oldest entry: what is put in quarantine
        meanwhile moves no page, and what is removed may show an entry twice,
        but hides none.
        """
        total = len(self)
        last = total if cursor is None else max(0, min(cursor, total))
        if not last:
            return Page([], None, total)
        found = self._range(-last, -last + limit - 1 if limit < last else -1)
        rest = last - len(found)
        return Page(found, rest if rest > 0 and found else None, total)

    def __iter__(self) -> Iterator[QuarantinedMessage]:
        cursor: int | None = None
        while True:
            page = self.page(cursor, limit=self._scan)
            yield from page.entries
            if page.cursor is None:
                return
            cursor = page.cursor

    def find(self, key: str, *, anywhere: bool = False) -> list[QuarantinedMessage]:
        """The entries whose message id or identity is *key*; ``anywhere``: or that hold it as a value.

        A value is a text or number of a JSON body, or of an attribute, that
        is *key* as text; in a body that is no JSON, *key* as a word.
        """
        seen = set()
        found = []
        for entry in self:
            if entry.raw not in seen and entry.is_about(key, anywhere=anywhere):
                seen.add(entry.raw)
                found.append(entry)
        return found

    # -- letting go

    def release(self, key: str, *, sqs: Any, queue_url: str | None = None) -> list[Release]:
        """Send the entries of *key* back to their queue (or to *queue_url*), to be tried as new messages.

        Their failures are forgotten first, so that no consumer takes them for
        poison at once. They are sent first and removed then: a crash between
        the two sends again when it is repeated (in a FIFO queue SQS drops the
        second within five minutes; both copies name the message in
        ``ReplayOf``), and never loses.

        Raises:
            ValueError: an entry does not say which queue it came from, and none is given. Nothing was released.
        """
        return self.release_entries(self.find(key), sqs=sqs, queue_url=queue_url)

    def release_entries(
        self, entries: list[QuarantinedMessage], *, sqs: Any, queue_url: str | None = None
    ) -> list[Release]:
        """The same for entries that were found before. One that is not in quarantine any more is left out."""
        requests = [(entry, entry.to_request(queue_url)) for entry in entries]
        released = []
        for entry, request in requests:
            if not self._is_there(entry):
                continue
            self._forget(entry)
            answer = sqs.send_message(**request)
            self._remove(entry)
            released.append(Release(entry, str(answer.get("MessageId", ""))))
            self._tell("released", entry, 1)
        return released

    def erase(self, key: str, *, anywhere: bool = False) -> int:
        """Remove the entries of *key* for good, and every count of failures under it; returns how many entries.

        What else knows of a message (the queues, a dead-letter queue, records
        of idempotency, histories) is not touched.
        """
        entries = self.find(key, anywhere=anywhere)
        for entry in entries:
            self._remove(entry)
            self._forget(entry)
            self._tell("erased", entry, 1)
        self.redis.delete(*scripts.failure_keys(key))
        return len(entries)

    def purge(self) -> int:
        """Remove everything; returns how many."""
        removed = int(self._script("PURGE")(keys=scripts.QUARANTINE_KEYS, args=[]))
        if removed:
            self._tell("purged", None, removed)
        return removed

    # -- parts

    def _range(self, first: int, last: int) -> list[QuarantinedMessage]:
        return [parse(raw) for raw in self.redis.lrange(scripts.QUARANTINE_KEYS[0], first, last)]

    def _is_there(self, entry: QuarantinedMessage) -> bool:
        return self.redis.lpos(scripts.QUARANTINE_KEYS[0], entry.raw) is not None

    def _remove(self, entry: QuarantinedMessage) -> None:
        self._script("REMOVE")(keys=scripts.QUARANTINE_KEYS, args=[entry.raw, entry.message_id])

    def _forget(self, entry: QuarantinedMessage) -> None:
        for identity in {entry.identity: None, entry.message_id: None}:
            self.redis.delete(*scripts.failure_keys(identity))

    def _expire(self) -> None:
        now = -1 if self._clock is None else round(self._clock() * 1_000_000)
        expired = int(self._script("EXPIRE")(keys=scripts.QUARANTINE_KEYS, args=[now]))
        if expired:
            self._tell("expired", None, expired)

    def _script(self, name: str) -> Any:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self.redis.register_script(scripts.BY_NAME[name])
        return script


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


def _values(value: Any) -> Iterator[str]:
    """Every text and number in a JSON value, as text."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from _values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner)
    elif value is not None:
        yield json.dumps(value) if isinstance(value, bool) else str(value)


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
