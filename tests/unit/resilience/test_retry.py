"""Retries, with time and chance in the test's hands."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from harness.resilience import (
    AdaptiveThrottle,
    Constant,
    Exponential,
    ExponentialBackoffRetry,
    LocallyThrottledError,
    PermanentError,
    Retry,
    RetryQuota,
    ThrottlingError,
    TransientError,
    watch_retries,
)
from harness.resilience.retry import AttemptEnded, CallFinished, RetryEvent, Waiting
from tests.unit.resilience.clocks import Always, Clock, Flaky, fail


@pytest.fixture
def clock() -> Clock:
    return Clock()


def plain(clock: Clock, **options: Any) -> Retry:
    """1, 2, 4, ... seconds without jitter, on the test's clock."""
    options.setdefault("backoff", Exponential(1, 60, jitter="none"))
    return Retry(clock=clock, sleep=clock.sleep, async_sleep=clock.sleep_async, **options)


Form = Callable[[Retry, Callable[[], Any]], Any]


def by_execute(retry: Retry, function: Callable[[], Any]) -> Any:
    return retry.execute(function)


def by_decorator(retry: Retry, function: Callable[[], Any]) -> Any:
    @retry
    def decorated() -> Any:
        return function()

    return decorated()


def by_loop(retry: Retry, function: Callable[[], Any]) -> Any:
    result = None
    for attempt in retry.attempts():
        with attempt:
            result = function()
    return result


def by_async(retry: Retry, function: Callable[[], Any]) -> Any:
    async def call() -> Any:
        return function()

    return asyncio.run(retry.execute_async(call))


def by_async_decorator(retry: Retry, function: Callable[[], Any]) -> Any:
    @retry
    async def call() -> Any:
        return function()

    return asyncio.run(call())


def by_async_loop(retry: Retry, function: Callable[[], Any]) -> Any:
    async def loop() -> Any:
        result = None
        async for attempt in retry:
            async with attempt:
                result = function()
        return result

    return asyncio.run(loop())


every_form = pytest.mark.parametrize(
    "form", [by_execute, by_decorator, by_loop, by_async, by_async_decorator, by_async_loop]
)


@every_form
def test_transient_errors_are_retried_with_growing_waits(form: Form, clock: Clock) -> None:
    """Three failures, three waits, one result."""
    flaky = Flaky(ConnectionError(), TimeoutError(), TransientError())
    assert form(plain(clock), flaky) == "done"
    assert (flaky.calls, clock.slept) == (4, [1, 2, 4])


@every_form
def test_the_last_error_is_raised_and_nothing_is_waited_after_it(form: Form, clock: Clock) -> None:
    """max_retries + 1 attempts, max_retries waits, and the last error itself, not one around it."""
    errors = [ConnectionError(number) for number in range(3)]
    flaky = Flaky(*errors)
    with pytest.raises(ConnectionError) as caught:
        form(plain(clock, max_retries=2), flaky)
    assert caught.value is errors[-1]
    assert (flaky.calls, clock.slept) == (3, [1, 2])


@every_form
def test_the_traceback_leads_to_where_it_failed(form: Form, clock: Clock) -> None:
    """The error that comes out still shows the line that raised it."""

    def where_it_broke() -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError) as caught:
        form(plain(clock, max_retries=1), where_it_broke)
    assert "where_it_broke" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


@every_form
@pytest.mark.parametrize("error", [PermanentError("no"), UnicodeDecodeError("utf-8", b"", 0, 1, "no"), KeyError("bug")])
def test_permanent_and_unknown_errors_are_raised_at_once(form: Form, clock: Clock, error: Exception) -> None:
    """What no retry can mend is not retried."""
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        form(plain(clock), flaky)
    assert (flaky.calls, clock.slept) == (1, [])


@every_form
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_what_asks_to_stop_passes_through(form: Form, clock: Clock, kind: type[BaseException]) -> None:
    """An interrupt or a cancellation is neither swallowed nor retried, also by a policy that retries everything."""
    flaky = Flaky(kind())
    with pytest.raises(kind):
        form(plain(clock, retry_unknown=True), flaky)
    assert (flaky.calls, clock.slept) == (1, [])


@every_form
def test_no_wait_reaches_the_deadline(form: Form, clock: Clock) -> None:
    """With 6 s, waits of 1 and 2 fit; the 4 s that would end at 7 is not begun."""
    flaky = Flaky(*[ConnectionError()] * 9)
    with pytest.raises(ConnectionError):
        form(plain(clock, max_retries=9, deadline=6), flaky)
    assert clock.slept == [1, 2]


@every_form
def test_time_inside_attempts_counts_for_the_deadline(form: Form, clock: Clock) -> None:
    """A slow attempt uses the deadline up by itself."""

    def slow() -> None:
        clock.now += 5
        raise ConnectionError

    with pytest.raises(ConnectionError):
        form(plain(clock, max_retries=9, deadline=6), slow)
    assert clock.slept == []


@every_form
def test_the_service_says_when(form: Form, clock: Clock) -> None:
    """A hint is the shortest wait; below what the policy would wait anyway it changes nothing."""
    flaky = Flaky(ThrottlingError(retry_after=7), ThrottlingError(retry_after=0.5))
    form(plain(clock), flaky)
    assert clock.slept == [7, 2]


@every_form
def test_a_hint_over_the_cap_ends_the_call(form: Form, clock: Clock) -> None:
    """To ask again before the service said is known to fail; to wait longer breaks the cap."""
    flaky = Flaky(ThrottlingError(retry_after=61))
    with pytest.raises(ThrottlingError):
        form(plain(clock), flaky)
    assert (flaky.calls, clock.slept) == (1, [])


def test_a_hint_that_would_pass_the_deadline_ends_the_call(clock: Clock) -> None:
    """Deadline and hint together: not waited, raised."""
    with pytest.raises(ThrottlingError):
        plain(clock, deadline=5).execute(Flaky(ThrottlingError(retry_after=7)))
    assert clock.slept == []


def test_hints_can_be_ignored(clock: Clock) -> None:
    """A client may know better than its server."""
    plain(clock, honour_hints=False).execute(Flaky(ThrottlingError(retry_after=7)))
    assert clock.slept == [1]


def test_jitter_stays_above_a_hint(clock: Clock) -> None:
    """Clients that were all told 10 s spread over [10, 11] as they would have over [0, 1]."""
    for chance, expected in ((0.0, 10.0), (0.5, 10.5)):
        retry = Retry(Exponential(1, 60), sleep=clock.sleep, random=Always(chance))
        retry.execute(Flaky(ThrottlingError(retry_after=10)))
        assert clock.slept.pop() == expected


def test_jitter_never_passes_the_cap(clock: Clock) -> None:
    """The highest draw of every kind of jitter, late in the day, is at most the cap."""
    for jitter in ("none", "equal", "full", "decorrelated"):
        retry = Retry(Exponential(1, 5, jitter=jitter), max_retries=9, sleep=clock.sleep, random=Always(1 - 1e-16))
        retry.execute(Flaky(*[ConnectionError()] * 9))
    assert max(clock.slept) <= 5


def test_decorrelated_jitter_remembers_its_own_last_delay(clock: Clock) -> None:
    """1, 3, 9, 27 and the cap, when chance always says the most; another call starts afresh."""
    retry = Retry(Exponential(1, 50, jitter="decorrelated"), max_retries=5, sleep=clock.sleep, random=Always(1.0))
    for _ in range(2):
        retry.execute(Flaky(*[ConnectionError()] * 5))
    assert clock.slept == [1, 3, 9, 27, 50] * 2


def test_calls_that_overlap_share_nothing(clock: Clock) -> None:
    """A call inside another one, of the same object, counts its own attempts and waits."""
    retry = plain(clock)
    inner, outer = Flaky(ConnectionError(), ConnectionError()), Flaky(ConnectionError())

    def nested() -> str:
        retry.execute(inner)
        return outer()

    assert retry.execute(nested) == "done"
    assert clock.slept == [1, 2, 1]


def test_threads_share_nothing() -> None:
    """Ten threads through one object each make exactly their own attempts."""
    retry = ExponentialBackoffRetry(max_retries=3, base_delay=0)
    flaky = [Flaky(*[ConnectionError()] * 3) for _ in range(10)]
    threads = [threading.Thread(target=retry.execute, args=(function,)) for function in flaky]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [function.calls for function in flaky] == [4] * 10


def test_unknown_errors_are_retried_on_request(clock: Clock) -> None:
    """The default raises them at once; a policy may decide otherwise."""
    assert plain(clock, retry_unknown=True).execute(Flaky(KeyError())) == "done"
    with pytest.raises(PermanentError):
        plain(clock, retry_unknown=True).execute(Flaky(PermanentError()))


def test_a_policys_own_judgement_decides(clock: Clock) -> None:
    """A function in place of the built-in rules, which still read hints."""
    retry = plain(clock, classify=lambda error: "transient" if isinstance(error, KeyError) else "permanent")
    assert retry.execute(Flaky(KeyError())) == "done"
    with pytest.raises(ConnectionError):
        retry.execute(Flaky(ConnectionError()))


def test_without_a_limit_of_number_the_deadline_ends_it(clock: Clock) -> None:
    """max_retries=None retries as long as there is time."""
    flaky = Flaky(*[ConnectionError()] * 500)
    with pytest.raises(ConnectionError):
        plain(clock, backoff=Constant(1), max_retries=None, deadline=100.5).execute(flaky)
    assert flaky.calls == 101


def test_on_retry_sees_each_wait_before_it(clock: Clock) -> None:
    """The hook gets the attempt, the error and the delay, before sleeping; what it raises ends the call."""
    seen: list[Waiting] = []
    error = ConnectionError()
    plain(clock, on_retry=seen.append).execute(Flaky(error, error))
    assert [(waiting.attempt, waiting.error, waiting.delay) for waiting in seen] == [(1, error, 1), (2, error, 2)]

    class Enough(Exception):
        pass

    with pytest.raises(Enough):
        plain(clock, on_retry=lambda waiting: fail(Enough())).execute(Flaky(error))


@every_form
def test_listeners_are_told_everything(form: Form, clock: Clock) -> None:
    """Attempts, waits and the end, in order, in every form."""
    events: list[RetryEvent] = []
    error = ConnectionError()
    retry = plain(clock, listeners=[events.append])
    form(retry, Flaky(error))
    call = events[0].call
    assert events == [
        AttemptEnded(retry, call, 1, error, "transient"),  # type: ignore[arg-type]
        Waiting(retry, call, 1, error, 1, 1, 1),
        AttemptEnded(retry, call, 2, None, None),
        CallFinished(retry, call, 2, None, "success"),
    ]


@pytest.mark.parametrize(
    ("options", "errors", "reason"),
    [
        ({}, [PermanentError()], "permanent"),
        ({}, [KeyError()], "unknown"),
        ({"max_retries": 1}, [ConnectionError()] * 2, "attempts"),
        ({"deadline": 0.5}, [ConnectionError()], "deadline"),
        ({"budget": RetryQuota(1)}, [ConnectionError()], "budget"),
        ({}, [ThrottlingError(retry_after=100)], "hint"),
        ({}, [KeyboardInterrupt()], "stopped"),
    ],
)
def test_the_end_says_why(clock: Clock, options: Any, errors: list[BaseException], reason: str) -> None:
    """Each way of giving up has its own word."""
    ends: list[RetryEvent] = []
    retry = plain(clock, listeners=[ends.append], **options)
    with pytest.raises(type(errors[-1])):
        retry.execute(Flaky(*errors))
    last = ends[-1]
    assert isinstance(last, CallFinished)
    assert (last.reason, last.error, last.attempts) == (reason, errors[-1], len(errors))


@every_form
def test_a_call_that_ends_between_two_attempts_is_told_and_pays_for_no_retry(form: Form, clock: Clock) -> None:
    """An interrupt during the wait: listeners hear of the end, and the budget has its tokens back."""
    ends: list[RetryEvent] = []
    quota = RetryQuota()
    retry = plain(clock, listeners=[ends.append], budget=quota)

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    async def cancelled(seconds: float) -> None:
        raise asyncio.CancelledError

    retry._sleep, retry._async_sleep = interrupted, cancelled
    flaky = Flaky(ConnectionError())
    with pytest.raises((KeyboardInterrupt, asyncio.CancelledError)):
        form(retry, flaky)
    last = ends[-1]
    assert isinstance(last, CallFinished)
    assert (last.reason, last.attempts, flaky.calls) == ("stopped", 1, 1)
    assert quota.available == 500


def test_a_hook_that_ends_the_call_is_told_and_pays_for_no_retry(clock: Clock) -> None:
    """What on_retry raises is the end of the call, for listeners and for the budget."""
    ends: list[RetryEvent] = []
    quota = RetryQuota()
    retry = plain(clock, listeners=[ends.append], budget=quota, on_retry=lambda waiting: fail(LookupError()))
    with pytest.raises(LookupError):
        retry.execute(Flaky(ConnectionError()))
    last = ends[-1]
    assert isinstance(last, CallFinished)
    assert (last.reason, last.attempts, type(last.error)) == ("stopped", 1, LookupError)
    assert quota.available == 500


def test_a_listener_that_fails_harms_nobody(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged; the call and the other listeners go on."""
    events: list[RetryEvent] = []
    retry = plain(clock, listeners=[lambda event: fail(RuntimeError("broken")), events.append])
    with caplog.at_level(logging.ERROR):
        assert retry.execute(Flaky()) == "done"
    assert len(events) == 2
    assert "broken" in caplog.text


def test_watchers_see_every_policy_until_they_stop(clock: Clock) -> None:
    """A watcher hears of policies that know nothing of it."""
    events: list[RetryEvent] = []
    retry = plain(clock)
    stop = watch_retries(events.append)
    try:
        retry.execute(Flaky())
    finally:
        stop()
    stop()
    retry.execute(Flaky())
    assert [type(event) for event in events] == [AttemptEnded, CallFinished]


def test_a_spent_budget_ends_retries_but_no_first_attempt(clock: Clock) -> None:
    """The quota is shared: what one policy spends, another lacks."""
    budget = RetryQuota(28)
    one, other = plain(clock, budget=budget), plain(clock, budget=budget)
    flaky = Flaky(*[ConnectionError()] * 3)
    with pytest.raises(ConnectionError):
        one.execute(flaky)
    assert flaky.calls == 3
    flaky = Flaky(ConnectionError())
    with pytest.raises(ConnectionError):
        other.execute(flaky)
    assert flaky.calls == 1


def test_a_budget_is_not_spent_on_a_retry_that_the_deadline_forbids(clock: Clock) -> None:
    """Tokens are taken last, when nothing else can forbid the retry."""
    budget = RetryQuota()
    with pytest.raises(ConnectionError):
        plain(clock, budget=budget, deadline=0.5).execute(Flaky(ConnectionError()))
    assert budget.available == 500


@every_form
def test_adaptive_throttling_refuses_before_the_call(form: Form, clock: Clock) -> None:
    """A first attempt that is refused here is not made; a retry that is refused raises the last error."""
    budget = AdaptiveThrottle(clock=clock, random=Always(0.0))
    retry = plain(clock, budget=budget)
    flaky = Flaky(ConnectionError("real"))
    with pytest.raises(ConnectionError, match="real"):
        form(retry, flaky)
    assert flaky.calls == 1
    with pytest.raises(LocallyThrottledError):
        form(retry, flaky)
    assert flaky.calls == 1


def test_a_loop_ends_after_a_success(clock: Clock) -> None:
    """No attempt follows one that succeeded, and ``return`` inside is a success."""
    numbers = [
        attempt.number for attempt in plain(clock) if attempt.__enter__() and not attempt.__exit__(None, None, None)
    ]
    assert numbers == [1]

    def returns() -> str:
        for attempt in plain(clock):
            with attempt:
                return "here"
        return "there"

    assert returns() == "here"


def test_a_loop_that_forgets_the_block_is_told(clock: Clock) -> None:
    """Without ``with attempt:`` nothing could ever be retried: an error, not an endless loop."""
    attempts = plain(clock).attempts()
    next(attempts)
    with pytest.raises(RuntimeError, match="with attempt"):
        next(attempts)


def test_an_attempt_knows_how_much_time_is_left(clock: Clock) -> None:
    """The rest of the deadline, for the timeout of the call inside."""
    remaining = []
    for attempt in plain(clock, deadline=10).attempts():
        with attempt:
            clock.now += 2
            remaining.append(attempt.remaining)
            if attempt.number == 1:
                raise ConnectionError
    assert remaining == [8, 5]
    for attempt in plain(clock).attempts():
        with attempt:
            assert attempt.remaining is None


def test_a_coroutine_nobody_awaits_is_an_error(clock: Clock) -> None:
    """``execute`` on a coroutine function would never retry; it says so, and leaves no warning behind."""

    async def call() -> None:
        raise ConnectionError

    for options in ({}, {"deadline": 5}):
        with pytest.raises(TypeError, match="execute_async"):
            plain(clock, **options).execute(call)


def test_generators_are_refused_as_functions(clock: Clock) -> None:
    """A decorated generator function would be "retried" before its first line ran."""

    def generator() -> Any:
        yield 1

    async def async_generator() -> Any:
        yield 1

    for function in (generator, async_generator):
        with pytest.raises(TypeError, match="generator"):
            plain(clock)(function)


def test_decorated_functions_keep_their_name_and_arguments(clock: Clock) -> None:
    """Also keyword arguments that have the names of our own parameters."""

    @plain(clock)
    def charge(self: int, func: int, *, retry: int) -> tuple[int, int, int]:
        """Charge."""
        return self, func, retry

    assert (charge.__name__, charge.__doc__) == ("charge", "Charge.")
    assert charge(1, 2, retry=3) == (1, 2, 3)


def test_async_sleep_is_cancelled_with_its_task() -> None:
    """A task that is cancelled while it waits between attempts ends there."""

    async def main() -> int:
        calls = 0

        async def call() -> None:
            nonlocal calls
            calls += 1
            raise ConnectionError

        task = asyncio.create_task(Retry(Constant(3600)).execute_async(call))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return calls

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize("form", [by_execute, by_decorator, by_loop])
@pytest.mark.parametrize("budget", [None, RetryQuota()])
def test_errors_that_were_retried_are_let_go(form: Form, clock: Clock, budget: Any) -> None:
    """An error holds the frames it came through; nothing of ours keeps it once the call has succeeded."""

    class Big:
        """What a failing function had in its hands."""

    held: list[weakref.ref[Big]] = []

    def call() -> str:
        big = Big()
        held.append(weakref.ref(big))
        if len(held) < 3:
            raise ConnectionError
        return "done"

    gc.disable()
    try:
        assert form(plain(clock, budget=budget), call) == "done"
        assert [reference() for reference in held] == [None] * 3
    finally:
        gc.enable()


def test_a_backoff_of_its_own_is_refused() -> None:
    """ExponentialBackoffRetry makes its backoff from its numbers."""
    with pytest.raises(TypeError, match="backoff"):
        ExponentialBackoffRetry(backoff=Constant(1))  # type: ignore[call-arg]


# The names and defaults that users know


def test_the_known_defaults() -> None:
    """Three retries, 1 s, 60 s, jitter; positional in this order; readable."""
    retry = ExponentialBackoffRetry()
    assert (retry.max_retries, retry.base_delay, retry.max_delay, retry.jitter) == (3, 1, 60, True)
    retry = ExponentialBackoffRetry(1, 2, 3, False)
    assert (retry.max_retries, retry.base_delay, retry.max_delay, retry.jitter) == (1, 2, 3, False)


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.5), (0.5, 0.75)])
def test_the_known_jitter(clock: Clock, chance: float, factor: float) -> None:
    """The capped delay times a number between 0.5 and 1."""
    retry = ExponentialBackoffRetry(5, 1, 6, sleep=clock.sleep, random=Always(chance))
    retry.execute(Flaky(*[TransientError()] * 5))
    assert clock.slept == [delay * factor for delay in (1, 2, 4, 6, 6)]


def test_attributes_can_be_set_before_use(clock: Clock) -> None:
    """People's tests make the delays small after construction."""
    retry = ExponentialBackoffRetry(sleep=clock.sleep)
    retry.max_retries, retry.base_delay, retry.max_delay, retry.jitter = 4, 0.25, 1, False
    retry.execute(Flaky(*[TransientError()] * 4))
    assert clock.slept == [0.25, 0.5, 1, 1]


def test_the_patched_sleep_of_peoples_tests_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """``time.sleep`` is looked up at the call, not bound at import."""
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    ExponentialBackoffRetry(jitter=False).execute(Flaky(TransientError()))
    assert slept == [1]


@pytest.mark.parametrize("value", [-1, 1.5, True, "3"])
def test_a_number_of_retries_that_is_none_is_refused(value: Any) -> None:
    """A negative number would mean no attempt at all, and nothing to raise."""
    with pytest.raises(ValueError, match="max_retries"):
        ExponentialBackoffRetry(value)
    with pytest.raises(ValueError, match="max_retries"):
        ExponentialBackoffRetry().max_retries = value


@pytest.mark.parametrize("options", [{"deadline": 0}, {"deadline": float("nan")}, {"deadline": -1}])
def test_a_deadline_that_is_none_is_refused(options: Any) -> None:
    """Deadlines are above 0."""
    with pytest.raises(ValueError, match="deadline"):
        Retry(**options)


def test_no_retries_is_one_attempt(clock: Clock) -> None:
    """max_retries=0 calls once and raises the error."""
    flaky = Flaky(TransientError(), TransientError())
    with pytest.raises(TransientError):
        ExponentialBackoffRetry(0, sleep=clock.sleep).execute(flaky)
    assert (flaky.calls, clock.slept) == (1, [])
