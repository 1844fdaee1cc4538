"""Production components for message consumers. Standard library only.

* :mod:`~harness.resilience.errors`: which errors pass with time and which never will
* :mod:`~harness.resilience.retry`, :mod:`~harness.resilience.backoff`,
  :mod:`~harness.resilience.budget`: retries and their limits
* :mod:`~harness.resilience.breaker`, :mod:`~harness.resilience.windows`: circuit breaker

A name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.resilience.backoff import (
        Constant as Constant,
        Custom as Custom,
        Exponential as Exponential,
        Fibonacci as Fibonacci,
    )
    from harness.resilience.breaker import (
        CircuitBreaker as CircuitBreaker,
        CircuitBreakerOpenException as CircuitBreakerOpenException,
        CircuitState as CircuitState,
        watch_breakers as watch_breakers,
    )
    from harness.resilience.budget import (
        AdaptiveThrottle as AdaptiveThrottle,
        LocallyThrottledError as LocallyThrottledError,
        RetryQuota as RetryQuota,
        RetryRatio as RetryRatio,
    )
    from harness.resilience.errors import (
        AuthenticationError as AuthenticationError,
        Classification as Classification,
        Diagnosis as Diagnosis,
        ErrorRegistry as ErrorRegistry,
        InvalidMessageFormatError as InvalidMessageFormatError,
        MessageTooLargeError as MessageTooLargeError,
        NetworkTimeoutError as NetworkTimeoutError,
        PermanentError as PermanentError,
        ServiceUnavailableError as ServiceUnavailableError,
        ThrottlingError as ThrottlingError,
        TransientError as TransientError,
        classify as classify,
        diagnose as diagnose,
        raise_for_response as raise_for_response,
        register_permanent as register_permanent,
        register_transient as register_transient,
        retry_after as retry_after,
    )
    from harness.resilience.retry import (
        ExponentialBackoffRetry as ExponentialBackoffRetry,
        Retry as Retry,
        watch_retries as watch_retries,
    )
    from harness.resilience.windows import (
        CountWindow as CountWindow,
        TimeWindow as TimeWindow,
    )

# Where each name comes from. The list above and this one say the same: one for type checkers, one at run time.
_MODULES: dict[str, tuple[str, ...]] = {
    "backoff": ("Constant", "Custom", "Exponential", "Fibonacci"),
    "breaker": ("CircuitBreaker", "CircuitBreakerOpenException", "CircuitState", "watch_breakers"),
    "budget": ("AdaptiveThrottle", "LocallyThrottledError", "RetryQuota", "RetryRatio"),
    "errors": (
        "AuthenticationError",
        "Classification",
        "Diagnosis",
        "ErrorRegistry",
        "InvalidMessageFormatError",
        "MessageTooLargeError",
        "NetworkTimeoutError",
        "PermanentError",
        "ServiceUnavailableError",
        "ThrottlingError",
        "TransientError",
        "classify",
        "diagnose",
        "raise_for_response",
        "register_permanent",
        "register_transient",
        "retry_after",
    ),
    "retry": ("ExponentialBackoffRetry", "Retry", "watch_retries"),
    "windows": ("CountWindow", "TimeWindow"),
}

_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)  # computed from the table above, so that the two cannot differ


def __getattr__(name: str) -> object:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
