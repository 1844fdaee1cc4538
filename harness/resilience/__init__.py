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
    )
    from harness.resilience.backoff import (
        Custom as Custom,
    )
    from harness.resilience.backoff import (
        Exponential as Exponential,
    )
    from harness.resilience.backoff import (
        Fibonacci as Fibonacci,
    )
    from harness.resilience.breaker import (
        CircuitBreaker as CircuitBreaker,
    )
    from harness.resilience.breaker import (
        CircuitBreakerOpenException as CircuitBreakerOpenException,
    )
    from harness.resilience.breaker import (
        CircuitState as CircuitState,
    )
    from harness.resilience.breaker import (
        watch_breakers as watch_breakers,
    )
    from harness.resilience.budget import (
        AdaptiveThrottle as AdaptiveThrottle,
    )
    from harness.resilience.budget import (
        LocallyThrottledError as LocallyThrottledError,
    )
    from harness.resilience.budget import (
        RetryQuota as RetryQuota,
    )
    from harness.resilience.budget import (
        RetryRatio as RetryRatio,
    )
    from harness.resilience.errors import (
        AuthenticationError as AuthenticationError,
    )
    from harness.resilience.errors import (
        Classification as Classification,
    )
    from harness.resilience.errors import (
        Diagnosis as Diagnosis,
    )
    from harness.resilience.errors import (
        ErrorRegistry as ErrorRegistry,
    )
    from harness.resilience.errors import (
        InvalidMessageFormatError as InvalidMessageFormatError,
    )
    from harness.resilience.errors import (
        MessageTooLargeError as MessageTooLargeError,
    )
    from harness.resilience.errors import (
        NetworkTimeoutError as NetworkTimeoutError,
    )
    from harness.resilience.errors import (
        PermanentError as PermanentError,
    )
    from harness.resilience.errors import (
        ServiceUnavailableError as ServiceUnavailableError,
    )
    from harness.resilience.errors import (
        ThrottlingError as ThrottlingError,
    )
    from harness.resilience.errors import (
        TransientError as TransientError,
    )
    from harness.resilience.errors import (
        classify as classify,
    )
    from harness.resilience.errors import (
        diagnose as diagnose,
    )
    from harness.resilience.errors import (
        raise_for_response as raise_for_response,
    )
    from harness.resilience.errors import (
        register_permanent as register_permanent,
    )
    from harness.resilience.errors import (
        register_transient as register_transient,
    )
    from harness.resilience.errors import (
        retry_after as retry_after,
    )
    from harness.resilience.retry import (
        ExponentialBackoffRetry as ExponentialBackoffRetry,
    )
    from harness.resilience.retry import (
        Retry as Retry,
    )
    from harness.resilience.retry import (
        watch_retries as watch_retries,
    )
    from harness.resilience.windows import (
        CountWindow as CountWindow,
    )
    from harness.resilience.windows import (
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
