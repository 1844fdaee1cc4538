"""The contract of a pybreaker breaker."""

from __future__ import annotations

from typing import Any

import pybreaker

from harness.properties.contract import BreakerContract

__all__ = ["breaker"]


def breaker() -> BreakerContract:
    """Five failures in a row, a minute; the tripping call raises its own error (``throw_new_error_on_trip=False``)."""

    def make() -> Any:
        return pybreaker.CircuitBreaker(
            fail_max=5, reset_timeout=60, exclude=[ValueError], throw_new_error_on_trip=False
        )

    return BreakerContract(
        make=make,
        call=lambda made, func: made.call(func),
        open_error=pybreaker.CircuitBreakerError,
        failure=ConnectionError,
        failure_threshold=5,
        recovery_timeout=60,
        ignored=ValueError,
        name="pybreaker.CircuitBreaker",
    )
