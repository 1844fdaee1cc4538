"""A producer that does not lose what it was given: retries, a breaker, batches, and an outbox.

::

    producer = ResilientProducer(orders_url, retry=ExponentialBackoffRetry(), outbox=save_for_later)
    producer.send('{"order_id": 7}')
    result = producer.send_batch([Message(body) for body in bodies])

A batch that is refused in part is sent again in that part alone. What cannot
be sent goes to the ``outbox``, a function that has to keep it; without one,
:meth:`ResilientProducer.send` raises and :meth:`ResilientProducer.send_batch`
says in its result what was not sent.

A send whose answer was lost has perhaps taken effect: sent again, it is there
twice. In a FIFO queue each message gets a deduplication id before its first
try, which makes it once; in a standard queue the consumer has to tell by a key
in the body (see :mod:`harness.resilience.idempotency`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.resilience._listeners import logger
from harness.resilience.consumer import BreakerLike, RetryLike
from harness.resilience.dlq import sqs_client
from harness.resilience.envelope import MAX_MESSAGE_BYTES, message_bytes
from harness.resilience.errors import (
    Classification,
    MessageTooLargeError,
    PermanentError,
    ThrottlingError,
    TransientError,
    classify,
    code_rule,
)

__all__ = [
    "BatchResult",
    "Message",
    "Outbox",
    "PartialBatchError",
    "RefusedEntryError",
    "ResilientProducer",
    "ThrottledBatchError",
    "Unsent",
]

_ENTRIES = 10


@dataclass(frozen=True, slots=True)
class Message:
    """A message to send. ``attributes`` as ``send_message`` takes them; ``delay_seconds`` on standard queues only."""

    body: str
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    group_id: str | None = None
    deduplication_id: str | None = None
    delay_seconds: int | None = None

    @property
    def size(self) -> int:
        """Bytes as SQS counts them."""
        return message_bytes(self.body, self.attributes)


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message that was not sent, and why. ``permanent``: sending it again would fail again.

    ``position``: its place in the batch, from 0.
    """

    message: Message
    error: BaseException
    permanent: bool
    position: int = 0


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of a batch: message ids by position, what the outbox took, and what is left to the caller."""

    sent: Mapping[int, str]
    outboxed: Sequence[Unsent] = ()
    failed: Sequence[Unsent] = ()


#: Keeps what could not be sent, to be sent later. If it raises, the message counts as failed.
Outbox = Callable[[Unsent], object]


class PartialBatchError(TransientError):
    """A part of a batch was refused for the moment; ``count`` messages are left to send. ``code`` is that of one."""

    def __init__(self, count: int, code: str) -> None:
        super().__init__(count, code)
        self.count = count
        self.code = code

    def __str__(self) -> str:
        return f"{self.count} messages of a batch were refused ({self.code})"


class ThrottledBatchError(PartialBatchError, ThrottlingError):
    """The same, because there were too many: retries wait and pay as after any throttling."""


class ResilientProducer:
    """See the module. Thread-safe.

    ``retry`` and ``breaker``: ours, or anybody's with ``execute`` and ``call``;
    give producers and consumers of one service the same retry budget. The
    breaker stands outside: one send with all its retries is one call.
    ``max_bytes``: the queue's MaximumMessageSize, if it is below 1 MiB.

    Raises:
        ValueError: ``max_bytes`` is over 1 MiB, or below 1.
    """

    def __init__(
        self,
        queue_url: str,
        *,
        sqs: Any = None,
        retry: RetryLike | None = None,
        breaker: BreakerLike | None = None,
        outbox: Outbox | None = None,
        classifier: Callable[[BaseException], Classification] = classify,
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        if not 1 <= max_bytes <= MAX_MESSAGE_BYTES:
            raise ValueError(f"max_bytes must be from 1 to {MAX_MESSAGE_BYTES}, the limit of SQS, not {max_bytes}")
        self.queue_url = queue_url
        self.retry = retry
        self.breaker = breaker
        self.outbox = outbox
        self.ordered = queue_url.endswith(".fifo")
        self._sqs = sqs
        self._classifier = classifier
        self._max_bytes = max_bytes

    @property
    def sqs(self) -> Any:
        """The client of boto3 that is used."""
        if self._sqs is None:
            self._sqs = sqs_client()
        return self._sqs

    @sqs.setter
    def sqs(self, client: Any) -> None:
        self._sqs = client

    def send(
        self,
        body: str | Message,
        *,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
        group_id: str | None = None,
        deduplication_id: str | None = None,
        delay_seconds: int | None = None,
    ) -> str | None:
        """Send one message; returns its id, or ``None`` if the outbox took it.

        Raises:
            MessageTooLargeError: it is over the limit; the outbox is not asked, because it would never fit.
            Exception: the last error, where there is no outbox, the outbox failed or the error is permanent.
        """
        message = (
            body
            if isinstance(body, Message)
            else Message(body, attributes or {}, group_id, deduplication_id, delay_seconds)
        )
        message = self._named(message)
        too_large = self._too_large(message)
        if too_large is not None:
            raise too_large
        try:
            answer = self._guarded(lambda: self.sqs.send_message(QueueUrl=self.queue_url, **_request(message)))
        except Exception as error:
            unsent = Unsent(message, error, self._classifier(error) is Classification.PERMANENT)
            if not self._to_outbox(unsent):
                raise
            return None
        return str(answer["MessageId"])

    def send_batch(self, messages: Iterable[Message | str]) -> BatchResult:
        """Send many messages in as few calls as SQS's limits allow (ten, and 1 MiB together).

        In a FIFO queue a call holds no two messages of a group, and nothing of
        a group is sent after one of it that failed, so that order is kept; nor
        does the outbox get anything behind what it did not take. Raises nothing
        that a message, the service or the outbox is to blame for.

        Raises:
            ValueError: a message for a FIFO queue has no group; nothing is sent.
        """
        waiting: dict[int, Message] = {}
        failed: list[Unsent] = []
        sent: dict[int, str] = {}
        for position, given in enumerate(messages):
            message = self._named(given if isinstance(given, Message) else Message(given))
            too_large = self._too_large(message)
            if too_large is not None:
                failed.append(Unsent(message, too_large, True, position))
            else:
                waiting[position] = message
        blocked: dict[str, BaseException] = {}
        unsent: list[Unsent] = []
        for chunk in self._chunks(waiting):
            behind = {p: m for p, m in chunk.items() if m.group_id in blocked} if self.ordered else {}
            for position, message in behind.items():
                unsent.append(Unsent(message, blocked[str(message.group_id)], False, position))
            left = {p: m for p, m in chunk.items() if p not in behind}
            for lost in self._send_chunk(left, sent):
                unsent.append(lost)
                if self.ordered and not lost.permanent:
                    blocked[str(lost.message.group_id)] = lost.error
        outboxed: list[Unsent] = []
        refused: set[str | None] = set()  # groups of which the outbox did not take one
        for each in unsent:
            kept = each.message.group_id not in refused and self._to_outbox(each)
            (outboxed if kept else failed).append(each)
            if self.ordered and not kept and not each.permanent:
                refused.add(each.message.group_id)
        return BatchResult(sent, outboxed, sorted(failed, key=lambda each: each.position))

    def _send_chunk(self, left: dict[int, Message], sent: dict[int, str]) -> list[Unsent]:
        """Send one chunk, as often as the retry policy says, each time what is left of it."""
        refused: list[Unsent] = []

        def attempt() -> None:
            entries = [{"Id": str(position), **_request(message)} for position, message in left.items()]
            answer = self.sqs.send_message_batch(QueueUrl=self.queue_url, Entries=entries)
            for entry in answer.get("Successful") or []:
                position = int(entry["Id"])
                if left.pop(position, None) is not None:
                    sent[position] = str(entry["MessageId"])
            codes = ["no answer"]
            for entry in answer.get("Failed") or []:
                code = str(entry.get("Code"))
                rule = code_rule(code)
                if rule == "permanent" or (entry.get("SenderFault") and rule is None):
                    position = int(entry["Id"])
                    error = RefusedEntryError(f"{code}: {entry.get('Message', '')}")
                    refused.append(Unsent(left.pop(position), error, True, position))
                else:
                    codes.append(code)
            if left:
                throttled = next((code for code in codes if "throttling" in (code_rule(code) or "")), None)
                if throttled is not None:
                    raise ThrottledBatchError(len(left), throttled)
                raise PartialBatchError(len(left), codes[-1])

        if not left:
            return []
        try:
            self._guarded(attempt)
        except Exception as error:
            permanent = self._classifier(error) is Classification.PERMANENT
            refused += [Unsent(message, error, permanent, position) for position, message in left.items()]
        return refused

    def _guarded(self, send: Callable[[], Any]) -> Any:
        retry, breaker = self.retry, self.breaker
        call = send if retry is None else lambda: retry.execute(send)
        return call() if breaker is None else breaker.call(call)

    def _to_outbox(self, unsent: Unsent) -> bool:
        """Whether the outbox has it now. One that fails is logged: the caller learns that the message was not sent."""
        if self.outbox is None or unsent.permanent:
            return False
        try:
            self.outbox(unsent)
        except Exception as error:
            logger.exception("the outbox did not take a message for %s", self.queue_url)
            unsent.error.add_note(f"the outbox did not take it either: {type(error).__name__}: {error}")
            return False
        return True

    def _named(self, message: Message) -> Message:
        """In a FIFO queue: with a deduplication id, so that a repeated send is one message."""
        if not self.ordered:
            return message
        if not message.group_id:
            raise ValueError(f"a message for the FIFO queue {self.queue_url} needs a group_id")
        return message if message.deduplication_id else replace(message, deduplication_id=uuid.uuid4().hex)

    def _too_large(self, message: Message) -> MessageTooLargeError | None:
        if message.size <= self._max_bytes:
            return None
        return MessageTooLargeError(f"the message has {message.size} bytes, the limit is {self._max_bytes}")

    def _chunks(self, waiting: Mapping[int, Message]) -> Iterator[dict[int, Message]]:
        """Parts of at most ten entries and 1 MiB; in a FIFO queue with each group once at most."""
        rest = dict(waiting)
        while rest:
            chunk: dict[int, Message] = {}
            groups: set[str | None] = set()
            size = 0
            for position, message in rest.items():
                if len(chunk) == _ENTRIES:
                    break
                if self.ordered and message.group_id in groups:
                    continue
                groups.add(message.group_id)
                if chunk and size + message.size > MAX_MESSAGE_BYTES:
                    if self.ordered:
                        continue
                    break
                chunk[position] = message
                size += message.size
            for position in chunk:
                del rest[position]
            yield chunk


class RefusedEntryError(PermanentError):
    """SQS refused one entry of a batch and says that the sender is at fault."""


def _request(message: Message) -> dict[str, Any]:
    request: dict[str, Any] = {"MessageBody": message.body}
    if message.attributes:
        request["MessageAttributes"] = {name: dict(value) for name, value in message.attributes.items()}
    if message.group_id is not None:
        request["MessageGroupId"] = message.group_id
    if message.deduplication_id is not None:
        request["MessageDeduplicationId"] = message.deduplication_id
    if message.delay_seconds is not None:
        request["DelaySeconds"] = message.delay_seconds
    return request
