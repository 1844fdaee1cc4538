"""Typed use of what users import from ``harness.resilience``. Checked by ``mypy --strict``, never run.

``assert_type`` says what a type checker has to see; a ``type: ignore`` with its code stands at a misuse that it has
to refuse, and is itself an error (of ``warn_unused_ignores``) where the misuse goes unnoticed.
"""

from __future__ import annotations

import logging
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, assert_type

from harness.resilience import (
    AdaptiveThrottle,
    Admission,
    AuthenticationError,
    BatchResult,
    BreakerStore,
    Budget,
    Budgets,
    CircuitBreaker,
    CircuitBreakerOpenException,
    CircuitState,
    Classification,
    Constant,
    ConsumerEvent,
    ConsumerListener,
    ConsumerOptions,
    CountWindow,
    Custom,
    DeadLetterQueueHandler,
    Diagnosis,
    ErrorMonitoring,
    ErrorRegistry,
    Exponential,
    ExponentialBackoffRetry,
    Fibonacci,
    Idempotency,
    IdempotencyStore,
    InvalidMessageFormatError,
    LocallyThrottledError,
    MemoryIdempotencyStore,
    Message,
    MessageTooLargeError,
    NetworkTimeoutError,
    PermanentError,
    PoisonMessageDetector,
    RedisBreakerStore,
    RedisIdempotencyStore,
    ResilientConsumer,
    ResilientProducer,
    Retry,
    RetryQuota,
    RetryRatio,
    ServiceDegradationManager,
    ServiceUnavailableError,
    ThrottlingError,
    TimeWindow,
    TransientError,
    Unsent,
    classify,
    diagnose,
    json_body,
    raise_for_response,
    register_permanent,
    register_transient,
    retry_after,
    watch_breakers,
    watch_retries,
)
from harness.resilience.backoff import Backoff
from harness.resilience.breaker import BreakerEvent, BreakerMetrics, CallEnded, StateChanged
from harness.resilience.breaker_store import Question, View
from harness.resilience.consumer import BreakerLike, DegradationLike, PoisonLike, RetryLike
from harness.resilience.idempotency import Claim, Status
from harness.resilience.retry import AttemptEnded, RetryEvent, Waiting
from harness.resilience.windows import Window

# Errors


class BankIsClosed(TransientError):
    """A user's own."""


def errors() -> None:
    assert_type(classify(ConnectionError()), Classification)
    diagnosis = diagnose(ThrottlingError("slow down", retry_after=2.5))
    assert_type(diagnosis, Diagnosis)
    assert_type(diagnosis.retry_after, float | None)
    assert_type(retry_after(OSError()), float | None)
    remove = register_transient(BankIsClosed)
    register_permanent(lambda error: getattr(error, "pgcode", None) == "23505")
    remove()
    rules = ErrorRegistry()
    rules.register(KeyError, "permanent")
    classify(KeyError(), rules=rules)
    known: list[type[Exception]] = [
        NetworkTimeoutError,
        ServiceUnavailableError,
        ThrottlingError,
        LocallyThrottledError,
    ]
    known += [AuthenticationError, InvalidMessageFormatError, MessageTooLargeError, PermanentError]
    assert_type(raise_for_response(object()), None)
    register_permanent(42)  # type: ignore[arg-type]


# Retry: decorators keep signatures, in every form


retry = ExponentialBackoffRetry(3, 1, 60, True, deadline=10, budget=RetryQuota(), random=random.Random(7))
policy = Retry(Exponential(0.1, cap=5, jitter="full", throttling_base=1), max_retries=None, deadline=30)


def charge(order: str, amount: int = 1, *, currency: str = "EUR") -> float:
    return amount / len(order + currency)


async def charge_async(order: str, amount: int = 1) -> float:
    return amount / len(order)


@retry
def decorated(order: str, amount: int = 1, *, currency: str = "EUR") -> float:
    return charge(order, amount, currency=currency)


@policy
async def decorated_async(order: str, amount: int = 1) -> float:
    return await charge_async(order, amount)


class Payments:
    """Methods keep their signatures too."""

    @retry
    def charge(self, order: str) -> int:
        return len(order)


async def retries() -> None:
    assert_type(retry.execute(charge, "o-1", 3, currency="USD"), float)
    assert_type(decorated("o-1", currency="USD"), float)
    assert_type(await decorated_async("o-1", 3), float)
    assert_type(await policy.execute_async(charge_async, "o-1"), float)
    assert_type(Payments().charge("o-1"), int)
    for attempt in policy.attempts():
        with attempt:
            assert_type(attempt.number, int)
            assert_type(attempt.remaining, float | None)
    async for attempt in policy:
        async with attempt:
            await charge_async("o-1")
    retry.execute(charge, 1)  # type: ignore[arg-type]
    retry.execute(charge, "o-1", curency="USD")  # type: ignore[call-arg]
    decorated(1)  # type: ignore[arg-type]
    await decorated_async("o-1", "3")  # type: ignore[arg-type]
    Payments().charge(1)  # type: ignore[arg-type]
    Retry(max_retrys=3)  # type: ignore[call-arg]
    ExponentialBackoffRetry(jitter="wild")  # type: ignore[arg-type]
    ExponentialBackoffRetry(backoff=Constant())  # type: ignore[call-arg]


class Linear:
    """A user's own backoff: two names, no base class."""

    cap = 10.0

    def band(self, attempt: int, previous: float, throttling: bool) -> tuple[float, float]:
        return 0.0, min(self.cap, float(attempt))


class Half:
    """A user's own budget."""

    def admit(self, attempt: int) -> bool:
        return True

    def withdraw(self, diagnosis: Diagnosis) -> float | None:
        return None if diagnosis.throttling else 1.0

    def outcome(self, diagnosis: Diagnosis | None, cost: float) -> None:
        logging.info("%s %s", diagnosis, cost)


def told(event: RetryEvent) -> None:
    if isinstance(event, Waiting):
        assert_type(event.delay, float)
    elif isinstance(event, AttemptEnded):
        assert_type(event.error, BaseException | None)


backoffs: list[Backoff] = [Exponential(), Constant(1.0), Fibonacci(), Custom(lambda attempt: attempt / 2), Linear()]
budgets: list[Budget] = [
    RetryQuota(),
    RetryRatio(0.2, min_per_second=10),
    AdaptiveThrottle(2.0),
    Budgets(RetryQuota(), RetryRatio()),
    Half(),
]
with_hooks = Retry(Linear(), budget=Half(), on_retry=lambda waiting: print(waiting.delay), listeners=[told])
stop_watching: Callable[[], None] = watch_retries(told)
Retry(Half())  # type: ignore[arg-type]

# Circuit breaker


class OwnStore:
    """A user's own place for a shared state."""

    name = "consul"

    def ask(self, breaker: str, question: Question) -> View:
        raise ConnectionError(f"{breaker}: {question.kind}")


windows: list[Window] = [CountWindow(size=20, failure_rate=0.5), TimeWindow(seconds=30, slow_call_seconds=2)]
stores: list[BreakerStore] = [RedisBreakerStore(object()), OwnStore()]
breaker = CircuitBreaker(5, 60, (OSError, TimeoutError), name="payments", window=CountWindow(), store=OwnStore())


@breaker
def guarded(order: str, amount: int = 1) -> float:
    return charge(order, amount)


@breaker
async def guarded_async(order: str) -> float:
    return await charge_async(order)


def heard(event: BreakerEvent) -> None:
    if isinstance(event, StateChanged):
        assert_type(event.after, CircuitState)
    elif isinstance(event, CallEnded):
        assert_type(event.seconds, float)


async def breakers() -> None:
    assert_type(breaker.call(charge, "o-1", currency="USD"), float)
    assert_type(await breaker.call_async(charge_async, "o-1"), float)
    assert_type(guarded("o-1", 2), float)
    assert_type(await guarded_async("o-1"), float)
    with breaker, breaker.guard():
        charge("o-1")
    async with breaker:
        await charge_async("o-1")
    try:
        guarded("o-1")
    except CircuitBreakerOpenException as refusal:
        assert_type(refusal.retry_after, float | None)
        assert_type(refusal.breaker, str | None)
    assert_type(breaker.state, CircuitState)
    assert_type(breaker.metrics(), BreakerMetrics)
    breaker.add_listener(heard)
    watch_breakers(heard)()
    breaker.set_limits(failure_threshold=3)
    breaker.call(charge, 1)  # type: ignore[arg-type]
    guarded(1)  # type: ignore[arg-type]
    await guarded_async()  # type: ignore[call-arg]
    CircuitBreaker(expected_exception="OSError")  # type: ignore[arg-type]
    CircuitBreaker(window=Exponential())  # type: ignore[arg-type]


# Idempotency


class OwnRecords:
    """A user's own store of claims."""

    def begin(self, key: str, owner: str, lease_seconds: float) -> Claim:
        return Claim(Status.STARTED)

    def extend(self, key: str, owner: str, lease_seconds: float) -> bool:
        return True

    def complete(self, key: str, owner: str, result: Any, ttl_seconds: float) -> bool:
        return True

    def release(self, key: str, owner: str) -> None:
        logging.info("%s %s", key, owner)


records: list[IdempotencyStore] = [RedisIdempotencyStore(object()), MemoryIdempotencyStore(), OwnRecords()]
once = Idempotency(OwnRecords(), key=lambda message: json_body(message)["order_id"], when_unavailable="wait")
Idempotency(OwnRecords(), when_unavailable="maybe")  # type: ignore[arg-type]

# Composition: each part is replaceable by somebody else's


class OwnBreaker:
    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)


class OwnRetry:
    def execute(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)


class OwnPoison:
    def is_poison_message(self, message_id: str) -> bool:
        return message_id == "poison"

    def record_failure(self, message_id: str) -> int:
        return len(message_id)

    def quarantine_poison_message(self, message: Mapping[str, Any], reason: str) -> bool:
        return bool(message and reason)


parts: tuple[BreakerLike, BreakerLike, RetryLike, RetryLike, RetryLike] = (
    breaker,
    OwnBreaker(),
    retry,
    policy,
    OwnRetry(),
)
detectors: list[PoisonLike] = [PoisonMessageDetector(object()), OwnPoison()]
degradation: DegradationLike = ServiceDegradationManager()


def handle(message: dict[str, Any]) -> None:
    charge(json_body(message)["order_id"])


async def handle_async(message: dict[str, Any]) -> None:
    await charge_async(json_body(message)["order_id"])


def listener(event: ConsumerEvent) -> None:
    assert_type(event.message_id, str | None)


listeners: list[ConsumerListener] = [listener]


def consumers(monitoring: ErrorMonitoring) -> None:
    consumer = ResilientConsumer(
        "https://sqs.test/orders",
        handle,
        dlq_url="https://sqs.test/orders-dlq",
        poison=OwnPoison(),
        poison_to="quarantine",
        idempotency=once,
        breaker=OwnBreaker(),
        retry=OwnRetry(),
        degradation=degradation,
        admission=lambda: Admission(wait=1.0, limit=5),
        options=ConsumerOptions(concurrency=4),
        listeners=[listener, monitoring.observe],
    )
    consumer.run(stop_on=(signal.SIGTERM,))
    ResilientConsumer("https://sqs.test/orders", handle_async, idempotency=OwnRecords()).stop()
    DeadLetterQueueHandler("https://sqs.test/orders", "https://sqs.test/orders-dlq").process_with_dlq(handle_async)
    ResilientConsumer("https://sqs.test/orders", charge)  # type: ignore[arg-type]
    ResilientConsumer("https://sqs.test/orders", handle, retry=OwnBreaker())  # type: ignore[arg-type]
    ResilientConsumer("https://sqs.test/orders", handle, poison_to="bin")  # type: ignore[arg-type]


def keep(unsent: Unsent) -> None:
    assert_type(unsent.message, Message)
    assert_type(unsent.error, BaseException)


def producers() -> None:
    producer = ResilientProducer("https://sqs.test/orders", retry=retry, breaker=breaker, outbox=keep)
    assert_type(producer.send("{}", group_id="g"), str | None)
    result = producer.send_batch([Message("{}", delay_seconds=3), "{}"])
    assert_type(result, BatchResult)
    assert_type(result.sent, Mapping[int, str])
    producer.send(b"{}")  # type: ignore[arg-type]
    ResilientProducer("https://sqs.test/orders", outbox=listener)  # type: ignore[arg-type]


def awaited(handler: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    ResilientConsumer("https://sqs.test/orders", handler)
    raise PermanentError(handler)
