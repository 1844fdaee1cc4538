"""Observes tenacity: every ``Retrying`` and ``AsyncRetrying``, as decorator, call or loop.

Both forms ask ``iter`` what to do next, and tell it how the last attempt
ended: one hook there sees everything. Decorated functions copy their policy
for each call, so a policy is known by its function and its limits.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable
from types import ModuleType
from typing import Any, TypeAlias

from harness.observe.context import Context, error_name, is_permanent
from harness.observe.patching import replace_attributes, when_imported

__all__ = ["install"]

Band: TypeAlias = tuple[float, float] | None

_NO_LIMIT = 1e9  # tenacity's own default for "no maximum" is sys.maxsize / 2


def install(context: Context) -> Callable[[], None]:
    """Write what every policy of tenacity does to the context's record, once tenacity is imported."""
    return when_imported("tenacity", lambda module: _Observer(context, module).install())


class _Observer:
    def __init__(self, context: Context, module: ModuleType) -> None:
        self._context = context
        self._record = context.record
        self._module: Any = module

    def install(self) -> Callable[[], None]:
        sync, asynchronous = self._module.BaseRetrying, self._module.AsyncRetrying
        return replace_attributes(
            (sync, "iter", self._hook(sync.iter)),
            (asynchronous, "iter", self._hook_async(asynchronous.iter)),
        )

    def _hook(self, original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def iter(retrying: Any, retry_state: Any) -> Any:
            if not self._context.active():
                return original(retrying, retry_state)
            self._attempt_ended(retrying, retry_state)
            try:
                decision = original(retrying, retry_state)
            except BaseException as error:
                self._finished(retrying, retry_state, error)
                raise
            self._decided(retrying, retry_state, decision)
            return decision

        return iter

    def _hook_async(self, original: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def iter(retrying: Any, retry_state: Any) -> Any:
            if not self._context.active():
                return await original(retrying, retry_state)
            self._attempt_ended(retrying, retry_state)
            try:
                decision = await original(retrying, retry_state)
            except BaseException as error:
                self._finished(retrying, retry_state, error)
                raise
            self._decided(retrying, retry_state, decision)
            return decision

        return iter

    # What is told

    def _call(self, retrying: Any, retry_state: Any) -> tuple[str, int]:
        """The policy's name and the call's number, kept with the call's own state."""
        known: tuple[Context, str, int] | None = getattr(retry_state, "_harness_call", None)
        if known is not None and known[0] is self._context:
            return known[1], known[2]
        given = _given_name(retrying, retry_state)
        key = ("tenacity", given, _signature(retrying.stop), _signature(retrying.wait))
        name = self._context.policy(key, given, lambda: _limits(retrying))
        call = self._context.next_call(name)
        retry_state._harness_call = (self._context, name, call)
        return name, call

    def _attempt_ended(self, retrying: Any, retry_state: Any) -> None:
        outcome = retry_state.outcome
        if outcome is None:
            return
        error = outcome.exception()
        name, call = self._call(retrying, retry_state)
        self._record(
            "retry.attempt",
            policy=name,
            call=call,
            attempt=retry_state.attempt_number,
            outcome="success" if error is None else "error",
            error=error_name(error),
            permanent=is_permanent(error),
        )

    def _decided(self, retrying: Any, retry_state: Any, decision: object) -> None:
        if isinstance(decision, self._module.DoAttempt):
            return
        if not isinstance(decision, self._module.DoSleep):
            self._finished(retrying, retry_state, None)
            return
        name, call = self._call(retrying, retry_state)
        band = _band(retrying.wait, retry_state.attempt_number)
        self._record(
            "retry.sleep",
            policy=name,
            call=call,
            attempt=retry_state.attempt_number,
            delay=float(decision),
            low=band[0] if band else None,
            high=band[1] if band else None,
        )

    def _finished(self, retrying: Any, retry_state: Any, error: BaseException | None) -> None:
        name, call = self._call(retrying, retry_state)
        outcome = retry_state.outcome
        last = outcome.exception() if outcome is not None else None
        cause = last if last is not None else error
        self._record(
            "retry.end",
            policy=name,
            call=call,
            attempts=retry_state.attempt_number,
            outcome="success" if cause is None else "error",  # also where a callback turned the error into an answer
            error=error_name(cause),
        )


def _given_name(retrying: Any, retry_state: Any) -> str | None:
    function = retry_state.fn
    if function is not None:
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        return str(name)
    name = getattr(retrying, "_name", None)
    return str(name) if name is not None else None


def _limits(retrying: Any) -> dict[str, Any]:
    attempts, deadline = _stop_limits(retrying.stop)
    return {"library": "tenacity", "max_attempts": attempts, "cap": _cap(retrying.wait), "deadline": deadline}


# What the strategies promise. Classes are known by name: tenacity's own come from several modules.


def _signature(strategy: Any) -> Hashable:
    """What makes two strategies the same policy: the class and its numbers, all the way down."""
    if isinstance(strategy, (int, float, str, bool)) or strategy is None:
        return strategy
    if isinstance(strategy, (list, tuple)):
        return tuple(_signature(part) for part in strategy)
    if hasattr(strategy, "__qualname__"):  # a function
        return f"{strategy.__module__}.{strategy.__qualname__}"
    fields = sorted(vars(strategy).items()) if hasattr(strategy, "__dict__") else []
    return (type(strategy).__name__, *((name, _signature(value)) for name, value in fields))


def _stop_limits(stop: Any) -> tuple[int | None, float | None]:
    """Attempts at most, and seconds at most.

    ``stop_after_delay`` says only when to stop asking, not when to be done,
    and promises no deadline.
    """
    kind = type(stop).__name__
    if kind == "stop_after_attempt":
        return stop.max_attempt_number, None
    if kind == "stop_before_delay":
        return None, stop.max_delay
    if kind == "stop_any":
        limits = [_stop_limits(part) for part in stop.stops]
        attempts = [limit[0] for limit in limits if limit[0] is not None]
        seconds = [limit[1] for limit in limits if limit[1] is not None]
        return min(attempts, default=None), min(seconds, default=None)
    return None, None


def _cap(wait: Any) -> float | None:
    """The longest wait that a strategy allows, ``None`` where it sets no limit or is not known."""
    kind = type(wait).__name__
    if kind in ("wait_fixed", "wait_none"):
        return float(wait.wait_fixed)
    if kind == "wait_random":
        return float(wait.wait_random_max)
    if kind in ("wait_exponential", "wait_random_exponential", "wait_exponential_jitter", "wait_incrementing"):
        longest = max(float(getattr(wait, "min", 0.0)), float(wait.max))
        return longest if longest < _NO_LIMIT else None
    if kind in ("wait_combine", "wait_chain"):
        parts = [_cap(part) for part in (wait.wait_funcs if kind == "wait_combine" else wait.strategies)]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return sum(known) if kind == "wait_combine" else max(known)
    return None


def _band(wait: Any, attempt: int) -> Band:
    """The shortest and longest wait after *attempt*, ``None`` where the strategy is not known."""
    kind = type(wait).__name__
    if kind in ("wait_fixed", "wait_none"):
        return float(wait.wait_fixed), float(wait.wait_fixed)
    if kind == "wait_random":
        return float(wait.wait_random_min), float(wait.wait_random_max)
    if kind == "wait_incrementing":
        delay = max(0.0, min(wait.start + wait.increment * (attempt - 1), wait.max))
        return delay, delay
    if kind in ("wait_exponential", "wait_random_exponential"):
        delay = _clamped(_power(wait, attempt), wait)
        return (float(wait.min) if kind == "wait_random_exponential" else delay), delay
    if kind == "wait_exponential_jitter":
        grown = _power(wait, attempt)
        return _clamped(grown, wait), _clamped(grown + wait.jitter, wait)
    if kind == "wait_combine":
        bands = [_band(part, attempt) for part in wait.wait_funcs]
        known = [band for band in bands if band is not None]
        if len(known) < len(bands):
            return None
        return sum(band[0] for band in known), sum(band[1] for band in known)
    if kind == "wait_chain":
        return _band(wait.strategies[min(attempt, len(wait.strategies)) - 1], attempt)
    return None


def _power(wait: Any, attempt: int) -> float:
    try:
        return float(getattr(wait, "multiplier", getattr(wait, "initial", 1)) * wait.exp_base ** (attempt - 1))
    except OverflowError:
        return math.inf


def _clamped(delay: float, wait: Any) -> float:
    return float(max(0.0, getattr(wait, "min", 0.0), min(delay, wait.max)))
