"""Errors of which nothing is known: each component has its own answer, which can be set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.resilience import (
    Classification,
    ConsumerOptions,
    DeadLetterQueueHandler,
    ExponentialBackoffRetry,
    ResilientConsumer,
    ResilientProducer,
    classify,
    register_permanent,
)
from harness.resilience.producer import Unsent
from tests.unit.resilience.clocks import Flaky, fail
from tests.unit.resilience.sqs_fake import Clock, FakeSqs

MAIN = "https://sqs.example/1/orders"
DLQ = "https://sqs.example/1/orders-dlq"


class Strange(Exception):
    """Of no library, and registered by nobody."""


def strict(error: BaseException) -> Classification:
    """What is not known to pass is taken for permanent."""
    known = classify(error)
    return Classification.PERMANENT if known is Classification.UNKNOWN else known


def with_dlq(sqs: FakeSqs, handler: Callable[[dict[str, Any]], object], **options: Any) -> None:
    own = DeadLetterQueueHandler(
        MAIN, DLQ, sqs=sqs, clock=sqs.clock, sleep=sqs.clock.sleep, options=ConsumerOptions(heartbeat=False), **options
    )
    sqs.on_idle = own.stop
    own.process_with_dlq(handler)


def with_consumer(sqs: FakeSqs, handler: Callable[[dict[str, Any]], object], **options: Any) -> None:
    own = ResilientConsumer(
        MAIN,
        handler,
        sqs=sqs,
        dlq_url=DLQ,
        clock=sqs.clock,
        sleep=sqs.clock.sleep,
        options=ConsumerOptions(heartbeat=False),
        **options,
    )
    sqs.on_idle = own.stop
    own.run()


def test_a_retry_raises_them_at_once_unless_told() -> None:
    """They may be bugs, which no second try mends; ``retry_unknown`` and ``classify`` say otherwise."""
    for options, calls in (({}, 1), ({"retry_unknown": True}, 4), ({"classify": lambda error: "transient"}, 4)):
        flaky = Flaky(*[Strange() for _ in range(9)])
        with pytest.raises(Strange):
            ExponentialBackoffRetry(sleep=lambda seconds: None, **options).execute(flaky)
        assert flaky.calls == calls


@pytest.mark.parametrize("run", [with_dlq, with_consumer])
def test_a_consumer_lets_the_message_come_back_unless_told(run: Callable[..., None]) -> None:
    """It has all its receives; with a stricter classifier it is dead-lettered at the first."""
    for options, receives in (({}, 3), ({"classifier": strict}, 1)):
        sqs = FakeSqs(Clock())
        seen: list[str] = []
        sqs.put(MAIN, "b")

        def handle(message: dict[str, Any], seen: list[str] = seen) -> None:
            seen.append(message["Body"])
            raise Strange

        run(sqs, handle, **options)
        assert len(seen) == receives
        assert len(sqs.bodies(DLQ)) == 1


def test_a_producer_keeps_the_message_unless_told() -> None:
    """The outbox gets it; with a stricter classifier the caller is told that it would fail again."""
    kept: list[Unsent] = []
    sqs = FakeSqs(Clock())
    sqs.errors["send_message"] = [Strange(), Strange()]
    assert ResilientProducer(MAIN, sqs=sqs, outbox=kept.append).send("b0") is None
    with pytest.raises(Strange):
        ResilientProducer(MAIN, sqs=sqs, outbox=kept.append, classifier=strict).send("b1")
    assert [unsent.message.body for unsent in kept] == ["b0"]


def test_a_registered_rule_holds_in_every_component() -> None:
    """One word to ``register_permanent``, and nothing is tried twice."""
    remove = register_permanent(Strange)
    try:
        flaky = Flaky(Strange())
        with pytest.raises(Strange):
            ExponentialBackoffRetry(retry_unknown=True).execute(flaky)
        for run in (with_dlq, with_consumer):
            sqs = FakeSqs(Clock())
            sqs.put(MAIN, "b")
            run(sqs, lambda message: fail(Strange()))
            assert sqs.count("receive_message") <= 2
            assert len(sqs.bodies(DLQ)) == 1
    finally:
        remove()
