"""Signals of a simulated process: handlers, ``os.kill`` of itself, alarms.

Handlers run in the process's main actor, at its next resume; a sleep or a
wait goes on afterwards (PEP 475) unless the handler raises.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from harness.sim import descriptors, real, world
from harness.sim.patches.refusal import refuse
from harness.sim.patches.swap import keep
from harness.sim.patches.time import to_us

if TYPE_CHECKING:
    from harness.sim.actors import Actor
    from harness.sim.kernel import Kernel

__all__ = ["pairs"]

_NAMES = {"alarm": int(signal.SIGALRM), "virtual": int(signal.SIGVTALRM), "profile": int(signal.SIGPROF)}
_WHICH = {int(signal.ITIMER_REAL): "alarm", int(signal.ITIMER_VIRTUAL): "virtual", int(signal.ITIMER_PROF): "profile"}


def _current() -> tuple[Kernel, Actor] | None:
    run = world.current()
    if run is None or run.kernel.current is None:
        return None
    return run.kernel, run.kernel.current


def _main_only(actor: Actor) -> None:
    if actor is not actor.process.main:
        raise ValueError("signal only works in main thread of the main interpreter")


def _as_enum(handler: Any) -> Any:
    try:
        return signal.Handlers(handler)
    except ValueError:
        return handler


class _Signals:
    """The shims; bound methods, as the originals bind to no instance."""

    def signal(self, signalnum: int, handler: Any) -> Any:
        here = _current()
        if here is None:
            return real.signal(signalnum, handler)
        _, actor = here
        _main_only(actor)
        if not callable(handler) and handler not in (signal.SIG_IGN, signal.SIG_DFL):
            raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
        number = self._number(signalnum)
        if number in (signal.SIGKILL, signal.SIGSTOP):
            raise OSError(22, "Invalid argument")
        before = self.getsignal(number)
        actor.process.handlers[number] = handler
        return before

    def getsignal(self, signalnum: int) -> Any:
        here = _current()
        if here is None:
            return real.getsignal(signalnum)
        number = self._number(signalnum)
        default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        return _as_enum(here[1].process.handlers.get(number, default))

    def _number(self, signalnum: int) -> int:
        number = int(signalnum)
        if number not in signal.valid_signals():
            raise ValueError("signal number out of range")
        return number

    def raise_signal(self, signalnum: int, /) -> None:
        here = _current()
        if here is None:
            real.raise_signal(signalnum)
            return
        here[0].deliver(here[1].process, self._number(signalnum))

    def kill(self, pid: int, signalnum: int, /) -> None:
        here = _current()
        if here is None:
            real.kill(pid, signalnum)
            return
        if pid not in (os.getpid(), 0):
            refuse(f"a signal to process {pid}", "A simulated process can signal itself; faults signal the others")
        if signalnum == 0:  # only asks whether the process is there
            return
        here[0].deliver(here[1].process, self._number(signalnum))

    def killpg(self, pgid: int, signalnum: int, /) -> None:
        here = _current()
        if here is None:
            real.killpg(pgid, signalnum)
            return
        here[0].deliver(here[1].process, self._number(signalnum))

    def pthread_kill(self, thread_id: int, signalnum: int, /) -> None:
        here = _current()
        if here is None:
            real.pthread_kill(thread_id, signalnum)
            return
        if all(thread_id != actor.ident for actor in here[1].process.actors):
            raise ProcessLookupError(3, "No such process")
        here[0].deliver(here[1].process, self._number(signalnum))  # Python's handlers run in the main thread anyway

    def pthread_sigmask(self, how: int, mask: Iterable[int], /) -> set[int]:
        """Blocking a signal for real would silence the watchdog; inside a run nothing is ever blocked."""
        if _current() is None:
            found: set[int] = real.pthread_sigmask(how, mask)
            return found
        return set()

    def siginterrupt(self, signalnum: int, flag: bool, /) -> None:
        if _current() is None:
            real.siginterrupt(signalnum, flag)

    def alarm(self, seconds: int, /) -> int:
        here = _current()
        if here is None:
            return real.alarm(seconds)
        before, _ = self.setitimer(signal.ITIMER_REAL, seconds)
        return -int(-before // 1)  # rounded up, as the system does

    def setitimer(self, which: int, seconds: float, interval: float = 0.0, /) -> tuple[float, float]:
        here = _current()
        if here is None:
            return real.setitimer(which, seconds, interval)
        kernel, actor = here
        if seconds < 0 or interval < 0:
            raise signal.ItimerError(22, "Invalid argument")
        before = self.getitimer(which)
        name = _WHICH[int(which)]
        timer = actor.process.timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        if seconds > 0:
            _Alarm(kernel, actor, name, to_us(seconds), to_us(interval)).arm()
        return before

    def getitimer(self, which: int, /) -> tuple[float, float]:
        here = _current()
        if here is None:
            return real.getitimer(which)
        if int(which) not in _WHICH:
            raise signal.ItimerError(22, "Invalid argument")
        alarm = here[1].process.timers.get(_WHICH[int(which)])
        if alarm is None:
            return 0.0, 0.0
        return (alarm.at_us - here[0].now_us) / 1e6, alarm.interval_us / 1e6

    def set_wakeup_fd(self, fd: int, /, *, warn_on_full_buffer: bool = True) -> int:
        """The number of each signal is written to the simulated socket *fd* as it arrives, before its handler runs."""
        here = _current()
        if here is None:
            return real.set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)
        actor = here[1]
        _main_only(actor)
        before = actor.process.wakeup
        if fd == -1:
            actor.process.wakeup = None
        else:
            socket = descriptors.find(fd)
            if socket is None:
                refuse("signal.set_wakeup_fd with a real descriptor", "Give it one end of a socket.socketpair()")
            actor.process.wakeup = _Wakeup(fd, socket)
        return before.fd if isinstance(before, _Wakeup) else -1

    def pause(self) -> None:
        here = _current()
        if here is None:
            real.pause()
            return
        kernel, actor = here
        _main_only(actor)
        kernel.pause_for_signal()


class _Wakeup:
    """Writes signals' numbers to a socket."""

    def __init__(self, fd: int, socket: Any) -> None:
        self.fd = fd
        self._socket = socket

    def __call__(self, number: int) -> None:
        try:
            self._socket.send(bytes([number]))
        except OSError:  # closed without being taken back; the interpreter only warns of it, too
            return


class _Alarm:
    """One interval timer of a process, on virtual time."""

    def __init__(self, kernel: Kernel, actor: Actor, name: str, first_us: int, interval_us: int) -> None:
        self._kernel = kernel
        self._process = actor.process
        self._name = name
        self._timer: Any = None
        self.at_us = kernel.now_us + max(first_us, 1)
        self.interval_us = interval_us

    def arm(self) -> None:
        self._process.timers[self._name] = self
        self._timer = self._kernel.call_at(self.at_us, self._fire)

    def cancel(self) -> None:
        self._timer.cancel()

    def _fire(self) -> None:
        if self._process.timers.get(self._name) is not self:
            return
        if self.interval_us:
            self.at_us += self.interval_us
            self.arm()
        else:
            del self._process.timers[self._name]
        self._kernel.deliver(self._process, _NAMES[self._name])


def _refusing(name: str) -> Callable[..., Any]:
    def shim(*args: Any, **kwargs: Any) -> Any:
        if _current() is not None:
            refuse(f"signal.{name}", "Register a handler with signal.signal, which runs in virtual time")
        return getattr(real, name)(*args, **kwargs)

    shim.__name__ = shim.__qualname__ = name
    return shim


_signals = _Signals()
_REFUSED = keep({name: _refusing(name) for name in ("sigwait", "sigwaitinfo", "sigtimedwait")})


def pairs() -> list[tuple[object, object]]:
    """Functions to be replaced wherever they are kept."""
    found: list[tuple[object, object]] = [
        (real.signal, _signals.signal),
        (real.getsignal, _signals.getsignal),
        (real.raise_signal, _signals.raise_signal),
        (real.kill, _signals.kill),
        (real.killpg, _signals.killpg),
        (real.alarm, _signals.alarm),
        (real.setitimer, _signals.setitimer),
        (real.getitimer, _signals.getitimer),
        (real.pause, _signals.pause),
        (real.pthread_kill, _signals.pthread_kill),
        (real.pthread_sigmask, _signals.pthread_sigmask),
        (real.siginterrupt, _signals.siginterrupt),
        (real.set_wakeup_fd, _signals.set_wakeup_fd),
    ]
    found += [(getattr(real, name), shim) for name, shim in _REFUSED.items() if getattr(real, name) is not None]
    return found
