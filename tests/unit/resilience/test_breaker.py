"""The circuit breaker, with time in the test's hands."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from harness.resilience import (
    AuthenticationError,
    CircuitBreaker,
    CircuitBreakerOpenException,
    CircuitState,
    CountWindow,
    PermanentError,
    TimeWindow,
    TransientError,
    classify,
    retry_after,
    watch_breakers,
)
from harness.resilience.breaker import BreakerCreated, BreakerEvent, CallBegan, CallEnded, StateChanged
from tests.unit.resilience.clocks import Clock, fail

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


@pytest.fixture
def clock() -> Clock:
    return Clock()


def failing(breaker: CircuitBreaker, times: int = 1, error: Exception | None = None) -> None:
    for _ in range(times):
        raised = error or ConnectionError()
        with pytest.raises(type(raised)):
            breaker.call(fail, raised)


def opened(clock: Clock, **options: Any) -> CircuitBreaker:
    """A breaker that has just opened."""
    breaker = CircuitBreaker(1, 60, clock=clock, **options)
    failing(breaker)
    assert breaker.state is OPEN
    return breaker


# The names and defaults that users know


def test_the_known_names(clock: Clock) -> None:
    """Five failures, 60 s, every Exception; positional in this order; readable and settable before use."""
    breaker = CircuitBreaker()
    assert (breaker.failure_threshold, breaker.recovery_timeout, breaker.expected_exception) == (5, 60, Exception)
    assert (breaker.state, breaker.failure_count, breaker.last_failure_time) == (CLOSED, 0, None)
    assert [state.value for state in CircuitState] == ["closed", "open", "half_open"]
    breaker = CircuitBreaker(2, 3, OSError, clock=clock)
    breaker.failure_threshold, breaker.recovery_timeout = 1, 7
    failing(breaker)
    assert breaker.state is OPEN
    clock.now += 7
    assert breaker.call(int) == 0


def test_consecutive_failures_open_it(clock: Clock) -> None:
    """Five in a row; a success in between starts the count again."""
    breaker = CircuitBreaker(clock=clock)
    failing(breaker, 4)
    breaker.call(int)
    assert breaker.failure_count == 0
    failing(breaker, 4)
    assert (breaker.state, breaker.failure_count) == (CLOSED, 4)
    failing(breaker)
    assert (breaker.state, breaker.failure_count) == (OPEN, 5)
    assert breaker.last_failure_time is not None


def test_while_open_nothing_is_called(clock: Clock) -> None:
    """The function is not run, and the refusal says how long it will take."""
    breaker = opened(clock, name="payments")
    clock.now += 20
    with pytest.raises(CircuitBreakerOpenException, match="'payments' is open") as caught:
        breaker.call(pytest.fail, "called")
    assert (caught.value.retry_after, caught.value.breaker) == (40, "payments")
    assert retry_after(caught.value) == 40
    assert classify(caught.value) == "transient"


def test_it_stays_open_for_the_whole_recovery_timeout(clock: Clock) -> None:
    """A moment before it refuses, at the moment it probes."""
    breaker = opened(clock)
    clock.now += 59.999
    with pytest.raises(CircuitBreakerOpenException):
        breaker.call(int)
    assert breaker.state is OPEN
    clock.now += 0.001
    assert breaker.call(int) == 0
    assert (breaker.state, breaker.failure_count) == (CLOSED, 0)


def test_a_failed_probe_opens_it_for_another_timeout(clock: Clock) -> None:
    """The time counts from the failure of the probe."""
    breaker = opened(clock)
    clock.now += 100
    failing(breaker)
    assert breaker.state is OPEN
    clock.now += 59
    with pytest.raises(CircuitBreakerOpenException):
        breaker.call(int)
    clock.now += 1
    breaker.call(int)
    assert breaker.state is CLOSED


# Traps


def test_the_wall_clock_has_no_say(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that jumps an hour neither ends the open time nor makes it longer."""
    breaker = opened(clock)
    monkeypatch.setattr("time.time", lambda: 5e9)
    with pytest.raises(CircuitBreakerOpenException):
        breaker.call(int)
    monkeypatch.setattr("time.time", lambda: 0.0)
    clock.now += 60
    assert breaker.call(int) == 0


def test_the_default_clock_is_monotonic_and_looked_up_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """``time.monotonic`` is asked when it is needed, so that a test may replace it."""
    now = [50.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    breaker = CircuitBreaker(1, 60)
    failing(breaker)
    now[0] += 60
    assert breaker.call(int) == 0


@pytest.mark.parametrize("permits", [1, 3])
def test_half_open_lets_no_more_in_than_permitted(clock: Clock, permits: int) -> None:
    """While the probes are under way everybody else is refused; their end makes room."""
    breaker = opened(clock, permits=permits, success_threshold=permits + 1)
    clock.now += 60
    probes = [breaker.guard() for _ in range(permits)]
    for probe in probes:
        probe.__enter__()
    assert breaker.state is HALF_OPEN
    with pytest.raises(CircuitBreakerOpenException, match="half open") as caught:
        breaker.call(pytest.fail, "a probe too many")
    assert caught.value.retry_after is None
    probes[0].__exit__(None, None, None)
    breaker.call(int)
    assert breaker.state is (CLOSED if permits == 1 else HALF_OPEN)


def test_a_thundering_herd_makes_one_probe() -> None:
    """Of fifty threads that come at the same moment, one gets through."""
    breaker = CircuitBreaker(1, 0)
    failing(breaker)
    entered, refused, release = [], [], threading.Event()

    def probe() -> None:
        entered.append(1)
        release.wait(10)

    def caller() -> None:
        try:
            breaker.call(probe)
        except CircuitBreakerOpenException:
            refused.append(1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=caller) for _ in range(50)]
        for thread in threads:
            thread.start()
        for _ in range(10_000):
            if len(refused) == 49:
                break
            threading.Event().wait(0.001)
        release.set()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert (len(entered), len(refused)) == (1, 49)


def test_a_late_success_of_an_old_call_closes_nothing(clock: Clock) -> None:
    """A call that began before the breaker opened returns while it is open, and while it is half open."""
    breaker = CircuitBreaker(1, 60, clock=clock)
    slow, slower = breaker.guard(), breaker.guard()
    slow.__enter__()
    slower.__enter__()
    failing(breaker)
    slow.__exit__(None, None, None)
    assert (breaker.state, breaker.failure_count) == (OPEN, 1)
    clock.now += 60
    with breaker.guard():
        slower.__exit__(None, None, None)
        assert breaker.state is HALF_OPEN
        with pytest.raises(CircuitBreakerOpenException):
            breaker.call(int)
    assert breaker.state is CLOSED
    assert breaker.metrics().stale == 2


def test_the_short_way_through_knows_its_generation_too(clock: Clock) -> None:
    """The same for plain calls, which take no lock: a success that began before changes nothing."""
    breaker = CircuitBreaker(1, 60, clock=clock)

    def slow() -> None:
        failing(breaker)

    breaker.call(slow)
    assert (breaker.state, breaker.failure_count) == (OPEN, 1)


def test_a_late_failure_of_an_old_call_opens_nothing(clock: Clock) -> None:
    """A call of the last closed time fails after the breaker has closed again."""
    breaker = CircuitBreaker(1, 60, clock=clock)
    slow = breaker.guard()
    slow.__enter__()
    failing(breaker)
    clock.now += 60
    breaker.call(int)
    slow.__exit__(ConnectionError, ConnectionError(), None)
    assert (breaker.state, breaker.failure_count) == (CLOSED, 0)


@pytest.mark.parametrize("error", [PermanentError("bad"), UnicodeDecodeError("utf-8", b"", 0, 1, "no")])
def test_a_bad_message_opens_nothing(clock: Clock, error: Exception) -> None:
    """Permanent errors are no failures of the service, nor do they forgive earlier ones."""
    breaker = CircuitBreaker(2, 60, clock=clock)
    failing(breaker)
    failing(breaker, 10, error)
    assert (breaker.state, breaker.failure_count) == (CLOSED, 1)
    failing(breaker)
    assert breaker.state is OPEN


def test_a_bad_message_in_a_probe_frees_the_permit(clock: Clock) -> None:
    """It proves neither health nor sickness: the next call probes."""
    breaker = opened(clock)
    clock.now += 60
    failing(breaker, 3, PermanentError())
    assert breaker.state is HALF_OPEN
    breaker.call(int)
    assert breaker.state is CLOSED


def test_a_permanent_error_that_was_asked_for_counts(clock: Clock) -> None:
    """Who names a class of permanent errors as expected means it."""
    breaker = CircuitBreaker(1, 60, AuthenticationError, clock=clock)
    failing(breaker, 1, AuthenticationError())
    assert breaker.state is OPEN


@pytest.mark.parametrize(
    "ignore",
    [KeyError, (KeyError, IndexError), lambda error: isinstance(error, LookupError)],
    ids=["class", "classes", "function"],
)
def test_what_to_ignore_can_be_set(clock: Clock, ignore: Any) -> None:
    """A class, several, or a function, in place of the rule about permanent errors."""
    breaker = CircuitBreaker(1, 60, clock=clock, ignore=ignore)
    failing(breaker, 3, KeyError())
    assert breaker.state is CLOSED
    failing(breaker, 1, PermanentError())
    assert breaker.state is OPEN


def test_an_unexpected_exception_does_not_count(clock: Clock) -> None:
    """While closed, only what is expected counts."""
    breaker = CircuitBreaker(1, 60, (ConnectionError, TimeoutError), clock=clock)
    failing(breaker, 5, RuntimeError())
    assert breaker.state is CLOSED
    failing(breaker, 1, TimeoutError())
    assert breaker.state is OPEN


def test_an_unexpected_exception_in_a_probe_opens_it_again(clock: Clock) -> None:
    """The probe did not show that the service is well; half open is left."""
    breaker = CircuitBreaker(1, 60, ConnectionError, clock=clock)
    failing(breaker)
    clock.now += 60
    failing(breaker, 1, RuntimeError())
    assert breaker.state is OPEN
    clock.now += 60
    breaker.call(int)
    assert breaker.state is CLOSED


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_an_interrupted_probe_gives_its_permit_back(clock: Clock, kind: type[BaseException]) -> None:
    """What is no Exception ends the probe without a verdict; the next call probes."""
    breaker = opened(clock)
    clock.now += 60
    with pytest.raises(kind):
        breaker.call(fail, kind())
    assert breaker.state is HALF_OPEN
    breaker.call(int)
    assert breaker.state is CLOSED


def test_an_interrupt_while_closed_does_not_count(clock: Clock) -> None:
    """Nor does a cancelled caller open it."""
    breaker = CircuitBreaker(1, 60, clock=clock)
    with pytest.raises(KeyboardInterrupt):
        breaker.call(fail, KeyboardInterrupt())
    assert breaker.state is CLOSED


def test_a_broken_rule_keeps_no_permit(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """An ignore function that fails is logged; the caller sees the call's own error, and the probe is over."""
    breaker = opened(clock)
    breaker.ignore = lambda error: fail(RuntimeError("rule")) is None
    clock.now += 60
    with caplog.at_level(logging.ERROR):
        failing(breaker)
    assert (breaker.state, breaker.metrics().probes) == (OPEN, 0)
    assert "rule" in caplog.text


# More than the known


def test_several_successes_can_be_asked_for(clock: Clock) -> None:
    """Two good probes close it; one good and one bad open it."""
    breaker = opened(clock, success_threshold=2)
    clock.now += 60
    breaker.call(int)
    assert breaker.state is HALF_OPEN
    failing(breaker)
    assert breaker.state is OPEN
    clock.now += 60
    breaker.call(int)
    breaker.call(int)
    assert breaker.state is CLOSED


def test_the_open_time_can_grow(clock: Clock) -> None:
    """60, 120, 240, then the limit; closing starts again at 60."""
    breaker = opened(clock, recovery_growth=2, recovery_timeout_max=200)
    for open_time in (60, 120, 200, 200):
        assert breaker.metrics().retry_after == open_time
        clock.now += open_time
        failing(breaker)
    clock.now += 200
    breaker.call(int)
    failing(breaker)
    assert breaker.metrics().retry_after == 60


def test_growth_does_not_overflow(clock: Clock) -> None:
    """After a thousand failed probes the limit still holds."""
    breaker = opened(clock, recovery_growth=10, recovery_timeout_max=100)
    for _ in range(1000):
        clock.now += 100
        failing(breaker)
    assert breaker.metrics().retry_after == 100


def test_a_probe_that_never_comes_back(clock: Clock) -> None:
    """With a limit, a half-open state that waits for ever opens again, and its late probe changes nothing."""
    breaker = opened(clock, half_open_timeout=30)
    clock.now += 60
    lost = breaker.guard()
    lost.__enter__()
    clock.now += 29
    with pytest.raises(CircuitBreakerOpenException, match="half open"):
        breaker.call(int)
    clock.now += 1
    with pytest.raises(CircuitBreakerOpenException, match="is open"):
        breaker.call(int)
    lost.__exit__(None, None, None)
    assert breaker.state is OPEN
    clock.now += 60
    breaker.call(int)
    assert breaker.state is CLOSED


def test_a_count_window_opens_at_its_failure_rate(clock: Clock) -> None:
    """Half of the last calls, once there are enough of them."""
    breaker = CircuitBreaker(clock=clock, window=CountWindow(10, 0.5, minimum_calls=6))
    failing(breaker, 5)
    assert breaker.state is CLOSED  # five of five, but six are the minimum
    breaker.call(int)
    assert breaker.state is OPEN  # five of six: a success completes the minimum


def test_a_count_window_forgets_old_calls(clock: Clock) -> None:
    """Only the last ten count."""
    breaker = CircuitBreaker(clock=clock, window=CountWindow(10, 0.5, minimum_calls=10))
    failing(breaker, 4)
    for _ in range(10):
        breaker.call(int)
    assert breaker.failure_count == 0
    failing(breaker, 4)
    assert (breaker.state, breaker.failure_count) == (CLOSED, 4)
    failing(breaker)
    assert breaker.state is OPEN


def test_a_rate_is_reached_exactly(clock: Clock) -> None:
    """Seven of a hundred is 0.07, though 0.07 * 100 is above 7 in floating point."""
    breaker = CircuitBreaker(clock=clock, window=CountWindow(100, 0.07, minimum_calls=100))
    for _ in range(93):
        breaker.call(int)
    failing(breaker, 6)
    assert breaker.state is CLOSED
    failing(breaker)
    assert breaker.state is OPEN


def test_a_time_window_forgets_by_time(clock: Clock) -> None:
    """Failures of more than a minute ago do not count."""
    breaker = CircuitBreaker(clock=clock, window=TimeWindow(60, 0.5, minimum_calls=5))
    failing(breaker, 4)
    clock.now += 60
    failing(breaker, 4)
    assert (breaker.state, breaker.failure_count) == (CLOSED, 4)
    failing(breaker)
    assert breaker.state is OPEN


def test_slow_calls_open_it_too(clock: Clock) -> None:
    """Answers that take too long are a sign of overload, though they are successes."""

    def slow() -> None:
        clock.now += 3

    window = CountWindow(10, 0.9, slow_call_seconds=2, slow_call_rate=0.5, minimum_calls=4)
    breaker = CircuitBreaker(1, 60, clock=clock, window=window)
    breaker.call(int)
    breaker.call(slow)
    breaker.call(int)
    assert breaker.state is CLOSED
    breaker.call(slow)
    assert breaker.state is OPEN
    clock.now += 60
    breaker.call(slow)
    assert breaker.state is OPEN  # a slow probe shows no recovery
    assert breaker.metrics().slow == 3


def test_closing_empties_the_window(clock: Clock) -> None:
    """The failures that opened it do not open it again."""
    breaker = CircuitBreaker(1, 60, clock=clock, window=CountWindow(10, 0.5, minimum_calls=2))
    failing(breaker, 2)
    clock.now += 60
    breaker.call(int)
    failing(breaker)
    assert (breaker.state, breaker.failure_count) == (CLOSED, 1)


def test_deciding_by_hand(clock: Clock) -> None:
    """Force open, close, isolate, disable, enable: each as its name says."""
    breaker = CircuitBreaker(1, 60, clock=clock)
    breaker.force_open()
    assert (breaker.state, breaker.metrics().retry_after) == (OPEN, 60)
    breaker.force_close()
    assert breaker.call(int) == 0
    breaker.isolate()
    clock.now += 1e6
    with pytest.raises(CircuitBreakerOpenException, match="isolated") as caught:
        breaker.call(int)
    assert (breaker.mode, caught.value.retry_after) == ("isolated", None)
    breaker.disable()
    failing(breaker, 50)
    assert (breaker.mode, breaker.state, breaker.failure_count) == ("disabled", CLOSED, 0)
    breaker.enable()
    failing(breaker)
    assert breaker.state is OPEN
    breaker.reset()
    assert (breaker.state, breaker.failure_count) == (CLOSED, 0)


def test_disabled_lets_a_window_count_nothing(clock: Clock) -> None:
    """Also with a window nothing is judged while disabled."""
    breaker = CircuitBreaker(clock=clock, window=CountWindow(10, 0.5, minimum_calls=2))
    breaker.disable()
    failing(breaker, 20)
    assert (breaker.state, breaker.failure_count) == (CLOSED, 0)


def test_forcing_open_again_starts_the_time_again(clock: Clock) -> None:
    """An operator who opens it twice wants the time from now."""
    breaker = opened(clock)
    clock.now += 59
    breaker.force_open()
    clock.now += 59
    with pytest.raises(CircuitBreakerOpenException):
        breaker.call(int)


def test_peoples_tests_may_set_the_state(clock: Clock) -> None:
    """Setting state and last_failure_time, as tests do to skip the waiting, works in either order."""
    import time

    breaker = CircuitBreaker()
    breaker.state = OPEN
    with pytest.raises(CircuitBreakerOpenException):
        breaker.call(int)
    breaker.last_failure_time = time.time() - 61
    assert breaker.call(int) == 0
    breaker = CircuitBreaker()
    breaker.last_failure_time = time.time() - 61
    breaker.state = OPEN
    assert breaker.call(int) == 0
    breaker.failure_count = 4
    failing(breaker)
    assert breaker.state is OPEN


def test_metrics(clock: Clock) -> None:
    """Every outcome is counted once, on the short way through and on the long one."""
    breaker = CircuitBreaker(2, 60, clock=clock, name="db")
    for _ in range(3):
        breaker.call(int)
    failing(breaker, 1, PermanentError())
    failing(breaker, 2)
    for _ in range(4):
        with pytest.raises(CircuitBreakerOpenException):
            breaker.call(int)
    clock.now += 10
    for _ in range(2):  # asking changes nothing
        metrics = breaker.metrics()
        assert (metrics.successes, metrics.failures, metrics.ignored, metrics.rejected) == (3, 2, 1, 4)
        assert (metrics.name, metrics.state, metrics.opened, metrics.generation) == ("db", OPEN, 1, 2)
        assert (metrics.retry_after, metrics.failure_rate, metrics.slow_rate) == (50, None, None)
    windowed = CircuitBreaker(clock=clock, window=CountWindow())
    windowed.call(int)
    failing(windowed)
    assert windowed.metrics().failure_rate == 0.5


def test_successes_are_counted_across_threads() -> None:
    """The count of the short way through loses nothing."""
    breaker = CircuitBreaker()

    def work() -> None:
        for _ in range(2000):
            breaker.call(int)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert breaker.metrics().successes == 8000


# Listeners


def test_listeners_are_told_in_order(clock: Clock) -> None:
    """Begin, end, change: with states, generations, errors and times."""
    events: list[BreakerEvent] = []
    breaker = CircuitBreaker(1, 60, clock=clock, listeners=[events.append])
    error = ConnectionError()

    def slow() -> None:
        clock.now += 2
        raise error

    with pytest.raises(ConnectionError):
        breaker.call(slow)
    with pytest.raises(CircuitBreakerOpenException):
        breaker.call(int)
    assert events == [
        CallBegan(breaker, 1, CLOSED, 1),
        CallEnded(breaker, 1, "failure", CLOSED, 1, error, classify(error), 2),
        StateChanged(breaker, CLOSED, OPEN, 2, "1 consecutive failures"),
        CallEnded(breaker, 0, "rejected", OPEN, 2, None, None, 0.0),
    ]


def test_a_listener_may_use_the_breaker(clock: Clock) -> None:
    """It is told outside the lock: no deadlock, and its own events come after."""
    states: list[str] = []

    def listen(event: BreakerEvent) -> None:
        if isinstance(event, StateChanged):
            states.append(event.after.value)
            if event.after is OPEN:
                breaker.force_close()

    breaker = CircuitBreaker(1, 60, clock=clock, listeners=[listen])
    failing(breaker)
    assert (breaker.state, states) == (CLOSED, ["open", "closed"])


def test_listeners_come_and_go(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """One added later is told from then on; one that fails is logged; one removed hears no more."""
    events: list[BreakerEvent] = []
    breaker = CircuitBreaker(clock=clock)
    breaker.call(int)
    breaker.add_listener(events.append)
    breaker.add_listener(lambda event: fail(RuntimeError("broken")))
    with caplog.at_level(logging.ERROR):
        breaker.call(int)
    assert [type(event) for event in events] == [CallBegan, CallEnded]
    assert "broken" in caplog.text
    breaker.remove_listener(events.append)
    breaker.call(int)
    assert len(events) == 2


def test_watchers_see_every_breaker_until_they_stop() -> None:
    """Breakers that know nothing of it are seen, and the making of one too."""
    events: list[BreakerEvent] = []
    stop = watch_breakers(events.append)
    try:
        breaker = CircuitBreaker()
        breaker.call(int)
    finally:
        stop()
    stop()
    breaker.call(int)
    assert [type(event) for event in events] == [BreakerCreated, CallBegan, CallEnded]


# Forms of a call


async def _async_fail() -> None:
    raise ConnectionError


def _by_async(breaker: CircuitBreaker) -> None:
    asyncio.run(breaker.call_async(_async_fail))


def _by_decorator(breaker: CircuitBreaker) -> None:
    breaker(fail)(ConnectionError())


def _by_async_decorator(breaker: CircuitBreaker) -> None:
    asyncio.run(breaker(_async_fail)())  # type: ignore[arg-type]


def _by_block(breaker: CircuitBreaker) -> None:
    with breaker:
        raise ConnectionError


def _by_guard(breaker: CircuitBreaker) -> None:
    with breaker.guard():
        raise ConnectionError


def _by_async_block(breaker: CircuitBreaker) -> None:
    async def block() -> None:
        async with breaker:
            raise ConnectionError

    asyncio.run(block())


def _by_async_guard(breaker: CircuitBreaker) -> None:
    async def block() -> None:
        async with breaker.guard():
            raise ConnectionError

    asyncio.run(block())


@pytest.mark.parametrize(
    "form",
    [_by_async, _by_decorator, _by_async_decorator, _by_block, _by_guard, _by_async_block, _by_async_guard],
)
def test_every_form_counts_and_refuses(clock: Clock, form: Callable[[CircuitBreaker], None]) -> None:
    """Two failures open it, the third call is refused, in every form."""
    breaker = CircuitBreaker(2, 60, clock=clock)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            form(breaker)
    with pytest.raises(CircuitBreakerOpenException):
        form(breaker)
    assert breaker.metrics().failures == 2


def test_async_success_closes(clock: Clock) -> None:
    """An async probe that succeeds closes it, and resets the count of a closed one."""
    breaker = opened(clock)
    clock.now += 60

    async def good() -> int:
        return 7

    assert asyncio.run(breaker.call_async(good)) == 7
    assert breaker.state is CLOSED
    breaker = CircuitBreaker(2)
    failing(breaker)
    asyncio.run(breaker.call_async(good))
    assert (breaker.failure_count, breaker.metrics().successes) == (0, 1)


def test_tasks_that_overlap_leave_their_own_blocks(clock: Clock) -> None:
    """Two tasks inside ``async with`` of the same breaker: each result belongs to its own call."""
    breaker = CircuitBreaker(5, 60, clock=clock)

    async def block(error: Exception | None, first: asyncio.Event, second: asyncio.Event) -> None:
        async with breaker:
            first.set()
            await second.wait()
            if error:
                raise error

    async def main() -> None:
        one, two = asyncio.Event(), asyncio.Event()
        tasks = [block(ConnectionError(), one, two), block(None, two, one)]
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    metrics = breaker.metrics()
    assert (metrics.failures, metrics.successes) == (1, 1)


def test_blocks_may_nest(clock: Clock) -> None:
    """The same breaker inside itself, and another one between."""
    one, other = CircuitBreaker(9, clock=clock), CircuitBreaker(9, clock=clock)
    with pytest.raises(ConnectionError), one, other, one:
        raise ConnectionError
    assert (one.metrics().failures, other.metrics().failures) == (2, 1)


def test_a_cancelled_async_probe_gives_its_permit_back(clock: Clock) -> None:
    """Cancelling the task that probes leaves half open with its permit free."""
    breaker = opened(clock)
    clock.now += 60

    async def main() -> None:
        task = asyncio.create_task(breaker.call_async(asyncio.sleep, 3600))
        await asyncio.sleep(0)
        assert breaker.metrics().probes == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (breaker.state, breaker.metrics().probes) == (HALF_OPEN, 0)


def test_a_guard_is_used_once(clock: Clock) -> None:
    """It stands for one call."""
    guard = CircuitBreaker(clock=clock).guard()
    with guard:
        pass
    with pytest.raises(RuntimeError, match="one call"):
        guard.__enter__()


def test_a_coroutine_nobody_awaits_is_an_error(clock: Clock) -> None:
    """``call`` on a coroutine function would guard nothing; also in a probe, whose permit comes back."""
    for breaker in (CircuitBreaker(clock=clock), opened(clock)):
        clock.now += 60
        with pytest.raises(TypeError, match="call_async"):
            breaker.call(_async_fail)
        assert breaker.metrics().probes == 0


def test_generators_are_refused_as_functions(clock: Clock) -> None:
    """A decorated generator function would be judged before its first line ran."""

    def generator() -> Any:
        yield 1

    with pytest.raises(TypeError, match="generator"):
        CircuitBreaker(clock=clock)(generator)


def test_arguments_go_through(clock: Clock) -> None:
    """Positional and keyword arguments, and the result."""
    assert CircuitBreaker(clock=clock).call(int, "ff", base=16) == 255


@pytest.mark.parametrize(
    "options",
    [
        {"failure_threshold": 0}, {"failure_threshold": True}, {"failure_threshold": 1.5}, {"recovery_timeout": -1},
        {"recovery_timeout": float("nan")}, {"permits": 0}, {"success_threshold": 0}, {"recovery_growth": 0.5},
        {"recovery_timeout_max": -1}, {"half_open_timeout": float("inf")},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_refused_when_it_is_made(options: Any) -> None:
    """A wrong number is an error that names the field."""
    with pytest.raises(ValueError, match=next(iter(options))):
        CircuitBreaker(**options)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: CountWindow(failure_rate=0), "failure_rate"),
        (lambda: CountWindow(failure_rate=1.1), "failure_rate"),
        (lambda: CountWindow(slow_call_rate=2), "slow_call_rate"),
        (lambda: CountWindow(slow_call_seconds=0), "slow_call_seconds"),
        (lambda: CountWindow(5, minimum_calls=6), "size"),
        (lambda: TimeWindow(0), "seconds"),
        (lambda: TimeWindow(minimum_calls=0), "minimum_calls"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(make: Any, field: str) -> None:
    """A wrong number is an error that names the field."""
    with pytest.raises(ValueError, match=field):
        make()


def test_a_refusal_retries_as_transient(clock: Clock) -> None:
    """A refusal is an error that passes with time, for retries and consumers around the breaker."""
    assert issubclass(CircuitBreakerOpenException, TransientError)
    assert str(CircuitBreakerOpenException("closed for lunch")) == "closed for lunch"
