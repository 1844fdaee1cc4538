"""Observes :class:`harness.resilience.breaker.CircuitBreaker`."""

from __future__ import annotations

from collections.abc import Callable

from harness.observe.context import Context, error_name, is_transient
from harness.resilience.breaker import (
    BreakerCreated,
    BreakerEvent,
    CallBegan,
    CallEnded,
    CircuitBreaker,
    watch_breakers,
)

__all__ = ["install"]


def install(context: Context) -> Callable[[], None]:
    """Write what every breaker of the project does to the context's record."""
    record = context.record

    def name_of(breaker: CircuitBreaker) -> str:
        name, first = context.breaker(breaker, breaker.name)
        if first:
            record(
                "breaker.created",
                breaker=name,
                library="harness",
                failure_threshold=breaker.failure_threshold,
                recovery_timeout=breaker.recovery_timeout,
                half_open_permits=breaker.permits,
                success_threshold=breaker.success_threshold,
                mode=breaker.window.mode if breaker.window is not None else "consecutive",
            )
        return name

    def listen(event: BreakerEvent) -> None:
        if not context.active():
            return
        name = name_of(event.breaker)
        if isinstance(event, BreakerCreated):
            return
        if isinstance(event, CallBegan):
            record("breaker.begin", breaker=name, state=event.state.value, generation=event.generation, call=event.call)
        elif isinstance(event, CallEnded):
            record(
                "breaker.call",
                breaker=name,
                outcome=event.outcome,
                state=event.state.value,
                generation=event.generation,
                error=error_name(event.error),
                transient=is_transient(event.classification),
                call=event.call or None,
            )
        else:
            record(
                "breaker.transition",
                breaker=name,
                **{"from": event.before.value},
                to=event.after.value,
                generation=event.generation,
                reason=event.reason,
            )

    return watch_breakers(listen)
