"""The contract of a breaker of the package circuitbreaker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import circuitbreaker

from harness.properties.contract import BreakerContract

__all__ = ["breaker"]


def breaker() -> BreakerContract:
    """Five ``ConnectionError`` in a row, a minute."""

    def make() -> Any:
        return circuitbreaker.CircuitBreaker(
            failure_threshold=5, recovery_timeout=60, expected_exception=ConnectionError, name="probed"
        )

    def call(made: Any, func: Callable[[], Any]) -> Any:
        return made.decorate(func)()

    return BreakerContract(
        make=make,
        call=call,
        open_error=circuitbreaker.CircuitBreakerError,
        failure=ConnectionError,
        failure_threshold=5,
        recovery_timeout=60,
        ignored=ValueError,
        name="circuitbreaker.CircuitBreaker",
    )
