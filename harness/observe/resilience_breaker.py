"""Observes :class:`harness.resilience.breaker.CircuitBreaker`.

Breakers that share a state in a store are one breaker in a history. Each of
their processes tells every change that it learns of; it is written once, by
the first who tells it. While a process cannot reach the store, what its
breaker does is the story of another breaker, ``name-alone``, that begins anew
with each such time; so is the state with which a store begins that has lost
its data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from harness.observe.context import Context, error_name, is_transient
from harness.resilience.breaker import (
    BreakerCreated,
    BreakerEvent,
    CallBegan,
    CallEnded,
    CircuitBreaker,
    CircuitState,
    LimitsChanged,
    StateChanged,
    StoreChanged,
    watch_breakers,
)
from harness.resilience.windows import CountWindow, TimeWindow

__all__ = ["install"]


def install(context: Context) -> Callable[[], None]:
    """Write what every breaker of the project does to the context's record."""
    return watch_breakers(_Observer(context).listen)


class _Observer:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._record = context.record
        # A breaker that outlives a run numbers its states and calls on; a history counts those of its run.
        self._first: dict[str, int] = {}
        self._latest: dict[str, int] = {}  # generation written last, of shared breakers
        self._calls: WeakKeyDictionary[CircuitBreaker, dict[int, int]] = WeakKeyDictionary()

    def listen(self, event: BreakerEvent) -> None:
        if not self._context.active():
            return
        breaker = event.breaker
        if isinstance(event, BreakerCreated):
            if breaker.store is None:
                self._context.made(breaker, breaker.name)
        elif isinstance(event, StoreChanged):
            self._on_store(event)
        elif isinstance(event, LimitsChanged):
            named = self._named(breaker, "" if breaker.alone else breaker.epoch, breaker.state)
            threshold, timeout = event.failure_threshold, event.recovery_timeout
            self._record("breaker.limits", **named, failure_threshold=threshold, recovery_timeout=timeout)
        elif isinstance(event, StateChanged):
            self._on_change(event)
        else:
            self._on_call(event)

    def _on_store(self, event: StoreChanged) -> None:
        breaker = event.breaker
        if not event.available:
            self._context.renew(breaker)
        named = self._named(breaker, event.shared, event.state)
        self._record("breaker.store", **named, available=event.available, error=error_name(event.error))
        if not event.available:
            self._first.pop(self._named(breaker, "", event.state)["breaker"], None)

    def _on_change(self, event: StateChanged) -> None:
        named = self._named(event.breaker, event.shared, event.before)
        generation = self._generation(named["breaker"], event.generation, event.generation - 1)
        fields: dict[str, Any] = {"from": event.before.value, "to": event.after.value, "generation": generation}
        if event.shared:
            if generation <= self._latest.get(named["breaker"], 0):
                return  # another process has told it
            self._latest[named["breaker"]] = generation
            fields["at"] = event.at
        self._record("breaker.transition", **named, **fields, reason=event.reason)

    def _on_call(self, event: CallBegan | CallEnded) -> None:
        breaker = event.breaker
        named = self._named(breaker, event.shared, event.state)
        name = named["breaker"]
        generation = self._generation(name, event.generation, event.generation)
        calls = self._calls.setdefault(breaker, {})
        if isinstance(event, CallBegan):
            call = calls[event.call] = self._context.next_call(name)
            self._record("breaker.begin", **named, state=event.state.value, generation=generation, call=call)
            return
        slow: dict[str, Any] = {"slow": True} if event.slow else {}
        self._record(
            "breaker.call",
            **named,
            outcome=event.outcome,
            state=event.state.value,
            generation=generation,
            error=error_name(event.error),
            transient=is_transient(event.classification),
            call=calls.pop(event.call, None),
            **slow,
        )

    def _generation(self, name: str, generation: int, first: int) -> int:
        return generation - self._first.setdefault(name, first) + 1

    def _named(self, breaker: CircuitBreaker, epoch: str, state: CircuitState) -> dict[str, str]:
        """The fields that name the breaker of an event; *state*: in which it is as far as the history goes."""
        store = breaker.store
        if store is None:
            return self._context.breaker(breaker, breaker.name, lambda: _limits(breaker))
        began = breaker.began if epoch else state
        begins = {} if began is CircuitState.CLOSED else {"state": began.value}
        if epoch:
            facts = {"shared": True, "store": store.name, "permit_seconds": breaker.permit_seconds, **begins}
            limits = (breaker.name or "", epoch, lambda: _limits(breaker) | facts)
            return self._context.shared_breaker(store.name, *limits)
        return self._context.breaker(breaker, f"{breaker.name}-alone", lambda: _limits(breaker) | begins)


def _limits(breaker: CircuitBreaker) -> dict[str, Any]:
    window = breaker.window
    limits: dict[str, Any] = {
        "library": "harness",
        "failure_threshold": breaker.failure_threshold,
        "recovery_timeout": breaker.recovery_timeout,
        "half_open_permits": breaker.permits,
        "success_threshold": breaker.success_threshold,
        "mode": window.mode if window is not None else "consecutive",
    }
    if breaker.recovery_growth > 1 and breaker.recovery_timeout_max is not None:
        limits["recovery_timeout_max"] = breaker.recovery_timeout_max
    if isinstance(window, (CountWindow, TimeWindow)):
        limits |= {"failure_rate": window.failure_rate, "minimum_calls": window.minimum_calls}
        limits |= {"size": window.size} if isinstance(window, CountWindow) else {"seconds": window.seconds}
        if window.slow_call_seconds is not None:
            limits["slow_call_rate"] = window.slow_call_rate
    return limits
