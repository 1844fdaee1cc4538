"""The clock that a service lives by, and how its callers wait on it.

A service never reads a clock of its own: it asks its :class:`Timebase`. In a
simulation that is the kernel's virtual clock; behind a real server it is the
machine's, with a lock that ``wait`` lets go of while it waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from harness.sim.kernel import Kernel

__all__ = ["KernelTimebase", "Timebase", "Waiters"]


class Waiters:
    """Callers that wait for one thing, first come first. What stands in ``waiting`` is the timebase's business."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: deque[Any] = deque()

    def __bool__(self) -> bool:
        return bool(self.waiting)


class Timebase(Protocol):
    """A service's clock: microseconds since 1970, and waiting on it."""

    def now_us(self) -> int:
        """The service's own time."""
        ...

    def wait(self, waiters: Waiters, until_us: int) -> bool:
        """The current caller waits until it is notified (true) or until *until_us* (false)."""
        ...

    def notify(self, waiters: Waiters) -> None:
        """Wake the first of *waiters* that is able to run; nothing happens if nobody waits."""
        ...

    def call_at(self, at_us: int, function: Callable[[], object]) -> None:
        """Call *function* at that time (at once if it has passed): a service's own work, which never waits."""
        ...


class KernelTimebase:
    """The virtual clock of a simulation, which no process's clock fault touches."""

    __slots__ = ("_epoch_us", "_kernel")

    def __init__(self, kernel: Kernel) -> None:
        from harness.sim.kernel import EPOCH_US

        self._kernel = kernel
        self._epoch_us = EPOCH_US

    def now_us(self) -> int:
        return self._epoch_us + self._kernel.now_us

    def wait(self, waiters: Waiters, until_us: int) -> bool:
        kernel = self._kernel
        actor = kernel.current
        if actor is None:
            raise RuntimeError("only an actor can wait for a service; call it with no wait time from outside")
        waiting = waiters.waiting
        waiting.append(actor)
        try:
            kernel.park(until_us - self._epoch_us)
        finally:
            # notify() takes an actor out before it wakes it: who still stands here was woken by the clock
            # (or by an exception thrown into the wait).
            timed_out = actor in waiting
            if timed_out:
                waiting.remove(actor)
        return not timed_out

    def call_at(self, at_us: int, function: Callable[[], object]) -> None:
        self._kernel.call_at(at_us - self._epoch_us, function)

    def notify(self, waiters: Waiters) -> None:
        """Wake waiters up to and with the first whose process runs.

        A dead one is passed over: its connection is closed. A paused one looks
        again when it runs on, and meanwhile another may have what there is.
        """
        waiting = waiters.waiting
        while waiting:
            actor = waiting.popleft()
            if actor.dead:
                continue
            self._kernel.wake(actor)
            if actor.process.state == "running":
                return
