"""Reading a dead-letter queue without emptying it, and without reading for ever.

SQS has no way to look at a message: to read one is to receive it, which hides
it and counts. The reader hides what it reads for as long as the reading is
likely to take, so that the next receive gives others; it knows each message by
its id, so that one that comes back meanwhile is not taken for another; and it
makes visible again at the end what it still holds, also after an error.

It stops when nothing comes any more; when it has read as many as there were at
the start and only such come as were sent since (a queue that fills while it is
read); and at its limits of messages and seconds.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from harness.resilience.errors import Classification, classify

__all__ = ["DeadLetterReader", "Held", "ServiceClock"]

logger = logging.getLogger("harness.resilience")

Message = dict[str, Any]

_ATTRIBUTES = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "QueueArn",
    "RedrivePolicy",
]
#: A receive that comes back empty may have missed something; two in a row are believed.
_EMPTY_RECEIVES = 2
#: Receives in a row with nothing but what was read before.
_STALE_RECEIVES = 10
_RECEIVE_TRIES = 5
#: Holds that end within this many seconds are taken as over: somebody else may have the message.
_MARGIN_S = 2.0


class ServiceClock:
    """The time of the service, seconds since 1970, by the Date of its answers: this machine's clock may be wrong."""

    def __init__(self, clock: Callable[[], float], wall_clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._base: float | None = None

    def learn(self, answer: Mapping[str, Any]) -> None:
        """Set the clock by an answer of boto3, if it has a Date and none was seen before."""
        if self._base is not None:
            return
        headers = (answer.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
        try:
            self._base = parsedate_to_datetime(headers["date"]).timestamp() - self._clock()
        except (KeyError, TypeError, ValueError):
            return

    def now(self) -> float:
        return self._wall_clock() if self._base is None else self._base + self._clock()


@dataclass(slots=True)
class Held:
    """A message that was received and hidden: its last handle, and until when (monotonic seconds)."""

    handle: str
    until: float


class DeadLetterReader:
    """See the module. Use it in a ``with`` block: what it holds at the end is given back.

    ``hold_seconds``: how long a message is hidden (``None``: by the number of
    messages, and ``hold_at_least``). ``patience``: how long to wait for messages that are in flight,
    with another reader or one that died. ``stopped_by`` says why reading
    ended: ``end``, ``filling``, ``max_messages``, ``max_seconds``, ``repeats``.
    """

    def __init__(
        self,
        sqs: Any,
        queue_url: str,
        *,
        max_messages: int,
        max_seconds: float,
        hold_seconds: float | None = None,
        hold_at_least: float = 0.0,
        wait_seconds: int = 1,
        patience: float = 0.0,
        clock: Callable[[], float] | None = None,
        wall_clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        if max_messages < 1 or max_seconds <= 0 or not 0 <= wait_seconds <= 20:
            raise ValueError("max_messages and max_seconds must be above 0, wait_seconds between 0 and 20")
        if hold_seconds is not None and not 5 <= hold_seconds <= 43_200:
            raise ValueError("hold_seconds must be between 5 and 43200")
        self.sqs = sqs
        self.queue_url = queue_url
        self.fifo = queue_url.endswith(".fifo")
        self.max_messages = max_messages
        self.max_seconds = max_seconds
        self.hold_seconds = hold_seconds
        self._hold_at_least = hold_at_least
        self.wait_seconds = wait_seconds
        self.patience = patience
        self._clock = clock or time.monotonic
        self._sleep = sleep or time.sleep
        self.service_clock = ServiceClock(self._clock, wall_clock or time.time)

        self.count_at_start = 0
        self.in_flight_at_start = 0
        self.arn: str | None = None
        self.warnings: list[str] = []
        self.stopped_by = "end"
        self.not_given_back = 0
        self._started = 0.0
        self._started_at = 0.0
        self._seen: set[str] = set()
        self._held: dict[str, Held] = {}
        self._gone: set[str] = set()

    def __enter__(self) -> DeadLetterReader:
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=_ATTRIBUTES)
        self.service_clock.learn(answer)
        attributes = answer.get("Attributes") or {}
        self.count_at_start = int(attributes.get("ApproximateNumberOfMessages", 0))
        self.in_flight_at_start = int(attributes.get("ApproximateNumberOfMessagesNotVisible", 0))
        self.arn = attributes.get("QueueArn")
        if self.hold_seconds is None:
            by_count = min(900.0, 60.0 + self.count_at_start / 20)
            self.hold_seconds = min(43_200.0, max(by_count, self._hold_at_least))
        self._warn_of(attributes)
        self._started = self._clock()
        # The Date has whole seconds: what was sent within that second was there before.
        self._started_at = self.service_clock.now() + 1.0
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.give_back()

    def _warn_of(self, attributes: Mapping[str, str]) -> None:
        policy = attributes.get("RedrivePolicy")
        if policy:
            try:
                limit = json.loads(policy)["maxReceiveCount"]
            except (ValueError, KeyError, TypeError):
                limit = "?"
            self.warn(
                f"the dead-letter queue has a redrive policy of its own (maxReceiveCount {limit}): each reading counts "
                "as a receive, and SQS moves on what was received that often; remove the policy while you look"
            )
        if self.in_flight_at_start:
            self.warn(
                f"{self.in_flight_at_start} messages are in flight, with another reader or one that ended without "
                "giving back: they cannot be read until their visibility timeout is over"
            )

    def warn(self, text: str) -> None:
        """Keep a warning for the result, and log it."""
        if text not in self.warnings:
            self.warnings.append(text)
            logger.warning("%s: %s", self.queue_url, text)

    # -- reading

    @property
    def read(self) -> int:
        """How many messages were read, each counted once."""
        return len(self._seen)

    @property
    def unread(self) -> int:
        """How many of those that were there at the start were not read, as far as SQS's count says."""
        return max(0, self.count_at_start - len(self._seen))

    @property
    def seconds(self) -> float:
        """Since the start."""
        return self._clock() - self._started

    def is_later(self, message: Mapping[str, Any]) -> bool:
        """Whether a message was sent after the reading began."""
        sent = (message.get("Attributes") or {}).get("SentTimestamp")
        return sent is not None and int(sent) / 1000 > self._started_at

    def batches(self) -> Iterator[list[Message]]:
        """What is in the queue, up to ten at a time, each message once."""
        empty = stale = 0
        while True:
            if self.seconds >= self.max_seconds:
                self.stopped_by = "max_seconds"
                return
            if len(self._seen) >= self.max_messages:
                self.stopped_by = "max_messages"
                return
            received = self._receive(min(10, self.max_messages - len(self._seen)))
            new = self._take(received)
            if new:
                empty = stale = 0
                later = all(self.is_later(message) for message in new)
                yield new
                if later and len(self._seen) >= self.count_at_start:
                    self.stopped_by = "filling"
                    return
            elif received:
                stale += 1
                if stale >= _STALE_RECEIVES:
                    self.stopped_by = "repeats"
                    return
            else:
                empty += 1
                if empty >= _EMPTY_RECEIVES and not self._worth_waiting():
                    if self.fifo and self.unread:
                        self.warn(
                            f"about {self.unread} messages were not read: of a FIFO queue's group SQS gives no more "
                            "than ten until they are deleted"
                        )
                    return

    def _worth_waiting(self) -> bool:
        """Whether messages that were in flight at the start may still come back."""
        missing = self.count_at_start + self.in_flight_at_start - len(self._seen)
        if missing <= 0 or self.seconds >= self.patience:
            return False
        self._sleep(min(5.0, max(0.1, self.patience - self.seconds)))
        return True

    def _take(self, received: list[Message]) -> list[Message]:
        """Note the handles; returns the messages that were not read before."""
        assert self.hold_seconds is not None
        until = self._clock() + self.hold_seconds
        new = []
        for message in received:
            message_id = str(message.get("MessageId", ""))
            if message_id in self._gone:
                self._delete_again(message)
                continue
            self._held[message_id] = Held(str(message.get("ReceiptHandle", "")), until)
            if message_id not in self._seen:
                self._seen.add(message_id)
                new.append(message)
        return new

    def _delete_again(self, message: Message) -> None:
        # A standard queue may deliver once more what was deleted.
        try:
            self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        except Exception as error:
            logger.warning("%s: a message that was deleted before came again and stays: %s", self.queue_url, error)

    def _receive(self, limit: int) -> list[Message]:
        assert self.hold_seconds is not None
        for attempt in range(1, _RECEIVE_TRIES + 1):
            try:
                answer = self.sqs.receive_message(
                    QueueUrl=self.queue_url,
                    MaxNumberOfMessages=limit,
                    VisibilityTimeout=round(self.hold_seconds),
                    WaitTimeSeconds=self.wait_seconds,
                    MessageAttributeNames=["All"],
                    MessageSystemAttributeNames=["All"],
                )
                messages: list[Message] = list(answer.get("Messages") or ())
                return messages
            except Exception as error:
                if attempt == _RECEIVE_TRIES or classify(error) is Classification.PERMANENT:
                    raise
                logger.warning("%s: receiving failed, trying again: %s", self.queue_url, error)
                self._sleep(min(8.0, 2.0 ** (attempt - 1)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    # -- holding, and letting go

    def held(self, message_id: str) -> Held | None:
        """The hold on a message, if it is still ours for sure."""
        held = self._held.get(message_id)
        return held if held is not None and held.until > self._clock() + _MARGIN_S else None

    def handle(self, message_id: str) -> str:
        """The last handle of a message that was read and not given back, even if the hold on it may be over."""
        return self._held[message_id].handle

    def keep(self, message_id: str, seconds: float) -> bool:
        """Make sure that a message stays hidden for *seconds*; ``False``: it is not ours any more."""
        held = self.held(message_id)
        if held is None:
            return False
        if held.until >= self._clock() + seconds:
            return True
        timeout = round(max(seconds, self.hold_seconds or 0.0))
        try:
            self.sqs.change_message_visibility(
                QueueUrl=self.queue_url, ReceiptHandle=held.handle, VisibilityTimeout=timeout
            )
        except Exception as error:
            logger.warning("%s: the hold on %s cannot be extended: %s", self.queue_url, message_id, error)
            return False
        held.until = self._clock() + timeout
        return True

    def forget(self, message_id: str) -> None:
        """The message was deleted. Should it be delivered once more, it is deleted again and not read."""
        self._held.pop(message_id, None)
        self._gone.add(message_id)

    def give_back(self, message_ids: Collection[str] | None = None) -> None:
        """Make messages visible again (all that are held when ``None``), oldest first. Never raises.

        One whose hold is over is left alone: to change its visibility now
        would take it out of the hands of who received it since.
        """
        wanted = list(self._held) if message_ids is None else [key for key in message_ids if key in self._held]
        ours = [(key, held.handle) for key in wanted if (held := self.held(key)) is not None]
        for key in wanted:
            del self._held[key]
        for first in range(0, len(ours), 10):
            part = ours[first : first + 10]
            failed = self._change({str(n): handle for n, (_, handle) in enumerate(part)})
            if failed:
                failed = self._change(failed)
            self.not_given_back += len(failed)

    def _change(self, handles: Mapping[str, str]) -> dict[str, str]:
        """Make messages visible; returns those for which it failed."""
        entries = [
            {"Id": number, "ReceiptHandle": handle, "VisibilityTimeout": 0} for number, handle in handles.items()
        ]
        try:
            answer = self.sqs.change_message_visibility_batch(QueueUrl=self.queue_url, Entries=entries)
        except Exception as error:
            logger.warning("%s: %d messages stay hidden for a while: %s", self.queue_url, len(entries), error)
            return dict(handles)
        return {entry["Id"]: handles[entry["Id"]] for entry in answer.get("Failed") or ()}
