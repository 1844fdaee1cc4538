"""The contract of backoff's ``on_exception`` with ``expo`` and full jitter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import backoff

from harness.properties.contract import RetryContract

__all__ = ["retry"]

_WAIT_MAX = 60


def retry() -> RetryContract:
    """Four attempts, full jitter (its default): up to ``2 ** (attempt - 1)`` seconds after attempt 1, 2, ..."""
    decorated = backoff.on_exception(
        backoff.expo, (ConnectionError, TimeoutError), max_tries=4, max_value=_WAIT_MAX, logger=None
    )

    async def awaited(func: Callable[[], Any]) -> Any:
        async def function() -> Any:
            return await func()

        return await decorated(function)()

    def called(func: Callable[[], Any]) -> Any:
        def function() -> Any:
            return func()

        return decorated(function)()

    return RetryContract(
        call=called,
        transient=(ConnectionError, TimeoutError),
        permanent=ValueError,
        max_attempts=4,
        delay_bounds=lambda attempt: (0, min(_WAIT_MAX, 2.0 ** (attempt - 2))),
        name="backoff.on_exception",
        forms={"async": awaited},
    )
