"""An event loop for servers that move bytes: sockets, timers, and calls from other threads, on one thread.

Smaller and quicker per event than asyncio's: a handler is called with what its
socket is ready for, there are no tasks and no futures, and a connection costs
nothing while it is idle.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import select
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Protocol, TypeVar

__all__ = ["READ", "RESET_AT_CLOSE", "WRITE", "Handler", "Reactor", "Timer"]

logger = logging.getLogger("harness.net")

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

#: SO_LINGER for 0 seconds: closing the socket sends RST.
RESET_AT_CLOSE = struct.pack("ii", 1, 0)

T = TypeVar("T")

_MOST_WAIT = 3600.0  # seconds that one wait may last; a timer later than that is looked at again
_COARSE = 0.003  # seconds by which a wait of epoll may be late and more: the rest of a wait is left to select
_FD_SETSIZE = 1024
_MOST_EVENTS = 512  # of one wait: timers and other threads' calls have their turn between them
_FEW_CANCELLED = 256  # cancelled timers that are not worth looking for
_TO_EPOLL = (
    0,
    getattr(select, "EPOLLIN", 0),
    getattr(select, "EPOLLOUT", 0),
    getattr(select, "EPOLLIN", 0) | getattr(select, "EPOLLOUT", 0),
)


class Handler(Protocol):
    """What a socket's events go to."""

    def ready(self, mask: int) -> None:
        """The socket can be read (``mask & READ``), written (``mask & WRITE``), or both."""
        ...

    def failed(self, error: Exception) -> None:
        """``ready`` raised *error*: let go of the socket."""
        ...


class Timer:
    """A call at a time. Cancelling twice, or after the call, does nothing."""

    __slots__ = ("_reactor", "at", "function")

    def __init__(self, at: float, function: Callable[[], object], reactor: Reactor | None = None) -> None:
        self.at = at
        self.function: Callable[[], object] | None = function
        self._reactor = reactor

    def cancel(self) -> None:
        """The call is not made any more."""
        if self.function is not None:
            self.function = None
            if self._reactor is not None:
                self._reactor.timer_cancelled()


class _Poller:
    """Which sockets are ready, by epoll: half the price of an event from ``selectors``, and no object a socket."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, tuple[Handler | None, int]] = {}

    def fileno(self) -> int:
        return self._epoll.fileno()

    def register(self, fd: int, mask: int, handler: Handler | None) -> None:
        self._epoll.register(fd, _TO_EPOLL[mask])
        self._handlers[fd] = (handler, mask)

    def modify(self, fd: int, mask: int, handler: Handler | None) -> None:
        self._epoll.modify(fd, _TO_EPOLL[mask])
        self._handlers[fd] = (handler, mask)

    def unregister(self, fd: int) -> None:
        del self._handlers[fd]
        try:
            self._epoll.unregister(fd)
        except OSError:
            return  # closed before it was forgotten: the kernel has forgotten it by itself

    def select(self, wait: float) -> Iterator[tuple[Handler | None, int]]:
        handlers = self._handlers
        found = [(fd, events, handlers.get(fd)) for fd, events in self._epoll.poll(wait, _MOST_EVENTS)]
        for fd, events, before in found:
            entry = handlers.get(fd)
            if entry is None or before is None or entry[0] is not before[0]:
                continue  # an earlier handler of this turn has closed it; the number may be another socket's by now
            mask = READ if events & ~select.EPOLLOUT else 0
            if events & ~select.EPOLLIN:
                mask |= WRITE
            yield entry[0], mask & entry[1]

    def close(self) -> None:
        self._epoll.close()


class _PortablePoller:
    """The same for platforms without epoll."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def fileno(self) -> int:
        """None that ``select`` could wait for."""
        return _FD_SETSIZE

    def register(self, fd: int, mask: int, handler: Handler | None) -> None:
        self._selector.register(fd, mask, handler)

    def modify(self, fd: int, mask: int, handler: Handler | None) -> None:
        self._selector.modify(fd, mask, handler)

    def unregister(self, fd: int) -> None:
        self._selector.unregister(fd)

    def select(self, wait: float) -> Iterator[tuple[Handler | None, int]]:
        for key, mask in self._selector.select(wait):
            now = self._selector.get_map().get(key.fd)
            if now is not None and now.data is key.data:
                yield key.data, mask & now.events

    def close(self) -> None:
        self._selector.close()


class Reactor:
    """One thread calls :meth:`run`; everything else but the methods named below belongs to that thread.

    From other threads: :meth:`post`, :meth:`call`, :meth:`stop`. Times are seconds of ``time.monotonic``.
    """

    def __init__(self) -> None:
        self._poller: _Poller | _PortablePoller = _Poller() if hasattr(select, "epoll") else _PortablePoller()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._posted: deque[Callable[[], object]] = deque()
        self._waker, self._woken = socket.socketpair()
        for end in (self._waker, self._woken):
            end.setblocking(False)
        self._poller.register(self._woken.fileno(), READ, None)
        self._fine = self._poller.fileno() if self._poller.fileno() < _FD_SETSIZE else None
        self._cancelled = 0  # timers in the heap that will not be called
        self._asked_to_stop = False
        self._thread: int | None = None
        self._closed = False

    # Sockets

    def watch(self, fd: int, mask: int, handler: Handler) -> None:
        """Call *handler* when *fd* is ready for what *mask* says."""
        self._poller.register(fd, mask, handler)

    def change(self, fd: int, mask: int, handler: Handler) -> None:
        """Another *mask* (not 0) for a watched *fd*."""
        self._poller.modify(fd, mask, handler)

    def forget(self, fd: int) -> None:
        """*fd* is watched no more. Call it before the socket is closed."""
        self._poller.unregister(fd)

    # Time

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def call_at(self, at: float, function: Callable[[], object]) -> Timer:
        """Call *function* at the time *at*, or as soon as possible after it."""
        timer = Timer(at, function, self)
        heapq.heappush(self._timers, (at, next(self._numbers), timer))
        return timer

    def call_later(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Call *function* in *seconds*."""
        return self.call_at(time.monotonic() + seconds, function)

    def timer_cancelled(self) -> None:
        """A timer of this reactor was: when most of them are, let go of those."""
        self._cancelled += 1
        if self._cancelled > _FEW_CANCELLED and self._cancelled * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if entry[2].function is not None]
            heapq.heapify(self._timers)
            self._cancelled = 0

    def soon(self, function: Callable[[], object]) -> None:
        """Call *function* in the next turn. On the reactor's thread; from others it is :meth:`post`."""
        self._posted.append(function)

    # Other threads

    def post(self, function: Callable[[], object]) -> None:
        """Call *function* on the reactor's thread, soon. From any thread; nothing happens once it has ended."""
        self._posted.append(function)
        try:
            self._waker.send(b"\0")
        except BlockingIOError:
            return  # it will wake anyway: the pipe is full of reasons to
        except OSError:
            return  # it has ended

    def call(self, function: Callable[[], T], timeout: float = 30.0) -> T:
        """What *function* returns, called on the reactor's thread; raises what it raises.

        Raises:
            TimeoutError: the reactor did not come to it within *timeout* seconds.
            RuntimeError: it has ended.
        """
        if threading.get_ident() == self._thread:
            return function()
        if self._closed:
            raise RuntimeError("the event loop has ended")
        outcome: Future[T] = Future()

        def perform() -> None:
            try:
                outcome.set_result(function())
            except BaseException as error:
                outcome.set_exception(error)

        self.post(perform)
        return outcome.result(timeout)

    def stop(self) -> None:
        """Let :meth:`run` return after what it is doing. From any thread, and from a signal handler."""
        self._asked_to_stop = True
        self.post(lambda: None)

    # The loop

    def run(self) -> None:
        """Serve until :meth:`stop`."""
        self._thread = threading.get_ident()
        try:
            while not self._asked_to_stop:
                self.turn(self._next_wait())
        finally:
            self._thread = None

    def turn(self, wait: float) -> None:
        """One turn: wait at most *wait* seconds for events, then call everything that is due."""
        if self._fine is not None and 0 < wait < _MOST_WAIT:
            if wait > _COARSE:
                wait -= _COARSE  # whole milliseconds, upwards, is all that epoll knows
            else:
                select.select([self._fine], [], [], wait)
                wait = 0.0
        for handler, mask in self._poller.select(wait):
            if handler is None:
                self._drain()
                continue
            try:
                handler.ready(mask)
            except Exception as error:
                self._let_go(handler, error)
        self._run_posted()
        if self._timers:
            self._run_timers()

    def close(self) -> None:
        """Let go of what the reactor itself holds. The sockets of others are theirs to close, before."""
        if not self._closed:
            self._closed = True
            self._poller.close()
            self._waker.close()
            self._woken.close()

    def _next_wait(self) -> float:
        if self._posted:
            return 0.0
        timers = self._timers
        while timers and timers[0][2].function is None:
            heapq.heappop(timers)
            self._cancelled -= 1
        return min(_MOST_WAIT, max(0.0, timers[0][0] - time.monotonic())) if timers else _MOST_WAIT

    def _run_posted(self) -> None:
        for _ in range(len(self._posted)):
            self._guarded(self._posted.popleft())

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            function, timer.function = timer.function, None
            if function is not None:
                self._guarded(function)
            else:
                self._cancelled -= 1

    def _drain(self) -> None:
        try:
            while self._woken.recv(4096):
                continue
        except BlockingIOError:
            return

    @staticmethod
    def _guarded(function: Callable[[], object]) -> None:
        try:
            function()
        except Exception:
            logger.exception("a call of the event loop failed; it goes on")

    @staticmethod
    def _let_go(handler: Handler, error: Exception) -> None:
        if not isinstance(error, OSError):
            logger.error("a handler of the event loop failed; its socket is closed", exc_info=error)
        try:
            handler.failed(error)
        except Exception:
            logger.exception("letting go of a socket failed")
