"""Breakers of several processes on one store: one of them speaks for all, and each lives without the store."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import fakeredis
import pytest

from harness.resilience import (
    CircuitBreaker,
    CircuitBreakerOpenException,
    CircuitState,
    CountWindow,
    RedisBreakerStore,
)
from harness.resilience.breaker import BreakerEvent, CallBegan, CallEnded, StateChanged, StoreChanged
from harness.resilience.breaker_store import Question, View
from tests.unit.resilience.clocks import Clock, fail

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the processes, and of the Redis server too."""
    now = Clock(1_900_000_000.0)
    monkeypatch.setattr(time, "time", now)
    return now


class Store(RedisBreakerStore):
    """A store that can be cut off, counts what it is asked, and can be slow."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(fakeredis.FakeRedis())
        self.down = False
        self.lose_answers = False
        self.clock = clock
        self.takes = 0.0
        self.asked: list[str] = []

    def ask(self, breaker: str, question: Question) -> View:
        self.asked.append(question.kind)
        if self.down:
            raise ConnectionError("no store")
        view = super().ask(breaker, question)
        self.clock.now += self.takes
        if self.lose_answers:
            raise TimeoutError("no answer")
        return view


@pytest.fixture
def store(clock: Clock) -> Store:
    return Store(clock)


def make(store: Store, **options: Any) -> CircuitBreaker:
    """The breaker of one more process."""
    options = {"failure_threshold": 2, "recovery_timeout": 60, "name": "payments", "clock": store.clock, **options}
    return CircuitBreaker(store=store, **options)


def failing(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(OSError, match="down"):
            breaker.call(fail, OSError("down"))


def refused(breaker: CircuitBreaker) -> CircuitBreakerOpenException:
    with pytest.raises(CircuitBreakerOpenException) as caught:
        breaker.call(fail, AssertionError("called"))
    return caught.value


def test_one_opens_it_for_all(store: Store) -> None:
    """A failure in each of two processes opens it for a third one, which is told how long."""
    first, second, third = make(store), make(store), make(store)
    failing(first)
    failing(second)
    assert refused(third).retry_after == pytest.approx(60)
    assert (third.state, third.generation) == (OPEN, 2)
    assert first.state is CLOSED, "it has not asked since"
    refused(first)
    assert first.state is OPEN


def test_one_probe_closes_it_for_all(store: Store, clock: Clock) -> None:
    """After the open time one process probes, the other is refused meanwhile, then both are served."""
    first, second = make(store), make(store)
    failing(first, 2)
    clock.now += 60
    with first:
        assert refused(second).retry_after is None
    assert second.call(int) == 0
    assert (first.state, second.state) == (CLOSED, CLOSED)


def test_while_it_is_open_the_store_is_asked_once_a_second(store: Store, clock: Clock) -> None:
    """Refusals cost nothing, and somebody who closes it by hand is heard a second later."""
    first, second = make(store), make(store)
    failing(first, 2)
    refused(first)
    asked = len(store.asked)
    for _ in range(50):
        refused(first)
    assert len(store.asked) == asked
    second.force_close()
    clock.now += 1
    assert first.call(int) == 0


def test_a_permit_of_a_process_that_died(store: Store, clock: Clock) -> None:
    """It lapses after its seconds; what the dead one would say changes nothing."""
    first, second = make(store, permit_seconds=20), make(store, permit_seconds=20)
    failing(first, 2)
    clock.now += 60
    ticket = first._admit()
    clock.now += 19
    refused(second)
    clock.now += 1
    with second:
        first._finish(ticket, OSError())
        assert first.metrics().stale == 1
    assert second.state is CLOSED


def test_a_permit_that_came_too_late_is_not_used(store: Store, clock: Clock) -> None:
    """A process that slept over the store's answer asks again: its permit may be somebody else's by now."""
    first = make(store, permit_seconds=20)
    failing(first, 2)
    clock.now += 60
    store.takes = 15
    original = store.ask

    def ask(breaker: str, question: Question) -> View:
        view = original(breaker, question)
        store.takes = 0
        return view

    store.ask = ask  # type: ignore[method-assign]  # slow once
    refused(first)
    clock.now += 20
    assert first.call(int) == 0


def test_a_late_result_changes_nothing(store: Store, clock: Clock) -> None:
    """Of a call that began before the breaker opened; in whatever state it comes."""
    first, second = make(store), make(store)
    early, late = first._admit(), first._admit()
    failing(second, 2)
    first._finish(early, None)
    assert (first.state, first.metrics().stale) == (OPEN, 1)
    clock.now += 60
    probe = second._admit()
    first._finish(late, None)
    assert (first.state, first.metrics().stale) == (HALF_OPEN, 2)
    second._finish(probe, None)
    assert second.state is CLOSED


def test_without_its_store_it_goes_on_alone(store: Store, clock: Clock) -> None:
    """It counts by itself, opens, probes, and asks the store again after a pause; no call fails because of it."""
    breaker = make(store, store_pause=5)
    failing(breaker)
    store.down = True
    assert breaker.call(int) == 0
    assert breaker.alone
    failing(breaker, 2)
    assert (breaker.state, breaker.metrics().alone) == (OPEN, True)
    asked = len(store.asked)
    refused(breaker)
    assert len(store.asked) == asked, "within the pause"
    clock.now += 60
    assert breaker.call(int) == 0
    assert len(store.asked) > asked
    assert (breaker.state, breaker.alone) == (CLOSED, True)


def test_only_one_call_asks_whether_a_lost_store_is_back(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on alone meanwhile: a store that hangs delays one call in a pause, not every thread."""
    breaker = make(store, store_pause=5)
    store.down = True
    breaker.call(int)
    clock.now += 5
    asked: list[str] = []

    def hangs(name: str, question: Question) -> View:
        asked.append(question.kind)
        assert breaker.call(int) == 0, "another thread's, while this one waits"
        raise TimeoutError

    monkeypatch.setattr(store, "ask", hangs)
    assert breaker.call(int) == 0
    assert asked == ["admit"]


def test_alone_it_goes_on_from_what_it_knew(store: Store, clock: Clock) -> None:
    """Open when the store fails, it stays open for the rest of its time, and has its own permits then."""
    first, second = make(store), make(store)
    failing(first, 2)
    refused(second)
    store.down = True
    clock.now += 59
    refused(second)
    clock.now += 1
    with second:
        refused(second)
    assert (second.state, second.alone, first.state) == (CLOSED, True, OPEN)


def test_what_the_store_says_is_in_force_when_it_is_back(store: Store, clock: Clock) -> None:
    """What a process did alone is forgotten: open alone, closed for all."""
    breaker = make(store)
    breaker.call(int)
    store.down = True
    failing(breaker, 2)
    refused(breaker)
    store.down = False
    clock.now += 5
    assert breaker.call(int) == 0
    assert (breaker.state, breaker.alone, breaker.generation) == (CLOSED, False, 1)


def test_a_call_that_began_alone_changes_nothing_after_that(store: Store, clock: Clock) -> None:
    """Nor does one of an earlier time without the store."""
    breaker = make(store, failure_threshold=1)
    store.down = True
    alone, also = breaker._admit(), breaker._admit()
    store.down = False
    clock.now += 5
    breaker.call(int)
    breaker._finish(alone, OSError())
    assert (breaker.state, breaker.metrics().stale) == (CLOSED, 1)
    store.down = True
    breaker.call(int)
    breaker._finish(also, OSError())
    assert (breaker.state, breaker.metrics().stale, breaker.alone) == (CLOSED, 2, True)


def test_a_probe_whose_result_cannot_be_told(store: Store, clock: Clock) -> None:
    """The store fails during the probe: its permit lapses there, and the process goes on by its own probes."""
    first, second = make(store), make(store)
    failing(first, 2)
    clock.now += 60
    with first:
        store.down = True
    assert (first.state, first.alone, first.metrics().probes) == (HALF_OPEN, True, 0)
    assert first.call(int) == 0
    assert first.state is CLOSED
    store.down = False
    refused(second)
    clock.now += 30
    assert second.call(int) == 0


def test_a_lost_answer_does_not_count_twice(store: Store, clock: Clock) -> None:
    """The store counted a failure and could not say so: one more opens it, not none."""
    first, second = make(store), make(store)
    ticket = first._admit()
    store.lose_answers = True
    first._finish(ticket, OSError())
    store.lose_answers = False
    clock.now += 5
    assert first.call(int) == 0
    failing(second)
    assert second.state is CLOSED


def test_a_store_that_lost_its_data_is_told_again(store: Store, clock: Clock) -> None:
    """Open before the flush, open after it for the same time."""
    first, second = make(store), make(store)
    failing(first, 2)
    clock.now += 30
    store.redis.flushall()
    assert refused(first).retry_after == pytest.approx(30)
    assert refused(second).retry_after == pytest.approx(30)
    clock.now += 30
    assert second.call(int) == 0


def test_a_jump_of_the_servers_clock_ends_no_open_time_that_somebody_saw(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's clock goes an hour on: the process that knows of the opening waits by its own."""
    own = Clock()
    first = make(store, clock=own)
    failing(first, 2)
    refused(first)
    clock.now += 3600
    own.now += 59
    refused(first)
    own.now += 1
    assert first.call(int) == 0


def test_a_servers_clock_that_goes_back_does_not_keep_it_open_for_ever(store: Store, clock: Clock) -> None:
    """An hour back: the open time begins once more, and no more than once."""
    own = Clock()
    first = make(store, clock=own)
    failing(first, 2)
    clock.now -= 3600
    own.now += 60
    refused(first)
    clock.now += 60
    own.now += 60
    assert first.call(int) == 0


def test_by_hand_for_all(store: Store, clock: Clock) -> None:
    """Isolate and enable hold in every process; alone they hold for this one until the store is back."""
    first, second = make(store), make(store)
    first.isolate()
    assert refused(second).retry_after is None
    assert second.mode == "isolated"
    first.enable()
    clock.now += 1
    assert second.call(int) == 0
    store.down = True
    second.isolate()
    refused(second)
    store.down = False
    assert first.call(int) == 0
    clock.now += 5
    assert second.call(int) == 0


def test_disabled_for_all(store: Store) -> None:
    """Nobody's failures are counted until it is enabled."""
    first, second = make(store), make(store)
    first.disable()
    failing(second, 5)
    assert second.call(int) == 0
    first.enable()
    failing(second, 2)
    assert second.state is OPEN


def test_a_window_is_counted_by_the_store(store: Store) -> None:
    """And by the process alone, from the start, while the store is down."""
    window = CountWindow(10, minimum_calls=4)
    first, second = make(store, window=window), make(store, window=window)
    first.call(int)
    second.call(int)
    failing(first)
    assert first.failure_count == 1
    assert first.metrics().failure_count == 1
    store.down = True
    failing(first, 3)
    assert (first.state, first.failure_count) == (CLOSED, 3)
    failing(first)
    assert first.state is OPEN
    store.down = False
    failing(second)
    assert second.state is OPEN


def test_listeners_are_told_what_others_changed(store: Store, clock: Clock) -> None:
    """Each process tells each change once, in order, with the store's time; and when the store fails and is back."""
    first, second = make(store, failure_threshold=1), make(store)
    told: list[BreakerEvent] = []
    second.add_listener(told.append)
    failing(first)
    clock.now += 60
    first.call(int)
    second.call(int)
    changes = [event for event in told if isinstance(event, StateChanged)]
    assert [(event.generation, event.after, event.shared == second.epoch) for event in changes] == [
        (2, OPEN, True),
        (3, HALF_OPEN, True),
        (4, CLOSED, True),
    ]
    assert changes[1].at is not None
    assert changes[0].at is not None
    assert changes[1].at - changes[0].at == pytest.approx(60)
    assert [type(event) for event in told[3:]] == [CallBegan, CallEnded]
    del told[:]
    store.down = True
    second.call(int)
    store.down = False
    clock.now += 5
    second.call(int)
    states = [(event.available, event.state) for event in told if isinstance(event, StoreChanged)]
    assert states == [(False, CLOSED), (True, CLOSED)]
    shared = [bool(event.shared) for event in told if isinstance(event, (CallBegan, CallEnded))]
    assert shared == [False, False, True, True]


def test_a_result_is_told_before_what_it_changes(store: Store) -> None:
    """Whoever learns of the change, its cause is on record already."""
    first, second = make(store, failure_threshold=1), make(store)
    told: list[BreakerEvent] = []
    for breaker in (first, second):
        breaker.add_listener(told.append)
    original = store.ask

    def ask(breaker: str, question: Question) -> View:
        view = original(breaker, question)
        if question.kind == "report" and question.outcome == "failure":
            refused(second)  # is quicker than the answer
        return view

    store.ask = ask  # type: ignore[method-assign]  # another process comes between
    failing(first)
    outcomes = [event.outcome if isinstance(event, CallEnded) else type(event).__name__ for event in told]
    assert outcomes == ["CallBegan", "failure", "StateChanged", "rejected", "StateChanged"]


def test_tighter_limits_are_the_askers(store: Store) -> None:
    """``set_limits`` of one process counts at its own next failure, and opens nothing here meanwhile."""
    first, second = make(store, failure_threshold=3), make(store, failure_threshold=3)
    failing(second)
    first.call(int)
    failing(first, 2)
    first.set_limits(failure_threshold=1)
    assert first.state is CLOSED
    failing(first)
    assert first.state is OPEN


def test_threads_of_two_processes_make_one_probe(store: Store, clock: Clock) -> None:
    """Twenty threads at once, ten on each side: one gets through."""
    breakers = [make(store), make(store)]
    failing(breakers[0], 2)
    clock.now += 60
    inside, start, outcomes = threading.Event(), threading.Barrier(20), []

    def run(breaker: CircuitBreaker) -> None:
        start.wait()
        try:
            breaker.call(inside.wait, 5)
        except CircuitBreakerOpenException:
            outcomes.append("refused")
            if len(outcomes) == 19:
                inside.set()
        else:
            outcomes.append("probed")

    threads = [threading.Thread(target=run, args=(breakers[number % 2],)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["probed", *["refused"] * 19]


def test_async_calls_do_not_block_the_loop(store: Store, clock: Clock) -> None:
    """The store is asked in a thread; every async form counts and refuses."""
    breaker = make(store)
    threads: set[str] = set()
    original = store.ask

    def ask(name: str, question: Question) -> View:
        threads.add(threading.current_thread().name)
        return original(name, question)

    store.ask = ask  # type: ignore[method-assign]  # who asks

    async def down() -> None:
        raise OSError("down")

    async def main() -> None:
        assert await breaker.call_async(asyncio.sleep, 0, 7) == 7
        with pytest.raises(OSError, match="down"):
            await breaker(down)()
        with pytest.raises(OSError, match="down"):
            async with breaker:
                await down()
        with pytest.raises(CircuitBreakerOpenException):
            async with breaker.guard():
                pass

    asyncio.run(main())
    assert threading.main_thread().name not in threads
    assert breaker.state is OPEN


def test_a_cancelled_async_probe_frees_its_permit(store: Store, clock: Clock) -> None:
    """Cancelled while it is made, or while the store is still asked for it: the next call probes."""
    breaker = make(store)
    failing(breaker, 2)
    clock.now += 60
    asked, answer = threading.Event(), threading.Event()
    original = store.ask

    def slowly(name: str, question: Question) -> View:
        asked.set()
        answer.wait(5)
        return original(name, question)

    async def cancel(task: asyncio.Task[Any]) -> None:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def main() -> None:
        task = asyncio.create_task(breaker.call_async(asyncio.sleep, 60))
        while breaker.state is not HALF_OPEN:
            await asyncio.sleep(0.001)
        await cancel(task)
        store.ask = slowly  # type: ignore[method-assign]  # to be cancelled meanwhile
        task = asyncio.create_task(breaker.call_async(asyncio.sleep, 60))
        await asyncio.to_thread(asked.wait, 5)
        await cancel(task)
        answer.set()
        while store.asked[-1] != "report":
            await asyncio.sleep(0.001)

    asyncio.run(main())
    assert breaker.call(int) == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": None}, "needs a name"),
        ({"permit_seconds": 0}, "permit_seconds"),
        ({"permit_seconds": -1}, "permit_seconds"),
        ({"store_pause": -1}, "store_pause"),
    ],
)
def test_nonsense_is_refused(store: Store, options: dict[str, Any], text: str) -> None:
    """A wrong setting is an error that names the field."""
    with pytest.raises(ValueError, match=text):
        make(store, **options)


def test_a_window_of_the_users_own_cannot_be_shared(store: Store) -> None:
    """The store counts, and knows two kinds."""

    class Own(CountWindow):
        pass

    with pytest.raises(ValueError, match="CountWindow or a TimeWindow"):
        make(store, window=Own())
