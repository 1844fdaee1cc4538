"""Real time as a fault engine sees it: scaled, in order, one lock, let go of by who waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from harness.environments.live import clock as module
from harness.environments.live.clock import LiveClock


class Time:
    """The monotonic clock, moved by hand."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    found = Time()
    monkeypatch.setattr(module, "time", found)
    return found


@pytest.fixture
def running() -> Iterator[LiveClock]:
    clock = LiveClock(1000.0)
    clock.start()
    yield clock
    clock.stop()


def test_plan_time_runs_as_many_times_as_fast_as_the_scale_says(time: Time) -> None:
    """Seconds are real ones since the start; microseconds are the plan's."""
    clock = LiveClock(4.0)
    time.now += 1.5
    assert clock.seconds == 1.5
    assert clock.now_us == 6_000_000
    assert clock.began == 100.0


def test_what_falls_due_comes_in_order_of_its_time_with_the_lock_held(running: LiveClock) -> None:
    """Whatever the order of asking, equal times keep it; nobody else decides meanwhile."""
    came: list[str] = []
    over = threading.Event()
    for at_us, name in ((40_000, "c"), (20_000, "a"), (20_000, "b")):
        running.call_at(at_us, lambda name=name: came.append(f"{name}{_locked_elsewhere(running)}"))
    running.call_at(50_000, over.set)
    assert over.wait(5)
    assert came == ["aTrue", "bTrue", "cTrue"]


def _locked_elsewhere(clock: LiveClock) -> bool:
    """Whether another thread cannot have the lock now."""
    got: list[bool] = []
    asking = threading.Thread(target=lambda: got.append(clock.lock.acquire(blocking=False)))
    asking.start()
    asking.join()
    return not got[0]


def test_who_sleeps_lets_others_decide_and_wakes_at_the_end_of_the_run() -> None:
    """The lock is free while a call is slowed; an hour's sleep ends with the run."""
    clock = LiveClock()
    asleep, slept = threading.Event(), threading.Event()

    def sleeper() -> None:
        with clock.lock:
            asleep.set()
            clock.sleep_us(3_600_000_000)
        slept.set()

    threading.Thread(target=sleeper).start()
    assert asleep.wait(5)
    assert clock.lock.acquire(timeout=5)
    clock.lock.release()
    clock.stop()
    assert slept.wait(5)


def test_a_handler_that_hangs_is_let_go_when_the_run_is_over() -> None:
    """It must not do any more work then."""
    clock = LiveClock()
    clock.over.set()
    with clock.lock, pytest.raises(SystemExit):
        clock.park()


def test_each_thread_acts_for_its_own_process() -> None:
    """The actor of one consumer's thread is not that of another."""
    clock = LiveClock()
    clock.acting_for("a")
    seen: list[object] = []
    other = threading.Thread(target=lambda: seen.append(clock.current))
    other.start()
    other.join()
    assert clock.current == "a"
    assert seen == [None]
