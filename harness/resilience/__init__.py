"""Production components for message consumers. Standard library only.

* :mod:`~harness.resilience.errors`: which errors pass with time and which never will
* :mod:`~harness.resilience.retry`, :mod:`~harness.resilience.backoff`,
  :mod:`~harness.resilience.budget`: retries and their limits
* :mod:`~harness.resilience.breaker`, :mod:`~harness.resilience.windows`,
  :mod:`~harness.resilience.breaker_store`: circuit breaker
* :mod:`~harness.resilience.dlq`, :mod:`~harness.resilience.envelope`,
  :mod:`~harness.resilience.payloads`: dead-letter queue handler, its envelope, what is too large for it
* :mod:`~harness.resilience.redrive`: analysis of a dead-letter queue, and replay
* :mod:`~harness.resilience.poison`: messages that fail again and again, and their quarantine
* :mod:`~harness.resilience.idempotency`: effects once
* :mod:`~harness.resilience.monitoring`, :mod:`~harness.resilience.exporters`: errors counted, alarms
* :mod:`~harness.resilience.degradation`: doing less, in steps, while the system is unwell
* :mod:`~harness.resilience.consumer`, :mod:`~harness.resilience.producer`: all of it composed

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
    from harness.resilience.breaker_store import (
        BreakerStore as BreakerStore,
    )
    from harness.resilience.breaker_store import (
        RedisBreakerStore as RedisBreakerStore,
    )
    from harness.resilience.budget import (
        AdaptiveThrottle as AdaptiveThrottle,
    )
    from harness.resilience.budget import (
        Budget as Budget,
    )
    from harness.resilience.budget import (
        Budgets as Budgets,
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
    from harness.resilience.consumer import (
        Admission as Admission,
    )
    from harness.resilience.consumer import (
        ConsumerEvent as ConsumerEvent,
    )
    from harness.resilience.consumer import (
        ConsumerListener as ConsumerListener,
    )
    from harness.resilience.consumer import (
        ConsumerOptions as ConsumerOptions,
    )
    from harness.resilience.consumer import (
        ResilientConsumer as ResilientConsumer,
    )
    from harness.resilience.consumer import (
        json_body as json_body,
    )
    from harness.resilience.degradation import (
        FeatureSwitches as FeatureSwitches,
    )
    from harness.resilience.degradation import (
        Hysteresis as Hysteresis,
    )
    from harness.resilience.degradation import (
        ServiceDegradationManager as ServiceDegradationManager,
    )
    from harness.resilience.degradation import (
        Shedding as Shedding,
    )
    from harness.resilience.degradation import (
        watch_degradation as watch_degradation,
    )
    from harness.resilience.dlq import (
        DeadLetterQueueHandler as DeadLetterQueueHandler,
    )
    from harness.resilience.envelope import (
        Envelope as Envelope,
    )
    from harness.resilience.envelope import (
        read_envelope as read_envelope,
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
    from harness.resilience.exporters import (
        OpenTelemetryExporter as OpenTelemetryExporter,
    )
    from harness.resilience.exporters import (
        PrometheusExporter as PrometheusExporter,
    )
    from harness.resilience.idempotency import (
        Idempotency as Idempotency,
    )
    from harness.resilience.idempotency import (
        IdempotencyStore as IdempotencyStore,
    )
    from harness.resilience.idempotency import (
        MemoryIdempotencyStore as MemoryIdempotencyStore,
    )
    from harness.resilience.idempotency import (
        RedisIdempotencyStore as RedisIdempotencyStore,
    )
    from harness.resilience.monitoring import (
        ErrorMonitoring as ErrorMonitoring,
    )
    from harness.resilience.monitoring import (
        watch_monitoring as watch_monitoring,
    )
    from harness.resilience.payloads import (
        PayloadStore as PayloadStore,
    )
    from harness.resilience.poison import (
        PoisonEvent as PoisonEvent,
    )
    from harness.resilience.poison import (
        PoisonMessageDetector as PoisonMessageDetector,
    )
    from harness.resilience.poison import (
        watch_quarantines as watch_quarantines,
    )
    from harness.resilience.producer import (
        BatchResult as BatchResult,
    )
    from harness.resilience.producer import (
        Message as Message,
    )
    from harness.resilience.producer import (
        ResilientProducer as ResilientProducer,
    )
    from harness.resilience.producer import (
        Unsent as Unsent,
    )
    from harness.resilience.quarantine import (
        Quarantine as Quarantine,
    )
    from harness.resilience.queue_settings import (
        check_queues as check_queues,
    )
    from harness.resilience.redrive import (
        DLQAnalyzer as DLQAnalyzer,
    )
    from harness.resilience.replay import (
        ReplayReport as ReplayReport,
    )
    from harness.resilience.replay import (
        ReplayStopped as ReplayStopped,
    )
    from harness.resilience.replay_journal import (
        FileJournal as FileJournal,
    )
    from harness.resilience.replay_journal import (
        StoreJournal as StoreJournal,
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
    "breaker_store": ("BreakerStore", "RedisBreakerStore"),
    "budget": ("AdaptiveThrottle", "Budget", "Budgets", "LocallyThrottledError", "RetryQuota", "RetryRatio"),
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
    "consumer": (
        "Admission",
        "ConsumerEvent",
        "ConsumerListener",
        "ConsumerOptions",
        "ResilientConsumer",
        "json_body",
    ),
    "degradation": (
        "FeatureSwitches",
        "Hysteresis",
        "ServiceDegradationManager",
        "Shedding",
        "watch_degradation",
    ),
    "dlq": ("DeadLetterQueueHandler",),
    "envelope": (
        "Envelope",
        "read_envelope",
    ),
    "idempotency": (
        "Idempotency",
        "IdempotencyStore",
        "MemoryIdempotencyStore",
        "RedisIdempotencyStore",
    ),
    "exporters": ("OpenTelemetryExporter", "PrometheusExporter"),
    "monitoring": ("ErrorMonitoring", "watch_monitoring"),
    "payloads": ("PayloadStore",),
    "poison": (
        "PoisonEvent",
        "PoisonMessageDetector",
        "watch_quarantines",
    ),
    "producer": (
        "BatchResult",
        "Message",
        "ResilientProducer",
        "Unsent",
    ),
    "quarantine": ("Quarantine",),
    "queue_settings": ("check_queues",),
    "redrive": ("DLQAnalyzer",),
    "replay": ("ReplayReport", "ReplayStopped"),
    "replay_journal": ("FileJournal", "StoreJournal"),
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
