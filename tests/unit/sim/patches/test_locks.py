"""Tests of locks that are virtual inside a run and real outside."""

from __future__ import annotations

import _thread
import os
import signal
import threading
import time
from typing import Any

import pytest

from harness.errors import Deadlock, SimulationError
from harness.sim import real
from tests.unit.sim.simulate import answer, kernel, needs_shims, simulate

pytestmark = needs_shims

KINDS = {"Lock": threading.Lock, "RLock": threading.RLock, "allocate_lock": _thread.allocate_lock}


def run_threads(*functions: Any) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("kind", KINDS)
def test_a_lock_excludes_across_a_sleep(kind: str) -> None:
    """Two threads that sleep inside a with block are never in it together."""
    inside: list[int] = []
    most: list[int] = []

    def main() -> float:
        lock = KINDS[kind]()

        def work() -> None:
            for _ in range(3):
                with lock:
                    inside.append(1)
                    most.append(len(inside))
                    time.sleep(1)
                    inside.pop()

        start = time.monotonic()
        run_threads(work, work, work)
        return time.monotonic() - start

    assert answer(main) == pytest.approx(9)
    assert max(most) == 1


def test_acquire_with_a_timeout_waits_that_long_in_virtual_time() -> None:
    """False after the timeout; True when it is released before."""
    seen: list[tuple[bool, float]] = []

    def main() -> None:
        lock = threading.Lock()
        lock.acquire()

        def contender() -> None:
            for timeout in (2.0, 10.0):
                start = time.monotonic()
                seen.append((lock.acquire(timeout=timeout), time.monotonic() - start))
            assert lock.acquire(timeout=0.0) is False

        thread = threading.Thread(target=contender)
        thread.start()
        time.sleep(5)
        lock.release()
        thread.join()

    simulate(main)
    assert seen == [(False, pytest.approx(2)), (True, pytest.approx(3))]


@pytest.mark.parametrize("kind", KINDS)
def test_acquire_without_blocking_and_its_errors(kind: str) -> None:
    """The same answers and errors as the real locks give."""

    def main() -> list[Any]:
        lock = KINDS[kind]()
        found: list[Any] = [lock.acquire(False)]
        other: list[bool] = []
        run_threads(lambda: other.append(lock.acquire(blocking=False)))
        found += other
        for call in (
            lambda: lock.acquire(False, 1),
            lambda: lock.acquire(True, -2),
            lambda: (lock.release(), lock.release()),
        ):
            run_threads(lambda call=call: found.append(error_of(call)))
        return found

    def error_of(call: Any) -> str:
        try:
            call()
        except (ValueError, RuntimeError) as error:
            return type(error).__name__
        return "none"

    assert answer(main)[:4] == [True, False, "ValueError", "ValueError"]


def test_an_rlock_belongs_to_its_thread() -> None:
    """Reentrant for the holder, closed to others until as many releases; releasing another's is an error."""

    def main() -> list[Any]:
        lock = threading.RLock()
        found: list[Any] = []

        def other() -> None:
            found.append(lock.acquire(blocking=False))
            try:
                lock.release()
            except RuntimeError as error:
                found.append(str(error))

        with lock:
            with lock:
                run_threads(other)
            run_threads(other)
        run_threads(lambda: found.append(lock.acquire(blocking=False)))
        return found

    refused = "cannot release un-acquired lock"
    assert answer(main) == [False, refused, False, refused, True]


def test_a_deadlock_of_two_locks_is_reported_with_both_stacks() -> None:
    """The classic: each holds one lock and waits for the other's."""
    with kernel() as k:

        def main() -> None:
            first, second = threading.Lock(), threading.Lock()

            def forwards() -> None:
                with first:
                    time.sleep(1)
                    second.acquire()

            def backwards() -> None:
                with second:
                    time.sleep(1)
                    first.acquire()

            run_threads(forwards, backwards)

        k.start_process("p", main)
        with pytest.raises(Deadlock) as caught:
            k.run()
    assert set(caught.value.stacks) == {"p", "p/Thread-1 (forwards)", "p/Thread-2 (backwards)"}
    assert "second.acquire()" in caught.value.stacks["p/Thread-1 (forwards)"]


def test_the_releaser_may_take_the_lock_again_once_before_a_waiter() -> None:
    """As with real locks a waiter may find it taken again; then the next release hands it over: nobody starves."""
    order: list[str] = []

    def main() -> None:
        lock = threading.Lock()

        def greedy() -> None:
            for _ in range(4):
                lock.acquire()
                time.sleep(1)
                order.append("greedy")
                lock.release()

        def patient() -> None:
            time.sleep(0.5)
            with lock:
                order.append("patient")

        run_threads(greedy, patient)

    simulate(main)
    assert order == ["greedy", "greedy", "patient", "greedy", "greedy"]


@pytest.mark.parametrize("greedy_rounds", [1, 2])
def test_a_lock_given_to_who_leaves_by_an_exception_goes_to_the_next(greedy_rounds: int) -> None:
    """A waiter whose signal handler raises, after it was woken or handed the lock, passes it on."""
    taken: list[str] = []

    def main() -> None:
        lock = threading.Lock()

        def holder() -> None:
            for _ in range(greedy_rounds):
                lock.acquire()
                time.sleep(1)
                lock.release()
            os.kill(os.getpid(), signal.SIGTERM)

        def next_in_line() -> None:
            time.sleep(0.5)
            with lock:
                taken.append("next")

        def handler(*_: object) -> None:
            raise InterruptedError

        signal.signal(signal.SIGTERM, handler)
        threads = [threading.Thread(target=holder), threading.Thread(target=next_in_line)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        with pytest.raises(InterruptedError):
            lock.acquire()
        for thread in threads:
            thread.join()

    simulate(main)
    assert taken == ["next"]


def test_a_lock_made_outside_serves_inside_and_outside_again() -> None:
    """One lock for many runs: each run begins with it free, whatever happened to it in the one before."""
    lock = threading.Lock()

    def crashes_holding() -> None:
        lock.acquire()
        time.sleep(100)

    for _ in range(2):
        with kernel() as k:
            process = k.start_process("p", crashes_holding)
            k.call_at(5, lambda process=process: k.crash(process))
            k.run(10)
            assert lock.locked()
    assert not lock.locked()
    with lock:
        assert lock.locked()
        with kernel() as k:
            k.start_process("p", lambda: lock.acquire())
            with pytest.raises(Deadlock):  # held outside for good, as far as the run can tell
                k.run()
    assert not lock.locked()


def test_what_a_dead_process_held_is_free_for_other_processes() -> None:
    """Real processes share no memory: a shared module's lock does not stay locked by a process that was killed."""
    taken: list[float] = []
    for kind in (threading.Lock, threading.RLock):
        lock = kind()
        with kernel() as k:

            def holds(lock: Any = lock) -> None:
                with lock:
                    time.sleep(100)

            def wants(lock: Any = lock) -> None:
                time.sleep(1)
                with lock:
                    taken.append(time.monotonic())

            process = k.start_process("holder", holds)
            k.start_process("early", wants)
            k.call_at(5_000_000, lambda process=process: k.crash(process))
            k.start_process("late", wants, at_us=6_000_000)
            k.run()
    assert taken == [100_005.0, 100_007.0] * 2


def test_a_wake_up_that_dies_with_its_process_is_not_lost_for_others() -> None:
    """The release wakes an actor whose process is killed before it runs: the next waiter gets the lock."""
    lock = threading.Lock()
    taken: list[float] = []
    with kernel(tape=[]) as k:

        def holds() -> None:
            lock.acquire()
            time.sleep(1)
            lock.release()
            k.crash(k.processes[1])

        def wants() -> None:
            with lock:
                taken.append(k.now)

        k.start_process("holder", holds)
        k.start_process("victim", wants, at_us=10)
        k.start_process("survivor", wants, at_us=20)
        k.run()
    assert taken == [1.0]


def test_within_a_process_a_killed_threads_lock_stays_locked() -> None:
    """A thread that ends without releasing leaves its lock locked, as real ones do."""

    def main() -> bool:
        lock = threading.Lock()
        run_threads(lock.acquire)
        return lock.acquire(timeout=1)

    assert answer(main) is False


def test_the_hub_may_take_a_free_lock_and_is_refused_a_held_one() -> None:
    """A timer that meets a held lock is an error, not a hang."""
    lock = threading.Lock()
    with kernel() as k:

        def holds() -> None:
            with lock:
                time.sleep(10)

        def uses() -> None:
            with lock:
                pass

        k.call_at(0, uses)
        k.start_process("p", holds, at_us=5)
        k.call_at(10, uses)
        with pytest.raises(SimulationError, match="in no process"):
            k.run()


def test_outside_a_run_locks_are_real() -> None:
    """Two real threads exclude each other, and wait for real."""
    lock = threading.Lock()
    lock.acquire()
    done = real.allocate_lock()
    done.acquire()
    real.start_new_thread(lambda: (lock.acquire(), done.release()), ())
    assert not done.acquire(True, 0.05)
    lock.release()
    assert done.acquire(True, 5)
    rlock = threading.RLock()
    with rlock, rlock:
        assert rlock.acquire(blocking=False)
        rlock.release()


def test_condition_on_either_lock() -> None:
    """Condition.wait gives the lock up wholly, also a nested RLock, and takes it back as deep."""

    def main() -> list[Any]:
        found: list[Any] = []
        for lock in (threading.Lock(), threading.RLock()):
            condition = threading.Condition(lock)  # type: ignore[arg-type]

            def waiter(condition: threading.Condition = condition) -> None:
                with condition:
                    found.append(condition.wait(timeout=1))
                    found.append(condition.wait(timeout=100))

            thread = threading.Thread(target=waiter)
            thread.start()
            time.sleep(5)
            with condition:
                condition.notify()
            thread.join()
        return found

    assert answer(main) == [False, True, False, True]
