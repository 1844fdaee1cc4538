"""A consumer of somebody else's parts, by their protocols alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tenacity

from harness.resilience import Admission, ConsumerEvent, Idempotency
from harness.resilience.idempotency import Claim, Status
from tests.unit.resilience.test_consumer import MAIN, Setup


class TheirBreaker:
    """Counts calls and lets them all through."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return func(*args, **kwargs)


class TheirRetry:
    """tenacity in the one method that a consumer asks for."""

    def execute(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        stop, transient = tenacity.stop_after_attempt(3), tenacity.retry_if_exception_type(OSError)
        return tenacity.Retrying(stop=stop, retry=transient, reraise=True)(func, *args, **kwargs)


class TheirPoison:
    """Knows one poison message by name, and keeps what is quarantined in a list."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.kept: list[str] = []

    def is_poison_message(self, message_id: str) -> bool:
        return self.failures.count(message_id) >= 2

    def record_failure(self, message_id: str) -> None:
        self.failures.append(message_id)

    def quarantine_poison_message(self, message: Mapping[str, Any], reason: str) -> None:
        self.kept.append(message["Body"])


class TheirRecords:
    """Four methods over a dictionary."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def begin(self, key: str, owner: str, lease_seconds: float) -> Claim:
        if self.held.get(key) == "done":
            return Claim(Status.COMPLETED)
        self.held[key] = owner
        return Claim(Status.STARTED)

    def extend(self, key: str, owner: str, lease_seconds: float) -> bool:
        return self.held.get(key) == owner

    def complete(self, key: str, owner: str, result: Any, ttl_seconds: float) -> bool:
        self.held[key] = "done"
        return True

    def release(self, key: str, owner: str) -> None:
        self.held.pop(key, None)


class TheirDegradation:
    """Sheds one message once and counts what it hears."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.sheds = ["b1"]

    def start(self, sqs: Any, queue_url: str, *, breaker: object = None) -> None:
        self.said.append("start")

    def stop(self) -> None:
        self.said.append("stop")

    def admission(self) -> Admission:
        return Admission(limit=2)

    def shed(self, message: Mapping[str, Any], queue_url: str | None = None) -> float | None:
        if message["Body"] not in self.sheds:
            return None
        self.sheds.remove(message["Body"])
        return 5.0

    def listener(self, event: ConsumerEvent) -> None:
        self.said.append(event.kind)

    def measured(self, func: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        def call(message: dict[str, Any]) -> Any:
            self.said.append("call")
            return func(message)

        return call


def test_every_part_can_be_somebody_elses() -> None:
    """Retry, breaker, poison detector, records and degradation of others, by their protocols alone, in one consumer."""
    tries: list[str] = []

    def handle(message: dict[str, Any]) -> None:
        tries.append(message["Body"])
        if message["Body"] == "flaky" and tries.count("flaky") < 3:
            raise ConnectionError
        if message["Body"] == "bad":
            raise RuntimeError("always")

    breaker, poison, records, degradation = TheirBreaker(), TheirPoison(), TheirRecords(), TheirDegradation()
    s = Setup(
        handle,
        retry=TheirRetry(),
        breaker=breaker,
        poison=poison,
        poison_to="quarantine",
        idempotency=Idempotency(records, key=lambda message: message["Body"]),
        degradation=degradation,
        max_receives=9,
    )
    s.put("b0", "b1", "b0", "flaky", "bad")
    s.consumer.run()
    assert sorted(tries) == ["b0", "b1", "bad", "bad", "flaky", "flaky", "flaky"]
    assert breaker.calls == degradation.said.count("call") == 5
    assert poison.kept == ["bad"]
    assert (degradation.said[0], degradation.said[-1]) == ("start", "stop")
    assert {"shed", "already-handled", "poison"} <= set(degradation.said)
    assert not s.sqs.queues[MAIN]
    assert not s.dead()
