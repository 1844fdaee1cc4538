"""The state machine of a circuit breaker: who is let in, and what the result of a call changes."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, cast

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
    Outcome,
    StateChanged,
)
from harness.resilience._breaker_ticket import Ticket
from harness.resilience._listeners import logger, notify
from harness.resilience.errors import Classification, PermanentError, TransientError, classify
from harness.resilience.windows import CountWindow, QuickTally, TimeWindow, Window

if TYPE_CHECKING:
    from harness.resilience._breaker_shared import SharedPart
    from harness.resilience.breaker import CircuitBreaker

__all__ = ["BreakerState", "CircuitBreakerOpenException", "Errors", "Ticket"]

Errors = type[BaseException] | tuple[type[BaseException], ...]

_CLOSED, _OPEN, _HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


class CircuitBreakerOpenException(TransientError):
    """The call was refused: the breaker is open, or all probes of its half-open state are under way.

    ``retry_after``: seconds until the breaker lets a probe through, or
    ``None`` where that depends on probes under way or on a person.
    ``breaker``: its name.
    """

    def __init__(self, *args: object, breaker: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(*args, retry_after=retry_after)
        self.breaker = breaker


class BreakerState:
    """State, limits and counts. Every change happens under one lock; listeners are told outside it, in order."""

    def __init__(
        self,
        *,
        failure_threshold: int,
        recovery_timeout: float,
        expected_exception: Errors,
        window: Window | None,
        ignore: Errors | Callable[[BaseException], bool] | None,
        listeners: Iterable[BreakerListener],
        clock: Callable[[], float] | None,
    ) -> None:
        self.failure_threshold = failure_threshold
        self.recovery_timeout = recovery_timeout
        self.expected_exception = expected_exception
        self.ignore = ignore
        self.name: str | None = None
        self.permits = 1
        self.success_threshold = 1
        self.recovery_growth = 1.0
        self.recovery_timeout_max: float | None = None
        self.half_open_timeout: float | None = None
        self._shared: SharedPart | None = None
        self._window = window
        self._tally = window.tally() if window is not None else None
        self._listeners = tuple(listeners)
        self._clock = clock
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._outbox: deque[BreakerEvent] = deque()
        self._state = _CLOSED
        self._mode: Mode = "normal"
        self._generation = 1
        self._failures = 0  # consecutive
        self._probes = 0  # under way
        self._probe_successes = 0
        self._changed_at = self._now()
        self._failed_recoveries = 0  # half-open states that failed since it was last closed
        self._failed_at: float | None = None  # wall clock, for people
        self._numbers = count(1)
        self._count_success = count().__next__  # atomic without a lock
        self._success_reads = 0
        self._note_success: Callable[[], object] = self._count_success  # how the short way counts
        # Successes of the short way that the window has not seen yet, in a window that can take them later.
        self._quick = self._quick_tally()
        self._folded = 0
        self._slot_at = self._changed_at
        self._slot_end = math.inf
        if self._quick is not None:
            self._slot_end = self._quick.slot_end(self._slot_at)
            if self._slot_end < math.inf:
                self._note_success = self._note_in_time
        self._counts = dict.fromkeys(("failure", "ignored", "rejected", "slow", "stale", "opened"), 0)
        # The generation while a success has nothing to do but be counted, else 0: one read decides.
        self._plain = 0
        self._refresh()

    # Letting in

    def _admit(self) -> Ticket:
        """Let a call in, or raise ``CircuitBreakerOpenException``."""
        shared = self._shared
        if shared is not None:
            decided = shared.admit()
            if decided is not None:
                return decided
        now = self._now()
        with self._lock:
            if self._mode == "normal":
                self._let_time_pass(now)
            state, generation = self._state, self._generation
            admitted = state is _CLOSED or (state is _HALF_OPEN and self._probes < self.permits)
            if admitted:
                if state is _HALF_OPEN:
                    self._probes += 1
                ticket = Ticket(state, generation, next(self._numbers), now)
                if shared is not None:
                    shared.stamp(ticket)
                if self._listeners or WATCHERS:
                    self._outbox.append(CallBegan(self._self, ticket.number, state, generation))
            else:
                self._counts["rejected"] += 1
                if self._listeners or WATCHERS:
                    self._outbox.append(CallEnded(self._self, 0, "rejected", state, generation, None, None, 0.0))
                wait = self._wait(now)
        self._deliver()
        if not admitted:
            raise self._refusal(state, wait)
        return ticket

    def _let_time_pass(self, now: float) -> None:
        if self._state is _OPEN and now - self._changed_at >= self._open_seconds():
            self._change(_HALF_OPEN, now, "recovery timeout passed")
            return
        limit = self.half_open_timeout
        if self._state is _HALF_OPEN and limit is not None and now - self._changed_at >= limit:
            self._reopen(now, "the probes did not come back in time")

    def _open_seconds(self) -> float:
        try:
            grown = self.recovery_timeout * self.recovery_growth**self._failed_recoveries
        except OverflowError:
            grown = float("inf")
        limit = self.recovery_timeout_max
        return grown if limit is None else max(self.recovery_timeout, min(grown, limit))

    def _wait(self, now: float) -> float | None:
        """Seconds until a probe is let through, where time alone decides that."""
        if self._state is not _OPEN or self._mode != "normal":
            return None
        return max(0.0, self._changed_at + self._open_seconds() - now)

    def _refusal(self, state: CircuitState, wait: float | None) -> CircuitBreakerOpenException:
        name = f"circuit breaker {self.name!r}" if self.name else "circuit breaker"
        if state is _HALF_OPEN:
            text = f"{name} is half open and its probes are under way"
        elif wait is None:
            text = f"{name} is isolated until somebody closes it"
        else:
            text = f"{name} is open; a probe is let through in {wait:.3g} s"
        return CircuitBreakerOpenException(text, breaker=self.name, retry_after=wait)

    # Results

    def _finish(self, ticket: Ticket, error: BaseException | None) -> None:
        """A call that was let in has ended."""
        outcome: Outcome = "success"
        classification = None
        try:
            if error is not None:
                outcome, classification = self._judge(ticket, error)
        except Exception:
            # A broken rule of the user's must neither hide the call's own error nor keep a probe's permit.
            logger.exception("judging %r failed; it counts as a failure", error)
            outcome, classification = "failure", None
        now = self._now()
        took = now - ticket.began if ticket.began is not None else 0.0
        limit = self._window.slow_call_seconds if self._window is not None else None
        slow = limit is not None and outcome != "ignored" and took > limit
        shared = self._shared
        ended = None
        if shared is not None or self._listeners or WATCHERS:
            began = (ticket.state, ticket.generation)
            facts = (ticket.number, outcome, *began, error, classification, took)
            ended = CallEnded(self._self, *facts, slow=slow, shared=ticket.epoch)
        if shared is not None and ended is not None and ticket.call:
            shared.finish(ticket, outcome, slow=slow, error=error, ended=ended)
            return
        with self._lock:
            self._count_outcome(outcome, slow)
            if ended is not None and (self._listeners or WATCHERS):
                self._outbox.append(ended)
            if ticket.generation != self._generation or (shared is not None and not shared.current(ticket)):
                self._counts["stale"] += 1
            elif self._state is _CLOSED and self._mode == "normal":
                self._count_closed(outcome, slow, now)
            elif self._state is _HALF_OPEN:
                self._count_probe(outcome, slow, now, error)
        self._deliver()

    def _quick_tally(self) -> QuickTally | None:
        """The tally, if a success without failures before it can wait to be added: nothing has to be timed then."""
        window, tally = self._window, self._tally
        # A class derived from these may judge by other rules.
        quick = type(window) in (CountWindow, TimeWindow) and window is not None and window.slow_call_seconds is None
        return cast("QuickTally", tally) if quick else None

    def _note_in_time(self) -> None:
        if self._now() >= self._slot_end:
            with self._lock:
                self._fold(self._now())
        self._count_success()

    def _fold(self, now: float) -> None:
        """Add the successes of the short way to the window. Under the lock."""
        if self._quick is None:
            return
        total = self._successes()
        if total > self._folded:
            self._quick.add_successes(self._slot_at, total - self._folded)
            self._folded = total
        self._slot_at = now
        self._slot_end = self._quick.slot_end(now)

    def _successes(self) -> int:
        """How many were counted. Under the lock: a count can only be read by counting, which is taken off again."""
        successes = self._count_success() - self._success_reads
        self._success_reads += 1
        return successes

    def _count_outcome(self, outcome: Outcome, slow: bool) -> None:
        """For :meth:`metrics`. Under the lock."""
        if outcome == "success":
            self._count_success()
            self._folded += 1  # the window is told apart
        else:
            self._counts[outcome] += 1
        self._counts["slow"] += slow
        if outcome == "failure":
            self._failed_at = time.time()

    def _judge(self, ticket: Ticket, error: BaseException) -> tuple[Outcome, Classification | None]:
        expected = isinstance(error, self.expected_exception)
        if not isinstance(error, Exception):
            return ("failure" if expected else "ignored"), None
        classification = classify(error)
        ignore = self.ignore
        if ignore is None:
            ignored = classification is Classification.PERMANENT and not self._wants_permanent(error)
        elif isinstance(ignore, (type, tuple)):
            ignored = isinstance(error, ignore)
        else:
            ignored = ignore(error)
        if ignored:
            return "ignored", classification
        if expected or ticket.state is _HALF_OPEN:
            return "failure", classification
        return "ignored", classification

    def _wants_permanent(self, error: Exception) -> bool:
        """Whether ``expected_exception`` names a class of permanent errors on purpose."""
        expected = self.expected_exception
        classes = expected if isinstance(expected, tuple) else (expected,)
        return any(issubclass(cls, PermanentError) and isinstance(error, cls) for cls in classes)

    def _count_closed(self, outcome: Outcome, slow: bool, now: float) -> None:
        if outcome == "ignored":
            return
        failed = outcome == "failure"
        if self._tally is not None and self._window is not None:
            self._fold(now)
            self._tally.add(now, failed, slow)
            calls, self._failures, late = self._tally.counts(now)
            reason = self._window.verdict(calls, self._failures, late)
            if reason is not None:
                self._change(_OPEN, now, reason)
        elif not failed:
            self._failures = 0
        else:
            self._failures += 1
            if self._failures >= self.failure_threshold:
                self._change(_OPEN, now, f"{self._failures} consecutive failures")

    def _count_probe(self, outcome: Outcome, slow: bool, now: float, error: BaseException | None) -> None:
        self._probes -= 1
        if outcome == "failure":
            self._failures += 1
            self._reopen(now, f"a probe failed ({type(error).__name__})")
        elif slow:
            self._reopen(now, "a probe was slow")
        elif outcome == "success":
            self._probe_successes += 1
            if self._probe_successes >= self.success_threshold:
                self._change(_CLOSED, now, f"{self._probe_successes} probes succeeded")

    # Changes (under the lock)

    def _reopen(self, now: float, reason: str) -> None:
        self._failed_recoveries += 1
        self._change(_OPEN, now, reason)

    def _change(self, after: CircuitState, now: float, reason: str) -> None:
        before, self._state = self._state, after
        self._generation += 1
        self._changed_at = now
        self._probes = self._probe_successes = 0
        if after is _OPEN:
            self._counts["opened"] += before is not _OPEN
        elif after is _CLOSED:
            self._clear()
        self._refresh()
        if self._listeners or WATCHERS:
            self._outbox.append(StateChanged(self._self, before, after, self._generation, reason))

    def _clear(self) -> None:
        self._failures = self._failed_recoveries = 0
        if self._tally is not None:
            self._tally.clear()
            self._folded = self._successes()

    def _force(self, after: CircuitState, mode: Mode, reason: str) -> None:
        """A person decides. Already there: an open time begins again, counts of a closed breaker are cleared.

        A shared breaker's store is told; while it cannot be reached, this process goes by it until it can.
        """
        if self._shared is not None and self._shared.force(after, mode, reason):
            return
        now = self._now()
        with self._lock:
            if self._state is not after or self._mode != mode:
                self._mode = mode
                self._change(after, now, reason)
            else:
                self._changed_at = now
                if after is _CLOSED:
                    self._clear()
            self._refresh()
        self._deliver()

    def set_limits(self, *, failure_threshold: int | None = None, recovery_timeout: float | None = None) -> None:
        """Change limits while the breaker is in use; ``None`` leaves one as it is.

        A closed breaker that has as many consecutive failures as the new
        threshold asks for opens at once.

        Raises:
            ValueError: a limit is out of range.
        """
        if failure_threshold is not None and failure_threshold < 1:
            raise ValueError(f"failure_threshold must be at least 1, not {failure_threshold!r}")
        if recovery_timeout is not None and not recovery_timeout >= 0:
            raise ValueError(f"recovery_timeout must be at least 0 seconds, not {recovery_timeout!r}")
        now = self._now()
        with self._lock:
            if failure_threshold is not None:
                self.failure_threshold = failure_threshold
            if recovery_timeout is not None:
                self.recovery_timeout = recovery_timeout
            if self._listeners or WATCHERS:
                self._outbox.append(LimitsChanged(self._self, self.failure_threshold, self.recovery_timeout))
            own = self._shared is None or self._shared.alone  # else the store compares, at the next failure
            closed = own and self._state is _CLOSED and self._mode == "normal" and self._tally is None
            if closed and self._failures >= self.failure_threshold:
                self._change(_OPEN, now, f"{self._failures} consecutive failures, more than the new threshold allows")
        self._deliver()

    def _refresh(self) -> None:
        simple = (self._tally is None or self._quick is not None) and not self._listeners and self._shared is None
        self._plain = self._generation if simple and self._state is _CLOSED else 0

    # Telling

    @property
    def _self(self) -> CircuitBreaker:
        return cast("CircuitBreaker", self)

    def _created(self) -> None:
        if WATCHERS:
            notify(tuple(WATCHERS), BreakerCreated(self._self))

    def _deliver(self) -> None:
        """Tell what is in the outbox, in order, by one thread at a time. Another thread's events may be told here."""
        while self._outbox and self._telling.acquire(blocking=False):
            try:
                while self._outbox:
                    notify((*WATCHERS, *self._listeners), self._outbox.popleft())
            finally:
                self._telling.release()

    def _now(self) -> float:
        return self._clock() if self._clock is not None else time.monotonic()

    def metrics(self) -> BreakerMetrics:
        """The breaker now, and what it has counted since it was made."""
        now = self._now()
        with self._lock:
            self._fold(now)
            successes = self._successes()
            alone = self._shared is not None and self._shared.alone
            calls, failures, slow = self._tally.counts(now) if self._tally is not None else (0, 0, 0)
            if self._tally is None or (self._shared is not None and not alone):
                failures = self._failures
            counts = self._counts
            return BreakerMetrics(
                name=self.name,
                state=self._state,
                mode=self._mode,
                generation=self._generation,
                failure_count=failures,
                successes=successes,
                failures=counts["failure"],
                ignored=counts["ignored"],
                rejected=counts["rejected"],
                slow=counts["slow"],
                stale=counts["stale"],
                opened=counts["opened"],
                probes=self._probes,
                failure_rate=failures / calls if calls else None,
                slow_rate=slow / calls if calls else None,
                retry_after=self._wait(now),
                alone=alone,
            )
