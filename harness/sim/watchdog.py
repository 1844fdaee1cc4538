"""Stops a run that makes no progress in real time: blocked in a real lock, or spinning without a call."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType
from typing import TYPE_CHECKING, Any

from harness.errors import Stalled
from harness.sim import real
from harness.sim.actors import RunOver
from harness.sim.stacks import Stack, listing

if TYPE_CHECKING:
    from harness.sim.kernel import Kernel

__all__ = ["EXIT_STALLED", "Watchdog"]

#: The process's exit code when a run on another thread than the main one stalls (nothing can interrupt it there).
EXIT_STALLED = 3

_TICKS = 4  # looks within the limit


def _debugged() -> bool:
    """Whether somebody sits at a debugger's prompt, for whom no limit is right."""
    if "pydevd" in sys.modules:
        return True
    debugger = getattr(sys.gettrace(), "__self__", None)
    return any(kind.__module__ == "bdb" for kind in type(debugger).__mro__)


class Watchdog:
    """While entered, watches that the kernel makes steps.

    On the main thread a timer signal interrupts even a blocked lock, and the
    actor is left where it is. On another thread no signal handler runs: there
    a thread prints the stack and ends the process.
    """

    __slots__ = ("_before", "_entered", "_kernel", "_remaining", "_seconds", "_since", "_steps", "_stop")

    def __init__(self, kernel: Kernel, seconds: float) -> None:
        self._kernel = kernel
        self._seconds = seconds
        self._steps = -1
        self._since = 0.0
        self._entered = 0.0
        self._before: tuple[Any, Any] | None = None
        self._remaining: tuple[float, float] = (0.0, 0.0)
        self._stop: Any = None

    def __enter__(self) -> Watchdog:
        self._steps = -1
        self._entered = self._since = real.monotonic()
        if real.get_ident() == real.main_thread().ident:
            interrupt = real.c_getsignal(signal.SIGINT)
            before = real.c_signal(signal.SIGALRM, self._tick)
            if interrupt is signal.default_int_handler:
                real.c_signal(signal.SIGINT, self._interrupted)
            self._before = (before, interrupt)
            interval = self._seconds / _TICKS
            self._remaining = real.setitimer(signal.ITIMER_REAL, interval, interval)
        else:
            self._stop = real.allocate_lock()
            self._stop.acquire()
            real.start_new_thread(self._watch, (self._stop, real.get_ident()))
        return self

    def __exit__(self, *exc: object) -> None:
        if self._stop is not None:
            self._stop.release()
            self._stop = None
            return
        remaining, interval = self._remaining
        if remaining:  # somebody else's timer (a test's time limit) goes on where it was
            remaining = max(remaining - (real.monotonic() - self._entered), 0.001)
        assert self._before is not None
        before, interrupt = self._before
        real.setitimer(signal.ITIMER_REAL, 0.0)
        real.c_signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)
        if interrupt is signal.default_int_handler:
            real.c_signal(signal.SIGINT, interrupt)
        if remaining:
            real.setitimer(signal.ITIMER_REAL, remaining, interval)

    def _moved(self) -> bool:
        """Whether there was a step since the last look, or the limit is not reached yet."""
        steps = self._kernel.steps
        now = real.monotonic()
        if steps != self._steps or _debugged():
            self._steps = steps
            self._since = now
            return True
        return now - self._since < self._seconds

    def _tick(self, number: int, frame: FrameType | None) -> None:
        if self._moved():
            return
        kernel = self._kernel
        actor = kernel.current
        if kernel.closing:
            if actor is not None:
                kernel._leave(actor)
            raise RunOver
        stacks = kernel.stacks()
        name = "the kernel (a timer or the set-up of the run)"
        if actor is not None:
            name = actor.name
            stacks[name] = Stack(actor, True, frame).text()
        kernel.fail(
            Stalled(
                f"{name} has blocked or span for {self._seconds:g} s of real time at virtual time {kernel.now:.6f} s. "
                f"A lock or queue that was made before harness was imported blocks for real: import harness first. "
                f"A loop that calls nothing never lets virtual time move\n\n{listing(stacks)}",
                stacks,
            )
        )

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C ends the run, not the code under test; a second one does not wait for the next switch."""
        real.c_signal(signal.SIGINT, signal.default_int_handler)
        if self._kernel.current is None:
            raise KeyboardInterrupt
        self._kernel.fail_soon(KeyboardInterrupt())

    def _watch(self, stop: Any, ident: int) -> None:
        """On a thread of its own: look until *stop* is released."""
        interval = self._seconds / _TICKS
        while not stop.acquire(True, interval):
            if self._moved():
                continue
            frame = sys._current_frames().get(ident)
            text = "".join(traceback.format_stack(frame))
            os.write(
                2,
                f"harness: a simulation has made no progress for {self._seconds:g} s of real time, outside the main "
                f"thread, where nothing can interrupt it. The process ends. It was here:\n{text}".encode(),
            )
            real.os_exit(EXIT_STALLED)
