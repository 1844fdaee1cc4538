"""A consumer made of all the parts, in the order in which they have to stand.

::

    consumer = ResilientConsumer(
        orders_url, handle, dlq_url=orders_dlq_url,
        poison=PoisonMessageDetector(redis_client),
        idempotency=Idempotency(RedisIdempotencyStore(redis_client), key=lambda m: json_body(m)["order_id"]),
        breaker=CircuitBreaker(), retry=ExponentialBackoffRetry())
    consumer.run(stop_on=(signal.SIGTERM,))     # blocks; consumer.stop() ends it

For each message: is there room for it (degradation)? is it poison? was its
effect done before? may the breaker let it through? then the handler, with
retries; then it is acknowledged, comes back, or is dead-lettered. Each part is
optional and can be somebody else's.

What that order gives, within the fault model: a message is deleted only after
its handler returned or its dead letter (or quarantine entry) was accepted, so
it is never lost; a second effect is prevented by ``idempotency`` as far as its
store can promise, and where it cannot, the event ``possibly-duplicated`` says so.

An open breaker does not use up receives: the loop stops polling until the
breaker lets a probe through, polls for a single message while it is half
open, and a message that is in hand is held (its visibility extended) and tried
again. What cannot be held is given back and is not blamed.
"""

from __future__ import annotations

import functools
import json
import random as _random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Protocol

from harness.resilience._awaiting import HandlerLoop, checked_handler
from harness.resilience._delivery import DONE, ConsumerEvent, ConsumerListener, Delivery, Outcome, RecentIds, Reporter
from harness.resilience._loop import Admission, ConsumerOptions, MessageLoop
from harness.resilience._stack import ErrorDetails, details_of
from harness.resilience._waits import Waits
from harness.resilience.dlq import SentOnce, dead_letter_request, envelope_of, problems_of, sqs_client
from harness.resilience.envelope import MAX_MESSAGE_BYTES
from harness.resilience.errors import Classification, InvalidMessageFormatError, classify, retry_after
from harness.resilience.idempotency import Claim, Idempotency, IdempotencyStore, Status, new_owner
from harness.resilience.payloads import PayloadStore
from harness.resilience.poison import PoisonMessageDetector

__all__ = [
    "Admission",
    "BreakerLike",
    "ConsumerEvent",
    "ConsumerListener",
    "ConsumerOptions",
    "DegradationLike",
    "PoisonLike",
    "ResilientConsumer",
    "RetryLike",
    "json_body",
]

Handler = Callable[[dict[str, Any]], Any]

#: Names of the errors with which breakers of known libraries refuse a call.
_REFUSALS = frozenset({"CircuitBreakerOpenException", "CircuitBreakerError", "OpenedState", "CircuitOpenError"})


class BreakerLike(Protocol):
    """A circuit breaker: ours, pybreaker's, or any with this method that raises when it is open."""

    def call(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any: ...


class RetryLike(Protocol):
    """A retry policy: ours, or any with this method."""

    def execute(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any: ...


class DegradationLike(Protocol):
    """A degradation manager: ours, or any with these methods."""

    def start(self, sqs: Any, queue_url: str, /, *, breaker: object = None) -> object: ...
    def stop(self) -> object: ...
    def admission(self) -> Admission: ...
    def shed(self, message: Mapping[str, Any], queue_url: str | None = None, /) -> float | None: ...
    def listener(self, event: ConsumerEvent, /) -> None: ...
    def measured(self, func: Handler, /) -> Handler: ...


class PoisonLike(Protocol):
    """A poison detector: ours, or any with these methods. None of them raises when its store is down."""

    def is_poison_message(self, message_id: str, /) -> bool: ...
    def record_failure(self, message_id: str, /) -> Any: ...
    def quarantine_poison_message(self, message: Mapping[str, Any], reason: str, /) -> Any: ...


def json_body(message: Mapping[str, Any], *, kind: type | None = dict, required: Iterable[str] = ()) -> Any:
    """The body of a message as JSON.

    ``kind``: what it has to be (``None``: anything). ``required``: fields that
    an object must have.

    Raises:
        InvalidMessageFormatError: it is no JSON (NaN and Infinity are none), or of another shape.
    """
    body = message.get("Body")
    if not isinstance(body, str):
        raise InvalidMessageFormatError(f"the body is {type(body).__name__}, not text")
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidMessageFormatError(f"the body is not JSON: {error}") from error
    if kind is not None and not isinstance(value, kind):
        raise InvalidMessageFormatError(f"the body is a JSON {type(value).__name__}, expected {kind.__name__}")
    missing = [name for name in required if not isinstance(value, Mapping) or name not in value]
    if missing:
        raise InvalidMessageFormatError(f"the body lacks {', '.join(missing)}")
    return value


class ResilientConsumer:
    """See the module.

    ``handler`` gets each message as boto3 gives it (a dict with all
    attributes), returns when it is done and raises otherwise; what it gives to
    be awaited (a coroutine function's result) is awaited to its end, on one event
    loop for all messages. A permanent error dead-letters at once; any
    other one lets the message come back, and at its ``max_receives``-th receive
    dead-letters it. A message that was received ``receive_limit`` times (by
    default three times ``max_receives``) is not tried again, whatever became of
    the tries: it may be the one that kills its consumer.

    ``poison_to``: where a poison message goes, ``dead-letter`` or
    ``quarantine``; by default the dead-letter queue if there is one, because a
    queue keeps what Redis may lose. ``idempotency``: a store, or
    :class:`~harness.resilience.idempotency.Idempotency` with a key.
    ``retry_delay``: seconds until a failed message comes back, from the number
    of its receives (default: the visibility timeout); a longer ``Retry-After`` of
    the service that failed is honoured. ``breaker_pause``: seconds
    to wait for a breaker that does not say how long. ``admission``: asked before
    each receive, for load shedding. ``degradation``: a
    :class:`~harness.resilience.degradation.ServiceDegradationManager`; it
    counts the handler's calls, limits receives, gives back what it sheds and
    has a hand on ``breaker``. ``payloads``: where the whole of a dead letter
    goes that is too large for a message. ``listeners`` get every event.
    """

    def __init__(
        self,
        queue_url: str,
        handler: Handler,
        *,
        sqs: Any = None,
        dlq_url: str | None = None,
        poison: PoisonLike | None = None,
        poison_to: Literal["dead-letter", "quarantine"] | None = None,
        idempotency: Idempotency | IdempotencyStore | None = None,
        breaker: BreakerLike | None = None,
        retry: RetryLike | None = None,
        max_receives: int = 3,
        receive_limit: int | None = None,
        options: ConsumerOptions | None = None,
        classifier: Callable[[BaseException], Classification] = classify,
        retry_delay: Callable[[int], float] | None = None,
        breaker_pause: float = 5.0,
        admission: Callable[[], Admission] | None = None,
        degradation: DegradationLike | None = None,
        listeners: Iterable[ConsumerListener] = (),
        payloads: PayloadStore | None = None,
        max_bytes: int = MAX_MESSAGE_BYTES,
        clock: Callable[[], float] | None = None,
        wall_clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
        random: _random.Random | None = None,
    ) -> None:
        if max_receives < 1:
            raise ValueError(f"max_receives must be at least 1, not {max_receives}")
        if poison_to == "dead-letter" and dlq_url is None:
            raise ValueError("poison_to='dead-letter' needs dlq_url")
        self.queue_url = queue_url
        self.handler = handler
        self.dlq_url = dlq_url
        self.poison = poison
        self.poison_to = poison_to or ("dead-letter" if dlq_url else "quarantine")
        self.breaker = breaker
        self.retry = retry
        self.degradation = degradation
        self.max_receives = max_receives
        self.receive_limit = receive_limit if receive_limit is not None else 3 * max_receives
        self.options = options or ConsumerOptions()
        self.retry_delay = retry_delay
        self.breaker_pause = breaker_pause
        self.listeners: list[ConsumerListener] = list(listeners)
        if idempotency is not None and not isinstance(idempotency, Idempotency):
            idempotency = Idempotency(idempotency)
        self.idempotency = idempotency
        self._sqs = sqs
        self._classifier = classifier
        self._admission = admission
        self._max_bytes = max_bytes
        self._payloads = payloads
        self._clock = clock or time.monotonic
        self._wall_clock = wall_clock
        self._coroutines = HandlerLoop()
        self._call = self._compose(handler)
        self._errors = RecentIds()
        self._sent_once = SentOnce(idempotency.store if idempotency else None, queue_url)
        self._report = Reporter(queue_url, self.listeners)
        self._closed_until = 0.0
        self._loop = MessageLoop(
            None,
            queue_url,
            self.options,
            self._report,
            admission=self._admit,
            inspect=self._problems,
            clock=self._clock,
            sleep=sleep,
            random=random,
        )

    @property
    def sqs(self) -> Any:
        """The client of boto3 that is used."""
        if self._sqs is None:
            self._sqs = sqs_client()
        return self._sqs

    @sqs.setter
    def sqs(self, client: Any) -> None:
        self._sqs = client

    def run(self, *, stop_on: Iterable[int] = ()) -> None:
        """Consume until :meth:`stop`. Blocks; a plain loop that can be a process's main function.

        ``stop_on``: signals that stop it (``signal.SIGTERM``); main thread only.
        """
        before = {number: signal.signal(number, lambda *_: self.stop()) for number in stop_on}
        self._report.listeners = self.listeners
        self._loop.sqs = self.sqs
        degradation = self.degradation
        if degradation is not None:
            if degradation.listener not in self.listeners:
                self.listeners.append(degradation.listener)
            degradation.start(self.sqs, self.queue_url, breaker=self.breaker)
        try:
            self._loop.run(self._process)
        finally:
            self._coroutines.close()
            if degradation is not None:
                degradation.stop()
            for number, handler in before.items():
                if handler is not None and threading.current_thread() is threading.main_thread():
                    signal.signal(number, handler)

    def stop(self) -> None:
        """End :meth:`run` after what is being handled; what was not begun is given back. Safe in a signal handler.

        A handler is not interrupted, but a :class:`~harness.resilience.retry.Retry` that waits for its next attempt
        gives up within a second, and its message is given back.
        """
        self._loop.stop()

    def _compose(self, handler: Handler) -> Handler:
        call: Handler = functools.partial(self._coroutines.call, checked_handler(handler))
        retry, breaker = self.retry, self.breaker
        if retry is not None:
            inner = call

            def call(message: dict[str, Any]) -> Any:
                return retry.execute(inner, message)

        if self.degradation is not None:
            # Inside the breaker, so that a call that it refuses is none; around the retries, which a message waits for.
            call = self.degradation.measured(call)

        if breaker is not None:
            guarded = call

            def call(message: dict[str, Any]) -> Any:
                return breaker.call(guarded, message)

        return call

    def _problems(self, attributes: Mapping[str, str]) -> list[str]:
        """What is wrong with the queue's settings for this consumer."""
        problems = problems_of(self.sqs, attributes, self.dlq_url, self.max_receives)
        kept = str(attributes.get("MessageRetentionPeriod", ""))
        remembered = self.idempotency.ttl_seconds if self.idempotency is not None else float("inf")
        if kept.isdigit() and remembered < int(kept):
            problems.append(
                f"completion is remembered for {remembered:g} s, and the queue keeps messages for {kept} s: a late "
                "duplicate finds no record; set ttl_seconds above the retention"
            )
        return problems

    # Whether to receive

    def _admit(self) -> Admission:
        own = self._admission() if self._admission is not None else Admission()
        wait, limit = self._breaker_admission()
        wait = max(wait, self._closed_until - self._clock())
        degraded = self.degradation.admission() if self.degradation is not None else Admission()
        return Admission(max(own.wait, wait, degraded.wait), min(own.limit, limit, degraded.limit))

    def _breaker_admission(self) -> tuple[float, int]:
        """Seconds until the breaker lets a call through, and how many messages to receive then."""
        metrics = getattr(self.breaker, "metrics", None)
        if not callable(metrics):
            return 0.0, 10
        now = metrics()
        state = str(getattr(getattr(now, "state", None), "value", ""))
        if state == "closed" or not state:
            return 0.0, 10
        left = getattr(now, "retry_after", None)
        if state == "open":
            return (float(left) if left is not None else self.breaker_pause), 1
        return 0.0, 1

    # One message

    def _process(self, delivery: Delivery) -> Outcome:
        delay = self.degradation.shed(delivery.message, self.queue_url) if self.degradation is not None else None
        if delay is not None:
            self._report("shed", delivery, seconds=delay)
            return Outcome(delete=False, delay=delay, blameless=True)
        try:
            identity = self._identity(delivery.message)
            key = self.idempotency.key_of(delivery.message, self.queue_url) if self.idempotency else ""
        except Exception as error:  # a body that holds no key
            return self._failed(delivery, error, delivery.id)
        if self.poison is not None and self.poison.is_poison_message(identity):
            self._report("poison", delivery)
            return self._isolate(delivery)
        if self.idempotency is None:
            return self._attempt(delivery, identity)
        return self._once(delivery, identity, key, self.idempotency)

    def _once(self, delivery: Delivery, identity: str, key: str, idempotency: Idempotency) -> Outcome:
        """Attempt it under a claim."""
        owner = new_owner()
        claim = self._claim(delivery, key, owner, idempotency)
        if claim is None:
            return self._given_back(self.breaker_pause)
        if claim.status is Status.COMPLETED:
            self._report("already-handled", delivery, detail="its effect was recorded before")
            return DONE
        if claim.status is Status.IN_PROGRESS:
            self._report("in-progress-elsewhere", delivery, seconds=claim.retry_after)
            return Outcome(delete=False, delay=max(1.0, claim.retry_after), blameless=True)
        store = idempotency.store
        if self._sent_once.sent_before(delivery, self._report):
            self._release(delivery, key, owner, store)
            return DONE
        delivery.on_extended = lambda seconds: store.extend(key, owner, seconds)

        def complete(result: Any) -> None:
            delivery.on_extended = None
            self._complete(delivery, key, owner, result, idempotency)

        done = False
        try:
            outcome = self._attempt(delivery, identity, complete)
            done = delivery.on_extended is None
            return outcome
        finally:
            if not done:
                delivery.on_extended = None
                self._release(delivery, key, owner, store)

    def _attempt(self, delivery: Delivery, identity: str, complete: Callable[[Any], object] | None = None) -> Outcome:
        """Call the handler, as often as an open breaker makes it necessary and holding the message allows."""
        if self._loop.receives(delivery) > self.receive_limit:
            # Asked under the claim: a message that is being handled elsewhere, or was, is none without an outcome.
            return self._set_aside(delivery, f"Received more than {self.receive_limit} times without an outcome")
        while True:
            waits = Waits(self._loop.pause, lambda: self._loop.stopping)
            try:
                with waits.installed():
                    result = self._call(delivery.copy())
            except Exception as error:
                if waits.cut:
                    self._report("handler-failed", delivery, error=error, detail="stop() ended its retries")
                    return self._given_back(0.0)
                wait = self._not_to_blame(error)
                if wait is None:
                    return self._failed(delivery, error, identity)
                if not self._hold(delivery, wait, error):
                    self._closed_until = self._clock() + wait
                    return self._given_back(wait)
            else:
                self._report("handled", delivery)
                if complete is not None:
                    complete(result)
                self._errors.pop(delivery.id)
                return DONE

    def _not_to_blame(self, error: Exception) -> float | None:
        """Seconds to wait if it was a breaker and not the message; else ``None``."""
        if type(error).__name__ in _REFUSALS:
            left = getattr(error, "retry_after", None)
            return max(0.1, float(left)) if isinstance(left, int | float) else self.breaker_pause
        if self.breaker is not None and self._classifier(error) is Classification.TRANSIENT:
            wait, _ = self._breaker_admission()
            return wait if wait > 0 else None  # this failure, or one beside it, has opened the breaker
        return None

    def _hold(self, delivery: Delivery, seconds: float, error: BaseException) -> bool:
        """Keep the message in hand for *seconds*; ``False`` if it cannot be kept so long, or on stop."""
        if not self._loop.may_hold(delivery, seconds):
            return False
        self._report("held", delivery, error=error, seconds=seconds)
        return self._loop.pause(seconds) and not delivery.lost

    def _given_back(self, seconds: float) -> Outcome:
        """The message is not to blame: back to the queue, soon, because another consumer may do better."""
        soon = 0.0 if self._loop.stopping else min(seconds, self._loop.visibility)
        return Outcome(delete=False, delay=soon, blameless=True)

    def _failed(self, delivery: Delivery, error: Exception, identity: str) -> Outcome:
        receives = self._loop.receives(delivery)
        permanent = self._classifier(error) is Classification.PERMANENT
        last = permanent or receives >= self.max_receives
        details = details_of(error, stack=last)
        self._errors[delivery.id] = details
        self._report("handler-failed", delivery, error=error)
        if self.poison is not None and not permanent:
            self.poison.record_failure(identity)
        if permanent:
            return self._set_aside(delivery, details.text or details.error_class)
        if last:
            return self._set_aside(delivery, f"Failed at receive {receives} of {self.max_receives}: {details}")
        delay = self.retry_delay(receives) if self.retry_delay else None
        hint = retry_after(error)
        if hint is not None:
            delay = hint if delay is None else max(delay, hint)
        return Outcome(delete=False, delay=delay)

    # Where failed messages go

    def _identity(self, message: Mapping[str, Any]) -> str:
        identity = getattr(self.poison, "identity", None)
        return str(identity(message)) if callable(identity) else str(message.get("MessageId", ""))

    def _isolate(self, delivery: Delivery) -> Outcome:
        last: ErrorDetails | None = self._errors.get(delivery.id)
        reason = f"Poison message; last error: {last}" if last else "Poison message"
        if self.poison_to == "dead-letter" or not self._quarantine(delivery, reason):
            return self._set_aside(delivery, reason)
        return DONE

    def _set_aside(self, delivery: Delivery, reason: str) -> Outcome:
        """To the dead-letter queue, else to the quarantine; where there is neither, it stays in its queue."""
        if self.dlq_url is not None:
            own = type(self)._send_to_dlq is not ResilientConsumer._send_to_dlq
            if self.options.acknowledge_together > 1 and not self.queue_url.endswith(".fifo") and not own:
                request = self._dead_letter_request(delivery.message, reason)
                return self._sent_once.send_later(delivery, reason, self._report, request)
            return self._sent_once.send(
                delivery, reason, self._report, lambda: self._send_to_dlq(delivery.message, reason)
            )
        if self._quarantine(delivery, reason):
            return DONE
        self._report("dead-letter-failed", delivery, detail=f"no dead-letter queue and no quarantine took it: {reason}")
        return Outcome(delete=False)

    def _quarantine(self, delivery: Delivery, reason: str) -> bool:
        if self.poison is None:
            return False
        if isinstance(self.poison, PoisonMessageDetector):
            return self.poison.quarantine_poison_message(delivery.message, reason, queue_url=self.queue_url)
        taken = self.poison.quarantine_poison_message(delivery.message, reason)
        return taken is not False  # a detector that answers nothing has taken it

    def _send_to_dlq(self, message: Mapping[str, Any], reason: str) -> None:
        """Send the dead letter. Raises when it is not accepted. May be overridden."""
        self.sqs.send_message(**self._dead_letter_request(message, reason))

    def _dead_letter_request(self, message: Mapping[str, Any], reason: str) -> dict[str, Any]:
        details = self._errors.get(str(message.get("MessageId", "")))
        envelope = envelope_of(message, reason, self.queue_url, details, self._wall_clock)
        return dead_letter_request(
            envelope, self.dlq_url or "", max_bytes=self._max_bytes, payloads=self._payloads, report=self._report
        )

    # Effects once

    def _claim(self, delivery: Delivery, key: str, owner: str, idempotency: Idempotency) -> Claim | None:
        """The claim; while the store is down the message is held. ``None``: it could not be held so long."""
        pause = 1.0
        while True:
            lease = max(1.0, delivery.visible_at - self._clock())
            try:
                return idempotency.store.begin(key, owner, lease)
            except Exception as error:
                self._report("store-unavailable", delivery, error=error)
                if idempotency.when_unavailable == "process":
                    return Claim(Status.STARTED)
                if not self._hold(delivery, pause, error):
                    return None
                pause = min(10.0, 2 * pause)

    def _complete(self, delivery: Delivery, key: str, owner: str, result: Any, idempotency: Idempotency) -> None:
        try:
            json.dumps(result)
        except (TypeError, ValueError, RecursionError):
            result = None
        for attempt in range(3):
            if attempt:
                self._loop.pause(0.5 * attempt)
            try:
                alone = idempotency.store.complete(key, owner, result, idempotency.ttl_seconds)
            except Exception as error:
                self._report(
                    "store-unavailable", delivery, error=error, detail="the effect happened and is not recorded"
                )
                continue
            if not alone:
                self._report("possibly-duplicated", delivery, detail="its lease ran out while it was handled")
            return

    def _release(self, delivery: Delivery, key: str, owner: str, store: IdempotencyStore) -> None:
        try:
            store.release(key, owner)
        except Exception as error:
            self._report("store-unavailable", delivery, error=error, detail="the lease has to run out by itself")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
