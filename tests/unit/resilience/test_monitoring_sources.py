"""What monitoring reads off the events of retries and breakers, beside the errors that they met."""

from __future__ import annotations

import random
from typing import Any

import pytest

from harness.resilience import (
    CircuitBreaker,
    CircuitBreakerOpenException,
    Constant,
    ErrorMonitoring,
    PermanentError,
    Retry,
    RetryQuota,
    ThrottlingError,
)
from harness.resilience.breaker_store import Question, View
from tests.unit.resilience.clocks import fail
from tests.unit.resilience.cloudwatch_fake import CloudWatchFake


@pytest.fixture
def cloudwatch() -> CloudWatchFake:
    return CloudWatchFake()


def monitoring(cloudwatch: CloudWatchFake) -> ErrorMonitoring:
    """One that publishes inline, on the fake's clocks."""
    clocks: dict[str, Any] = {"wall_clock": cloudwatch.now, "clock": cloudwatch.monotonic}
    return ErrorMonitoring(cloudwatch=cloudwatch, random=random.Random(1), background=False, **clocks)


@pytest.mark.parametrize(
    ("options", "error", "event"),
    [
        ({"max_retries": 1}, ConnectionError(), "RetriesExhausted"),
        ({"deadline": 0.5}, ConnectionError(), "RetryDeadlinePassed"),
        ({"budget": RetryQuota(1)}, ConnectionError(), "RetryBudgetSpent"),
        ({}, ThrottlingError(retry_after=3600), "RetryHintTooLong"),
        ({}, PermanentError(), None),
    ],
)
def test_what_retries_report(
    cloudwatch: CloudWatchFake, options: dict[str, Any], error: Exception, event: str | None
) -> None:
    """Which limit ended a call is an event beside its errors: a spent budget shows an outage, a bug does not."""
    made = monitoring(cloudwatch)
    retry = Retry(Constant(1), name="payments", listeners=[made.observe], sleep=lambda seconds: None, **options)
    with pytest.raises(type(error)):
        retry.execute(fail, error)
    made.flush()
    assert cloudwatch.errors(ServiceName="payments", ErrorType=type(error).__name__) >= 1
    for known in ("RetriesExhausted", "RetryDeadlinePassed", "RetryBudgetSpent", "RetryHintTooLong"):
        assert cloudwatch.sum("EventCount", ServiceName="payments", Event=known) == (known == event)


def test_what_breakers_report(cloudwatch: CloudWatchFake) -> None:
    """Opening, the calls that it refuses, closing, and that its shared state is out of reach."""

    class Down:
        name = "redis"

        def ask(self, breaker: str, question: Question) -> View:
            raise ConnectionError

    made = monitoring(cloudwatch)
    breaker = CircuitBreaker(1, 0.01, name="payments", listeners=[made.observe], store=Down())
    with pytest.raises(OSError, match="down"):
        breaker.call(fail, OSError("down"))
    breaker.recovery_timeout = 60
    for _ in range(3):
        with pytest.raises(CircuitBreakerOpenException):
            breaker.call(int)
    breaker.force_close()
    made.flush()
    for what, count in (
        ("CircuitBreakerAlone", 1),
        ("CircuitBreakerOpened", 1),
        ("CircuitBreakerRejected", 3),
        ("CircuitBreakerClosed", 1),
    ):
        assert cloudwatch.sum("EventCount", ServiceName="payments", Event=what) == count
    assert cloudwatch.errors() == 1
