"""Circuit breaker: stop calling what is down, and find out with few calls when it is back.

::

    breaker = CircuitBreaker(failure_threshold=5, recovery_timeout=60, name="payments")
    breaker.call(charge, order)                  # a call

    @breaker                                     # a decorator, sync or async
    def charge(order): ...

    with breaker:                                # a block (``async with`` too)
        charge(order)

    await breaker.call_async(charge_async, order)

=========  ==========================================================================================
closed     calls go through; too many failures (see *window*) open it
open       calls are refused with ``CircuitBreakerOpenException`` for ``recovery_timeout`` seconds
half_open  up to ``permits`` calls at a time go through as probes: ``success_threshold`` successes
           close it, one failure opens it again
=========  ==========================================================================================

The rules:

* Each change of state begins a new *generation*. The result of a call that
  began in an earlier one changes nothing, so a slow success from before the
  outage cannot close the breaker.
* Time is monotonic: a wall clock that jumps has no effect.
* Errors that :func:`~harness.resilience.errors.classify` calls permanent say
  that the request was bad, not that the service is down. They count neither
  as failure nor as success, and free their probe's permit.
* An exception that is no ``expected_exception`` does not count while closed.
  In a probe it proves nothing, and the breaker opens again. What is no
  ``Exception`` at all (an interrupt, a cancellation) frees the permit.
* A success takes no lock as long as nothing failed before it.
* With a ``store`` (:mod:`harness.resilience.breaker_store`) processes share one state.
"""

from __future__ import annotations

import functools
import inspect
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from harness.resilience._breaker_events import (
    WATCHERS,
    BreakerCreated,
    BreakerEvent,
    BreakerListener,
    BreakerMetrics,
    CallBegan,
    CallEnded,
    CircuitState,
    LimitsChanged,
    Mode,
    StateChanged,
    StoreChanged,
)
from harness.resilience._breaker_state import BreakerState, CircuitBreakerOpenException, Errors
from harness.resilience._breaker_ticket import Ticket
from harness.resilience.windows import Window

if TYPE_CHECKING:
    import asyncio

    from harness.resilience.breaker_store import BreakerStore

__all__ = [
    "BreakerCreated",
    "BreakerEvent",
    "BreakerListener",
    "BreakerMetrics",
    "CallBegan",
    "CallEnded",
    "CircuitBreaker",
    "CircuitBreakerOpenException",
    "CircuitState",
    "Guard",
    "LimitsChanged",
    "StateChanged",
    "StoreChanged",
    "watch_breakers",
]

P = ParamSpec("P")
T = TypeVar("T")


def watch_breakers(listener: BreakerListener) -> Callable[[], None]:
    """Tell *listener* of every breaker of this process that is made or used; returns a function that ends it."""
    WATCHERS.append(listener)

    def stop() -> None:
        if listener in WATCHERS:
            WATCHERS.remove(listener)

    return stop


class CircuitBreaker(BreakerState):
    """A circuit breaker. One object serves any number of threads and tasks.

    Args:
        failure_threshold: consecutive failures that open it (without *window*).
        recovery_timeout: seconds that it stays open.
        expected_exception: what counts as a failure: a class or a tuple of classes.
        window: when to open, in place of *failure_threshold*: a
            :class:`~harness.resilience.windows.CountWindow` or ``TimeWindow``.
        permits: probes that may be under way at once while half open.
        success_threshold: successful probes that close it.
        recovery_growth: what the open time is multiplied by each time that a
            probe fails, up to *recovery_timeout_max* seconds. Closing resets it.
        half_open_timeout: seconds after which a half-open state whose probes
            never came back opens again; ``None``: it waits for them.
        ignore: replaces the rule about permanent errors: a class, a tuple of
            classes, or a function that says whether an error is to be ignored.
        name: for people, metrics and histories; with *store* what makes breakers one.
        store: where processes share the state; without it each process has its own.
        permit_seconds: how long a probe keeps its permit in the store; longer than a call takes.
        store_pause: seconds without asking the store after it failed.
        listeners: told everything; one that fails is logged and changes nothing.
        clock: seconds that only go forward (``None``: ``time.monotonic``).

    The first three can be set as attributes, too, before it is used;
    :meth:`set_limits` changes them later.

    Raises:
        ValueError: a limit is out of range.
    """

    def __init__(
        self,
        failure_threshold: int = 5,
        recovery_timeout: float = 60,
        expected_exception: Errors = Exception,
        *,
        window: Window | None = None,
        permits: int = 1,
        success_threshold: int = 1,
        recovery_growth: float = 1.0,
        recovery_timeout_max: float | None = None,
        half_open_timeout: float | None = None,
        ignore: Errors | Callable[[BaseException], bool] | None = None,
        name: str | None = None,
        store: BreakerStore | None = None,
        permit_seconds: float = 30,
        store_pause: float = 5,
        listeners: Iterable[BreakerListener] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        _check_whole("failure_threshold", failure_threshold)
        _check_whole("permits", permits)
        _check_whole("success_threshold", success_threshold)
        _check_seconds("recovery_timeout", recovery_timeout)
        if recovery_timeout_max is not None:
            _check_seconds("recovery_timeout_max", recovery_timeout_max)
        if half_open_timeout is not None:
            _check_seconds("half_open_timeout", half_open_timeout)
        if not (math.isfinite(recovery_growth) and recovery_growth >= 1):
            raise ValueError(f"recovery_growth must be at least 1, not {recovery_growth!r}")
        super().__init__(
            failure_threshold=failure_threshold,
            recovery_timeout=recovery_timeout,
            expected_exception=expected_exception,
            window=window,
            ignore=ignore,
            listeners=listeners,
            clock=clock,
        )
        self.permits = permits
        self.success_threshold = success_threshold
        self.recovery_growth = recovery_growth
        self.recovery_timeout_max = recovery_timeout_max
        self.half_open_timeout = half_open_timeout
        self.name = name
        self._store = store
        if store is not None:
            self._share(store, permit_seconds, store_pause)
        self._created()

    def _share(self, store: BreakerStore, permit_seconds: float, pause: float) -> None:
        from harness.resilience._breaker_shared import SharedPart

        _check_seconds("permit_seconds", permit_seconds)
        _check_seconds("store_pause", pause)
        if not self.name:
            raise ValueError("a breaker with a store needs a name: those of one name are one")
        if permit_seconds == 0:
            raise ValueError("permit_seconds must be above 0: a probe would lose its permit as it gets it")
        self._shared = SharedPart(self, store, self.name, permit_seconds=permit_seconds, pause=pause)
        self._refresh()

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        return f"CircuitBreaker({name}{self._state.value}, {self.failure_count} failures)"

    # Calling

    def call(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *func* and return its result, if the breaker lets it.

        Raises:
            CircuitBreakerOpenException: it does not.
            TypeError: *func* is a coroutine function (use :meth:`call_async`).
        """
        generation = self._plain
        if not generation or WATCHERS:
            return self._call_watched(func, args, kwargs)
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            self._finish(Ticket(CircuitState.CLOSED, generation, 0, None), error)
            raise
        if type(result) is CoroutineType:
            raise _not_awaited(result)
        if self._failures or self._plain != generation:
            self._finish(Ticket(CircuitState.CLOSED, generation, 0, None), None)
        else:
            self._note_success()
        return result

    def _call_watched(self, func: Callable[..., T], args: Any, kwargs: Any) -> T:
        ticket = self._admit()
        try:
            result = func(*args, **kwargs)
            if type(result) is CoroutineType:
                raise _not_awaited(result)
        except BaseException as error:
            self._finish(ticket, error)
            raise
        self._finish(ticket, None)
        return result

    async def call_async(self, func: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """As :meth:`call`, for a function whose result is awaited."""
        generation = self._plain
        if not generation or WATCHERS:
            return await self._call_watched_async(func, args, kwargs)
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            self._finish(Ticket(CircuitState.CLOSED, generation, 0, None), error)
            raise
        if self._failures or self._plain != generation:
            self._finish(Ticket(CircuitState.CLOSED, generation, 0, None), None)
        else:
            self._note_success()
        return result

    async def _call_watched_async(self, func: Callable[..., Awaitable[T]], args: Any, kwargs: Any) -> T:
        ticket = await self._admit_async()
        try:
            result = await func(*args, **kwargs)
        except BaseException as error:
            await self._finish_async(ticket, error)
            raise
        await self._finish_async(ticket, None)
        return result

    async def _admit_async(self) -> Ticket:
        if self._shared is None:
            return self._admit()
        import asyncio

        asking = asyncio.get_running_loop().run_in_executor(None, self._admit)
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(self._give_up)
            raise

    def _give_up(self, asking: asyncio.Future[Ticket]) -> None:
        """The caller was cancelled while the store was asked: if it lets the call in, nobody makes it."""
        import asyncio

        if not asking.cancelled() and asking.exception() is None:
            given_up = (asking.result(), asyncio.CancelledError())
            # A thread of its own: the loop and its executor may be at their end.
            threading.Thread(target=self._finish, args=given_up, name="breaker-give-up").start()

    async def _finish_async(self, ticket: Ticket, error: BaseException | None) -> None:
        if self._shared is None or not ticket.call:
            self._finish(ticket, error)
            return
        import asyncio

        # Shielded: what a call came to is told to the end, whoever is cancelled meanwhile.
        telling = asyncio.get_running_loop().run_in_executor(None, self._finish, ticket, error)
        await asyncio.shield(telling)

    def __call__(self, func: Callable[P, T]) -> Callable[P, T]:
        """Decorate *func* (a function or a coroutine function).

        Raises:
            TypeError: *func* is a generator function: the call ends when the
                generator is made, long before its body fails.
        """
        if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
            raise TypeError(
                f"{func.__qualname__} is a generator function and cannot be guarded as one call; "
                "write `with breaker:` inside it"
            )
        if inspect.iscoroutinefunction(func):

            @functools.wraps(func)
            async def async_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                generation = self._plain
                if not generation or WATCHERS:
                    return await self._call_watched_async(func, args, kwargs)
                try:  # the short way once more, as below
                    result = await func(*args, **kwargs)
                except BaseException as error:
                    self._finish(Ticket(CircuitState.CLOSED, generation, 0, None), error)
                    raise
                if self._failures or self._plain != generation:
                    self._finish(Ticket(CircuitState.CLOSED, generation, 0, None), None)
                else:
                    self._note_success()
                return result

            return cast("Callable[P, T]", async_wrapper)

        @functools.wraps(func)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            generation = self._plain
            if not generation or WATCHERS:
                return self._call_watched(func, args, kwargs)
            try:  # the short way of call once more: calling it would double the cost of a success
                result = func(*args, **kwargs)
            except BaseException as error:
                self._finish(Ticket(CircuitState.CLOSED, generation, 0, None), error)
                raise
            if type(result) is CoroutineType:
                raise _not_awaited(result)
            if self._failures or self._plain != generation:
                self._finish(Ticket(CircuitState.CLOSED, generation, 0, None), None)
            else:
                self._note_success()
            return result

        return wrapper

    def guard(self) -> Guard:
        """One call as a context manager, sync and async: ``with breaker.guard(): ...``."""
        return Guard(self)

    def __enter__(self) -> Guard:
        guard = Guard(self)
        guard.__enter__()
        _blocks.set((*_blocks.get(), guard))
        return guard

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave_block().__exit__(kind, error, traceback)

    def _leave_block(self) -> Guard:
        blocks = _blocks.get()
        place = max((place for place, guard in enumerate(blocks) if guard.breaker is self), default=None)
        if place is None:
            raise RuntimeError("`with breaker` was left in another task or thread than it was entered in; use guard()")
        _blocks.set(blocks[:place] + blocks[place + 1 :])
        return blocks[place]

    async def __aenter__(self) -> Guard:
        guard = Guard(self)
        await guard.__aenter__()
        _blocks.set((*_blocks.get(), guard))
        return guard

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave_block().__aexit__(kind, error, traceback)

    # Looking

    @property
    def state(self) -> CircuitState:
        """The state. An open breaker says so until the first call after its open time. Setting it forces it."""
        return self._state

    @state.setter
    def state(self, value: CircuitState) -> None:
        state = CircuitState(value)
        self._force(state, "normal", f"set to {state.value}")
        if state is CircuitState.OPEN and self._failed_at is not None:
            self.last_failure_time = self._failed_at

    @property
    def mode(self) -> Mode:
        """``normal``; ``isolated``: open until closed by hand; ``disabled``: closed, whatever happens."""
        return self._mode

    @property
    def generation(self) -> int:
        """Number of the present state, from 1; where processes share it, in the present epoch."""
        return self._generation

    @property
    def window(self) -> Window | None:
        return self._window

    @property
    def store(self) -> BreakerStore | None:
        """Where the state is shared."""
        return self._store

    @property
    def permit_seconds(self) -> float | None:
        """How long a probe keeps its permit in the store; ``None`` without one."""
        return self._shared.permit_seconds if self._shared is not None else None

    @property
    def began(self) -> CircuitState:
        """The state in which the shared state began as it is now: its store may have lost another one before."""
        return self._shared.began if self._shared is not None else CircuitState.CLOSED

    @property
    def epoch(self) -> str:
        """Which state is shared: the store begins another one when it has lost its data. Empty: none is known."""
        return self._shared.epoch if self._shared is not None else ""

    @property
    def alone(self) -> bool:
        """Whether this process goes by its own counts, because the store cannot be reached."""
        return self._shared is not None and self._shared.alone

    @property
    def failure_count(self) -> int:
        """Consecutive failures; with a window, failures in it. Of a shared state: as this process learned last."""
        if self._tally is None or (self._shared is not None and not self._shared.alone):
            return self._failures
        with self._lock:
            return self._tally.counts(self._now())[1]

    @failure_count.setter
    def failure_count(self, value: int) -> None:
        self._failures = value

    @property
    def last_failure_time(self) -> float | None:
        """When a call last failed, in seconds since 1970; for people, nothing here depends on it.

        Setting it while open moves the moment from which the open time counts.
        """
        return self._failed_at

    @last_failure_time.setter
    def last_failure_time(self, value: float | None) -> None:
        self._failed_at = value
        if value is not None and self._state is CircuitState.OPEN:
            self._changed_at = self._now() - (time.time() - value)

    def add_listener(self, listener: BreakerListener) -> None:
        """Tell *listener* of every call and change from now on."""
        with self._lock:
            self._listeners = (*self._listeners, listener)
            self._refresh()

    def remove_listener(self, listener: BreakerListener) -> None:
        """No longer tell *listener*; nothing happens if it was not told before."""
        with self._lock:
            self._listeners = tuple(other for other in self._listeners if other != listener)
            self._refresh()

    # Deciding by hand

    def force_open(self) -> None:
        """Open it now, for the usual open time."""
        self._force(CircuitState.OPEN, "normal", "forced open")

    def force_close(self) -> None:
        """Close it now and forget what was counted."""
        self._force(CircuitState.CLOSED, "normal", "forced closed")

    def isolate(self) -> None:
        """Open it until :meth:`force_close` or :meth:`enable`: for work on the service."""
        self._force(CircuitState.OPEN, "isolated", "isolated")

    def disable(self) -> None:
        """Let every call through and judge none, until :meth:`enable`."""
        self._force(CircuitState.CLOSED, "disabled", "disabled")

    def enable(self) -> None:
        """Back to normal, closed."""
        self._force(CircuitState.CLOSED, "normal", "enabled")

    reset = force_close


class Guard:
    """One call as a block. Use it once."""

    __slots__ = ("_ticket", "breaker")

    def __init__(self, breaker: CircuitBreaker) -> None:
        self.breaker = breaker
        self._ticket: Ticket | None = None

    def __enter__(self) -> Guard:
        if self._ticket is not None:
            raise RuntimeError("a guard stands for one call; ask the breaker for another one")
        self._ticket = self.breaker._admit()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ticket is not None:
            self.breaker._finish(self._ticket, error)

    async def __aenter__(self) -> Guard:
        if self._ticket is not None:
            raise RuntimeError("a guard stands for one call; ask the breaker for another one")
        self._ticket = await self.breaker._admit_async()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ticket is not None:
            await self.breaker._finish_async(self._ticket, error)


# The blocks that are open in this thread or task, the innermost last.
_blocks: ContextVar[tuple[Guard, ...]] = ContextVar("harness.resilience.breaker", default=())


def _check_whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")


def _check_seconds(name: str, value: float) -> None:
    if isinstance(value, bool) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a number of seconds, at least 0, not {value!r}")


def _not_awaited(result: object) -> TypeError:
    cast("CoroutineType[Any, Any, Any]", result).close()
    return TypeError("the function gave a coroutine, which nobody awaited: use call_async, or decorate the function")
