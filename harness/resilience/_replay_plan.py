"""One dead letter on its way back: where to, as what, and linked to what it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from harness.resilience.envelope import (
    MAX_MESSAGE_BYTES,
    decode_attributes,
    encode_attributes,
    message_bytes,
    sendable_attributes,
)
from harness.resilience.json_patch import PatchError, apply_patch
from harness.resilience.triage import DeadLetter, guide_fields

__all__ = ["DEDUPLICATION_SECONDS", "MARK", "Edit", "Origins", "Plan", "Planner", "SkipError", "require_body"]

#: The attribute that names the dead letter which a message came from. Sent twice, both copies say the same.
MARK = "ReplayOf"
#: The attribute with the id that the message had before it failed for the first time.
MARK_ORIGINAL = "ReplayOriginalId"
MARK_EDITED = "ReplayEdited"
MAX_ATTRIBUTES = 10
#: How long a FIFO queue drops a second message of one deduplication id.
DEDUPLICATION_SECONDS = 300.0

#: A function of the envelope's fields (it returns new fields, or a new body, or changes those that it got), or a
#: JSON Patch or merge patch for the body.
Edit: TypeAlias = "Callable[[dict[str, Any]], object] | Mapping[str, Any] | Sequence[Mapping[str, Any]]"


class SkipError(Exception):
    """A dead letter is left where it is; the text says why."""


def require_body(letter: DeadLetter) -> None:
    """Raises SkipError if the body is in a store of the user's, and that store was not given."""
    if letter.envelope.form == "claim-check":
        raise SkipError(
            f"its body is in a payload store, as {letter.envelope.payload_reference}: replay it with that store "
            "(payloads=..., or harness dlq replay --payloads MODULE:NAME)"
        )


@dataclass(slots=True)
class Plan:
    """A dead letter and the request that returns it. ``not_before``: when its deduplication id is free again."""

    letter: DeadLetter
    target: str
    request: dict[str, Any]
    edited: bool = False
    not_before: float | None = None

    @property
    def id(self) -> str:
        return self.letter.id

    @property
    def group(self) -> str | None:
        return self.request.get("MessageGroupId")

    @property
    def size(self) -> int:
        return message_bytes(self.request["MessageBody"], self.request.get("MessageAttributes"))


class Origins:
    """Finds the URL of the queue that a dead letter came from."""

    def __init__(self, sqs: Any, dlq_url: str) -> None:
        self._sqs = sqs
        self._dlq_url = dlq_url
        self._urls: dict[str, str | None] = {}

    def of(self, letter: DeadLetter) -> str:
        """Raises SkipError if it is not known, or is the dead-letter queue itself."""
        origin = letter.envelope.queue
        if not origin:
            raise SkipError("it does not say which queue it came from; give a target queue")
        url = self._url(origin)
        if url is None:
            raise SkipError(f"its queue {origin} cannot be found; give a target queue")
        if name_of(url) == name_of(self._dlq_url):
            raise SkipError("it came from this dead-letter queue itself")
        return url

    def _url(self, origin: str) -> str | None:
        if not origin.startswith("arn:"):
            return origin
        if origin not in self._urls:
            parts = origin.split(":")
            try:
                answer = self._sqs.get_queue_url(QueueName=parts[5], QueueOwnerAWSAccountId=parts[4])
                self._urls[origin] = str(answer["QueueUrl"])
            except (IndexError, KeyError):
                self._urls[origin] = None
            except Exception as error:
                if "NonExistentQueue" not in str(error) and "QueueDoesNotExist" not in str(error):
                    raise
                self._urls[origin] = None
        return self._urls[origin]


def name_of(queue: str) -> str:
    """The name in a queue's URL or ARN."""
    return queue.rstrip("/").rpartition("/")[2].rpartition(":")[2]


class Planner:
    """Makes plans. ``deduplication``: ``original`` keeps a FIFO message's own id, ``derived`` makes another one."""

    def __init__(
        self,
        *,
        edit: Edit | None = None,
        mark: bool = True,
        deduplication: Literal["original", "derived"] = "original",
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._edit = edit
        self._mark = mark
        self._deduplication = deduplication
        self._max_bytes = max_bytes

    def plan(self, letter: DeadLetter, target: str) -> Plan:
        """Raises what an edit raises, ValueError for one that does not fit, SkipError for a body that is elsewhere."""
        require_body(letter)
        envelope = letter.envelope
        body, attributes = envelope.body, sendable_attributes(envelope.attributes)
        edited = False
        if self._edit is not None:
            new_body, new_attributes = self._edited(letter)
            edited = (new_body, new_attributes) != (body, attributes)
            body, attributes = new_body, new_attributes
        if self._mark:
            attributes = self._marked(letter, body, attributes, edited=edited)
        request: dict[str, Any] = {"QueueUrl": target, "MessageBody": body}
        if attributes:
            request["MessageAttributes"] = attributes
        if envelope.trace_header:
            trace = {"DataType": "String", "StringValue": envelope.trace_header}
            request["MessageSystemAttributes"] = {"AWSTraceHeader": trace}
        plan = Plan(letter, target, request, edited)
        if target.endswith(".fifo"):
            self._add_fifo(plan)
        elif envelope.group_id and not envelope.sequence_number:
            request["MessageGroupId"] = envelope.group_id  # of a fair queue, where it blocks nothing
        return plan

    def _add_fifo(self, plan: Plan) -> None:
        """The group stays, so that order does. The same deduplication id at each try makes a second one harmless.

        The original id may still be in force in its queue, from the time
        when the message was sent first: SQS would take the message, drop
        it, and say nothing.
        """
        letter, envelope = plan.letter, plan.letter.envelope
        plan.request["MessageGroupId"] = envelope.group_id or letter.original_id
        own = envelope.deduplication_id if self._deduplication == "original" else None
        plan.request["MessageDeduplicationId"] = own or f"replay-{letter.id}"
        sent_before = envelope.queue is None or name_of(envelope.queue) == name_of(plan.target)
        if own and sent_before and own != letter.original_id and envelope.sent_at is not None:
            plan.not_before = envelope.sent_at.timestamp() + DEDUPLICATION_SECONDS

    def _marked(
        self, letter: DeadLetter, body: str, attributes: dict[str, dict[str, Any]], *, edited: bool
    ) -> dict[str, dict[str, Any]]:
        """The attributes with those that link to the dead letter, as many as SQS's limits leave room for."""
        marks = {MARK: letter.id}
        if MARK_ORIGINAL not in attributes:  # one from an earlier replay names the first id of all
            marks[MARK_ORIGINAL] = letter.original_id
        if edited:
            marks[MARK_EDITED] = "true"
        marked = dict(attributes)
        for name, text in marks.items():
            tried = {**marked, name: {"DataType": "String", "StringValue": text}}
            if text and len(tried) <= MAX_ATTRIBUTES and message_bytes(body, tried) <= self._max_bytes:
                marked = tried
        return marked

    def _edited(self, letter: DeadLetter) -> tuple[str, dict[str, dict[str, Any]]]:
        envelope = letter.envelope
        attributes = sendable_attributes(envelope.attributes)
        if not callable(self._edit):
            assert self._edit is not None
            try:
                value = json.loads(envelope.body)
            except (ValueError, RecursionError):
                raise PatchError("its body is not JSON, so no patch can change it") from None
            patched = apply_patch(value, self._edit)
            return (envelope.body if patched == value else _dumps(patched)), attributes
        fields = guide_fields(letter)
        fields["originalAttributes"] = encode_attributes(attributes)
        result = self._edit(fields)
        if isinstance(result, str):
            return result, attributes
        if result is not None:
            if not isinstance(result, Mapping):
                raise TypeError(f"an edit returns fields, a body or None, not {type(result).__name__}")
            fields = dict(result)
        body = fields.get("originalMessage")
        if not isinstance(body, str):
            body = _dumps(body)
        return body, decode_attributes(fields.get("originalAttributes"))


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
