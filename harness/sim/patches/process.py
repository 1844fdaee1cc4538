"""What belongs to an operating system's process: exit, exit hooks, child processes."""

from __future__ import annotations

import atexit
import multiprocessing.process
import os
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from harness.sim import real, world
from harness.sim.patches.refusal import inside_actor, refuse

__all__ = ["attributes", "pairs", "prepare"]

_NO_PROCESS = "A simulation is one process: start a thread, or declare another Process in the scenario"


class _Exits:
    """The shims; bound methods, as the originals bind to no instance."""

    def exit_now(self, status: int) -> NoReturn:
        """``os._exit``: the simulated process is gone at once, as by SIGKILL."""
        run = world.current()
        if run is None or run.kernel.current is None:
            real.os_exit(status)
        process = run.kernel.current.process
        process.exit_outcome = "exit"
        process.exit_code = status
        run.kernel.crash(process)
        raise AssertionError("unreachable: crash() does not return to an actor of the process")

    def abort(self) -> NoReturn:
        """``os.abort``: the same, by a signal."""
        run = world.current()
        if run is None or run.kernel.current is None:
            real.abort()
        run.kernel.crash(run.kernel.current.process)
        raise AssertionError("unreachable: crash() does not return to an actor of the process")

    def register(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        """``atexit.register``: runs when the simulated process exits."""
        run = world.current()
        if run is None or run.kernel.current is None:
            return real.atexit_register(function, *args, **kwargs)
        run.kernel.current.process.at_exit.append((function, args, kwargs))
        return function

    def unregister(self, function: Callable[..., Any], /) -> None:
        """``atexit.unregister``."""
        run = world.current()
        if run is None or run.kernel.current is None:
            real.atexit_unregister(function)
            return
        at_exit = run.kernel.current.process.at_exit
        at_exit[:] = [entry for entry in at_exit if entry[0] != function]


_exits = _Exits()


def _start(self: Any, *, _original: Callable[..., Any] = multiprocessing.process.BaseProcess.start) -> None:
    if inside_actor():
        refuse("a process of multiprocessing", _NO_PROCESS)
    _original(self)


_start.__name__ = "start"


class _Nothing:
    """Something to finalize."""


def prepare() -> None:
    """Let ``weakref.finalize`` register its exit function now, not for a process inside a run."""
    weakref.finalize(_Nothing(), _Nothing).detach()


def pairs() -> list[tuple[object, object]]:
    """Functions to be replaced wherever they are kept."""
    return [
        (os._exit, _exits.exit_now),
        (os.abort, _exits.abort),
        (atexit.register, _exits.register),
        (atexit.unregister, _exits.unregister),
    ]


def attributes() -> list[tuple[Any, str, object]]:
    """Names to be set: (owner, name, shim)."""
    return [(multiprocessing.process.BaseProcess, "start", _start)]
