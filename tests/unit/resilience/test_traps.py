"""The traps of retries and circuit breakers, each as one check: ours passes it, and the usual code falls into it."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from harness.resilience import (
    CircuitBreaker,
    CircuitBreakerOpenException,
    CircuitState,
    ExponentialBackoffRetry,
    InvalidMessageFormatError,
)
from tests.unit.resilience.clocks import Clock, Flaky, fail
from tests.unit.resilience.naive_calls import (
    NaiveBreaker,
    NaiveBreakerWithOnePermit,
    NaiveRetry,
    NaiveRetryOfItsOwnErrors,
)

Make = Callable[..., Any]


class Clocks:
    """The clocks that code looks at by itself: monotonic and wall time, which a test can move apart."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monotonic = Clock(100.0)
        self.jump = 0.0
        monkeypatch.setattr(time, "monotonic", self.monotonic)
        monkeypatch.setattr(time, "time", lambda: 1_900_000_000.0 + self.monotonic.now + self.jump)
        monkeypatch.setattr(time, "sleep", self.monotonic.sleep)
        monkeypatch.setattr(random, "random", lambda: 1 - 1e-9)
        monkeypatch.setattr(random, "uniform", lambda low, high: high)

    def advance(self, seconds: float) -> None:
        self.monotonic.now += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


# Retries


def negative_retries_end_in_raise_none(make: Make, clocks: Clocks) -> None:
    with pytest.raises(ValueError, match="max_retries"):
        make(max_retries=-1).execute(Flaky())


def two_to_the_power_of_attempts_overflows(make: Make, clocks: Clocks) -> None:
    retry = make(max_retries=1_200, base_delay=0.5, max_delay=1, jitter=False)
    assert retry.execute(Flaky(*[ConnectionError() for _ in range(1_200)])) == "done"


def jitter_goes_over_the_cap(make: Make, clocks: Clocks) -> None:
    make(max_retries=8, max_delay=10).execute(Flaky(*[ConnectionError() for _ in range(8)]))
    assert max(clocks.monotonic.slept) <= 10


def it_sleeps_after_the_last_attempt(make: Make, clocks: Clocks) -> None:
    with pytest.raises(ConnectionError):
        make(max_retries=2).execute(Flaky(*[ConnectionError() for _ in range(3)]))
    assert len(clocks.monotonic.slept) == 2


def the_traceback_is_lost(make: Make, clocks: Clocks) -> None:
    def where_it_failed() -> None:
        raise ConnectionError("no")

    with pytest.raises(ConnectionError) as caught:
        make(max_retries=1).execute(where_it_failed)
    assert ", in where_it_failed" in "".join(traceback.format_exception(caught.value))


def what_asks_to_stop_is_swallowed(make: Make, clocks: Clocks) -> None:
    flaky = Flaky(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make().execute(flaky)
    assert flaky.calls == 1


def calls_share_their_state(make: Make, clocks: Clocks) -> None:
    retry = make(max_retries=3)
    outer = Flaky(*[ConnectionError() for _ in range(5)])

    def nested() -> str:
        retry.execute(Flaky())
        return outer()

    with pytest.raises(ConnectionError):
        retry.execute(nested)
    assert outer.calls == 4


def a_sleep_runs_past_the_deadline(make: Make, clocks: Clocks) -> None:
    begun = clocks.monotonic.now
    with pytest.raises(ConnectionError):
        make(max_retries=9, base_delay=8, jitter=False, deadline=10).execute(
            Flaky(*[ConnectionError() for _ in range(10)])
        )
    assert clocks.monotonic.now - begun <= 10


def a_real_error_is_not_retried(make: Make, clocks: Clocks) -> None:
    slow_down = ClientError({"Error": {"Code": "ThrottlingException", "Message": "no"}}, "SendMessage")
    down = EndpointConnectionError(endpoint_url="https://sqs.test")
    assert make().execute(Flaky(slow_down, down)) == "done"


# Circuit breakers


def opened(make: Make) -> Any:
    breaker = make(1, 60)
    with pytest.raises(OSError, match="down"):
        breaker.call(fail, OSError("down"))
    return breaker


def everybody_rushes_in_at_half_open(make: Make, clocks: Clocks) -> None:
    breaker = opened(make)
    clocks.advance(61)

    def probe() -> None:
        with pytest.raises(CircuitBreakerOpenException):
            breaker.call(int)

    breaker.call(probe)


def success_of_an_old_call_closes_it(make: Make, clocks: Clocks) -> None:
    breaker = make(1, 60)

    def slow() -> None:
        with pytest.raises(OSError, match="down"):
            breaker.call(fail, OSError("down"))

    breaker.call(slow)
    assert breaker.state is CircuitState.OPEN


def the_wall_clock_jumps_forward(make: Make, clocks: Clocks) -> None:
    breaker = opened(make)
    clocks.jump = 3600
    with pytest.raises(CircuitBreakerOpenException):
        breaker.call(int)


def the_wall_clock_jumps_back(make: Make, clocks: Clocks) -> None:
    breaker = opened(make)
    clocks.jump = -3600
    clocks.advance(61)
    assert breaker.call(int) == 0


def an_interrupted_probe_keeps_its_permit(make: Make, clocks: Clocks) -> None:
    breaker = opened(make)
    clocks.advance(61)
    with pytest.raises(KeyboardInterrupt):
        breaker.call(fail, KeyboardInterrupt())
    clocks.advance(61)
    assert breaker.call(int) == 0


def a_bad_message_opens_it(make: Make, clocks: Clocks) -> None:
    breaker = make(1, 60)
    with pytest.raises(InvalidMessageFormatError):
        breaker.call(fail, InvalidMessageFormatError("no JSON"))
    assert breaker.call(int) == 0


def an_unexpected_exception_leaves_it_half_open(make: Make, clocks: Clocks) -> None:
    breaker = make(1, 60, OSError)
    with pytest.raises(OSError, match="down"):
        breaker.call(fail, OSError("down"))
    clocks.advance(61)
    with pytest.raises(KeyError):
        breaker.call(fail, KeyError("order_id"))
    assert breaker.state is not CircuitState.HALF_OPEN


#: Check, ours, the usual code, and how that code fails the check.
TRAPS: list[tuple[Callable[[Make, Clocks], None], Make, Make, type[BaseException]]] = [
    *(
        (check, ExponentialBackoffRetry, NaiveRetry, failure)
        for check, failure in (
            (negative_retries_end_in_raise_none, TypeError),
            (two_to_the_power_of_attempts_overflows, OverflowError),
            (jitter_goes_over_the_cap, AssertionError),
            (it_sleeps_after_the_last_attempt, AssertionError),
            (the_traceback_is_lost, AssertionError),
            (what_asks_to_stop_is_swallowed, pytest.fail.Exception),
            (calls_share_their_state, pytest.fail.Exception),
            (a_sleep_runs_past_the_deadline, AssertionError),
        )
    ),
    (a_real_error_is_not_retried, ExponentialBackoffRetry, NaiveRetryOfItsOwnErrors, ClientError),
    *(
        (check, CircuitBreaker, NaiveBreaker, failure)
        for check, failure in (
            (everybody_rushes_in_at_half_open, pytest.fail.Exception),
            (success_of_an_old_call_closes_it, AssertionError),
            (the_wall_clock_jumps_forward, pytest.fail.Exception),
            (the_wall_clock_jumps_back, CircuitBreakerOpenException),
            (a_bad_message_opens_it, CircuitBreakerOpenException),
            (an_unexpected_exception_leaves_it_half_open, AssertionError),
        )
    ),
    (
        an_interrupted_probe_keeps_its_permit,
        CircuitBreaker,
        NaiveBreakerWithOnePermit,
        CircuitBreakerOpenException,
    ),
]
every_trap = pytest.mark.parametrize(
    ("check", "ours", "naive", "failure"), TRAPS, ids=[check.__name__ for check, *_ in TRAPS]
)


@every_trap
def test_ours_is_not_caught(check: Any, ours: Make, naive: Make, failure: type[BaseException], clocks: Clocks) -> None:
    """The trap is not in ours."""
    check(ours, clocks)


@every_trap
def test_the_usual_code_is(check: Any, ours: Make, naive: Make, failure: type[BaseException], clocks: Clocks) -> None:
    """The same check finds the trap in the code that has it, so that it would find it in ours."""
    with pytest.raises(failure):
        check(naive, clocks)
