"""Traps of retries and breakers in components that fell into them: observed from outside, each is found by its rule."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from harness import invariants
from harness.resilience import (
    CircuitBreaker,
    CircuitBreakerOpenException,
    CircuitState,
    Exponential,
    PermanentError,
    Retry,
    RetryRatio,
)
from harness.resilience._attempts import Call
from harness.resilience._breaker_ticket import Ticket
from harness.resilience.errors import Diagnosis
from tests.unit.observe.helpers import Clock, fail, observed
from tests.unit.observe.test_judged import Timed, verdicts


class Instant(Timed):
    """As in virtual time: what follows from an event has its time."""

    def __call__(self, kind: str, message: str | None = None, **fields: Any) -> int:
        now = self.clock.now
        try:
            return super().__call__(kind, message, **fields)
        finally:
            self.events[-1]["at"] = self.clock.now = now


def judged(spec: Any, run: Callable[[Clock], None]) -> str:
    """The verdict on what *run* does."""
    clock = Clock(0.0)
    record = Instant(clock)
    with observed(record):
        run(clock)
    return verdicts(record, [spec])[spec.name]


def failing(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(OSError, match="down"):
            breaker.call(fail, OSError("down"))


# Breakers


class LetsTheLastResultDecide(CircuitBreaker):
    """The result of a call counts in whatever state it comes."""

    def _finish(self, ticket: Ticket, error: BaseException | None) -> None:
        super()._finish(ticket, error)
        if error is None and self._state is not CircuitState.CLOSED:
            with self._lock:
                self._change(CircuitState.CLOSED, self._now(), "a call succeeded")
            self._deliver()


def old_success(make: type[CircuitBreaker], *, half_open: bool = False) -> Callable[[Clock], None]:
    """A slow call that began while closed succeeds while its breaker is open, or half open with a probe under way."""

    def run(clock: Clock) -> None:
        breaker = make(2, 60, clock=clock)
        slow = breaker._admit()
        failing(breaker, 2)
        clock.now += 60
        if half_open:
            breaker._admit()
            clock.now += 1
        breaker._finish(slow, None)

    return run


class LetsEverybodyProbe(CircuitBreaker):
    """Half open has no permits."""

    def _admit(self) -> Ticket:
        self._probes = 0
        return super()._admit()


def herd(make: type[CircuitBreaker]) -> Callable[[Clock], None]:
    """Two calls come while it is half open."""

    def run(clock: Clock) -> None:
        breaker = make(2, 60, clock=clock)
        failing(breaker, 2)
        clock.now += 60
        first = breaker._admit()
        try:
            breaker._finish(breaker._admit(), None)
        except CircuitBreakerOpenException:
            breaker._finish(first, None)

    return run


class CountsBadMessages(CircuitBreaker):
    """Every exception is a failure of the service."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, ignore=(), **options)


def bad_messages(make: type[CircuitBreaker]) -> Callable[[Clock], None]:
    """Three messages that nobody can read."""

    def run(clock: Clock) -> None:
        breaker = make(2, 60, clock=clock)
        for _ in range(3):
            with pytest.raises((PermanentError, CircuitBreakerOpenException)):
                breaker.call(fail, PermanentError("no JSON"))
        clock.now += 60
        breaker.call(int)

    return run


class ReadsTheWallClock(CircuitBreaker):
    """Its clock is the one that people set."""

    def __init__(self, *args: Any, clock: Clock, **options: Any) -> None:
        super().__init__(*args, clock=lambda: clock() + (3600 if clock() > 5 else 0), **options)


def wall_clock_jumps(make: type[CircuitBreaker]) -> Callable[[Clock], None]:
    """The clocks of people go an hour forward a few seconds after it opened."""

    def run(clock: Clock) -> None:
        breaker = make(2, 60, clock=clock)
        failing(breaker, 2)
        clock.now = 10
        with contextlib.suppress(CircuitBreakerOpenException):
            breaker.call(int)

    return run


# Retries


class GoesOverTheCap(Retry):
    """Jitter is added after the cap was applied."""

    def draw(self, low: float, high: float) -> float:
        return super().draw(low, high) + 5


class NeverCounts(Retry):
    """The number of attempts in an attribute that another call sets back."""

    def begin(self) -> Call:
        return Tireless(self, super().begin().number, self.now())


class RetriesEverything(Retry):
    """Every exception passes with time."""

    def begin(self) -> Call:
        return Tireless(self, super().begin().number, self.now(), never="permanent")


class Tireless(Call):
    """One reason to give up is none for it."""

    def __init__(self, retry: Retry, number: int, started: float, never: str = "attempts") -> None:
        super().__init__(retry, number, started)
        self._never = never

    def _final(self, diagnosis: Diagnosis) -> str | None:
        reason = super()._final(diagnosis)
        return None if reason == self._never else reason


class SleepsPastTheDeadline(Retry):
    """Looks at the deadline before it sleeps, not at where the sleep ends."""

    def begin(self) -> Call:
        class Blind(Call):
            def remaining(self) -> float | None:
                left = super().remaining()
                return left if left is None or left <= 0 else 1e9

        return Blind(self, super().begin().number, self.now())


def retrying(make: type[Retry], error: Exception, **options: Any) -> Callable[[Clock], None]:
    """A call that never succeeds."""

    def run(clock: Clock) -> None:
        options.setdefault("max_retries", 3)
        retry = make(Exponential(8, cap=10, jitter="none"), clock=clock, sleep=clock.sleep, **options)
        with pytest.raises(type(error)):
            retry.execute(fail, error)

    return run


class Unlimited(RetryRatio):
    """A budget that each caller has for itself is none."""

    def withdraw(self, diagnosis: Diagnosis) -> float | None:
        return 1.0


def storm(make: type[RetryRatio]) -> Callable[[Clock], None]:
    """Sixty calls in a moment, each with three retries to make."""

    def run(clock: Clock) -> None:
        budget = make(clock=clock)
        retry = Retry(Exponential(0, cap=0), budget=budget, clock=clock, sleep=clock.sleep)
        for _ in range(60):
            with pytest.raises(ConnectionError):
                retry.execute(fail, ConnectionError())

    return run


DOWN = ConnectionError("down")


@pytest.mark.parametrize(
    ("spec", "run", "right", "broken"),
    [
        (invariants.breaker_transitions(), old_success, CircuitBreaker, LetsTheLastResultDecide),
        (
            invariants.breaker_generations(),
            lambda make: old_success(make, half_open=True),
            CircuitBreaker,
            LetsTheLastResultDecide,
        ),
        (invariants.breaker_half_open_permits(), herd, CircuitBreaker, LetsEverybodyProbe),
        (invariants.breaker_ignores_permanent(), bad_messages, CircuitBreaker, CountsBadMessages),
        (invariants.breaker_stays_open(), wall_clock_jumps, CircuitBreaker, ReadsTheWallClock),
        (invariants.backoff_bounds(), lambda make: retrying(make, DOWN), Retry, GoesOverTheCap),
        (invariants.attempts_bounded(), lambda make: retrying(make, DOWN, deadline=300), Retry, NeverCounts),
        (
            invariants.deadline_kept(),
            lambda make: retrying(make, DOWN, deadline=12, max_retries=9),
            Retry,
            SleepsPastTheDeadline,
        ),
        (
            invariants.permanent_not_retried(),
            lambda make: retrying(make, PermanentError(), deadline=300),
            Retry,
            RetriesEverything,
        ),
        (invariants.retry_budget(), storm, RetryRatio, Unlimited),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_trap_is_found_from_outside(spec: Any, run: Any, right: Any, broken: Any) -> None:
    """The rule holds for ours in the same situation, and names the component that fell into the trap."""
    assert judged(spec, run(right)) in ("holds", "inconclusive")
    assert judged(spec, run(broken)) == "violated"
