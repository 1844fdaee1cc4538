"""Waits that end early when those whom they hold up are asked to stop.

A consumer that is told to stop has no time for the minute that a retry waits.
While it handles a message its :class:`Waits` are in force: in the handler's
thread, and in the tasks that it begins, but not in other threads. A
:class:`~harness.resilience.retry.Retry` without a ``sleep`` of its own waits
there, and gives up when the wait is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Waits", "in_force"]

_SLICE = 1.0  # seconds between two looks at whether to stop

_current: ContextVar[Waits | None] = ContextVar("harness_waits", default=None)


def in_force() -> Waits | None:
    """The waits of the work that this thread or task does, if somebody may cut them."""
    return _current.get()


class Waits:
    """The waits of one piece of work. ``cut``: whether one of them was.

    Args:
        pause: waits so many seconds; returns early, with ``False``, on stop.
        stopping: whether to stop.
    """

    __slots__ = ("_pause", "_stopping", "cut")

    def __init__(self, pause: Callable[[float], bool], stopping: Callable[[], bool]) -> None:
        self._pause = pause
        self._stopping = stopping
        self.cut = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Waits in this thread, and in tasks that begin here, are these."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def pause(self, seconds: float) -> bool:
        """Wait; ``False`` if the wait was cut."""
        whole = self._pause(seconds)
        self.cut = self.cut or not whole
        return whole

    async def pause_async(self, seconds: float) -> bool:
        """As :meth:`pause`, in a task."""
        import asyncio

        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while not self._stopping():
            left = until - clock()
            if left <= 0:
                return True
            await asyncio.sleep(min(left, _SLICE))
        self.cut = True
        return False
