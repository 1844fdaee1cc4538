"""``__del__``, weak references and finalizers at odd moments: in the middle of a wait, in the hub, at the end."""

from __future__ import annotations

import functools
import gc
import queue
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.sim.simulate import kernel, needs_shims, simulate

pytestmark = needs_shims


def each(*calls: Callable[[], object]) -> Callable[[], None]:
    """A function that makes the calls, one after the other."""

    def made() -> None:
        for call in calls:
            call()

    return made


class Finalized:
    """Calls a function when it dies."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.me: Any = None

    def __del__(self) -> None:
        self.function()


def test_what_dies_in_an_actor_finalizes_there_and_then() -> None:
    """``__del__`` runs in the actor that drops the last reference; it may wait, lock, and start a thread."""
    log: list[Any] = []
    lock = threading.Lock()

    def finalize() -> None:
        with lock:
            time.sleep(1)
            log.append((threading.current_thread().name, time.monotonic()))
        thread = threading.Thread(target=lambda: log.append("a thread"))
        thread.start()
        thread.join()

    def drops() -> None:
        kept = [Finalized(finalize)]
        time.sleep(1)
        kept.clear()
        log.append(time.monotonic())

    def main() -> None:
        thread = threading.Thread(target=drops, name="dropper")
        thread.start()
        with lock:
            time.sleep(5)
        thread.join()

    simulate(main)
    assert log == [("dropper", 100_006.0), "a thread", 100_006.0]


def test_the_callback_of_a_weak_reference_may_take_a_lock_that_is_held() -> None:
    """A callback that meets a held lock waits in virtual time, as the code that dropped the object would."""
    log: list[float] = []
    lock = threading.Lock()

    def main() -> None:
        def called(_: object) -> None:
            with lock:
                log.append(time.monotonic())

        thing = Finalized(lambda: None)
        reference = weakref.ref(thing, called)
        holder = threading.Thread(target=each(lock.acquire, lambda: time.sleep(3), lock.release))
        holder.start()
        time.sleep(1)
        del thing
        assert reference() is None
        log.append(time.monotonic())

    simulate(main)
    assert log == [100_003.0, 100_003.0]


def test_a_timer_that_drops_an_object_may_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the hub ``__del__`` runs outside of any process: a sleep there fails, is reported, and the run goes on."""
    kept: list[Finalized] = [Finalized(lambda: time.sleep(1))]
    log: list[str] = []
    told: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda caught: told.append(str(caught.exc_value)))
    with kernel() as k:
        k.start_process("p", each(lambda: time.sleep(2), lambda: log.append("went on")))
        k.call_at(1_000_000, kept.clear)
        k.run()
    assert log == ["went on"]
    assert len(told) == 1
    assert "runs in no process" in told[0]


def test_nothing_of_a_killed_process_is_finalized() -> None:
    """What a killed process held dies when the run is over: its ``__del__`` finds every call refused, silently."""
    log: list[str] = []

    def holds() -> None:
        thing = Finalized(each(lambda: log.append("del"), lambda: time.sleep(1), lambda: log.append("slept")))
        time.sleep(100)
        del thing

    with kernel() as k:
        victim = k.start_process("victim", holds)
        k.call_at(1_000_000, lambda: k.crash(victim))
        k.start_process("other", lambda: time.sleep(50))
        k.run()
        assert log == []
    assert log in ([], ["del"])


def test_cycles_are_collected_when_the_run_is_over() -> None:
    """The collector is off in a run, so that no finalizer runs at a moment that the seed does not determine."""
    log: list[str] = []

    def main() -> None:
        thing = Finalized(lambda: log.append("del"))
        thing.me = thing
        del thing
        for _ in range(10_000):
            cycle: list[Any] = []
            cycle.append(cycle)
        assert not gc.isenabled()
        log.append("end")

    simulate(main)
    gc.collect()
    assert log == ["end", "del"]


def test_finalizers_in_the_middle_of_waits_change_nothing_from_run_to_run() -> None:
    """Objects that die while actors hand a queue's items to each other: the same decisions and times, twice."""

    def observe() -> tuple[list[Any], list[int], int]:
        log: list[Any] = []

        def main() -> None:
            items: queue.Queue[Any] = queue.Queue(2)

            def note(number: int) -> None:
                log.append((number, time.monotonic()))

            def take() -> None:
                while items.get() is not None:
                    time.sleep(0.001)

            threads = [threading.Thread(target=take) for _ in range(3)]
            for thread in threads:
                thread.start()
            for number in range(30):
                items.put(Finalized(each(lambda: time.sleep(0.0005), functools.partial(note, number))))
            for _ in threads:
                items.put(None)
            for thread in threads:
                thread.join()

        k = simulate(main, seed=3)
        return log, list(k.decisions), k.now_us

    first = observe()
    assert len(first[0]) == 30
    assert observe() == first
