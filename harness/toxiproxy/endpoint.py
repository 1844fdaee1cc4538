"""One side of a proxied connection: a socket, what waits to be written to it, and whether it may be read."""

from __future__ import annotations

import select
import socket
from collections import deque
from itertools import islice
from typing import Final, Protocol

from harness.net.reactor import READ, RESET_AT_CLOSE, WRITE, Reactor

__all__ = ["Endpoint", "Owner"]

#: Bytes that may wait for a slow peer before its source is read no more.
HIGH_WATER: Final = 262_144
_MOST_DROPS: Final = 64  # reads of unread bytes before a close: an eager peer gets a reset in the end
_VECTOR: Final = 256  # chunks in one system call
#: After ten idle seconds a probe every ten; the peer's system answers while its end of the connection is there.
_KEEPALIVE: Final = [
    ((level, getattr(socket, name)), value)
    for level, name, value in (
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 10),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    )
    if hasattr(socket, name)
]


class Owner(Protocol):
    """What an endpoint tells."""

    def readable(self, endpoint: Endpoint) -> None:
        """There are bytes to read, or the end."""
        ...

    def drained(self, endpoint: Endpoint) -> None:
        """Everything that waited was written."""
        ...

    def broken(self, endpoint: Endpoint) -> None:
        """The socket failed: the peer has reset it."""
        ...


class Endpoint:
    """A connected, non-blocking socket. Owned by the reactor's thread."""

    __slots__ = ("_ending", "_fd", "_mask", "_out", "_owner", "_reactor", "closed", "sent", "socket", "waiting")

    def __init__(self, reactor: Reactor, connected: socket.socket, owner: Owner) -> None:
        self.socket = connected
        self.closed = False
        self.waiting = 0  # bytes
        self.sent = 0  # bytes
        self._fd = connected.fileno()
        self._reactor = reactor
        self._owner = owner
        self._out: deque[memoryview] | None = None  # made when first needed: most connections never wait
        self._mask = 0
        self._ending = False

    # Reading

    def read_on(self) -> None:
        """Tell the owner when there is something to read."""
        self._want(self._mask | READ)

    def read_off(self) -> None:
        """Do not: the way on is full, or there is nothing more."""
        self._want(self._mask & ~READ)

    # Writing

    @property
    def full(self) -> bool:
        """Whether so much waits that the other side should not be read."""
        return self.waiting > HIGH_WATER

    def write(self, data: bytes | memoryview) -> None:
        """Send *data*, now as far as it goes, the rest when the peer takes it."""
        if self.closed or self._ending:
            return
        if not self.waiting:
            try:
                sent = self.socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self._owner.broken(self)
                return
            self.sent += sent
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        if self._out is None:
            self._out = deque()
        self._out.append(memoryview(data))
        self.waiting += len(data)
        self._want(self._mask | WRITE)

    def want_write(self) -> None:
        """Tell the owner (by ``drained``) when the socket can be written again; nothing waits here."""
        self._want(self._mask | WRITE)

    def finish(self) -> None:
        """Send FIN after what waits."""
        if not self._ending:
            self._ending = True
            if not self.waiting:
                self._shut()

    def close(self, *, reset: bool = False) -> None:
        """Close the socket; with ``reset`` by RST, and what waits is lost."""
        if self.closed:
            return
        self.closed = True
        if self._mask:
            self._reactor.forget(self._fd)
            self._mask = 0
        if reset:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            except OSError:
                reset = False  # the peer was quicker
        else:
            self._drop_unread()
        self.socket.close()
        self._out = None
        self.waiting = 0

    def watch_over(self) -> None:
        """Ask the peer now and then whether it is there: one that has closed looks like one that has only ended."""
        for option, value in _KEEPALIVE:
            try:
                self.socket.setsockopt(*option, value)
            except OSError:
                return  # it is gone: `gone` will say so

    @property
    def gone(self) -> bool:
        """Whether the connection broke while nobody was reading or writing it."""
        if self.closed:
            return True
        poller = select.poll()
        poller.register(self._fd, 0)
        return any(events & select.POLLERR for _, events in poller.poll(0))

    def _drop_unread(self) -> None:
        """Close with a FIN: bytes that nobody has read would make a reset of it."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
            for _ in range(_MOST_DROPS):
                if len(self.socket.recv(65_536)) < 65_536:
                    return
        except OSError:
            return  # nothing there, or nobody

    # The reactor calls these

    def ready(self, mask: int) -> None:
        if mask & WRITE and not self.closed:
            self._flush()
        if mask & READ and not self.closed and self._mask & READ:
            self._owner.readable(self)

    def failed(self, error: Exception) -> None:
        self._owner.broken(self)

    def _flush(self) -> None:
        out = self._out
        while out:
            try:
                sent = self.socket.send(out[0]) if len(out) == 1 else self.socket.sendmsg(islice(out, _VECTOR))
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._owner.broken(self)
                return
            self.waiting -= sent
            self.sent += sent
            while out and sent >= len(out[0]):
                sent -= len(out.popleft())
            if sent:
                out[0] = out[0][sent:]
                return
        self._want(self._mask & ~WRITE)
        if self._ending:
            self._shut()
        if not self.closed:
            self._owner.drained(self)

    def _shut(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._owner.broken(self)

    def _want(self, mask: int) -> None:
        if mask == self._mask or self.closed:
            return
        if not self._mask:
            self._reactor.watch(self._fd, mask, self)
        elif mask:
            self._reactor.change(self._fd, mask, self)
        else:
            self._reactor.forget(self._fd)
        self._mask = mask
