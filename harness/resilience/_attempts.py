"""One call under a retry policy: its book-keeping, and the iterator form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.resilience._waits import in_force
from harness.resilience.budget import LocallyThrottledError
from harness.resilience.errors import Classification, Diagnosis

if TYPE_CHECKING:
    from harness.resilience.retry import Retry

__all__ = ["Attempt", "AttemptEnded", "Attempts", "Call", "CallFinished", "RetryEvent", "RetryListener", "Waiting"]


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An attempt ended; ``error`` is ``None`` if it succeeded. ``call`` numbers the calls of this process."""

    retry: Retry
    call: int
    attempt: int
    error: BaseException | None
    classification: Classification | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A wait of ``delay`` seconds begins, out of the band ``[low, high]``, because ``attempt`` ended in ``error``."""

    retry: Retry
    call: int
    attempt: int
    error: Exception
    delay: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CallFinished:
    """The call has its answer after so many ``attempts``; ``error`` is what is raised, ``None`` after success.

    ``reason``: success, permanent, unknown, attempts (all used up), deadline,
    budget, hint (over the cap), stopped (by what is no ``Exception``, by
    ``on_retry``, or while it waited; also by the consumer that it holds up).
    """

    retry: Retry
    call: int
    attempts: int
    error: BaseException | None
    reason: str


RetryEvent: TypeAlias = AttemptEnded | Waiting | CallFinished
RetryListener: TypeAlias = Callable[[RetryEvent], object]


class Call:
    """The state of one call. Nothing here is shared with another call."""

    __slots__ = ("_cost", "_delay", "_last_error", "attempt", "number", "retry", "started")

    def __init__(self, retry: Retry, number: int, started: float | None) -> None:
        self.retry = retry
        self.number = number
        self.started = started
        self.attempt = 1  # that is under way, or was last
        self._cost = 0.0
        self._delay = 0.0
        self._last_error: Exception | None = None

    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; ``None`` if there is none."""
        retry = self.retry
        if retry.deadline is None or self.started is None:
            return None
        return max(0.0, retry.deadline - (retry.now() - self.started))

    def start(self) -> None:
        """An attempt begins.

        Raises:
            Exception: the budget does not let it out; the last attempt's error, or ``LocallyThrottledError``.
        """
        budget = self.retry.budget
        if budget is None or budget.admit(self.attempt):
            return
        error = self._last_error
        attempts = self.attempt - 1
        if error is None:
            error = LocallyThrottledError("not called: the service has lately refused too many calls")
        self._finish(error, "budget", attempts)
        raise error

    def succeeded(self) -> None:
        retry = self.retry
        self._last_error = None
        if retry.budget is not None:
            retry.budget.outcome(None, self._cost)
        if retry.watched:
            retry.tell(AttemptEnded(retry, self.number, self.attempt, None, None))
            self._finish(None, "success", self.attempt)

    def failed(self, error: Exception) -> float | None:
        """The attempt ended in *error*: the delay before the next one, or ``None``: there is none, raise it."""
        retry = self.retry
        diagnosis = retry.diagnose(error)
        if retry.budget is not None:
            retry.budget.outcome(diagnosis, self._cost)
        if retry.watched:
            retry.tell(AttemptEnded(retry, self.number, self.attempt, error, diagnosis.classification))
        low, high = 0.0, 0.0
        delay = 0.0
        reason = self._final(diagnosis)
        if reason is None:
            low, high = retry.band(self.attempt, self._delay, diagnosis)
            delay = retry.draw(low, high)
            reason = self._unaffordable(delay, diagnosis)
        if reason is not None:
            self._finish(error, reason, self.attempt)
            return None
        try:
            self._announce(error, delay, low, min(high, retry.backoff.cap))
        except BaseException as stop:  # of the user's hook
            self._give_up(stop, self.attempt)
            raise
        self._delay = delay
        if retry.budget is not None or in_force() is not None:  # which may forbid the next attempt
            self._last_error = error
        self.attempt += 1
        return delay

    def stopped(self, error: BaseException) -> None:
        """The attempt was ended by what is no failure: an interrupt, a cancellation."""
        if self.retry.watched:
            self.retry.tell(AttemptEnded(self.retry, self.number, self.attempt, error, Classification.UNKNOWN))
        self._finish(error, "stopped", self.attempt)

    def wait(self, seconds: float) -> None:
        """Wait for the next attempt. Raises what ends the wait early: an interrupt, what a user's ``sleep`` raises.

        Where it is cut because a consumer stops, there is no next attempt: the last one's error is raised.
        """
        try:
            whole = self.retry.pause(seconds)
        except BaseException as stop:
            self._give_up(stop, self.attempt - 1)
            raise
        if whole is False:
            self._cut_short()

    async def wait_async(self, seconds: float) -> None:
        """As :meth:`wait`; a cancellation ends it too."""
        try:
            whole = await self.retry.pause_async(seconds)
        except BaseException as stop:
            self._give_up(stop, self.attempt - 1)
            raise
        if whole is False:
            self._cut_short()

    def _cut_short(self) -> None:
        error = self._last_error
        assert error is not None, "a wait was cut, and no attempt had failed"
        self._give_up(error, self.attempt - 1)
        raise error

    def _give_up(self, error: BaseException, attempts: int) -> None:
        """*error* ended the call between two attempts: the retry that was paid for is not made."""
        refund = getattr(self.retry.budget, "refund", None)
        if callable(refund):
            refund(self._cost)
        self._finish(error, "stopped", attempts)

    def _final(self, diagnosis: Diagnosis) -> str | None:
        """Why no attempt may follow, as far as the error and the number of attempts say."""
        retry = self.retry
        if diagnosis.classification is Classification.PERMANENT:
            return "permanent"
        if diagnosis.classification is Classification.UNKNOWN and not retry.retry_unknown:
            return "unknown"
        if retry.max_retries is not None and self.attempt > retry.max_retries:
            return "attempts"
        return None

    def _unaffordable(self, delay: float, diagnosis: Diagnosis) -> str | None:
        """Why the wait cannot be afforded. Takes from the budget last, when nothing else can forbid the retry."""
        retry = self.retry
        if delay == float("inf"):
            return "hint"
        remaining = self.remaining()
        if remaining is not None and delay >= remaining:
            return "deadline"
        if retry.budget is not None:
            cost = retry.budget.withdraw(diagnosis)
            if cost is None:
                return "budget"
            self._cost = cost
        return None

    def _announce(self, error: Exception, delay: float, low: float, high: float) -> None:
        retry = self.retry
        if retry.on_retry is None and not retry.watched:
            return
        event = Waiting(retry, self.number, self.attempt, error, delay, low, high)
        retry.tell(event)
        if retry.on_retry is not None:
            retry.on_retry(event)

    def _finish(self, error: BaseException | None, reason: str, attempts: int) -> None:
        self._last_error = None  # its traceback holds the frames that hold this call
        if self.retry.watched:
            self.retry.tell(CallFinished(self.retry, self.number, attempts, error, reason))


class Attempt:
    """One attempt of a loop; a context manager, sync and async. ``number`` counts from 1."""

    __slots__ = ("_call", "_delay", "_state", "number")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._delay = 0.0
        self._state: Literal["made", "entered", "failed", "over"] = "made"
        self.number = call.attempt

    @property
    def remaining(self) -> float | None:
        """Seconds until the call's deadline (``None``: it has none), to hand on as a timeout."""
        return self._call.remaining()

    def __enter__(self) -> Attempt:
        self._state = "entered"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._state = "over"
        if error is None:
            self._call.succeeded()
            return False
        if not isinstance(error, Exception):
            self._call.stopped(error)
            return False
        delay = self._call.failed(error)
        if delay is None:
            return False
        self._delay = delay
        self._state = "failed"
        return True

    async def __aenter__(self) -> Attempt:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return self.__exit__(kind, error, traceback)


class Attempts:
    """The attempts of one call, each to be used as ``with attempt:``. Ends after the first that succeeds."""

    __slots__ = ("_call", "_last")

    def __init__(self, retry: Retry) -> None:
        self._call = retry.begin()
        self._last: Attempt | None = None

    def __iter__(self) -> Attempts:
        return self

    def __aiter__(self) -> Attempts:
        return self

    def _wait(self) -> float | None:
        """The delay before the next attempt (0 before the first), or ``None``: there is none."""
        last = self._last
        if last is None:
            return 0.0
        if last._state in ("made", "entered"):
            raise RuntimeError("the attempt was not used: write `with attempt:` round what may fail")
        return last._delay if last._state == "failed" else None

    def _next(self) -> Attempt:
        self._call.start()
        self._last = Attempt(self._call)
        return self._last

    def __next__(self) -> Attempt:
        delay = self._wait()
        if delay is None:
            raise StopIteration
        if self._last is not None:
            self._call.wait(delay)
        return self._next()

    async def __anext__(self) -> Attempt:
        delay = self._wait()
        if delay is None:
            raise StopAsyncIteration
        if self._last is not None:
            await self._call.wait_async(delay)
        return self._next()
