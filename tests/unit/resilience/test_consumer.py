"""The composed consumer against a small SQS, with real breakers, retries, Redis clients and stores."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest

from harness.resilience.backoff import Exponential
from harness.resilience.breaker import CircuitBreaker
from harness.resilience.budget import RetryQuota
from harness.resilience.consumer import Admission, ConsumerEvent, ConsumerOptions, ResilientConsumer, json_body
from harness.resilience.envelope import read_envelope
from harness.resilience.errors import InvalidMessageFormatError, PermanentError, ServiceUnavailableError
from harness.resilience.idempotency import (
    Claim,
    Idempotency,
    MemoryIdempotencyStore,
    RedisIdempotencyStore,
    Status,
)
from harness.resilience.poison import PoisonMessageDetector
from harness.resilience.retry import CallFinished, ExponentialBackoffRetry, Retry
from tests.unit.resilience.sqs_fake import Clock, FakeSqs, aws_error

MAIN = "https://sqs.example/1/orders"
DLQ = "https://sqs.example/1/orders-dlq"
FIFO = "https://sqs.example/1/orders.fifo"


class Setup:
    def __init__(self, handler: Callable[[dict[str, Any]], Any] | None = None, *, url: str = MAIN, **keywords: Any):
        self.clock = keywords.pop("clock", None) or Clock()
        self.sqs = keywords.pop("sqs", None) or FakeSqs(self.clock)
        self.url = url
        self.events: list[ConsumerEvent] = []
        self.handled: list[str] = []
        keywords.setdefault("dlq_url", DLQ)
        keywords.setdefault("options", ConsumerOptions(heartbeat=False))
        self.inner = handler
        self.consumer = ResilientConsumer(
            url,
            self.handle,
            sqs=self.sqs,
            listeners=[self.events.append],
            clock=self.clock,
            wall_clock=lambda: self.clock() + 1_900_000_000,
            sleep=self.clock.sleep,
            random=random.Random(1),
            **keywords,
        )
        self.clock.on_advance.append(self.consumer._loop.heartbeat.beat)
        self.sqs.on_idle = self.consumer.stop

    def handle(self, message: dict[str, Any]) -> Any:
        self.handled.append(message["Body"])
        return self.inner(message) if self.inner is not None else None

    def put(self, *bodies: str) -> None:
        for body in bodies:
            self.sqs.put(self.url, body)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def dead(self) -> list[Any]:
        return [read_envelope(message) for message in self.sqs.messages(DLQ)]


def always(error: Exception) -> Callable[[dict[str, Any]], None]:
    def handle(message: dict[str, Any]) -> None:
        raise error

    return handle


HOLDING = ConsumerOptions(hold_seconds=3_600)


def test_handles_and_deletes() -> None:
    """Messages are handled once each and deleted."""
    s = Setup()
    s.put(*(f"b{n}" for n in range(25)))
    s.consumer.run()
    assert s.handled == [f"b{n}" for n in range(25)]
    assert not s.sqs.queues[MAIN]


def test_last_failure_dead_letters_with_its_stack() -> None:
    """A message that fails at its third receive is dead-lettered then, with class, stack and count of that failure."""
    s = Setup(always(RuntimeError("no")))
    s.put("bad")
    s.consumer.run()
    assert s.handled == ["bad"] * 3
    (envelope,) = s.dead()
    assert envelope.receive_count == 3
    assert envelope.error_class == "RuntimeError"
    assert "in handle" in envelope.stack
    assert not s.sqs.queues[MAIN]


def test_permanent_error_dead_letters_at_once() -> None:
    """A permanent error needs one receive and one attempt, also through a retry policy."""
    s = Setup(always(PermanentError("never")), retry=ExponentialBackoffRetry(sleep=lambda seconds: None))
    s.put("bad")
    s.consumer.run()
    assert s.handled == ["bad"]
    assert [envelope.reason for envelope in s.dead()] == ["never"]


def test_retry_stands_inside() -> None:
    """A transient error is retried within one receive."""
    failures = iter([ServiceUnavailableError("1"), ServiceUnavailableError("2")])

    def flaky(message: dict[str, Any]) -> None:
        error = next(failures, None)
        if error is not None:
            raise error

    s = Setup(flaky, retry=ExponentialBackoffRetry(sleep=lambda seconds: None))
    s.put("b")
    s.consumer.run()
    assert s.handled == ["b"] * 3
    assert s.sqs.count("delete_message") == 1
    assert s.sqs.queues[MAIN] == []
    assert s.sqs.queues[DLQ] == []


def test_message_without_outcome_is_contained() -> None:
    """A message that kills its consumer each time is dead-lettered after three times max_receives."""

    class Killed(BaseException):
        pass

    clock = Clock()
    sqs = FakeSqs(clock)
    sqs.put(MAIN, "killer")
    for _ in range(9):

        def die(message: dict[str, Any]) -> None:
            raise Killed

        s = Setup(die, clock=clock, sqs=sqs)
        with pytest.raises(Killed):
            s.consumer.run()
        clock.advance(31)
    s = Setup(clock=clock, sqs=sqs)
    s.consumer.run()
    assert s.handled == []
    assert [envelope.body for envelope in s.dead()] == ["killer"]


def outage(clock: Clock, end: float) -> Callable[[dict[str, Any]], None]:
    def handle(message: dict[str, Any]) -> None:
        clock.advance(0.1)
        if clock() < end:
            raise ServiceUnavailableError("down")

    return handle


def test_long_outage_behind_a_breaker_dead_letters_nothing() -> None:
    """In a ten-minute outage no receives are used up: nothing is dead-lettered and everything handled after it."""
    clock = Clock()
    breaker = CircuitBreaker(failure_threshold=3, recovery_timeout=20, clock=clock)
    s = Setup(outage(clock, clock() + 600), clock=clock, breaker=breaker, options=HOLDING)
    s.put(*(f"b{n}" for n in range(30)))
    s.consumer.run()
    assert s.dead() == []
    assert s.sqs.queues[MAIN] == []
    assert set(s.handled) == {f"b{n}" for n in range(30)}
    assert len(s.handled) < 30 + 40  # some probes, no storm


def test_without_holding_an_outage_uses_up_receives() -> None:
    """The usual composition, which takes a refusal for a failure, dead-letters good messages in the same outage."""
    clock = Clock()
    sqs = FakeSqs(clock)
    for n in range(30):
        sqs.put(MAIN, f"b{n}")
    breaker = CircuitBreaker(failure_threshold=3, recovery_timeout=20, clock=clock)
    handle = outage(clock, clock() + 600)
    dead: list[str] = []
    while sqs.queues[MAIN]:
        answer = sqs.receive_message(
            QueueUrl=MAIN, MaxNumberOfMessages=10, WaitTimeSeconds=20, MessageSystemAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            try:
                breaker.call(handle, message)
            except Exception:
                if int(message["Attributes"]["ApproximateReceiveCount"]) < 3:
                    continue
                dead.append(message["Body"])
            sqs.delete_message(QueueUrl=MAIN, ReceiptHandle=message["ReceiptHandle"])
    assert len(dead) == 30


def test_open_breaker_stops_polling() -> None:
    """While the breaker is open nothing is received, and the first receive after it takes one message."""
    clock = Clock()
    breaker = CircuitBreaker(recovery_timeout=60, clock=clock)
    breaker.force_open()
    s = Setup(clock=clock, breaker=breaker)
    s.put("b0", "b1")
    began = clock()
    times: list[float] = []
    receive = s.sqs.receive_message

    def noticed(**request: Any) -> dict[str, Any]:
        times.append(clock() - began)
        return receive(**request)

    s.sqs.receive_message = noticed  # type: ignore[method-assign]
    s.consumer.run()
    assert times[0] >= 60
    requests = [request for name, request in s.sqs.calls if name == "receive_message"]
    assert requests[0]["MaxNumberOfMessages"] == 1
    assert requests[1]["MaxNumberOfMessages"] == 10
    assert s.handled == ["b0", "b1"]


def test_stop_ends_a_pause_behind_an_open_breaker() -> None:
    """A consumer that waits for its breaker stops within a second or so, and gives back what it held."""
    clock = Clock()
    breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=1_000, clock=clock)
    s = Setup(outage(clock, float("inf")), clock=clock, breaker=breaker, options=HOLDING)
    s.put("b0", "b1")
    end = clock() + 50
    clock.on_advance.append(lambda: s.consumer.stop() if clock() > end else None)
    s.consumer.run()
    assert clock() < end + 3
    assert s.sqs.bodies(MAIN) == ["b0", "b1"]
    assert all(stored.visible_at <= clock() for stored in s.sqs.queues[MAIN])
    assert all(stored.receives == 1 for stored in s.sqs.queues[MAIN])


def waiting(form: str, error: Exception, retry: Retry) -> tuple[Callable[[dict[str, Any]], Any], Retry | None]:
    """A handler that fails with *error*, and retries in one of the ways in which that is done."""
    fail = always(error)
    if form == "iterator":

        def handle(message: dict[str, Any]) -> None:
            for attempt in retry.attempts():
                with attempt:
                    fail(message)

        return handle, None
    return (fail, retry) if form == "consumer" else (retry(fail), None)


@pytest.mark.parametrize("form", ["consumer", "decorator", "iterator"])
@pytest.mark.parametrize("budgeted", [False, True])
def test_stop_ends_the_wait_of_a_retry(form: str, budgeted: bool) -> None:
    """A minute that a retry waits ends with stop(): the message is given back, not blamed, its claim released."""
    clock = Clock()
    told: list[Any] = []
    budget = RetryQuota() if budgeted else None
    store = MemoryIdempotencyStore(clock=clock)
    once = Idempotency(store, key=lambda message: str(message["Body"]))
    policy = Retry(Exponential(60, jitter="none"), max_retries=5, budget=budget, listeners=[told.append])
    handler, retry = waiting(form, ConnectionError("down"), policy)
    s = Setup(handler, clock=clock, retry=retry, options=HOLDING, max_receives=1, idempotency=once)
    s.put("b0", "b1")
    end = clock() + 10
    clock.on_advance.append(lambda: s.consumer.stop() if clock() > end else None)
    s.consumer.run()
    assert clock() < end + 2
    assert s.handled == ["b0"]
    assert s.sqs.bodies(MAIN) == ["b0", "b1"]
    assert all(stored.visible_at <= clock() for stored in s.sqs.queues[MAIN])
    assert s.dead() == []
    assert store.begin(once.key_of({"Body": "b0"}, MAIN), "me", 30).status is Status.STARTED
    last = told[-1]
    assert isinstance(last, CallFinished)
    assert (last.reason, last.attempts, str(last.error)) == ("stopped", 1, "down")
    if budget is not None:
        assert budget.available == RetryQuota().available  # the retry that was paid for is not made
    failed = [event for event in s.events if event.kind == "handler-failed"]
    assert [(str(event.error), event.detail) for event in failed] == [("down", "stop() ended its retries")]


def test_an_attempt_that_fails_after_stop_is_the_last() -> None:
    """stop() during an attempt lets it end; no other one follows, though the policy allows five."""
    clock = Clock()
    s = Setup(clock=clock, retry=Retry(Exponential(60, jitter="none"), max_retries=5), options=HOLDING)

    def fail(message: dict[str, Any]) -> None:
        s.consumer.stop()
        raise ConnectionError("down")

    s.inner = fail
    s.put("b0")
    began = clock()
    s.consumer.run()
    assert s.handled == ["b0"]
    assert s.sqs.bodies(MAIN) == ["b0"]
    assert clock() < began + 2


def test_a_retry_with_a_sleep_of_its_own_is_waited_for() -> None:
    """Who hands a policy its sleep has decided how it waits: stop() comes when the retries are used up."""
    clock = Clock()
    retry = Retry(Exponential(60, jitter="none"), max_retries=1, clock=clock, sleep=clock.sleep)
    s = Setup(always(ConnectionError("down")), clock=clock, retry=retry, options=HOLDING)
    s.put("b0")
    end = clock() + 10
    clock.on_advance.append(lambda: s.consumer.stop() if clock() > end else None)
    s.consumer.run()
    assert s.handled == ["b0", "b0"]
    assert clock() >= end + 50


def test_breaker_inside_the_handler_is_understood() -> None:
    """A refusal by a breaker that the handler uses itself is not the message's fault either."""
    clock = Clock()
    breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=30, clock=clock)
    breaker.force_open()
    s = Setup(lambda message: breaker.call(lambda: None), clock=clock, options=HOLDING, max_receives=1)
    s.put("b")
    s.consumer.run()
    assert s.dead() == []
    assert s.sqs.queues[MAIN] == []
    assert "held" in s.kinds()


def test_foreign_breaker_is_understood() -> None:
    """A breaker of another library that says neither its state nor for how long holds messages for breaker_pause."""

    class CircuitBreakerError(Exception):
        pass

    class Foreign:
        refusals = 3

        def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise CircuitBreakerError("open")
            return func(*args, **kwargs)

    s = Setup(breaker=Foreign(), options=HOLDING, max_receives=1)
    s.put("b")
    s.consumer.run()
    assert s.handled == ["b"]
    assert s.dead() == []
    assert [event.seconds for event in s.events if event.kind == "held"] == [5.0, 5.0, 5.0]


def test_refusal_that_cannot_be_held_is_given_back_blameless() -> None:
    """Without a heartbeat a message is given back when the breaker refuses, and not blamed for the receive."""
    clock = Clock()
    breaker = CircuitBreaker(failure_threshold=1, recovery_timeout=100, clock=clock)
    s = Setup(lambda message: breaker.call(lambda: None), clock=clock, max_receives=1, receive_limit=1)
    breaker.force_open()
    s.put("b")
    s.consumer.run()
    assert s.handled == ["b", "b"]
    assert s.dead() == []
    assert s.sqs.queues[MAIN] == []


def once(store: Any, **keywords: Any) -> Idempotency:
    return Idempotency(store, key=lambda message: json_body(message)["id"], **keywords)


@pytest.mark.parametrize("decode", [False, True])
def test_lost_delete_answer_has_one_effect(decode: bool) -> None:
    """The answer of every delete is lost and another process gets the message again: the effect happens once."""
    clock = Clock()
    sqs = FakeSqs(clock)
    store = RedisIdempotencyStore(fakeredis.FakeRedis(decode_responses=decode))
    sqs.put(MAIN, '{"id": 7}')
    sqs.errors["delete_message"] = [ConnectionError("lost")] * 3
    first = Setup(clock=clock, sqs=sqs, idempotency=once(store))
    sqs.on_idle = lambda: None
    first.clock.on_advance.append(lambda: first.consumer.stop() if first.handled else None)
    first.consumer.run()
    second = Setup(clock=clock, sqs=sqs, idempotency=once(store))
    second.consumer.run()
    assert len(first.handled) == 1
    assert second.handled == []
    assert "already-handled" in second.kinds()
    assert sqs.queues[MAIN] == []


def test_same_key_sent_twice_has_one_effect() -> None:
    """Two messages with one key, from a producer's repeated send, have one effect; both are deleted."""
    s = Setup(idempotency=once(MemoryIdempotencyStore()))
    s.put('{"id": 7}', '{"id": 7}', '{"id": 8}')
    s.consumer.run()
    assert s.handled == ['{"id": 7}', '{"id": 8}']
    assert s.sqs.queues[MAIN] == []


def test_claim_of_another_is_waited_for_without_blame() -> None:
    """A message whose key is in progress elsewhere comes back when that lease ends, and is not blamed."""
    clock = Clock()
    store = MemoryIdempotencyStore(clock=clock)
    store.begin("orders:7", "somebody", 100)
    s = Setup(clock=clock, idempotency=once(store), max_receives=1, receive_limit=1)
    s.put('{"id": 7}')
    s.consumer.run()
    assert s.handled == ['{"id": 7}']
    assert clock() >= 1_100
    assert s.dead() == []


def test_duplicates_of_a_message_in_progress_are_not_dead_lettered() -> None:
    """SQS delivers a message over and over while another consumer handles it: it is not dead-lettered for that."""
    clock = Clock()
    sqs = FakeSqs(clock)
    store = MemoryIdempotencyStore(clock=clock)
    store.begin("orders:7", "somebody", 10)
    sqs.put(MAIN, '{"id": 7}')
    sqs.queues[MAIN][0].receives = 50
    s = Setup(clock=clock, sqs=sqs, idempotency=once(store), max_receives=3)
    clock.on_advance.append(lambda: s.consumer.stop() if clock() > 1_005 else None)
    s.consumer.run()
    assert sqs.bodies(DLQ) == []
    store.complete("orders:7", "somebody", None, 1_000)
    clock.on_advance.clear()
    clock.advance(30)
    s.consumer.run()
    assert sqs.bodies(DLQ) == []
    assert sqs.bodies(MAIN) == []


def test_failure_frees_the_claim() -> None:
    """A handler that failed leaves its key free for the next try."""
    clock = Clock()
    store = MemoryIdempotencyStore(clock=clock)
    s = Setup(always(RuntimeError("no")), clock=clock, idempotency=once(store), retry_delay=lambda receives: 1)
    s.put('{"id": 7}')
    s.consumer.run()
    assert s.handled == ['{"id": 7}'] * 3
    assert "in-progress-elsewhere" not in s.kinds()


class Unreachable(MemoryIdempotencyStore):
    """A store that cannot be reached until a time."""

    def __init__(self, clock: Clock, until: float, operations: tuple[str, ...] = ("begin",)) -> None:
        super().__init__(clock=clock)
        self.now = clock
        self.until = until
        self.operations = operations

    def begin(self, key: str, owner: str, lease_seconds: float) -> Claim:
        if "begin" in self.operations and self.now() < self.until:
            raise ConnectionError("store down")
        return super().begin(key, owner, lease_seconds)

    def complete(self, key: str, owner: str, result: Any, ttl_seconds: float) -> bool:
        if "complete" in self.operations and self.now() < self.until:
            raise ConnectionError("store down")
        return super().complete(key, owner, result, ttl_seconds)


def test_store_down_holds_messages() -> None:
    """While the store cannot be reached messages are held, not handled and not blamed; then each is handled once."""
    clock = Clock()
    store = Unreachable(clock, clock() + 300)
    s = Setup(clock=clock, idempotency=once(store), options=HOLDING, max_receives=1)
    s.put('{"id": 1}', '{"id": 2}')
    s.consumer.run()
    assert s.handled == ['{"id": 1}', '{"id": 2}']
    assert clock() >= 1_300
    assert all(event.receive_count == 1 for event in s.events if event.kind == "handled")
    assert s.dead() == []


def test_store_down_may_be_ignored() -> None:
    """With when_unavailable="process" messages are handled without the store."""
    clock = Clock()
    store = Unreachable(clock, float("inf"))
    s = Setup(clock=clock, idempotency=once(store, when_unavailable="process"))
    s.put('{"id": 1}')
    s.consumer.run()
    assert s.handled == ['{"id": 1}']
    assert "store-unavailable" in s.kinds()


def test_unrecorded_effect_is_said_and_message_deleted() -> None:
    """If completion cannot be recorded the message is deleted all the same, and it is said."""
    clock = Clock()
    store = Unreachable(clock, float("inf"), ("complete",))
    s = Setup(clock=clock, idempotency=once(store))
    s.put('{"id": 1}')
    s.consumer.run()
    assert s.handled == ['{"id": 1}']
    assert s.kinds().count("store-unavailable") == 3
    assert s.sqs.queues[MAIN] == []


def test_lost_lease_is_said() -> None:
    """A handler that outlived its lease while another one took the key over is reported as possibly duplicated."""
    clock = Clock()
    store = MemoryIdempotencyStore(clock=clock)

    def slow(message: dict[str, Any]) -> None:
        clock.advance(100)
        assert store.begin("orders:7", "another", 1_000).status is Status.STARTED

    s = Setup(slow, clock=clock, idempotency=once(store))
    s.put('{"id": 7}')
    s.consumer.run()
    assert "possibly-duplicated" in s.kinds()


def test_heartbeat_extends_the_lease() -> None:
    """While the heartbeat keeps the message, it keeps the claim too."""
    clock = Clock()
    store = MemoryIdempotencyStore(clock=clock)
    statuses: list[Status] = []

    def slow(message: dict[str, Any]) -> None:
        clock.advance(200)
        statuses.append(store.begin("orders:7", "another", 1_000).status)

    s = Setup(slow, clock=clock, idempotency=once(store), options=ConsumerOptions())
    s.put('{"id": 7}')
    s.consumer.run()
    assert statuses == [Status.IN_PROGRESS]
    assert "possibly-duplicated" not in s.kinds()


def test_malformed_body_is_dead_lettered_before_any_handler() -> None:
    """A body without the key is a permanent error of decoding: dead-lettered at once, the handler is not called."""
    s = Setup(idempotency=once(MemoryIdempotencyStore()))
    s.put("{", "[1]", '{"id": 1}', '{"other": 1}')
    s.consumer.run()
    assert s.handled == ['{"id": 1}']
    assert [envelope.body for envelope in s.dead()][:2] == ["{", "[1]"]
    assert s.sqs.queues[MAIN] == []


def detector(clock: Clock, **keywords: Any) -> PoisonMessageDetector:
    return PoisonMessageDetector(fakeredis.FakeRedis(), clock=clock, monotonic=clock, **keywords)


def test_poison_goes_to_the_dead_letter_queue_by_default() -> None:
    """A poison message is dead-lettered without another try, however many receives are left."""
    clock = Clock()
    poison = detector(clock, poison_threshold=2)
    s = Setup(always(RuntimeError("no")), clock=clock, poison=poison, max_receives=100)
    s.put("bad")
    s.consumer.run()
    assert s.handled == ["bad"] * 2
    (envelope,) = s.dead()
    assert envelope.reason == "Poison message; last error: RuntimeError: no"
    assert poison.quarantined() == []


def test_poison_goes_to_quarantine_if_asked() -> None:
    """With poison_to="quarantine" it is put there, with its queue, and deleted."""
    clock = Clock()
    poison = detector(clock, poison_threshold=2)
    s = Setup(always(RuntimeError("no")), clock=clock, poison=poison, max_receives=100, poison_to="quarantine")
    s.put("bad")
    s.consumer.run()
    (entry,) = poison.quarantined()
    assert (entry.body, entry.queue_url) == ("bad", MAIN)
    assert s.sqs.queues[MAIN] == []
    assert s.dead() == []


def test_full_quarantine_falls_back_to_the_dead_letter_queue() -> None:
    """A poison message that the quarantine refuses is dead-lettered, never deleted."""
    clock = Clock()
    poison = detector(clock, poison_threshold=1, quarantine_limit=1)
    poison.quarantine_poison_message({"MessageId": "x", "Body": "x"}, "full")
    s = Setup(always(RuntimeError("no")), clock=clock, poison=poison, poison_to="quarantine")
    s.put("bad")
    s.consumer.run()
    assert [envelope.body for envelope in s.dead()] == ["bad"]


def test_without_any_place_to_go_the_message_stays() -> None:
    """With neither dead-letter queue nor quarantine nothing is ever deleted unhandled."""
    clock = Clock()
    s = Setup(always(PermanentError("no")), clock=clock, dlq_url=None)
    s.put("bad")
    clock.on_advance.append(lambda: s.consumer.stop() if clock() > 1_500 else None)
    s.consumer.run()
    assert s.sqs.bodies(MAIN) == ["bad"]
    assert "dead-letter-failed" in s.kinds()


def test_redis_down_does_not_stop_poison_detection_or_the_consumer() -> None:
    """With Redis down from the start messages are handled, and a poison one is still contained."""
    server = fakeredis.FakeServer()
    server.connected = False
    clock = Clock()
    poison = PoisonMessageDetector(fakeredis.FakeRedis(server=server), monotonic=clock, poison_threshold=2)

    def handle(message: dict[str, Any]) -> None:
        if message["Body"] == "bad":
            raise RuntimeError("no")

    s = Setup(handle, clock=clock, poison=poison, max_receives=100)
    s.put("bad", "good")
    s.consumer.run()
    assert s.handled.count("good") == 1
    assert s.handled.count("bad") == 2
    assert [envelope.body for envelope in s.dead()] == ["bad"]


def test_dead_letter_crash_is_not_repeated_with_a_store() -> None:
    """A crash between dead letter and delete makes no second dead letter where there is a store."""

    class Crash(BaseException):
        pass

    clock = Clock()
    sqs = FakeSqs(clock)
    store = MemoryIdempotencyStore(clock=clock)
    sqs.put(MAIN, '{"id": 1}')
    sqs.errors["delete_message"] = [Crash()]
    first = Setup(always(PermanentError("no")), clock=clock, sqs=sqs, idempotency=once(store))
    with pytest.raises(Crash):
        first.consumer.run()
    second = Setup(always(PermanentError("no")), clock=clock, sqs=sqs, idempotency=once(store))
    second.consumer.run()
    assert len(second.dead()) == 1
    assert sqs.queues[MAIN] == []


def test_dead_lettered_message_is_not_handled_when_it_comes_again() -> None:
    """A crash between dead letter and delete: the next process does not handle it, though it would succeed now."""

    class Crash(BaseException):
        pass

    clock = Clock()
    sqs = FakeSqs(clock)
    store = MemoryIdempotencyStore(clock=clock)
    sqs.put(MAIN, '{"id": 1}')
    sqs.errors["delete_message"] = [Crash()]
    first = Setup(always(PermanentError("no")), clock=clock, sqs=sqs, idempotency=once(store))
    with pytest.raises(Crash):
        first.consumer.run()
    second = Setup(clock=clock, sqs=sqs, idempotency=once(store))
    second.consumer.run()
    assert second.handled == []
    assert len(second.dead()) == 1
    assert sqs.queues[MAIN] == []


def test_replayed_message_is_handled_again() -> None:
    """A dead-lettered message that is replayed (another id, same key) is handled, not taken for done."""
    store = MemoryIdempotencyStore()
    broken = [True]

    def handle(message: dict[str, Any]) -> None:
        if broken:
            raise PermanentError("bug")

    s = Setup(handle, idempotency=once(store))
    s.put('{"id": 1}')
    s.consumer.run()
    assert len(s.dead()) == 1
    broken.clear()
    s.put(s.dead()[0].body)
    s.consumer.run()
    assert s.handled == ['{"id": 1}'] * 2


def test_receives_given_back_are_not_blamed() -> None:
    """A message that was given back unbegun several times by this consumer still has all its tries."""
    s = Setup(max_receives=2, receive_limit=2)
    s.put("b0", "b1")

    def stop(message: dict[str, Any]) -> None:
        s.consumer.stop()
        raise RuntimeError("later")

    s.inner = stop
    s.consumer.run()  # b0 fails, b1 is given back
    s.consumer.run()  # b1 fails, b0 is hidden
    assert s.sqs.queues[MAIN][1].receives == 2
    s.clock.advance(31)
    s.inner = None
    s.consumer.run()
    assert s.handled == ["b0", "b1", "b0", "b1"]
    assert s.dead() == []


def test_old_handle_never_touches_anothers_delivery() -> None:
    """A failure that took longer than the visibility timeout changes no visibility: it would be another's."""
    s = Setup(retry_delay=lambda receives: 1)
    s.put("b")
    slow = [True]

    def handle(message: dict[str, Any]) -> None:
        if slow:
            slow.clear()
            s.clock.advance(40)
            raise RuntimeError("too late")

    s.inner = handle
    s.consumer.run()
    assert s.sqs.count("change_message_visibility") == 0


def test_async_handler_is_run() -> None:
    """A coroutine function is a handler too."""
    seen: list[str] = []

    async def handle(message: dict[str, Any]) -> None:
        seen.append(message["Body"])

    clock = Clock()
    sqs = FakeSqs(clock)
    sqs.put(MAIN, "b")
    consumer = ResilientConsumer(
        MAIN, handle, sqs=sqs, clock=clock, sleep=clock.sleep, options=ConsumerOptions(heartbeat=False)
    )
    sqs.on_idle = consumer.stop
    consumer.run()
    assert seen == ["b"]
    assert sqs.queues[MAIN] == []


@pytest.mark.parametrize(("ttl", "said"), [(3600, True), (15 * 86_400, False)])
def test_a_record_that_is_forgotten_before_the_message_is_said(ttl: float, said: bool) -> None:
    """A queue that keeps messages longer than their completion is remembered lets a late duplicate through."""
    s = Setup(idempotency=Idempotency(MemoryIdempotencyStore(), ttl_seconds=ttl))
    s.sqs.attributes[MAIN] = {"MessageRetentionPeriod": str(4 * 86_400)}
    s.consumer.run()
    details = [event.detail for event in s.events if event.kind == "misconfigured"]
    assert any("ttl_seconds" in detail for detail in details) is said


def test_signals_stop_it_and_are_given_back() -> None:
    """run(stop_on=...) stops on the signal and puts the former handler back."""
    before = signal.getsignal(signal.SIGTERM)
    s = Setup(lambda message: signal.raise_signal(signal.SIGTERM))
    s.put("b0", "b1")
    s.consumer.run(stop_on=(signal.SIGTERM,))
    assert s.handled == ["b0"]
    assert s.sqs.bodies(MAIN) == ["b1"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_admission_is_asked_before_each_receive() -> None:
    """A user's admission can hold back receives and make them smaller."""
    clock = Clock()
    began = clock()
    s = Setup(clock=clock, admission=lambda: Admission(wait=began + 10 - clock(), limit=3))
    s.put("b0", "b1", "b2", "b3")
    s.consumer.run()
    sizes = [request["MaxNumberOfMessages"] for name, request in s.sqs.calls if name == "receive_message"]
    assert set(sizes) == {3}
    assert len(s.handled) == 4


def test_results_are_kept_for_duplicates_if_json_can_hold_them() -> None:
    """A handler's result is stored with the completion; one that JSON cannot hold does no harm."""
    store = MemoryIdempotencyStore()
    results: list[Any] = [{"charge": 1}, object()]
    s = Setup(lambda message: results.pop(0), idempotency=once(store))
    s.put('{"id": 1}', '{"id": 2}')
    s.consumer.run()
    assert store.begin("orders:1", "x", 1).result == {"charge": 1}
    assert store.begin("orders:2", "x", 1).result is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"a": NaN}', "NaN"),
        ("[1]", "a JSON list, expected dict"),
        ("null", "expected dict"),
        ('{"a": 1}', "lacks order_id"),
    ],
)
def test_json_body_refuses_malformed_and_foreign_bodies(body: str, message: str) -> None:
    """What is no JSON object with the required fields is an InvalidMessageFormatError that says what is wrong."""
    with pytest.raises(InvalidMessageFormatError, match=message):
        json_body({"Body": body}, required=["order_id"])


def test_json_body_gives_the_value() -> None:
    """A good body is decoded; kind=None takes any JSON."""
    assert json_body({"Body": json.dumps({"order_id": 1})}) == {"order_id": 1}
    assert json_body({"Body": "[1]"}, kind=None) == [1]
    with pytest.raises(InvalidMessageFormatError):
        json_body({})


def test_impossible_settings_are_refused() -> None:
    """Settings that contradict each other are refused with their names."""
    with pytest.raises(ValueError, match="dlq_url"):
        ResilientConsumer(MAIN, print, poison_to="dead-letter")
    with pytest.raises(ValueError, match="max_receives"):
        ResilientConsumer(MAIN, print, max_receives=0)


def test_expired_credentials_are_waited_out() -> None:
    """Receives that are refused for an hour lose nothing: the consumer goes on when they work again."""
    s = Setup()
    s.put("b")
    s.sqs.errors["receive_message"] = [aws_error("ExpiredToken", status=403)] * 200
    s.consumer.run()
    assert s.handled == ["b"]
    assert max(event.seconds or 0 for event in s.events if event.kind == "receive-failed") <= 30


def test_retry_after_of_the_service_is_honoured() -> None:
    """A failed message comes back when the service that failed asked for it, not earlier by our own delay."""
    times: list[float] = []

    def handle(message: dict[str, Any]) -> None:
        times.append(s.clock())
        if len(times) == 1:
            raise ServiceUnavailableError("busy", retry_after=45)

    s = Setup(handle, retry_delay=lambda receives: 2)
    s.put("b")
    s.consumer.run()
    assert times[1] - times[0] == pytest.approx(45, abs=1)


def test_dead_letters_of_the_consumer_go_in_batches() -> None:
    """With acknowledgements in batches, dead letters are sent in batches before them."""
    options = ConsumerOptions(heartbeat=False, acknowledge_together=10)
    s = Setup(always(PermanentError("no")), options=options, idempotency=once(MemoryIdempotencyStore()))
    s.put(*(json.dumps({"id": n}) for n in range(10)))
    s.consumer.run()
    assert s.sqs.count("send_message_batch") == 1
    assert s.sqs.count("send_message") == 0
    assert len(s.dead()) == 10
    assert s.sqs.queues[MAIN] == []
