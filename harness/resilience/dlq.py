"""The dead-letter queue handler: what cannot be processed goes aside, with everything that is known of it.

::

    handler = DeadLetterQueueHandler(orders_url, orders_dlq_url)
    signal.signal(signal.SIGTERM, lambda *_: handler.stop())
    handler.process_with_dlq(handle)      # handle(message) gets the dict of boto3

What the handler function does decides: it returns, and the message is
deleted; it raises a permanent error (see :mod:`harness.resilience.errors`),
and the message is dead-lettered at once; it raises anything else, and the
message comes back. A message that was received more than ``max_retries`` times
is dead-lettered without another try, so that one that kills its consumer is
contained too.

The dead letter is sent before the original is deleted. A crash between the two
makes a second dead letter, which carries the same ``originalMessageId``; a
FIFO dead-letter queue drops it (its deduplication id is made of the message
id), and so does a ``store``. If the dead letter cannot be sent, nothing is
deleted.
"""

from __future__ import annotations

import functools
import random as _random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from harness.resilience._awaiting import HandlerLoop, checked_handler
from harness.resilience._delivery import (
    DONE,
    LEFT,
    ConsumerListener,
    DeadLetter,
    Delivery,
    Outcome,
    RecentIds,
    Reporter,
)
from harness.resilience._loop import Admission, ConsumerOptions, MessageLoop
from harness.resilience._stack import ErrorDetails, details_of
from harness.resilience.envelope import MAX_MESSAGE_BYTES, Envelope
from harness.resilience.errors import Classification, classify
from harness.resilience.idempotency import DEFAULT_TTL_SECONDS, IdempotencyStore, Status, new_owner
from harness.resilience.payloads import PayloadStore
from harness.resilience.queue_settings import ATTRIBUTES, find_problems

__all__ = [
    "ConsumerOptions",
    "DeadLetterQueueHandler",
    "dead_letter_request",
    "envelope_of",
    "problems_of",
    "sqs_client",
]

MessageHandler = Callable[[dict[str, Any]], object]


def sqs_client() -> Any:
    """An SQS client of boto3 with the defaults of the environment.

    Raises:
        ImportError: boto3 is not installed.
    """
    try:
        import boto3
    except ImportError as error:
        raise ImportError("boto3 is not installed; install it or hand in a client as sqs=") from error
    return boto3.client("sqs")


def dead_letter_request(
    envelope: Envelope,
    dlq_url: str,
    *,
    max_bytes: int = MAX_MESSAGE_BYTES,
    payloads: PayloadStore | None = None,
    report: Reporter | None = None,
) -> dict[str, Any]:
    """The arguments of ``send_message`` that put *envelope* into the queue *dlq_url*.

    What does not fit goes to *payloads*; if that fails, *report* is told, and
    the context is shortened instead.

    In a FIFO queue the group stays the original one, and the deduplication id
    is made of the original message's id: sent again within five minutes, it is
    dropped by SQS.
    """
    try:
        outgoing = envelope.to_message(max_bytes=max_bytes, payloads=payloads)
    except Exception as error:  # of the user's store: a dead letter with less context is better than none
        if report is not None:
            detail = f"of payloads, for the dead letter of {envelope.message_id}: its context is shortened"
            report("store-unavailable", error=error, detail=detail)
        outgoing = envelope.to_message(max_bytes=max_bytes)
    request: dict[str, Any] = {"QueueUrl": dlq_url, "MessageBody": outgoing.body}
    if outgoing.attributes:
        request["MessageAttributes"] = outgoing.attributes
    if dlq_url.endswith(".fifo"):
        request["MessageGroupId"] = envelope.group_id or envelope.message_id or "dead-letters"
        request["MessageDeduplicationId"] = f"dead-letter-{envelope.message_id}"
    return request


def envelope_of(
    message: Mapping[str, Any],
    reason: str,
    queue_url: str,
    details: ErrorDetails | None = None,
    wall_clock: Callable[[], float] | None = None,
) -> Envelope:
    """The envelope of a message that failed now."""
    return Envelope.of(
        message,
        reason,
        queue=queue_url,
        failed_at=datetime.fromtimestamp((wall_clock or time.time)(), UTC),
        error_class=details.error_class if details else None,
        stack=details.stack if details else None,
    )


def problems_of(sqs: Any, attributes: Mapping[str, str], dlq_url: str | None, max_receives: int) -> list[str]:
    """What is wrong with a queue's settings beside its dead-letter queue's, as far as that one can be asked."""
    dead: Mapping[str, str] | None = None
    if dlq_url is not None:
        try:
            dead = sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=ATTRIBUTES)["Attributes"]
        except Exception as error:
            return [f"the settings of the dead-letter queue {dlq_url} cannot be read ({error})"]
    return find_problems(attributes, dead if isinstance(dead, Mapping) else None, max_receives=max_receives)


class SentOnce:
    """Sends a dead letter and remembers it in a store, if there is one, so that a crash does not send it again."""

    def __init__(self, store: IdempotencyStore | None, queue_url: str) -> None:
        self._store = store
        self._queue_url = queue_url

    def sent_before(self, delivery: Delivery, report: Reporter) -> bool:
        """Whether the dead letter of a message that comes again was sent: then it must not be handled any more."""
        if self._store is None or delivery.receive_count == 1:
            return False
        owner = new_owner()
        if self._was_sent(owner, delivery, report):
            return True
        try:
            self._store.release(self._key(delivery), owner)
        except Exception as error:
            report("store-unavailable", delivery, error=error, detail="the lease has to run out by itself")
        return False

    def send(self, delivery: Delivery, reason: str, report: Reporter, send: Callable[[], object]) -> Outcome:
        """Call *send* unless it was done before. Only success lets the original be deleted."""
        owner = new_owner()
        if self._was_sent(owner, delivery, report):
            return DONE
        try:
            send()
        except Exception as error:
            report("dead-letter-failed", delivery, error=error, detail=reason)
            return LEFT
        self._remember(owner, delivery, reason, report)
        return DONE

    def send_later(self, delivery: Delivery, reason: str, report: Reporter, request: dict[str, Any]) -> Outcome:
        """The same, in a batch with others: the loop sends *request* before it deletes."""
        owner = new_owner()
        if self._was_sent(owner, delivery, report):
            return DONE

        def sent(error: Exception | None) -> None:
            if error is None:
                self._remember(owner, delivery, reason, report)
            else:
                report("dead-letter-failed", delivery, error=error, detail=reason)

        return Outcome(delete=True, first=DeadLetter(request, sent))

    def _key(self, delivery: Delivery) -> str:
        return f"dead-letter:{self._queue_url}:{delivery.id}"

    def _remember(self, owner: str, delivery: Delivery, reason: str, report: Reporter) -> None:
        report("dead-lettered", delivery, detail=reason)
        if self._store is not None:
            try:
                self._store.complete(self._key(delivery), owner, None, DEFAULT_TTL_SECONDS)
            except Exception as error:
                report("store-unavailable", delivery, error=error)

    def _was_sent(self, owner: str, delivery: Delivery, report: Reporter) -> bool:
        if self._store is None:
            return False
        try:
            if self._store.begin(self._key(delivery), owner, 30.0).status is Status.COMPLETED:
                report("already-handled", delivery, detail="its dead letter was sent before")
                return True
        except Exception as error:
            # Without the store a second dead letter is possible, which is better than none.
            report("store-unavailable", delivery, error=error)
        return False


class DeadLetterQueueHandler:
    """See the module.

    ``sqs``: a client of boto3 (made on first use if none is given).
    ``max_retries``: receives after which a message is dead-lettered.
    ``classifier``: says of an error whether it is permanent (default
    :func:`~harness.resilience.errors.classify`; what is unknown comes back).
    ``retry_delay``: seconds until a message comes back, from the number of its
    receives (default: the visibility timeout decides). ``store``: remembers
    which messages were dead-lettered. ``payloads``: where the whole of a dead
    letter goes that is too large for a message. ``admission``: asked before each receive.
    ``clock`` is monotonic seconds, ``wall_clock`` seconds since 1970.

    ``main_queue_url``, ``dlq_url``, ``max_retries`` and ``sqs`` may be set
    before use; ``_send_to_dlq`` and ``_delete_message`` may be overridden, and
    raise when they fail.
    """

    def __init__(
        self,
        main_queue_url: str,
        dlq_url: str,
        *,
        sqs: Any = None,
        max_retries: int = 3,
        options: ConsumerOptions | None = None,
        classifier: Callable[[BaseException], Classification] = classify,
        retry_delay: Callable[[int], float] | None = None,
        store: IdempotencyStore | None = None,
        payloads: PayloadStore | None = None,
        admission: Callable[[], Admission] | None = None,
        listeners: Iterable[ConsumerListener] = (),
        max_bytes: int = MAX_MESSAGE_BYTES,
        clock: Callable[[], float] | None = None,
        wall_clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
        random: _random.Random | None = None,
    ) -> None:
        self.main_queue_url = main_queue_url
        self.dlq_url = dlq_url
        self.max_retries = max_retries
        self.options = options or ConsumerOptions()
        self.listeners: list[ConsumerListener] = list(listeners)
        self._sqs = sqs
        self._classifier = classifier
        self._retry_delay = retry_delay
        self._sent_once = SentOnce(store, main_queue_url)
        self._payloads = payloads
        self._admission = admission
        self._max_bytes = max_bytes
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._random = random
        self._errors = RecentIds()
        self._loop: MessageLoop | None = None
        self._report = Reporter(main_queue_url, self.listeners)
        self._stop_asked = False

    @property
    def sqs(self) -> Any:
        """The client of boto3 that is used."""
        if self._sqs is None:
            self._sqs = sqs_client()
        return self._sqs

    @sqs.setter
    def sqs(self, client: Any) -> None:
        self._sqs = client

    def process_with_dlq(self, message_handler: MessageHandler) -> None:
        """Receive and handle until :meth:`stop`. Blocks.

        ``message_handler`` gets each message as boto3 gives it (a dict, with
        all attributes); a coroutine function is awaited to its end. Errors of
        receiving are survived with growing pauses.
        """
        checked_handler(message_handler)
        coroutines = HandlerLoop()
        self._report = Reporter(self.main_queue_url, self.listeners)
        loop = MessageLoop(
            self.sqs,
            self.main_queue_url,
            self.options,
            self._report,
            delete=self._delete_message if self._overridden("_delete_message") else None,
            admission=self._admission,
            inspect=lambda attributes: problems_of(self.sqs, attributes, self.dlq_url, self.max_retries + 1),
            clock=self._clock,
            sleep=self._sleep,
            random=self._random,
        )
        self._loop = loop
        if self._stop_asked:  # by a signal that came before the loop was there
            loop.stop()
        try:
            handler = functools.partial(coroutines.call, message_handler)
            loop.run(lambda delivery: self._process(loop, delivery, handler))
        finally:
            coroutines.close()
            self._loop = None
            self._stop_asked = False

    def stop(self) -> None:
        """Let :meth:`process_with_dlq` return after what is being handled. Safe in a signal handler."""
        self._stop_asked = True
        loop = self._loop
        if loop is not None:
            loop.stop()

    def _overridden(self, name: str) -> bool:
        own = getattr(self, name)
        return getattr(own, "__func__", own) is not getattr(DeadLetterQueueHandler, name)

    def _process(self, loop: MessageLoop, delivery: Delivery, handler: MessageHandler) -> Outcome:
        if self._sent_once.sent_before(delivery, self._report):
            return DONE
        receives = loop.receives(delivery)
        if receives > self.max_retries:
            last: ErrorDetails | None = self._errors.get(delivery.id)
            reason = f"Received more than {self.max_retries} times without success"
            return self._dead_letter(delivery, f"{reason}; last error: {last}" if last else reason)
        try:
            handler(delivery.copy())
        except Exception as error:
            permanent = self._classifier(error) is Classification.PERMANENT
            # The stack is needed only where a dead letter follows.
            details = details_of(error, stack=permanent or receives >= self.max_retries)
            self._errors[delivery.id] = details
            self._report("handler-failed", delivery, error=error)
            if permanent:
                return self._dead_letter(delivery, details.text or details.error_class)
            return Outcome(delete=False, delay=self._retry_delay(receives) if self._retry_delay else None)
        self._report("handled", delivery)
        self._errors.pop(delivery.id)
        return DONE

    def _dead_letter(self, delivery: Delivery, reason: str) -> Outcome:
        """Send the dead letter; only then may the original be deleted."""
        if (
            self.options.acknowledge_together > 1
            and not self.main_queue_url.endswith(".fifo")
            and not self._overridden("_send_to_dlq")
        ):
            return self._sent_once.send_later(delivery, reason, self._report, self._request(delivery.message, reason))
        return self._sent_once.send(delivery, reason, self._report, lambda: self._send_to_dlq(delivery.message, reason))

    def _request(self, message: Mapping[str, Any], reason: str) -> dict[str, Any]:
        details = self._errors.get(str(message.get("MessageId", "")))
        envelope = envelope_of(message, reason, self.main_queue_url, details, self._wall_clock)
        return dead_letter_request(
            envelope, self.dlq_url, max_bytes=self._max_bytes, payloads=self._payloads, report=self._report
        )

    def _send_to_dlq(self, message: Mapping[str, Any], error_reason: str) -> None:
        """Send *message* to the dead-letter queue. Raises when it is not accepted."""
        self.sqs.send_message(**self._request(message, error_reason))

    def _delete_message(self, receipt_handle: str) -> None:
        """Delete one message of the main queue. Raises when that fails."""
        self.sqs.delete_message(QueueUrl=self.main_queue_url, ReceiptHandle=receipt_handle)
