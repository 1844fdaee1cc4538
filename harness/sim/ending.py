"""How things end: signals, a process's exit, and the unwinding of what still lives when a run is over."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness import compat
from harness.sim.actors import Actor, RunOver
from harness.sim.process import Process
from harness.sim.watchdog import Watchdog

if TYPE_CHECKING:
    from harness.sim.kernel import Kernel

__all__ = [
    "deliver",
    "drop_locals",
    "exited",
    "free_locks",
    "handle_signals",
    "run_main",
    "sigterm",
    "silence",
    "unwind",
]

_, _set_running_loop = compat.running_loop()

#: Signals whose default action is to do nothing (signal(7)).
_IGNORED_BY_DEFAULT = frozenset(
    int(getattr(signal, name)) for name in ("SIGCHLD", "SIGURG", "SIGWINCH", "SIGCONT") if hasattr(signal, name)
)


# -- a process's life -----------------------------------------------------------------------------


def run_main(kernel: Kernel, process: Process, main: Callable[[], object]) -> None:
    """Call *main* and end the process as the interpreter does: exit hooks, threads that are no daemons, atexit."""
    _guard(process, main)
    if process.exit_outcome is None:
        process.exit_outcome = "returned"
    process.shutting_down = True
    for step in kernel.exit_steps:
        _guard(process, lambda step=step: step(kernel, process))  # type: ignore[misc]  # bound now
    _guard(process, lambda: _join_threads(kernel, process))
    while process.at_exit:
        function, positional, named = process.at_exit.pop()
        _guard(process, lambda f=function, a=positional, k=named: f(*a, **k), exiting=True)  # type: ignore[misc]


def _guard(process: Process, function: Callable[[], object], exiting: bool = False) -> None:
    """Call *function*; the first way in which the process ended is its outcome."""
    try:
        function()
    except RunOver:
        raise
    except SystemExit as error:
        if process.exit_outcome is None:
            process.exit_outcome = "exit"
            process.exit_code = error.code
    except BaseException as error:
        if process.exit_outcome is None and not exiting:
            process.exit_outcome = "error"
            process.exit_error = error


def _join_threads(kernel: Kernel, process: Process) -> None:
    main = kernel.current
    assert main is not None
    while True:
        thread = next((actor for actor in process.actors if actor is not main and not actor.daemon), None)
        if thread is None:
            return
        join(kernel, main, thread)


def join(kernel: Kernel, waiter: Actor, actor: Actor, until_us: int | None = None) -> bool:
    """*waiter*, the current actor, waits until *actor* has ended; False if the deadline came first."""
    while not actor.dead:
        if until_us is not None and until_us <= kernel.now_us:
            return False
        if actor.joiners is None:
            actor.joiners = []
        actor.joiners.append(waiter)
        try:
            kernel.park(until_us)
        finally:
            if waiter in actor.joiners:
                actor.joiners.remove(waiter)
    return True


def exited(kernel: Kernel, process: Process) -> None:
    """The main actor has ended: the daemon threads that are left never run again."""
    if process.state != "crashed":
        process.state = "exited"
    kernel._halt(process)


def drop_locals(actor: Actor) -> None:
    """An ended thread's values of thread-locals die with it."""
    for reference in actor.locals or ():
        values = reference()
        if values is not None:
            values.dicts.pop(actor.ident, None)
    actor.locals = None


def free_locks(kernel: Kernel, process: Process) -> None:
    """Let actors of other processes try again for locks that the dead *process* held.

    Memory of real processes is not shared: a lock that two simulated ones
    share (of a module that both use) must not stay locked by a dead one.
    """
    for actor, lock in kernel.lock_waiters.items():
        if actor.process is process:
            continue
        # A free lock with a waiter: the release has woken an actor of the dead process.
        if not lock.taken() or (lock.holder is not None and lock.holder.process is process):
            kernel.wake(actor)


# -- signals --------------------------------------------------------------------------------------


def sigterm(kernel: Kernel, process: Process, grace_us: int) -> bool:
    """See :meth:`Kernel.sigterm`."""
    if kernel.closing:
        kernel.refuse()
    if not process.alive:
        return False
    number = int(signal.SIGTERM)
    if process.handlers.get(number, signal.SIG_DFL) == signal.SIG_DFL:
        kernel.crash(process)
        return False
    kernel.call_at(kernel.now_us + grace_us, lambda: kernel.crash(process))
    return deliver(kernel, process, number)


def deliver(kernel: Kernel, process: Process, number: int) -> bool:
    """See :meth:`Kernel.deliver`."""
    if kernel.closing:
        kernel.refuse()
    if not process.alive or number == 0:
        return True
    default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    handler = process.handlers.get(number, default)
    if handler == signal.SIG_IGN:
        return True
    if not callable(handler):
        if number in _IGNORED_BY_DEFAULT:
            return True
        kernel.crash(process)
        return False
    if process.wakeup is not None:
        process.wakeup(number)
    main = process.main
    assert main is not None
    if main.dead:
        return True
    fresh = main.pending is None
    if main.pending is None:
        main.pending = [number]
    elif number not in main.pending:  # a signal that is pending already is not queued twice (signal(7))
        main.pending.append(number)
    if main is kernel.current:
        handle_signals(kernel, main)
    elif fresh:
        kernel.interrupt(main)
    return True


def handle_signals(kernel: Kernel, actor: Actor) -> None:
    """Run the handlers of the pending signals in *actor*, the current one; raises what they raise."""
    actor.handling += 1
    try:
        while actor.pending is not None:
            numbers, actor.pending = actor.pending, None
            for index, number in enumerate(numbers):
                handler = actor.process.handlers.get(
                    number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                )
                if not callable(handler):
                    continue
                try:
                    handler(number, sys._getframe(2))
                except BaseException:
                    rest = numbers[index + 1 :]
                    if rest:
                        actor.pending = [*(actor.pending or ()), *rest]
                    raise
    finally:
        actor.handling -= 1


# -- the end of the run ---------------------------------------------------------------------------


class _Silence:
    """A stream that keeps nothing: what dying code prints is nobody's news."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        return None

    def isatty(self) -> bool:
        return False


def unwind(kernel: Kernel, watchdog: Watchdog) -> None:
    """Raise RunOver in every actor that has started and not ended, in order of creation."""
    actors = [actor for process in kernel.processes for actor in process.actors if actor.greenlet is not None]
    if not actors:
        return
    actors.sort(key=lambda actor: actor.ident)
    with silence(), watchdog:
        for actor in actors:
            _unwind_one(kernel, actor)


@contextmanager
def silence() -> Iterator[None]:
    """What dying code prints and cannot raise is nobody's news: it ends in another way than it was written for."""
    outputs = sys.stdout, sys.stderr
    hook = sys.unraisablehook
    sys.stdout = sys.stderr = _Silence()  # a stream as far as print() needs one
    sys.unraisablehook = lambda unraisable: None
    try:
        yield
    finally:
        sys.stdout, sys.stderr = outputs
        sys.unraisablehook = hook


def _unwind_one(kernel: Kernel, actor: Actor) -> None:
    kernel.current = actor
    actor.pending = None
    kernel._enter(actor.process)
    if actor.loop is not None:
        _set_running_loop(actor.loop)
    try:
        ended = actor.greenlet.throw(RunOver)
    finally:
        _set_running_loop(None)
        kernel.current = None
        kernel.steps += 1  # progress, as the watchdog sees it
    actor.dead = True
    if not ended:
        # It swallows what should end it. Its frames must never be released: that would run them again.
        compat.leak(actor.greenlet)
