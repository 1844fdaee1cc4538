"""The contract of a stamina policy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import stamina

from harness.properties.contract import RetryContract

__all__ = ["retry"]

logging.getLogger("stamina").addHandler(logging.NullHandler())  # a probe retries some thousand times

_WAIT_MAX = 5.0
_INITIAL = 0.1
_JITTER = 1.0


def retry() -> RetryContract:
    """Four attempts, no time limit; documented waits: ``min(wait_max, initial * 2 ** (n - 1) + random(0, jitter))``."""
    options: dict[str, Any] = {"attempts": 4, "timeout": None}
    transient = (ConnectionError, TimeoutError)
    caller = stamina.RetryingCaller(**options)
    caller_async = stamina.AsyncRetryingCaller(**options)

    def bounds(attempt: int) -> tuple[float, float]:
        plain = _INITIAL * 2.0 ** (attempt - 2)
        return min(_WAIT_MAX, plain), min(_WAIT_MAX, plain + _JITTER)

    async def called_async(func: Callable[[], Any]) -> Any:
        return await caller_async(transient, func)

    def iterated(func: Callable[[], Any]) -> Any:
        for attempt in stamina.retry_context(on=transient, **options):
            with attempt:
                return func()
        raise AssertionError("the attempts ended without an outcome")

    return RetryContract(
        call=lambda func: caller(transient, func),
        transient=transient,
        permanent=ValueError,
        max_attempts=4,
        delay_bounds=bounds,
        name="stamina.RetryingCaller",
        forms={"async": called_async, "retry_context": iterated},
    )
