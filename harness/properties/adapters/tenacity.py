"""The contract of a tenacity policy: ``stop_after_attempt``, ``wait_random_exponential``, ``reraise=True``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tenacity

from harness.properties.contract import RetryContract

__all__ = ["retry"]

_WAIT_MAX = 60


def retry() -> RetryContract:
    """Four attempts with full jitter, as call, decorator, iterator, and asynchronously.

    ``wait_random_exponential(multiplier=1, max=60)`` waits between 0 and
    ``min(max, multiplier * 2 ** (attempt - 1))`` seconds after attempt 1, 2, ...
    """
    options: dict[str, Any] = {
        "stop": tenacity.stop_after_attempt(4),
        "wait": tenacity.wait_random_exponential(multiplier=1, max=_WAIT_MAX),
        "retry": tenacity.retry_if_exception_type((ConnectionError, TimeoutError)),
        "reraise": True,
    }
    policy = tenacity.Retrying(**options)
    policy_async = tenacity.AsyncRetrying(**options)

    def iterated(func: Callable[[], Any]) -> Any:
        for attempt in tenacity.Retrying(**options):
            with attempt:
                return func()
        raise AssertionError("the attempts ended without an outcome")

    async def iterated_async(func: Callable[[], Any]) -> Any:
        async for attempt in tenacity.AsyncRetrying(**options):
            with attempt:
                return await func()
        raise AssertionError("the attempts ended without an outcome")

    async def called_async(func: Callable[[], Any]) -> Any:
        return await policy_async(func)

    return RetryContract(
        call=policy,
        transient=(ConnectionError, TimeoutError),
        permanent=ValueError,
        max_attempts=4,
        delay_bounds=lambda attempt: (0, min(_WAIT_MAX, 2.0 ** (attempt - 2))),
        name="tenacity.Retrying",
        forms={
            "decorator": lambda func: tenacity.retry(**options)(func)(),
            "for attempt in Retrying": iterated,
            "AsyncRetrying": called_async,
            "async for attempt in AsyncRetrying": iterated_async,
        },
    )
