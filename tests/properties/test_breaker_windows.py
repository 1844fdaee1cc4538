"""Windows of a breaker: the short way through them against the long one."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.resilience import CircuitBreaker, CircuitBreakerOpenException, CountWindow, TimeWindow
from tests.unit.observe.helpers import observed
from tests.unit.observe.test_judged import Timed, verdicts
from tests.unit.resilience.clocks import Clock


class PlainCount(CountWindow):
    """The same window by another name: the breaker takes no short way with it."""


class PlainTime(TimeWindow):
    """The same."""


@given(
    steps=st.lists(st.tuples(st.sampled_from(["ok", "ok", "ok", "fail", "bad"]), st.integers(0, 4)), max_size=60),
    timed=st.booleans(),
    size=st.integers(3, 8),
)
@settings(deadline=None)
def test_the_short_way_through_a_window_changes_nothing(steps: list[tuple[str, int]], timed: bool, size: int) -> None:
    """With successes added late and many at once, a breaker does what one does that adds each as it comes."""
    clock = Clock(0.0)
    window: CountWindow | TimeWindow
    plain: CountWindow | TimeWindow
    if timed:
        window, plain = TimeWindow(10, minimum_calls=3), PlainTime(10, minimum_calls=3)
    else:
        window, plain = CountWindow(size, minimum_calls=3), PlainCount(size, minimum_calls=3)
    breakers = [CircuitBreaker(recovery_timeout=7, window=one, clock=clock) for one in (window, plain)]
    outcomes = {"ok": None, "fail": ConnectionError(), "bad": ValueError()}
    for outcome, seconds in steps:
        clock.now += seconds
        seen = []
        for breaker in breakers:
            try:
                breaker.call(_do, outcomes[outcome])
            except Exception as error:
                seen.append(type(error).__name__)
            else:
                seen.append("ok")
            metrics = breaker.metrics()
            facts = (metrics.state, metrics.generation, metrics.failure_count, metrics.failure_rate, metrics.successes)
            seen.append(str(facts))
        assert seen[:2] == seen[2:]


def _do(error: Exception | None) -> None:
    if error is not None:
        raise error


@given(
    steps=st.lists(st.tuples(st.sampled_from(["ok", "fail", "bad", "slow"]), st.integers(0, 9)), max_size=60),
    timed=st.booleans(),
    slow=st.booleans(),
)
@settings(deadline=None)
def test_a_windowed_breaker_is_never_accused(steps: list[tuple[str, int]], timed: bool, slow: bool) -> None:
    """Whatever calls come, the invariant finds that it opens where its window says, neither before nor after."""
    clock = Clock(0.0)
    record = Timed(clock)
    limit = 1.5 if slow else None
    window: CountWindow | TimeWindow
    if timed:
        window = TimeWindow(20, minimum_calls=3, slow_call_seconds=limit)
    else:
        window = CountWindow(5, minimum_calls=3, slow_call_seconds=limit)
    with observed(record):
        breaker = CircuitBreaker(window=window, recovery_timeout=7, clock=clock)
        for outcome, seconds in steps:
            clock.now += seconds

            def call(outcome: str = outcome) -> None:
                clock.now += 2 if outcome == "slow" else 0
                _do({"fail": ConnectionError(), "bad": ValueError()}.get(outcome))

            with suppress(ConnectionError, ValueError, CircuitBreakerOpenException):
                breaker.call(call)
    assert verdicts(record, [invariants.breaker_opens()])["breaker-opens"] != "violated"
