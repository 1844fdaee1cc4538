"""Retries: which errors, how often, how long between, and within which limits.

::

    retry = ExponentialBackoffRetry(max_retries=3, base_delay=1, max_delay=60, jitter=True)
    retry.execute(charge, order)                 # a call

    policy = Retry(Exponential(0.1, cap=5, jitter="full"), max_retries=4, deadline=10, budget=RetryQuota())

    @policy                                      # a decorator, sync or async
    def charge(order): ...

    for attempt in policy.attempts():            # an iterator (``async for`` too)
        with attempt:
            charge(order)

    await policy.execute_async(charge_async, order)

The rules, for every form:

* Transient errors (:func:`~harness.resilience.errors.classify`) are retried,
  permanent ones are raised at once, and so are unknown ones unless
  ``retry_unknown``.
* The last error is raised as it was, with its traceback. There is no wait
  after the last attempt.
* ``KeyboardInterrupt``, ``SystemExit``, ``CancelledError`` and whatever else
  is no ``Exception`` passes through.
* A service's hint (``Retry-After``) is the shortest wait. One that goes over
  the cap ends the call: to ask earlier is known to fail.
* A wait that would reach the deadline is not begun.
* A wait in a handler of a :class:`~harness.resilience.consumer.ResilientConsumer`
  ends when the consumer is asked to stop, unless the policy has a ``sleep`` of its
  own: then the last error is raised.
* Calls share nothing but the budget; one object serves any number of threads
  and tasks.
"""

from __future__ import annotations

import functools
import inspect
import math
import random as _random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from itertools import count
from types import CoroutineType
from typing import Any, ParamSpec, TypedDict, TypeVar, Unpack, cast

from harness.resilience._attempts import AttemptEnded, Attempts, Call, CallFinished, RetryEvent, RetryListener, Waiting
from harness.resilience._listeners import notify
from harness.resilience._waits import in_force
from harness.resilience.backoff import Backoff, Exponential, Jitter
from harness.resilience.budget import Budget, RandomSource
from harness.resilience.errors import Classification, Diagnosis, diagnose

__all__ = [
    "AttemptEnded",
    "CallFinished",
    "ExponentialBackoffRetry",
    "Retry",
    "RetryEvent",
    "RetryListener",
    "RetryOptions",
    "Waiting",
    "watch_retries",
]

P = ParamSpec("P")
T = TypeVar("T")


_watchers: tuple[RetryListener, ...] = ()
_numbers = count(1)  # of calls; taking one is atomic


def watch_retries(listener: RetryListener) -> Callable[[], None]:
    """Tell *listener* of every call of every policy in this process; returns a function that ends it."""
    global _watchers
    entry = (listener,)
    _watchers = (*_watchers, *entry)

    def stop() -> None:
        global _watchers
        rest = list(_watchers)
        if listener in rest:
            rest.remove(listener)
        _watchers = tuple(rest)

    return stop


class Retry:
    """A retry policy: a backoff and its limits.

    Args:
        backoff: how long to wait (default: exponential from 1 s to 60 s, full jitter).
        max_retries: attempts after the first; ``None``: no limit of number.
        deadline: seconds for the whole call, waits included. It does not
            interrupt an attempt; pass :attr:`Attempt.remaining` on as timeout.
        budget: shared by all callers of one service.
        classify: replaces the built-in judgement; gets the error, gives
            ``transient``, ``permanent`` or ``unknown``.
        retry_unknown: whether unknown errors are retried.
        honour_hints: whether ``Retry-After`` is obeyed.
        on_retry: called before each wait. What it raises ends the call.
        listeners: told everything; one that fails is logged and changes nothing.
        name: for people and histories.
        clock, sleep, async_sleep, random: what to use in place of
            ``time.monotonic``, ``time.sleep``, ``asyncio.sleep``, ``random``.

    Raises:
        ValueError: a limit is negative or no number.
    """

    def __init__(
        self,
        backoff: Backoff | None = None,
        *,
        max_retries: int | None = 3,
        deadline: float | None = None,
        budget: Budget | None = None,
        classify: Callable[[Exception], Classification | str] | None = None,
        retry_unknown: bool = False,
        honour_hints: bool = True,
        on_retry: Callable[[Waiting], object] | None = None,
        listeners: Iterable[RetryListener] = (),
        name: str | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], object] | None = None,
        async_sleep: Callable[[float], Awaitable[object]] | None = None,
        random: RandomSource | None = None,
    ) -> None:
        if deadline is not None and not (math.isfinite(deadline) and deadline > 0):
            raise ValueError(f"deadline must be above 0 seconds, not {deadline!r}")
        self._backoff: Backoff = backoff if backoff is not None else Exponential()
        self._max_retries = _checked_retries(max_retries)
        self.deadline = deadline
        self.budget = budget
        self.classify = classify
        self.retry_unknown = retry_unknown
        self.honour_hints = honour_hints
        self.on_retry = on_retry
        self.listeners: tuple[RetryListener, ...] = tuple(listeners)
        self.name = name
        self._clock = clock
        self._sleep = sleep
        self._async_sleep = async_sleep
        self._random = random
        # With none of these, a success needs no book-keeping.
        self._plain = deadline is None and budget is None and not self.listeners

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        limits = f"max_retries={self.max_retries}, deadline={self.deadline}"
        return f"{type(self).__name__}({name}{self._backoff!r}, {limits})"

    @property
    def backoff(self) -> Backoff:
        return self._backoff

    @property
    def max_retries(self) -> int | None:
        """Attempts after the first. Can be set before use."""
        return self._max_retries

    @max_retries.setter
    def max_retries(self, value: int | None) -> None:
        self._max_retries = _checked_retries(value)

    def execute(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *func* until it succeeds or the policy gives up, and return its result.

        Raises:
            TypeError: *func* is a coroutine function (use :meth:`execute_async`).
            LocallyThrottledError: the budget does not let the first attempt out.
            Exception: the last attempt's error.
        """
        if self._plain and not _watchers:
            try:
                result = func(*args, **kwargs)
            except Exception as error:
                call = Call(self, next(_numbers), None)
                delay = call.failed(error)
                if delay is None:
                    raise
            else:
                if type(result) is CoroutineType:
                    raise _not_awaited(result)
                return result
            call.wait(delay)
        else:
            call = self.begin()
        return self._go_on(call, func, args, kwargs)

    def _go_on(self, call: Call, func: Callable[..., T], args: Any, kwargs: Any) -> T:
        while True:
            call.start()
            try:
                result = func(*args, **kwargs)
            except Exception as error:
                delay = call.failed(error)
                if delay is None:
                    raise
            except BaseException as error:
                call.stopped(error)
                raise
            else:
                if type(result) is CoroutineType:
                    raise _not_awaited(result)
                call.succeeded()
                return result
            call.wait(delay)

    async def execute_async(self, func: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """As :meth:`execute`, for a function whose result is awaited."""
        if self._plain and not _watchers:
            try:
                return await func(*args, **kwargs)
            except Exception as error:
                call = Call(self, next(_numbers), None)
                delay = call.failed(error)
                if delay is None:
                    raise
            await call.wait_async(delay)
        else:
            call = self.begin()
        return await self._go_on_async(call, func, args, kwargs)

    async def _go_on_async(self, call: Call, func: Callable[..., Awaitable[T]], args: Any, kwargs: Any) -> T:
        while True:
            call.start()
            try:
                result = await func(*args, **kwargs)
            except Exception as error:
                delay = call.failed(error)
                if delay is None:
                    raise
            except BaseException as error:
                call.stopped(error)
                raise
            else:
                call.succeeded()
                return result
            await call.wait_async(delay)

    def attempts(self) -> Attempts:
        """The attempts of one call, to loop over: ``for attempt in retry.attempts(): with attempt: ...``."""
        return Attempts(self)

    def __iter__(self) -> Attempts:
        return Attempts(self)

    def __aiter__(self) -> Attempts:
        return Attempts(self)

    def __call__(self, func: Callable[P, T]) -> Callable[P, T]:
        """Decorate *func* (a function or a coroutine function).

        Raises:
            TypeError: *func* is a generator function: an attempt ends when the
                generator is made, long before its body fails.
        """
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise TypeError(
                f"{func.__qualname__} is a generator function and cannot be retried as one call; "
                "retry what consumes it, or use retry.attempts() inside it"
            )
        if inspect.iscoroutinefunction(func):

            @functools.wraps(func)
            async def async_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                if not self._plain or _watchers:
                    return await self._go_on_async(self.begin(), func, args, kwargs)
                try:  # the short way once more, as below
                    return await func(*args, **kwargs)
                except Exception as error:
                    call = Call(self, next(_numbers), None)
                    delay = call.failed(error)
                    if delay is None:
                        raise
                await call.wait_async(delay)
                return await self._go_on_async(call, func, args, kwargs)

            return cast("Callable[P, T]", async_wrapper)

        @functools.wraps(func)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            if not self._plain or _watchers:
                return self._go_on(self.begin(), func, args, kwargs)
            try:  # the short way of execute once more: calling it would double the cost of a success
                result = func(*args, **kwargs)
            except Exception as error:
                call = Call(self, next(_numbers), None)
                delay = call.failed(error)
                if delay is None:
                    raise
            else:
                if type(result) is CoroutineType:
                    raise _not_awaited(result)
                return result
            call.wait(delay)
            return self._go_on(call, func, args, kwargs)

        return wrapper

    # What a call in progress asks of its policy

    def begin(self) -> Call:
        """The book-keeping of one more call."""
        return Call(self, next(_numbers), self.now() if self.deadline is not None else None)

    def now(self) -> float:
        return self._clock() if self._clock is not None else time.monotonic()

    def pause(self, seconds: float) -> bool:
        """Wait; ``False`` if the wait was cut because a consumer that it holds up was asked to stop."""
        waits = in_force()
        if self._sleep is None and waits is not None:
            return waits.pause(seconds)
        (self._sleep if self._sleep is not None else time.sleep)(seconds)
        return True

    async def pause_async(self, seconds: float) -> bool:
        waits = in_force()
        if self._async_sleep is not None:
            await self._async_sleep(seconds)
            return True
        if waits is not None:
            return await waits.pause_async(seconds)
        import asyncio

        await asyncio.sleep(seconds)
        return True

    def diagnose(self, error: Exception) -> Diagnosis:
        diagnosis = diagnose(error)
        if self.classify is not None:
            answer = Classification(self.classify(error))
            diagnosis = replace(diagnosis, classification=answer, reason="the policy's own judgement")
        return diagnosis

    def band(self, attempt: int, previous: float, diagnosis: Diagnosis) -> tuple[float, float]:
        """The shortest and longest delay after *attempt* failed; both infinite if the service's hint is over the cap.

        Above a hint the band keeps its width, so that clients that were all
        told the same moment do not all come at it.
        """
        cap = self._backoff.cap
        low, high = self._backoff.band(attempt, previous, diagnosis.throttling)
        low, high = min(low, cap), max(low, high)
        hint = diagnosis.retry_after
        if hint is not None and self.honour_hints and hint > low:
            if hint > cap:
                return math.inf, math.inf
            low, high = hint, max(high, hint + min(high, cap) - low)
        return low, high

    def draw(self, low: float, high: float) -> float:
        if low == high:
            return low
        source = self._random if self._random is not None else _random
        return min(low + (high - low) * source.random(), self._backoff.cap)

    @property
    def watched(self) -> bool:
        return bool(_watchers or self.listeners)

    def tell(self, event: RetryEvent) -> None:
        notify((*_watchers, *self.listeners), event)


class RetryOptions(TypedDict, total=False):
    """What :class:`Retry` takes by keyword, but for the number of retries."""

    deadline: float | None
    budget: Budget | None
    classify: Callable[[Exception], Classification | str] | None
    retry_unknown: bool
    honour_hints: bool
    on_retry: Callable[[Waiting], object] | None
    listeners: Iterable[RetryListener]
    name: str | None
    clock: Callable[[], float] | None
    sleep: Callable[[float], object] | None
    async_sleep: Callable[[float], Awaitable[object]] | None
    random: RandomSource | None


class ExponentialBackoffRetry(Retry):
    """Exponential backoff: ``base_delay``, twice, four times, ... up to ``max_delay`` seconds.

    At most ``max_retries + 1`` attempts. With ``jitter`` each delay is
    multiplied by a number from [0.5, 1) (a name of
    :data:`~harness.resilience.backoff.Jitter` chooses another kind). The
    attributes can be set before use. Everything that :class:`Retry` takes by
    keyword can be given too.
    """

    def __init__(
        self,
        max_retries: int = 3,
        base_delay: float = 1,
        max_delay: float = 60,
        jitter: bool | Jitter = True,
        **options: Unpack[RetryOptions],
    ) -> None:
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._jitter = jitter
        super().__init__(self._exponential(), max_retries=max_retries, **options)

    def _exponential(self) -> Exponential:
        jitter = self._jitter
        kind: Jitter = ("equal" if jitter else "none") if isinstance(jitter, bool) else jitter
        return Exponential(self._base_delay, self._max_delay, jitter=kind)

    @property
    def base_delay(self) -> float:
        """Seconds before the second attempt, before jitter."""
        return self._base_delay

    @base_delay.setter
    def base_delay(self, value: float) -> None:
        self._base_delay = value
        self._backoff = self._exponential()

    @property
    def max_delay(self) -> float:
        """No delay is longer, in seconds."""
        return self._max_delay

    @max_delay.setter
    def max_delay(self, value: float) -> None:
        self._max_delay = value
        self._backoff = self._exponential()

    @property
    def jitter(self) -> bool | Jitter:
        """Whether delays are spread out, or the kind of spread."""
        return self._jitter

    @jitter.setter
    def jitter(self, value: bool | Jitter) -> None:
        self._jitter = value
        self._backoff = self._exponential()


def _checked_retries(value: int | None) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"max_retries must be a whole number of at least 0, not {value!r}; 0 means one attempt")
    return value


def _not_awaited(result: object) -> TypeError:
    cast("CoroutineType[Any, Any, Any]", result).close()
    return TypeError("the function gave a coroutine, which nobody awaited: use execute_async, or decorate the function")
