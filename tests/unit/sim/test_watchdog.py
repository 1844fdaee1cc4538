"""Tests of the watchdog: what blocks or spins for real ends the run with a stack, and never hangs."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from harness.errors import Stalled
from harness.sim import real
from tests.unit.sim.simulate import kernel, simulate

ROOT = Path(__file__).resolve().parents[3]


def test_a_loop_that_calls_nothing_is_stopped_with_its_stack() -> None:
    """`while not flag: pass` ends the run as Stalled and names the actor and the line."""
    with kernel(watchdog_seconds=0.2) as k:

        def spins() -> None:
            flag = False
            while not flag:
                pass

        k.start_process("spinner", spins)
        k.start_process("other", lambda: k.sleep_us(5))
        with pytest.raises(Stalled, match=r"spinner has blocked or span") as caught:
            k.run()
    assert "in spins" in caught.value.stacks["spinner"]
    assert "while not flag" in caught.value.stacks["spinner"] or "pass" in caught.value.stacks["spinner"]
    assert "other" in caught.value.stacks


def test_a_real_lock_that_blocks_is_interrupted() -> None:
    """A C lock held by nobody who runs: the wait is interrupted, the error says what to do."""
    with kernel(watchdog_seconds=0.2) as k:
        lock = real.allocate_lock()
        lock.acquire()

        def blocks() -> None:
            lock.acquire()

        k.start_process("blocked", blocks)
        with pytest.raises(Stalled, match="import harness first") as caught:
            k.run()
    assert "in blocks" in caught.value.stacks["blocked"]


def test_swallowing_does_not_help() -> None:
    """A bare except round a blocked call cannot keep the run from ending: nothing is raised in it."""
    swallowed: list[BaseException] = []
    with kernel(watchdog_seconds=0.2) as k:
        lock = real.allocate_lock()
        lock.acquire()

        def stubborn() -> None:
            while True:
                try:
                    lock.acquire()
                except BaseException as error:
                    swallowed.append(error)
                    raise

        k.start_process("p", stubborn)
        with pytest.raises(Stalled):
            k.run()
        assert swallowed == []


def test_a_hub_that_blocks_is_stopped_too() -> None:
    """A timer that spins raises Stalled out of run()."""
    with kernel(watchdog_seconds=0.2) as k:

        def spins() -> None:
            while True:
                pass

        k.call_at(5, spins)
        with pytest.raises(Stalled, match="the kernel"):
            k.run()


def test_slow_but_moving_is_no_stall() -> None:
    """Real time spent between steps is fine as long as steps are made."""

    with kernel(watchdog_seconds=0.2) as k:

        def slow() -> None:
            for _ in range(8):
                end = real.perf_counter() + 0.06
                while real.perf_counter() < end:
                    pass
                k.sleep_us(1)

        k.start_process("p", slow)
        assert k.run() == "idle"


def test_somebody_elses_alarm_is_given_back() -> None:
    """A timer and a handler of SIGALRM (a test's own time limit) are in force again after the run."""
    fired: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 30.0)
        simulate(lambda: None)
        remaining, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 25 < remaining <= 30
        signal.raise_signal(signal.SIGALRM)
        assert fired == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_alarm_that_passed_meanwhile_goes_off_after_the_run() -> None:
    """A time limit that ran out during the run is only late, not lost."""
    fired: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)

        def busy() -> None:
            end = real.perf_counter() + 0.1
            while real.perf_counter() < end:
                pass

        simulate(busy)
        end = time.perf_counter() + 5
        while not fired and time.perf_counter() < end:
            pass
        assert fired == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_ends_the_run_and_not_the_code_under_test() -> None:
    """SIGINT during a run is the user's: no actor sees KeyboardInterrupt, run() raises it."""
    seen: list[BaseException] = []
    with kernel() as k:

        def main() -> None:
            try:
                k.sleep_us(5)
                real.kill(os.getpid(), signal.SIGINT)
                k.sleep_us(5)
                k.sleep_us(5)
            except BaseException as error:
                seen.append(error)
                raise

        k.start_process("p", main)
        with pytest.raises(KeyboardInterrupt):
            k.run()
        assert seen == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_outside_the_main_thread_the_stack_is_printed_and_the_process_ends() -> None:
    """Where no signal can interrupt, a stalled run ends the whole process with exit code 3 and a stack."""
    program = textwrap.dedent(
        """
        import threading
        from harness.seeds import Seeds
        from harness.sim import world
        from harness.sim.kernel import Kernel
        from harness.sim import real

        def blocks_for_ever():
            lock = real.allocate_lock()
            lock.acquire()
            lock.acquire()

        def simulate():
            k = Kernel(Seeds(0), watchdog_seconds=0.4)
            world.enter(world.World(k, None, None))
            k.start_process("p", blocks_for_ever)
            k.run()

        thread = threading.Thread(target=simulate)
        thread.start()
        thread.join()
        """
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 3
    assert "no progress for 0.4 s" in done.stderr
    assert "blocks_for_ever" in done.stderr


def test_a_run_on_another_thread_that_moves_is_left_alone() -> None:
    """A simulation may run on any OS thread."""
    found: list[object] = []

    def on_thread() -> None:
        with kernel(watchdog_seconds=5) as k:
            k.start_process("p", lambda: k.sleep_us(5))
            found.append(k.run())

    done = _thread.allocate_lock()
    done.acquire()
    _thread.start_new_thread(lambda: (on_thread(), done.release()), ())
    assert done.acquire(timeout=10)
    assert found == ["idle"]


def test_a_debuggers_prompt_is_no_stall() -> None:
    """Whoever sits at a breakpoint inside an actor is left in peace."""
    import bdb

    class Debugger(bdb.Bdb):
        def user_line(self, frame: object) -> None:
            self.set_continue()

    debugger = Debugger()
    with kernel(watchdog_seconds=0.1) as k:

        def main() -> None:
            before = sys.gettrace()
            sys.settrace(debugger.trace_dispatch)
            try:
                end = real.perf_counter() + 0.4
                while real.perf_counter() < end:
                    pass
            finally:
                sys.settrace(before)

        k.start_process("p", main)
        assert k.run() == "idle"
