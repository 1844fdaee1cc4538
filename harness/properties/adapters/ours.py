"""Contracts of :mod:`harness.resilience`: ``retry`` and ``breaker``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.properties.contract import BreakerContract, RetryContract
from harness.resilience.breaker import CircuitBreaker, CircuitBreakerOpenException
from harness.resilience.retry import ExponentialBackoffRetry

__all__ = ["breaker", "retry"]


def retry() -> RetryContract:
    """Four attempts, equal jitter, in each of its forms."""
    policy = ExponentialBackoffRetry(max_retries=3, base_delay=1, max_delay=60)

    def iterated(func: Callable[[], Any]) -> Any:
        for attempt in policy.attempts():
            with attempt:
                return func()
        raise AssertionError("attempts() ended without an outcome")

    async def iterated_async(func: Callable[[], Any]) -> Any:
        async for attempt in policy:
            with attempt:
                return await func()
        raise AssertionError("attempts() ended without an outcome")

    return RetryContract(
        call=policy.execute,
        transient=(ConnectionError, TimeoutError),
        permanent=ValueError,
        max_attempts=4,
        delay_bounds=lambda attempt: (2.0 ** (attempt - 2) / 2, 2.0 ** (attempt - 2)),
        name="harness.resilience.ExponentialBackoffRetry",
        forms={
            "decorator": lambda func: policy(func)(),
            "for attempt in policy": iterated,
            "async": policy.execute_async,
            "async for attempt in policy": iterated_async,
        },
    )


def breaker() -> BreakerContract:
    """Five failures, a minute, one probe."""
    return BreakerContract(
        make=lambda: CircuitBreaker(failure_threshold=5, recovery_timeout=60, ignore=ValueError),
        call=CircuitBreaker.call,
        open_error=CircuitBreakerOpenException,
        failure=ConnectionError,
        failure_threshold=5,
        recovery_timeout=60,
        ignored=ValueError,
        name="harness.resilience.CircuitBreaker",
    )
