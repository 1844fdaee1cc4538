"""Observes :class:`harness.resilience.breaker.CircuitBreaker`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.observe.context import Context, error_name, is_transient
from harness.resilience.breaker import (
    BreakerCreated,
    BreakerEvent,
    CallBegan,
    CallEnded,
    CircuitBreaker,
    LimitsChanged,
    StateChanged,
    watch_breakers,
)

__all__ = ["install"]


def install(context: Context) -> Callable[[], None]:
    """Write what every breaker of the project does to the context's record."""
    record = context.record
    # A breaker that outlives a run numbers its states and calls on; a history counts those of its run.
    states: dict[str, int] = {}
    calls: dict[tuple[str, int], int] = {}

    def begun(name: str, call: int) -> int:
        number = calls[name, call] = context.next_call(name)
        return number

    def listen(event: BreakerEvent) -> None:
        if not context.active():
            return
        breaker = event.breaker
        if isinstance(event, BreakerCreated):
            context.made(breaker, breaker.name)
            return
        named = context.breaker(breaker, breaker.name, lambda: _limits(breaker))
        name = named["breaker"]
        if isinstance(event, LimitsChanged):
            threshold, timeout = event.failure_threshold, event.recovery_timeout
            record("breaker.limits", **named, failure_threshold=threshold, recovery_timeout=timeout)
            return
        first = states.setdefault(name, event.generation - isinstance(event, StateChanged))
        generation = event.generation - first + 1
        if isinstance(event, CallBegan):
            call = begun(name, event.call)
            record("breaker.begin", **named, state=event.state.value, generation=generation, call=call)
        elif isinstance(event, CallEnded):
            record(
                "breaker.call",
                **named,
                outcome=event.outcome,
                state=event.state.value,
                generation=generation,
                error=error_name(event.error),
                transient=is_transient(event.classification),
                call=calls.pop((name, event.call), None),
            )
        else:
            record(
                "breaker.transition",
                **named,
                **{"from": event.before.value},
                to=event.after.value,
                generation=generation,
                reason=event.reason,
            )

    return watch_breakers(listen)


def _limits(breaker: CircuitBreaker) -> dict[str, Any]:
    limits: dict[str, Any] = {
        "library": "harness",
        "failure_threshold": breaker.failure_threshold,
        "recovery_timeout": breaker.recovery_timeout,
        "half_open_permits": breaker.permits,
        "success_threshold": breaker.success_threshold,
        "mode": breaker.window.mode if breaker.window is not None else "consecutive",
    }
    if breaker.recovery_growth > 1 and breaker.recovery_timeout_max is not None:
        limits["recovery_timeout_max"] = breaker.recovery_timeout_max
    return limits
