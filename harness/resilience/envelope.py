"""The dead-letter envelope: everything that is known of a message that could not be processed, as JSON.

The JSON is versioned and keeps the names that readers of the older, unversioned
form know (``originalMessage``, ``originalAttributes``, ``errorReason``,
``failedAt``, ``originalMessageId``; message attributes ``ErrorType`` and
``OriginalQueue``). It adds what an operator asks for next: error class, stack,
receive count, times in UTC, the queue, and the ids that a replay to a FIFO
queue needs.

A message takes one of three forms, the first one that fits into SQS's limits
(1 MiB of body and attributes together, ten attributes):

1. *envelope*: the body is the JSON, with a shorter stack and reason if need be;
2. *attributes*: the body is the original one, whole; the context is JSON in the
   attribute ``DeadLetterEnvelope``;
3. *plain*: the original message as it was. What the source queue accepted fits
   a dead-letter queue of the same limit, whatever else has to go.

Where there is a store for payloads (:mod:`~harness.resilience.payloads`), what
does not fit whole becomes a *claim-check* instead: the whole envelope is put
there, and the body is one without the original message, with a reference.

:func:`read_envelope` reads them all, the unversioned form, and what native
redrive moved. Nothing here talks to a service.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from harness.resilience.payloads import PayloadStore

__all__ = [
    "MAX_MESSAGE_BYTES",
    "VERSION",
    "Envelope",
    "OutgoingMessage",
    "message_bytes",
    "read_envelope",
    "sendable_attributes",
]

VERSION = 1
#: SQS's limit for body and attributes together, and for a batch (since August 2025).
MAX_MESSAGE_BYTES = 1_048_576
MAX_ATTRIBUTES = 10
CONTEXT_ATTRIBUTE = "DeadLetterEnvelope"
ERROR_TYPE = "ProcessingFailure"
_OWN_ATTRIBUTES = frozenset({CONTEXT_ATTRIBUTE, "ErrorType", "OriginalQueue"})

#: Characters that SQS refuses and that ``json.dumps(ensure_ascii=False)`` would leave as they are.
_REFUSED = re.compile("[\ud800-\udfff\ufffe\uffff]")

Form: TypeAlias = Literal["envelope", "attributes", "unversioned", "plain", "claim-check"]
Attributes: TypeAlias = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """What goes to the dead-letter queue: a body and message attributes as ``send_message`` takes them."""

    body: str
    attributes: dict[str, dict[str, Any]]
    form: Form

    @property
    def size(self) -> int:
        """Bytes as SQS counts them."""
        return message_bytes(self.body, self.attributes)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A failed message and what is known of its failure. Times are aware datetimes in UTC.

    ``attributes`` are message attributes as one *sends* them: ``DataType`` with
    ``StringValue`` or ``BinaryValue`` (bytes), nothing else. ``form`` says in
    which form it was read, ``version`` is 0 where the message carried none.
    ``payload_reference``: where the whole envelope is; until it is
    :meth:`fetched`, a claim-check has an empty body.
    """

    body: str
    message_id: str = ""
    attributes: Attributes = field(default_factory=dict)
    reason: str = ""
    failed_at: datetime | None = None
    error_class: str | None = None
    stack: str | None = None
    receive_count: int | None = None
    sent_at: datetime | None = None
    first_received_at: datetime | None = None
    queue: str | None = None
    group_id: str | None = None
    deduplication_id: str | None = None
    sequence_number: str | None = None
    trace_header: str | None = None
    version: int = VERSION
    form: Form = "envelope"
    payload_reference: str | None = None

    @classmethod
    def of(
        cls,
        message: Mapping[str, Any],
        reason: str,
        *,
        queue: str | None = None,
        failed_at: datetime | None = None,
        error_class: str | None = None,
        stack: str | None = None,
    ) -> Envelope:
        """The envelope of a message as ``receive_message`` gave it (a dict of boto3)."""
        system = message.get("Attributes") or {}
        count = _integer(system.get("ApproximateReceiveCount"))
        return cls(
            body=_text(message.get("Body", "")),
            message_id=str(message.get("MessageId", "")),
            attributes=sendable_attributes(message.get("MessageAttributes")),
            reason=reason,
            failed_at=failed_at,
            error_class=error_class,
            stack=stack,
            receive_count=count,
            sent_at=_from_milliseconds(system.get("SentTimestamp")),
            first_received_at=_from_milliseconds(system.get("ApproximateFirstReceiveTimestamp")),
            queue=queue,
            group_id=system.get("MessageGroupId"),
            deduplication_id=system.get("MessageDeduplicationId"),
            sequence_number=system.get("SequenceNumber"),
            trace_header=system.get("AWSTraceHeader"),
        )

    def to_json(self) -> dict[str, Any]:
        """The envelope as JSON values. Fields that are not known are left out."""
        document: dict[str, Any] = {
            "version": VERSION,
            "originalMessage": self.body,
            "originalAttributes": encode_attributes(self.attributes),
            "errorReason": self.reason,
            "failedAt": _iso(self.failed_at),
            "originalMessageId": self.message_id,
            "errorClass": self.error_class,
            "errorStack": self.stack,
            "receiveCount": self.receive_count,
            "sentAt": _iso(self.sent_at),
            "firstReceivedAt": _iso(self.first_received_at),
            "originalQueue": self.queue,
            "messageGroupId": self.group_id,
            "messageDeduplicationId": self.deduplication_id,
            "sequenceNumber": self.sequence_number,
            "traceHeader": self.trace_header,
            "payloadReference": self.payload_reference,
        }
        return {name: value for name, value in document.items() if value is not None}

    def to_message(
        self, *, max_bytes: int = MAX_MESSAGE_BYTES, payloads: PayloadStore | None = None
    ) -> OutgoingMessage:
        """The most telling form that fits into *max_bytes* and ten attributes.

        The plain form is returned even if it does not fit: then the queue's
        limit is below that of the source, and its refusal is the honest answer.
        *payloads* is asked only for what does not fit whole.

        Raises:
            ValueError: what *payloads* returned is no reference.
            Exception: what *payloads* raises.
        """
        candidates = self._candidates() if payloads is None else self._with_claim_check(payloads)
        for candidate in candidates:
            if candidate.size <= max_bytes and len(candidate.attributes) <= MAX_ATTRIBUTES:
                return candidate
        return self._plain()

    def _with_claim_check(self, payloads: PayloadStore) -> Iterator[OutgoingMessage]:
        document = _dumps(self.to_json())
        labels = _labels(self.queue)
        yield OutgoingMessage(document, labels, "envelope")
        reference = payloads.put(document.encode("utf-8", "surrogatepass"))
        if not isinstance(reference, str) or not reference:
            # Without one nobody would ever find the body again.
            raise ValueError(f"put of the payload store returned {reference!r}, which is no reference")
        claim = replace(self, body="", payload_reference=reference)
        bare = replace(claim, attributes={}, stack=_tail(self.stack, 4_000), reason=_head(self.reason, 1_000))
        for version in (claim, bare):
            yield OutgoingMessage(_dumps(version.to_json()), labels, "claim-check")
        yield from self._candidates()

    def fetched(self, payloads: PayloadStore) -> Envelope:
        """The whole envelope of a claim-check, as it was put into *payloads*; any other is whole already.

        Raises:
            ValueError: what is there is no envelope, or that of another message.
            Exception: what *payloads* raises.
        """
        if self.form != "claim-check" or self.payload_reference is None:
            return self
        payload = payloads.get(self.payload_reference)
        document = _loads(_text(payload)) if isinstance(payload, bytes | bytearray | str) else None
        body = document.get("originalMessage") if document is not None else None
        if document is None or not isinstance(body, str):
            raise ValueError(f"payload {self.payload_reference} is no envelope")
        if _text(document.get("originalMessageId", "")) != self.message_id:
            raise ValueError(f"payload {self.payload_reference} is that of another message than {self.message_id}")
        return replace(_from_document(document, body, "envelope"), payload_reference=self.payload_reference)

    def _candidates(self) -> Iterator[OutgoingMessage]:
        labels = _labels(self.queue)
        short = replace(self, stack=_tail(self.stack, 4_000), reason=_head(self.reason, 4_000))
        bare = replace(self, stack=None, reason=_head(self.reason, 1_000))
        minimal = replace(bare, reason=_head(self.reason, 200), trace_header=None, sequence_number=None)
        # An escaped body is never shorter than the body itself: no need to try what cannot fit.
        for version in (self, short, bare):
            yield OutgoingMessage(_dumps(version.to_json()), labels, "envelope")
        for version in (bare, minimal):
            yield OutgoingMessage(self.body, {**labels, **_context(version.to_json())}, "attributes")
        if not _OWN_ATTRIBUTES & self.attributes.keys():
            own = {name: dict(value) for name, value in self.attributes.items()}
            context = minimal.to_json()
            del context["originalAttributes"]
            yield OutgoingMessage(self.body, {**own, **labels, **_context(context)}, "attributes")
            yield OutgoingMessage(self.body, {**own, **_context(context)}, "attributes")

    def _plain(self) -> OutgoingMessage:
        return OutgoingMessage(self.body, {name: dict(value) for name, value in self.attributes.items()}, "plain")


def read_envelope(message: Mapping[str, Any]) -> Envelope:
    """Read a message of a dead-letter queue, whoever put it there. Never raises on a message's content.

    What is no envelope is a plain message: its body and attributes are the
    original ones (native redrive keeps both, and the message id).
    """
    attributes = message.get("MessageAttributes") or {}
    body = _text(message.get("Body", ""))
    context = attributes.get(CONTEXT_ATTRIBUTE)
    if isinstance(context, Mapping):
        document = _loads(context.get("StringValue"))
        if document is not None:
            native = {name: value for name, value in attributes.items() if name not in _OWN_ATTRIBUTES}
            encoded = document.get("originalAttributes")
            read = _from_document(document, body, "attributes")
            return read if isinstance(encoded, dict) else replace(read, attributes=sendable_attributes(native))
    if body.lstrip()[:1] == "{":
        document = _loads(body)
        if document is not None and "originalMessage" in document and "errorReason" in document:
            original = document["originalMessage"]
            form: Form = "envelope" if "version" in document else "unversioned"
            # Only a claim-check has an empty body: SQS takes no message without one.
            if original == "" and isinstance(document.get("payloadReference"), str):
                form = "claim-check"
            read = _from_document(document, original if isinstance(original, str) else _dumps(original), form)
            label = attributes.get("OriginalQueue")
            if read.queue is None and isinstance(label, Mapping):
                read = replace(read, queue=label.get("StringValue"))
            return read
    plain = Envelope.of(message, "")
    source = (message.get("Attributes") or {}).get("DeadLetterQueueSourceArn")
    return replace(plain, version=0, form="plain", queue=source)


def message_bytes(body: str, attributes: Attributes | None = None) -> int:
    """The size of a message as SQS counts it: UTF-8 bytes of body, attribute names, types and values."""
    total = len(body.encode("utf-8", "surrogatepass"))
    for name, value in (attributes or {}).items():
        total += len(name.encode()) + len(str(value.get("DataType", "")).encode())
        if value.get("BinaryValue") is not None:
            total += len(value["BinaryValue"])
        else:
            total += len(str(value.get("StringValue", "")).encode("utf-8", "surrogatepass"))
    return total


def sendable_attributes(attributes: Attributes | None) -> dict[str, dict[str, Any]]:
    """Message attributes as *received*, turned into attributes as one *sends* them.

    A receive may carry list fields that a send refuses, and binary values in
    several types.
    """
    sendable: dict[str, dict[str, Any]] = {}
    for name, value in (attributes or {}).items():
        kind = str(value.get("DataType", "String"))
        if value.get("BinaryValue") is not None:
            sendable[name] = {"DataType": kind, "BinaryValue": bytes(value["BinaryValue"])}
        else:
            sendable[name] = {"DataType": kind, "StringValue": _text(value.get("StringValue", ""))}
    return sendable


def encode_attributes(attributes: Attributes) -> dict[str, dict[str, str]]:
    """Attributes as JSON: binary values in base64. :func:`decode_attributes` is its inverse."""
    encoded: dict[str, dict[str, str]] = {}
    for name, value in sendable_attributes(attributes).items():
        if "BinaryValue" in value:
            encoded[name] = {**value, "BinaryValue": base64.b64encode(value["BinaryValue"]).decode("ascii")}
        else:
            encoded[name] = dict(value)
    return encoded


def decode_attributes(encoded: object) -> dict[str, dict[str, Any]]:
    """Attributes out of JSON. What is no attribute is left out: a dead-letter queue may hold anything."""
    if not isinstance(encoded, Mapping):
        return {}
    decoded: dict[str, dict[str, Any]] = {}
    for name, value in encoded.items():
        if not isinstance(value, Mapping):
            continue
        kind = str(value.get("DataType", "String"))
        if isinstance(value.get("BinaryValue"), str):
            try:
                decoded[str(name)] = {
                    "DataType": kind,
                    "BinaryValue": base64.b64decode(value["BinaryValue"], validate=True),
                }
            except (binascii.Error, ValueError):
                decoded[str(name)] = {"DataType": kind, "BinaryValue": value["BinaryValue"].encode()}
        elif isinstance(value.get("StringValue"), str):
            decoded[str(name)] = {"DataType": kind, "StringValue": value["StringValue"]}
    return decoded


def _from_document(document: Mapping[str, Any], body: str, form: Form) -> Envelope:
    def text(name: str) -> str | None:
        value = document.get(name)
        return value if isinstance(value, str) else None

    return Envelope(
        body=body,
        message_id=_text(document.get("originalMessageId", "")),
        attributes=decode_attributes(document.get("originalAttributes")),
        reason=_text(document.get("errorReason", "")),
        failed_at=_from_iso(document.get("failedAt")),
        error_class=text("errorClass"),
        stack=text("errorStack"),
        receive_count=_integer(document.get("receiveCount")),
        sent_at=_from_iso(document.get("sentAt")),
        first_received_at=_from_iso(document.get("firstReceivedAt")),
        queue=text("originalQueue"),
        group_id=text("messageGroupId"),
        deduplication_id=text("messageDeduplicationId"),
        sequence_number=text("sequenceNumber"),
        trace_header=text("traceHeader"),
        payload_reference=text("payloadReference"),
        version=_integer(document.get("version")) or 0,
        form=form,
    )


def _labels(queue: str | None) -> dict[str, dict[str, Any]]:
    labels = {"ErrorType": {"DataType": "String", "StringValue": ERROR_TYPE}}
    if queue:  # SQS refuses an empty string as a value
        labels["OriginalQueue"] = {"DataType": "String", "StringValue": queue}
    return labels


def _context(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    context = {name: value for name, value in document.items() if name != "originalMessage"}
    return {CONTEXT_ATTRIBUTE: {"DataType": "String", "StringValue": _dumps(context)}}


def _dumps(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return _REFUSED.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _loads(text: object) -> dict[str, Any] | None:
    if not isinstance(text, str):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "surrogateescape")
    return "" if value is None else str(value)


def _head(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _tail(text: str | None, limit: int) -> str | None:
    # The last lines of a stack name the place of the error.
    return text if text is None or len(text) <= limit else f"…{text[1 - limit :]}"


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _from_iso(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    # The unversioned form wrote local time without a zone; which one cannot be known any more.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _from_milliseconds(value: object) -> datetime | None:
    count = _integer(value)
    if count is None:
        return None
    try:
        return datetime.fromtimestamp(count / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
