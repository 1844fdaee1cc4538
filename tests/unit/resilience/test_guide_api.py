"""Names, argument order and defaults that people's code already uses: all of them, in one table."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import harness.resilience as ours

EMPTY = inspect.Parameter.empty

#: Name -> what can be given by position, with defaults. What is more than this is keyword-only.
CALLS: dict[str, dict[str, Any]] = {
    "ExponentialBackoffRetry": {"max_retries": 3, "base_delay": 1, "max_delay": 60, "jitter": True},
    "CircuitBreaker": {"failure_threshold": 5, "recovery_timeout": 60, "expected_exception": Exception},
    "DeadLetterQueueHandler": {"main_queue_url": EMPTY, "dlq_url": EMPTY},
    "DeadLetterQueueHandler.process_with_dlq": {"message_handler": EMPTY},
    "DLQAnalyzer": {"dlq_url": EMPTY},
    "DLQAnalyzer.analyze_failed_messages": {},
    "DLQAnalyzer.replay_messages": {"target_queue_url": EMPTY, "filter_func": None},
    "PoisonMessageDetector": {"redis_client": EMPTY},
    "PoisonMessageDetector.is_poison_message": {"message_id": EMPTY},
    "PoisonMessageDetector.record_failure": {"message_id": EMPTY},
    "PoisonMessageDetector.quarantine_poison_message": {"message": EMPTY, "reason": EMPTY},
    "ServiceDegradationManager": {},
    "ServiceDegradationManager.assess_system_health": {"metrics": EMPTY},
    "ServiceDegradationManager.apply_degradation": {"level": EMPTY},
    "ErrorMonitoring": {},
    "ErrorMonitoring.track_error_metrics": {
        "error_type": EMPTY,
        "service_name": EMPTY,
        "additional_dimensions": None,
    },
    "ErrorMonitoring.create_error_alarms": {},
}


def _named(path: str) -> Any:
    found: Any = ours
    for name in path.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("path", CALLS)
def test_arguments_by_position(path: str) -> None:
    """The known arguments come first, in their order, with their defaults; additions are keyword-only."""
    parameters = [each for each in inspect.signature(_named(path)).parameters.values() if each.name != "self"]
    positional = [each for each in parameters if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    known = CALLS[path]
    assert [each.name for each in positional] == list(known)
    for each in positional:
        if known[each.name] is not EMPTY:  # where the guide has none, a default of ours does no harm
            assert each.default == known[each.name]


@pytest.mark.parametrize("name", ["execute", "call"])
def test_calls_take_the_functions_arguments(name: str) -> None:
    """``execute(func, *args, **kwargs)`` and ``call(func, *args, **kwargs)``, the function by name too."""
    owner = ours.ExponentialBackoffRetry() if name == "execute" else ours.CircuitBreaker()
    method = getattr(owner, name)
    assert method(divmod, 7, 2) == (3, 1)
    assert method(sorted, [1, 2], reverse=True) == [2, 1]
    assert method(func=int) == 0


def test_what_can_be_read_and_set_before_use() -> None:
    """Attributes of the constructors' names, and the clients, which people's tests replace."""
    made: dict[Any, dict[str, Any]] = {
        ours.ExponentialBackoffRetry(): {"max_retries": 1, "base_delay": 0.1, "max_delay": 2, "jitter": False},
        ours.CircuitBreaker(): {
            "failure_threshold": 2,
            "recovery_timeout": 1,
            "expected_exception": OSError,
            "last_failure_time": 1.0,
            "failure_count": 1,
        },
        ours.DeadLetterQueueHandler("main", "dlq"): {
            "main_queue_url": "a",
            "dlq_url": "b",
            "max_retries": 5,
            "sqs": object(),
        },
        ours.DLQAnalyzer("dlq"): {"dlq_url": "b", "sqs": object()},
        ours.ErrorMonitoring(): {"cloudwatch": object()},
    }
    for component, attributes in made.items():
        for name, value in attributes.items():
            if name not in ("sqs", "cloudwatch"):  # reading one makes a client, which needs a region
                getattr(component, name)
            setattr(component, name, value)
            assert getattr(component, name) == value


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("DLQAnalyzer", ["_categorize_error"]),
        ("DeadLetterQueueHandler", ["_send_to_dlq", "_delete_message"]),
        (
            "ServiceDegradationManager",
            [
                "_reduce_message_processing_rate",
                "_disable_non_critical_features",
                "_enable_circuit_breakers",
                "_activate_emergency_protocols",
            ],
        ),
    ],
)
def test_what_may_be_overridden_is_there(name: str, methods: list[str]) -> None:
    """Subclasses of people's override these."""
    assert all(callable(getattr(_named(name), method)) for method in methods)


def test_states_errors_and_their_roots() -> None:
    """Values of the states, and which root each error has."""
    assert [state.value for state in ours.CircuitState] == ["closed", "open", "half_open"]
    for name in ("NetworkTimeoutError", "ServiceUnavailableError", "ThrottlingError"):
        assert issubclass(_named(name), ours.TransientError)
    for name in ("InvalidMessageFormatError", "AuthenticationError", "MessageTooLargeError"):
        assert issubclass(_named(name), ours.PermanentError)
    assert str(ours.CircuitBreakerOpenException("open")) == "open"
