"""The contract of a purgatory breaker (``SyncCircuitBreakerFactory``, state in memory)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import purgatory
from purgatory.domain.model import OpenedState

from harness.properties.contract import BreakerContract

__all__ = ["breaker"]


def breaker() -> BreakerContract:
    """Five failures in a row, a minute."""

    def call(factory: Any, func: Callable[[], Any]) -> Any:
        with factory.get_breaker("probed"):
            return func()

    return BreakerContract(
        make=lambda: purgatory.SyncCircuitBreakerFactory(default_threshold=5, default_ttl=60, exclude=[ValueError]),
        call=call,
        open_error=OpenedState,
        failure=ConnectionError,
        failure_threshold=5,
        recovery_timeout=60,
        ignored=ValueError,
        name="purgatory.SyncCircuitBreakerFactory",
    )
