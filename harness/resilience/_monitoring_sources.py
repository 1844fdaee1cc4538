"""What in the events of other components is an error, and what is an outcome worth counting."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Finding", "Sources", "error_type"]

#: Events of consumers that are failures of something.
_FAILURES: Mapping[str, str] = {
    "dead-letter-failed": "DeadLetterFailed",
    "delete-failed": "DeleteFailed",
    "give-back-failed": "GiveBackFailed",
    "handler-failed": "HandlerFailed",
    "heartbeat-failed": "HeartbeatFailed",
    "receive-failed": "ReceiveFailed",
    "store-unavailable": "StoreUnavailable",
}
#: Events of consumers and poison detectors that are no further error, but should be seen.
_OUTCOMES: Mapping[str, str] = {
    "dead-lettered": "DeadLettered",
    "expired-unbegun": "ExpiredUnbegun",
    "misconfigured": "Misconfigured",
    "poison": "PoisonMessage",
    "possibly-duplicated": "PossiblyDuplicated",
    "quarantined": "Quarantined",
    "redis-down": "PoisonDetectionDegraded",
    "refused": "QuarantineRefused",
}
#: Why a retry gave up, where its limits and not the error decided. (The errors are counted attempt by attempt.)
_GIVEN_UP: Mapping[str, str] = {
    "attempts": "RetriesExhausted",
    "budget": "RetryBudgetSpent",
    "deadline": "RetryDeadlinePassed",
    "hint": "RetryHintTooLong",
}
_BREAKER_STATES: Mapping[str, str] = {"open": "CircuitBreakerOpened", "closed": "CircuitBreakerClosed"}
_MARK = "_harness_counted"


class Finding(NamedTuple):
    """What to count: an error of a type, or an event of a name, and whose it is (``None``: the monitoring's own)."""

    what: str
    service: str | None
    is_error: bool


def error_type(error: object) -> str:
    """How an error is called in a metric: its AWS code, or the name of its class; text stays as it is."""
    if isinstance(error, str):
        return error
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and isinstance(response.get("Error"), Mapping) and response["Error"].get("Code"):
        return str(response["Error"]["Code"])
    return error.__name__ if isinstance(error, type) else type(error).__name__


class Sources:
    """Reads the events of breakers, retries, consumers, poison detectors and degradation managers.

    One exception is often reported more than once: by the retry whose attempt
    it ended, by the breaker around it, by the consumer. It counts once, for
    the first who reports it. (Who reports the same object again, as test
    doubles make it happen, means another failure.)
    """

    def __init__(self, own: Sequence[object]) -> None:
        self._own = own  # the retries that create alarms: their failures are no errors of the service
        self._last = threading.local()  # the last event of each thread

    def claim(self, error: BaseException, source: object) -> bool:
        """Whether *error*, reported by *source*, is to be counted."""
        owners: dict[Sources, object] | None = getattr(error, _MARK, None)
        if owners is None:
            try:
                setattr(error, _MARK, {self: source})
            except AttributeError:  # an exception with slots; better twice than never
                return True
            return True
        owner = owners.setdefault(self, source)
        return owner is source or owner == source

    def read(self, event: Any) -> Finding | None:
        """What *event* tells; ``None`` where nothing is to be counted."""
        if getattr(self._last, "event", None) is event:
            return None  # told twice: as a listener of the component, and as one of all components
        self._last.event = event
        kind = getattr(event, "kind", None)
        if kind is not None and hasattr(event, "queue_url"):
            return self._consumer(event)
        if kind is not None and hasattr(event, "detector"):
            what = _OUTCOMES.get(event.kind)
            return Finding(what, None, is_error=False) if what else None
        if hasattr(event, "retry"):
            return None if any(event.retry is one for one in self._own) else self._retry(event)
        if hasattr(event, "breaker"):
            return self._breaker(event)
        return self._degradation(event) if hasattr(event, "manager") else None

    def _degradation(self, event: Any) -> Finding | None:
        if hasattr(event, "after"):
            return Finding(f"Degradation:{event.after}", None, is_error=False)
        error = getattr(event, "error", None)
        return None if error is None else self._claimed(error, event.manager, None)

    def _consumer(self, event: Any) -> Finding | None:
        queue = event.queue_url.rpartition("/")[2]
        if event.kind in _FAILURES:
            if event.error is None:
                return Finding(_FAILURES[event.kind], queue, is_error=True)
            return self._claimed(event.error, event.queue_url, queue)
        what = _OUTCOMES.get(event.kind)
        return Finding(what, queue, is_error=False) if what else None

    def _retry(self, event: Any) -> Finding | None:
        if hasattr(event, "classification"):
            return self._failure(event, event.retry)
        what = _GIVEN_UP.get(getattr(event, "reason", ""))
        return Finding(what, event.retry.name, is_error=False) if what else None

    def _breaker(self, event: Any) -> Finding | None:
        what = None
        if hasattr(event, "outcome"):
            if event.outcome in ("failure", "ignored"):
                return self._failure(event, event.breaker)
            what = "CircuitBreakerRejected" if event.outcome == "rejected" else None
        elif hasattr(event, "after"):
            what = _BREAKER_STATES.get(event.after.value)
        elif getattr(event, "available", True) is False:
            what = "CircuitBreakerAlone"  # its store cannot be reached
        return Finding(what, event.breaker.name, is_error=False) if what else None

    def _failure(self, event: Any, source: Any) -> Finding | None:
        return None if event.error is None else self._claimed(event.error, source, source.name)

    def _claimed(self, error: BaseException, source: object, service: str | None) -> Finding | None:
        return Finding(error_type(error), service, is_error=True) if self.claim(error, source) else None
