"""What observers write is what the invariants read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pybreaker
import pytest
import tenacity

from harness import invariants
from harness.resilience import CircuitBreaker, CircuitBreakerOpenException, ExponentialBackoffRetry
from tests.histories import HistoryBuilder
from tests.unit.observe.helpers import Clock, Recorded, fail, observed

BREAKER = [
    invariants.breaker_transitions(),
    invariants.breaker_opens(),
    invariants.breaker_stays_open(),
    invariants.breaker_half_open_permits(),
    invariants.breaker_ignores_permanent(),
]


def verdicts(record: Recorded, specs: list[Any]) -> dict[str, str]:
    """The verdicts on what was recorded, a second between any two events."""
    h = HistoryBuilder()
    for event in record.events:
        fields = {name: value for name, value in event.items() if name not in ("kind", "at")}
        h.add(event["kind"], at=event["at"], actor=event["by"], **{k: v for k, v in fields.items() if k != "by"})
    return {spec.name: h.judge(spec).status for spec in specs}


class Timed(Recorded):
    """A record that notes when and in which process, as a run does."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def __call__(self, kind: str, message: str | None = None, **fields: Any) -> int:
        number = super().__call__(kind, message, **fields)
        self.clock.now += 0.001
        self.events[-1] |= {"at": self.clock.now, "by": self.process}
        return number


def outage(call: Callable[[Callable[..., Any]], Any], clock: Clock, wait: float) -> None:
    """A permanent error, three failures, a refusal, a wait, a probe."""
    for error in (UnicodeDecodeError("utf-8", b"", 0, 1, "bad"), *[ConnectionError()] * 3):
        with pytest.raises((UnicodeDecodeError, ConnectionError, pybreaker.CircuitBreakerError)):
            call(lambda error=error: fail(error))
    with pytest.raises((CircuitBreakerOpenException, pybreaker.CircuitBreakerError)):
        call(int)
    clock.now += wait
    call(int)


def test_our_breaker_is_judged_right() -> None:
    """A whole outage, shared by two processes: every rule that was put to the test holds."""
    clock = Clock(0.0)
    record = Timed(clock)
    with observed(record):
        breaker = CircuitBreaker(3, 30, clock=clock)
        breaker.call(int)
        record.process = "worker.2"
        outage(breaker.call, clock, 30)
        record.process = "worker.1"
        outage(breaker.call, clock, 30)
    assert set(verdicts(record, BREAKER).values()) == {"holds"}


def test_a_breaker_that_probes_too_early_is_found() -> None:
    """The same outage with a breaker whose clock runs ahead: it did not stay open."""
    clock = Clock(0.0)
    record = Timed(clock)
    with observed(record):
        breaker = CircuitBreaker(3, 30, clock=lambda: clock.now * 2)
        outage(breaker.call, clock, 15)
    assert verdicts(record, BREAKER)["breaker-stays-open"] == "violated"


def test_pybreaker_counts_permanent_errors() -> None:
    """Out of the box a bad message trips pybreaker, and the verdict says so; with them excluded it does not."""
    for exclude, expected in (([], "violated"), ([UnicodeDecodeError], "holds")):
        clock = Clock(0.0)
        record = Timed(clock)
        with observed(record):
            breaker = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=0, exclude=exclude)
            with pytest.raises((UnicodeDecodeError, pybreaker.CircuitBreakerError)):
                breaker.call(b"\xff".decode)
            breaker.call(int)
        assert verdicts(record, BREAKER)["breaker-ignores-permanent"] == expected


@pytest.mark.parametrize("library", ["ours", "tenacity"])
def test_retries_are_judged_right(library: str) -> None:
    """Waits, attempts and permanent errors of both libraries are judged; tenacity retries what it should not."""
    clock = Clock(0.0)
    record = Timed(clock)
    with observed(record):
        if library == "ours":
            policy = ExponentialBackoffRetry(2, sleep=clock.sleep).execute
        else:
            wait = tenacity.wait_random_exponential(max=60)
            policy = tenacity.Retrying(stop=tenacity.stop_after_attempt(3), wait=wait, sleep=clock.sleep, reraise=True)
        for error in (ConnectionError(), UnicodeDecodeError("utf-8", b"", 0, 1, "bad")):
            with pytest.raises(type(error)):
                policy(fail, error)
    found = verdicts(
        record, [invariants.backoff_bounds(), invariants.attempts_bounded(), invariants.permanent_not_retried()]
    )
    assert found == {
        "backoff-bounds": "holds",
        "attempts-bounded": "holds",
        "permanent-not-retried": "holds" if library == "ours" else "violated",
    }
