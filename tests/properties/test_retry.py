"""Backoff and retries: what holds for every policy, every sequence of errors and every draw."""

from __future__ import annotations

import math
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness.resilience import (
    Constant,
    Custom,
    Exponential,
    ExponentialBackoffRetry,
    Fibonacci,
    PermanentError,
    Retry,
    RetryQuota,
    RetryRatio,
    ThrottlingError,
    TransientError,
)
from harness.resilience.retry import CallFinished, RetryEvent, Waiting
from tests.unit.resilience.clocks import Clock, Flaky

seconds = st.floats(0, 1000, allow_nan=False)
plain_jitter = st.sampled_from(["none", "equal", "full"])
backoffs = st.one_of(
    st.builds(
        Exponential,
        base=seconds,
        cap=seconds,
        factor=st.floats(1, 1e6),
        jitter=st.sampled_from(["none", "equal", "full", "decorrelated"]),
        throttling_base=st.none() | seconds,
    ),
    st.builds(Constant, delay=seconds, jitter=plain_jitter),
    st.builds(Fibonacci, base=seconds, cap=seconds, jitter=plain_jitter),
    st.builds(
        Custom,
        function=st.sampled_from([float, lambda attempt: -attempt, lambda attempt: 1e300 * attempt]),
        cap=seconds,
        jitter=plain_jitter,
    ),
)
errors = st.one_of(
    st.builds(TransientError),
    st.builds(ThrottlingError, retry_after=st.none() | st.floats(0, 100)),
    st.builds(PermanentError),
    st.builds(KeyError),
)


@given(backoff=backoffs, attempt=st.integers(1, 10**6), previous=seconds, throttling=st.booleans())
def test_a_band_is_a_band(backoff: Any, attempt: int, previous: float, throttling: bool) -> None:
    """For any numbers: finite after the cap, not below 0, low at most high."""
    low, high = backoff.band(attempt, previous, throttling)
    assert 0 <= low <= high
    assert min(high, backoff.cap) <= backoff.cap


def run(retry: Retry, clock: Clock, script: list[Exception], took: float) -> tuple[Flaky, Exception | None]:
    flaky = Flaky(*script)

    def call() -> str:
        clock.now += took
        return flaky()

    try:
        retry.execute(call)
    except Exception as error:
        return flaky, error
    return flaky, None


@given(
    backoff=backoffs,
    script=st.lists(errors, max_size=8),
    max_retries=st.integers(0, 6) | st.none(),
    deadline=st.none() | st.floats(0.001, 200),
    took=st.floats(0, 20),
    seed=st.integers(0, 1000),
    retry_unknown=st.booleans(),
)
def test_every_call_keeps_its_policy(
    backoff: Any,
    script: list[Exception],
    max_retries: int | None,
    deadline: float | None,
    took: float,
    seed: int,
    retry_unknown: bool,
) -> None:
    """Attempts, waits, cap, hints, deadline, classification and the error raised, whatever happens."""
    clock = Clock(0.0)
    events: list[RetryEvent] = []
    retry = Retry(
        backoff,
        max_retries=max_retries,
        deadline=deadline,
        retry_unknown=retry_unknown,
        listeners=[events.append],
        clock=clock,
        sleep=clock.sleep,
        random=random.Random(seed),
    )
    flaky, raised = run(retry, clock, script, took)
    waits = [event for event in events if isinstance(event, Waiting)]

    assert flaky.calls >= 1
    if max_retries is not None:
        assert flaky.calls <= max_retries + 1
    assert len(clock.slept) == flaky.calls - 1 == len(waits)
    for waiting, slept in zip(waits, clock.slept, strict=True):
        assert waiting.low <= slept == waiting.delay <= waiting.high <= backoff.cap
        hint = getattr(waiting.error, "retry_after", None)
        assert hint is None or slept >= hint
        assert not isinstance(waiting.error, PermanentError)
        assert retry_unknown or isinstance(waiting.error, TransientError)
    if deadline is not None and clock.slept:
        assert clock.now - took < deadline  # when the last attempt began
    assert raised is (script[flaky.calls - 1] if flaky.calls <= len(script) else None)
    assert isinstance(events[-1], CallFinished)
    assert (events[-1].attempts, events[-1].error) == (flaky.calls, raised)


@given(
    max_retries=st.integers(0, 2000),
    base=st.floats(0, 10),
    cap=st.floats(0, 100),
    jitter=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_the_known_formula(max_retries: int, base: float, cap: float, jitter: bool, seed: int) -> None:
    """min(base * 2**(n-1), cap), with jitter times a number of [0.5, 1], for any number of attempts."""
    clock = Clock(0.0)
    retry = ExponentialBackoffRetry(max_retries, base, cap, jitter, sleep=clock.sleep, random=random.Random(seed))
    run(retry, clock, [TransientError()] * (max_retries + 1), 0.0)
    assert len(clock.slept) == max_retries
    for place, slept in enumerate(clock.slept):
        try:
            delay = min(math.ldexp(base, place), cap)
        except OverflowError:
            delay = cap
        low = delay / 2 if jitter else delay
        assert low * (1 - 1e-9) <= slept <= delay * (1 + 1e-9)


@given(
    outcomes=st.lists(st.booleans(), max_size=200),
    per_second=st.integers(0, 3),
    ratio=st.sampled_from([0.0, 0.1, 0.2, 1.0]),
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=20),
)
def test_the_ratio_holds_over_every_window(
    outcomes: list[bool], per_second: int, ratio: float, pauses: list[float]
) -> None:
    """Retries granted within any window are at most its share of the calls, plus the floor."""
    clock = Clock(0.0)
    budget = RetryRatio(ratio, min_per_second=per_second, seconds=10, clock=clock)
    calls: list[float] = []
    granted: list[float] = []
    for number, is_call in enumerate(outcomes):
        clock.now += pauses[number % len(pauses)]
        if is_call:
            budget.admit(1)
            calls.append(clock.now)
        elif budget.withdraw(_DOWN) is not None:
            granted.append(clock.now)
            recent_calls = sum(1 for at in calls if clock.now - at <= 10)
            recent_granted = sum(1 for at in granted if clock.now - at < 9)
            assert recent_granted <= ratio * recent_calls + per_second * 10 + 1e-9


@given(script=st.lists(st.lists(errors, max_size=5), max_size=30))
def test_the_quota_never_goes_out_of_its_bounds(script: list[list[Exception]]) -> None:
    """Whatever many calls do with a shared quota, it stays between empty and full."""
    clock = Clock(0.0)
    budget = RetryQuota(60)
    retry = Retry(Constant(0), max_retries=4, budget=budget, sleep=clock.sleep)
    for errors_of_call in script:
        run(retry, clock, errors_of_call, 0.0)
        assert 0 <= budget.available <= 60


_DOWN: Any = None  # RetryRatio does not look at what failed
