"""Tests of the signal functions inside a run. (Delivery of SIGTERM: tests/unit/sim/test_process.py.)"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from harness.errors import RealWorld
from tests.unit.sim.simulate import answer, kernel, needs_shims, simulate

pytestmark = needs_shims


def test_handlers_belong_to_the_process() -> None:
    """signal.signal in one process is not seen in another, nor outside the run."""
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []

    def handler(*_: object) -> None:
        return None

    def first() -> None:
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.signal(signal.SIGTERM, handler) is signal.SIG_DFL
        assert signal.signal(signal.SIGTERM, signal.SIG_IGN) is handler
        time.sleep(1)

    simulate(first, lambda: (time.sleep(0.5), seen.append(signal.getsignal(signal.SIGTERM))))
    assert seen == [signal.SIG_DFL]
    assert signal.getsignal(signal.SIGTERM) is before


def test_only_the_main_thread_may_set_handlers() -> None:
    """As in a real process, and with its error."""

    def main() -> str:
        found: list[str] = []

        def work() -> None:
            try:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            except ValueError as error:
                found.append(str(error))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return found[0]

    assert "main thread" in answer(main)


def test_wrong_arguments_are_refused_as_by_the_real_function() -> None:
    """Classes of errors for a bad number, a bad handler, and a signal that cannot be caught."""

    def main() -> list[type]:
        found: list[type] = []
        wrong: list[tuple[Any, Any]] = [(999, signal.SIG_IGN), (signal.SIGTERM, 5), (signal.SIGKILL, signal.SIG_IGN)]
        for number, handler in wrong:
            try:
                signal.signal(number, handler)
            except Exception as error:
                found.append(type(error))
        return found

    assert answer(main) == [ValueError, TypeError, OSError]


@pytest.mark.parametrize("send", ["kill", "raise_signal", "killpg"])
def test_a_process_signals_itself(send: str) -> None:
    """os.kill(os.getpid(), ...) and signal.raise_signal run the handler before they return, and signal nobody else."""
    log: list[str] = []

    def main() -> None:
        signal.signal(signal.SIGUSR1, lambda *_: log.append("handled"))
        if send == "kill":
            os.kill(os.getpid(), signal.SIGUSR1)
        elif send == "killpg":
            os.killpg(os.getpgid(0), signal.SIGUSR1)
        else:
            signal.raise_signal(signal.SIGUSR1)
        log.append("after")

    simulate(main)
    assert log == ["handled", "after"]


def test_a_thread_signals_its_process() -> None:
    """The handler runs in the main thread, whoever sends."""
    log: list[str] = []

    def main() -> None:
        signal.signal(signal.SIGTERM, lambda *_: log.append(threading.current_thread().name))
        threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        time.sleep(1)

    simulate(main)
    assert log == ["MainThread"]


def test_signals_to_other_processes_are_refused() -> None:
    """A real process is never signalled from inside."""

    def main() -> None:
        with pytest.raises(RealWorld, match="signal to process 1 "):
            os.kill(1, signal.SIGTERM)

    simulate(main)


@pytest.mark.parametrize(
    ("number", "state"),
    [(signal.SIGTERM, "crashed"), (signal.SIGKILL, "crashed"), (signal.SIGUSR1, "crashed"), (signal.SIGCHLD, "exited")],
)
def test_default_actions(number: signal.Signals, state: str) -> None:
    """Without a handler most signals kill; those that are ignored by default are."""
    with kernel() as k:
        process = k.start_process("p", lambda: os.kill(os.getpid(), number))
        k.run()
        assert process.state == state


def test_sigint_is_keyboard_interrupt_in_the_main_thread() -> None:
    """The default handler of SIGINT raises there, and the process can catch it."""

    def main() -> str:
        threading.Timer(2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            time.sleep(10)
        except KeyboardInterrupt:
            return f"interrupted at {time.monotonic() - 100_000:g}"
        return "slept"

    assert answer(main) == "interrupted at 2"


def test_alarm_and_setitimer_go_off_in_virtual_time() -> None:
    """The time limit of a job by SIGALRM: it interrupts the sleep; intervals repeat; alarm(0) cancels."""

    def main() -> list[Any]:
        found: list[Any] = []

        class TimedOut(Exception):
            pass

        def handler(*_: object) -> None:
            raise TimedOut

        signal.signal(signal.SIGALRM, handler)
        assert signal.alarm(5) == 0
        start = time.monotonic()
        with pytest.raises(TimedOut):
            time.sleep(60)
        found.append(time.monotonic() - start)
        signal.alarm(3)
        time.sleep(1.5)
        found.append(signal.alarm(0))
        time.sleep(5)

        ticks: list[float] = []
        signal.signal(signal.SIGALRM, lambda *_: ticks.append(time.monotonic() - 100_011.5))
        signal.setitimer(signal.ITIMER_REAL, 1.0, 0.5)
        time.sleep(2.2)
        found.append(signal.setitimer(signal.ITIMER_REAL, 0)[1])
        time.sleep(5)
        found.append(ticks)
        return found

    near = pytest.approx
    assert answer(main) == [near(5), 2, near(0.5), [near(1), near(1.5), near(2)]]


def test_a_dead_processs_alarm_does_not_go_off() -> None:
    """Timers die with their process."""
    with kernel() as k:
        process = k.start_process("p", lambda: (signal.alarm(5), time.sleep(100)))
        k.call_at(1_000_000, lambda: k.crash(process))
        k.start_process("other", lambda: time.sleep(10))
        k.run()
        assert k.now == 10


def test_pause_waits_for_a_signal() -> None:
    """signal.pause returns after a handler has run."""

    def main() -> float:
        signal.signal(signal.SIGUSR1, lambda *_: None)
        threading.Timer(4, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        start = time.monotonic()
        signal.pause()
        return time.monotonic() - start

    assert answer(main) == pytest.approx(4)


def test_pthread_kill_and_masks_never_reach_the_real_thread() -> None:
    """A signal to a thread of the process runs the handler in its main one; masks are not set for real."""

    def main() -> list[Any]:
        log: list[Any] = []
        signal.signal(signal.SIGUSR1, lambda *_: log.append(threading.current_thread().name))
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        with pytest.raises(ProcessLookupError):
            signal.pthread_kill(999, signal.SIGUSR1)
        log.append(signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]))
        return log

    assert answer(main) == ["MainThread", set()]
    assert signal.SIGALRM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize("name", ["sigwait", "sigwaitinfo", "sigtimedwait"])
def test_waiting_for_real_signals_is_refused(name: str) -> None:
    """What would block the whole run until a real signal comes is refused with what to do instead."""
    if not hasattr(signal, name):
        pytest.skip(f"signal.{name} is not on this platform")

    def main() -> None:
        with pytest.raises(RealWorld, match=f"signal.{name} was asked for .*signal.signal"):
            getattr(signal, name)({signal.SIGUSR1}, 1)

    simulate(main)
