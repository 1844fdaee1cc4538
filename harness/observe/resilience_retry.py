"""Observes :class:`harness.resilience.retry.Retry`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from harness.observe.context import Context, error_name, is_transient
from harness.resilience.retry import AttemptEnded, CallFinished, Retry, RetryEvent, watch_retries

__all__ = ["install"]


def install(context: Context) -> Callable[[], None]:
    """Write what every retry policy of the project does to the context's record."""
    record = context.record
    # The process numbers its calls for ever; a history counts those of each policy in its run.
    calls: dict[int, int] = {}

    def listen(event: RetryEvent) -> None:
        if not context.active():
            return
        retry = event.retry
        name = context.policy(_key(retry), retry.name, lambda: _limits(retry))
        call = calls.get(event.call)
        if call is None:
            call = calls[event.call] = context.next_call(name)
        if isinstance(event, AttemptEnded):
            transient = is_transient(event.classification)
            record(
                "retry.attempt",
                policy=name,
                call=call,
                attempt=event.attempt,
                outcome="success" if event.error is None else "error",
                error=error_name(event.error),
                permanent=None if transient is None else not transient,
            )
        elif isinstance(event, CallFinished):
            del calls[event.call]
            record(
                "retry.end",
                policy=name,
                call=call,
                attempts=event.attempts,
                outcome="success" if event.error is None else "error",
                error=error_name(event.error),
                reason=event.reason,
            )
        else:
            record(
                "retry.sleep",
                policy=name,
                call=call,
                attempt=event.attempt,
                delay=event.delay,
                low=event.low,
                high=event.high,
            )

    return watch_retries(listen)


def _limits(retry: Retry) -> dict[str, Any]:
    return {
        "library": "harness",
        "max_attempts": None if retry.max_retries is None else retry.max_retries + 1,
        "cap": retry.backoff.cap,
        "deadline": retry.deadline,
    }


def _key(retry: Retry) -> Hashable:
    key = (type(retry), retry.name, retry.backoff, retry.max_retries, retry.deadline, retry.retry_unknown)
    try:
        hash(key)
    except TypeError:
        return (_Itself(retry.backoff), *key[:2], *key[3:])
    return key


class _Itself:
    """Stands for one object that cannot be hashed, and keeps it, so that no other gets its place in memory."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other._value is self._value

    def __hash__(self) -> int:
        return id(self._value)
