"""A TCP connection of a simulation, as the client's socket: bytes out at once, answers in virtual time.

Client libraries are cut at their socket: they get one of these instead. Their
own timeouts, retries and reconnects then run unmodified, in virtual time.
What is on the other side is a subclass: it gets the bytes in ``_received``
and answers with ``deliver``, ``end``, ``reset`` or silence.

A blocking socket's write takes its way to the peer in the writer's own time.
A non-blocking one (timeout 0, as an event loop's transports use it) hands its
bytes to a courier, an actor of the same process, so that the writer goes on
at once; what goes wrong on the way is met by the next read or write.
"""

from __future__ import annotations

import contextvars
import errno
import io
from collections import deque
from typing import TYPE_CHECKING, Any

from harness.sim import descriptors, lines
from harness.sim import world as _world

if TYPE_CHECKING:
    from harness.sim.kernel import Actor, Process
    from harness.sim.world import World

__all__ = ["CONNECT_GIVES_UP_US", "SILENCE_GIVES_UP_US", "StreamSocket"]

#: How long a connect without a timeout of its own waits for a peer that never answers: Linux's
#: ``tcp_syn_retries`` = 6 comes to 127 seconds (Documentation/networking/ip-sysctl.rst).
CONNECT_GIVES_UP_US = 127_000_000

#: How long a read without a timeout of its own waits for a peer that has fallen silent: Linux gives up
#: retransmitting after ``tcp_retries2`` = 15, about 924.6 seconds (same source). A client whose request did
#: arrive would wait for keepalive or for ever; a run must end, so both cases end here.
SILENCE_GIVES_UP_US = 924_600_000

#: What a second and later fruitless look at a non-blocking socket costs, so that a polling loop cannot stop time.
_POLL_US = 1_000


class StreamSocket:
    """The client's end of a simulated connection; duck-typed for ``socket.socket``."""

    family = 2  # AF_INET
    type = 1  # SOCK_STREAM
    proto = 6

    #: Whether a write takes virtual time (and so needs a courier where the writer may not wait).
    _takes_time = True

    def __init__(self, world: World, peer: tuple[str, int], local_port: int, timeout: float | None) -> None:
        self._world = world
        self._kernel = world.kernel
        self._peer = peer
        self._local = ("127.0.0.1", local_port)
        self._timeout = timeout
        self._arrivals: deque[tuple[int, bytes]] = deque()
        self._ended = False
        self._reset = False
        self._silent_point: str | None = None
        self._silent_since_us = 0
        self._reader: Actor | None = None
        self._closed = False
        self._files = 0
        self._fruitless = 0
        self._outbox: deque[tuple[bytes, contextvars.Context]] = deque()  # what couriers are to carry
        self._carrying = False
        self._awaited = False  # something was sent without waiting, and nothing was read since
        self._failure: BaseException | None = None  # what went wrong on a courier's way, until somebody is told
        self.watchers: list[descriptors.Watcher] = []
        self.number = -1
        actor = self._kernel.current
        self.process: Process | None = actor.process if actor is not None else None

    # -- the peer's side

    def deliver(self, data: bytes, at_us: int) -> None:
        """*data* arrives at *at_us* of virtual time (after all that was delivered before)."""
        if self._closed or self._ended or self._reset or self.silent:
            return
        self._arrivals.append((at_us, data))
        self._wake_reader()

    def end(self) -> None:
        """The peer closes the connection: what it sent before still arrives."""
        self._ended = True
        self._wake_reader()

    def reset(self) -> None:
        """The connection breaks: nothing more arrives, reads and writes fail."""
        self._arrivals.clear()
        self._reset = True
        self._wake_reader()

    def fall_silent(self, point: str) -> None:
        """Nothing arrives any more, in either direction; *point* is where the answer was lost."""
        if self._silent_point is None:
            self._silent_point = point
            self._silent_since_us = self._kernel.now_us
            self._arrivals.clear()
            self._wake_reader()  # to reckon when it gives up

    @property
    def silent(self) -> bool:
        return self._silent_point is not None

    @property
    def alive(self) -> bool:
        """Whether the client's process still holds the connection open."""
        process = self.process
        return not self._closed and (process is None or process.alive)

    def _wake_reader(self) -> None:
        reader = self._reader
        if reader is not None:
            self._kernel.wake(reader)
        for watcher in self.watchers:
            watcher.changed()

    def _received(self, data: bytes) -> None:
        """The client wrote *data*. Runs in the client's actor; may take virtual time and raise ``OSError``."""
        raise NotImplementedError

    def _about_to_read(self) -> None:
        """The client reads. A subclass decides here about answers that were not due when it wrote."""

    def _gave_up(self, point: str | None) -> None:
        """The client's read timed out; *point* is where its answer was lost, where one was."""

    def _hung_up(self) -> None:
        """The client closed the connection."""

    # -- the client's side: writing

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "Bad file descriptor")
        self._raise_failure()
        self._check_writable()
        actor = self._kernel.current
        if actor is not None:
            self.process = actor.process
        self._fruitless = 0
        if self.silent:
            self._awaited = True
        elif self._timeout == 0 and self._takes_time and actor is not None:
            self._awaited = True
            self._outbox.append((bytes(data), lines.carried(actor)))
            if not self._carrying:
                self._carrying = True
                self._kernel.spawn(actor.process, self._carry, lines.courier_name(actor))
        else:
            self._received(bytes(data))

    def send(self, data: Any, flags: int = 0) -> int:
        self.sendall(data, flags)
        return len(data)

    def sendmsg(self, buffers: Any, *ancillary: Any) -> int:
        data = b"".join(bytes(buffer) for buffer in buffers)
        self.sendall(data)
        return len(data)

    def _carry(self) -> None:
        """A courier's life: take what was written to the peer, in order."""
        try:
            while self._outbox and not self.silent:
                data, context = self._outbox.popleft()
                context.run(self._received, data)
        except Exception as error:  # the writer went on: whoever uses the connection next is told
            self._outbox.clear()
            if not self._closed and self._failure is None:
                self._failure = error
                self._reset = True
                self._arrivals.clear()
                self._wake_reader()
        finally:
            self._carrying = False
            if self._closed and not self._kernel.closing:
                self._hung_up()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _check_writable(self) -> None:
        """Whether the connection still leads to the peer. That the client has closed it says nothing: bytes on
        their way arrive."""
        if self._kernel.closing:
            self._kernel.refuse()
        if self._reset or _world.current() is not self._world:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if self._ended:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    # -- the client's side: reading

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self._closed and not self._files:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if _world.current() is not self._world:
            return b""  # a connection of an earlier run
        if self._kernel.closing:
            self._kernel.refuse()
        self._raise_failure()
        self._about_to_read()
        kernel = self._kernel
        begin_us = kernel.now_us
        limit_us = None if self._timeout is None else begin_us + round(self._timeout * 1_000_000)
        while True:
            now_us = kernel.now_us
            if self._reset:
                raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            if self._arrivals and self._arrivals[0][0] <= now_us:
                return self._take(size)
            if self._ended and not self._arrivals:
                return b""
            until_us = limit_us
            if self.silent and not self._timeout:
                until_us = self._silent_since_us + SILENCE_GIVES_UP_US
                if now_us >= until_us:
                    self._gave_up(self._silent_point)
                    self._reset = True
                    raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
            if self._timeout == 0:
                self._nothing_yet()
            if limit_us is not None and now_us >= limit_us:
                self._gave_up(self._silent_point)
                raise TimeoutError("timed out")
            if self._arrivals:
                due_us = self._arrivals[0][0]
                until_us = due_us if until_us is None else min(until_us, due_us)
            self._park(until_us)
            self._about_to_read()

    def _nothing_yet(self) -> None:
        self._fruitless += 1
        if self._fruitless > 1:
            self._kernel.sleep_us(_POLL_US)
        raise BlockingIOError(errno.EWOULDBLOCK, "Resource temporarily unavailable")

    def _park(self, until_us: int | None) -> None:
        self._reader = self._kernel.current
        try:
            self._kernel.park(until_us)
        finally:
            self._reader = None

    def _take(self, size: int) -> bytes:
        at_us, data = self._arrivals.popleft()
        self._fruitless = 0
        self._awaited = False
        if len(data) > size:
            self._arrivals.appendleft((at_us, data[size:]))
            return data[:size]
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        data = self.recv(size or len(buffer), flags)
        buffer[: len(data)] = data
        return len(data)

    def readable(self) -> bool:
        """Whether a read would not wait: data, the end, or an error stands ready."""
        if self._closed or self._reset or _world.current() is not self._world:
            return True
        if self._arrivals:
            return self._arrivals[0][0] <= self._kernel.now_us
        if self.silent and self._timeout == 0:
            return self._kernel.now_us >= self._silent_since_us + SILENCE_GIVES_UP_US
        return self._ended

    def writable(self) -> bool:
        """Whether a write would not wait: always, for a connection takes what it is given."""
        return True

    def ready_at_us(self) -> int | None:
        """When a read would not wait any more, as things stand."""
        if self._arrivals:
            return self._arrivals[0][0]
        return self._silent_since_us + SILENCE_GIVES_UP_US if self.silent and self._timeout == 0 else None

    def wait_readable(self, timeout: float | None) -> bool:
        """Wait up to *timeout* seconds (``None``: without end) until a read would not wait."""
        kernel = self._kernel
        limit_us = None if timeout is None else kernel.now_us + round(timeout * 1_000_000)
        while not self.readable():
            if limit_us is not None and kernel.now_us >= limit_us:
                return False
            due_us = self._arrivals[0][0] if self._arrivals else None
            self._park(min((us for us in (limit_us, due_us) if us is not None), default=None))
        return True

    def at_end(self) -> bool:
        """Whether nothing more can be read: closed by either side and everything read."""
        if self._closed or self._reset or _world.current() is not self._world:
            return True
        return self._ended and not self._arrivals

    def makefile(self, mode: str = "r", buffering: int | None = None, **text: Any) -> Any:
        if mode not in ("rb", "wb", "rwb", "r", "w"):
            raise ValueError(f"invalid mode {mode!r}")
        self._files += 1
        raw = _File(self, readable="r" in mode, writable="w" in mode)
        if buffering == 0:
            return raw
        stream: Any
        if "r" in mode and "w" in mode:
            stream = io.BufferedRWPair(raw, raw)
        elif "w" in mode:
            stream = io.BufferedWriter(raw)
        else:
            stream = io.BufferedReader(raw)
        return stream if "b" in mode else io.TextIOWrapper(stream, **text)

    # -- the client's side: the rest of a socket

    def settimeout(self, seconds: float | None) -> None:
        self._timeout = seconds

    def gettimeout(self) -> float | None:
        return self._timeout

    def setblocking(self, flag: bool) -> None:
        self._timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        return self._timeout != 0

    def setsockopt(self, *options: Any) -> None:
        """Accepted and of no consequence: there is no operating system underneath."""

    def getsockopt(self, *options: Any) -> int:
        return 0

    def getpeername(self) -> tuple[str, int]:
        if self._closed:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return self._peer

    def getsockname(self) -> tuple[str, int]:
        return self._local

    def fileno(self) -> int:
        """A number that only the simulation's own ``select``, ``poll`` and selectors know."""
        return -1 if self._closed else descriptors.number_of(self)

    # what TLS clients ask of a wrapped socket; the handshake itself is left out

    def getpeercert(self, binary_form: bool = False) -> Any:
        return b"" if binary_form else {"subjectAltName": (("DNS", self._peer[0]),)}

    def selected_alpn_protocol(self) -> None:
        return None

    def version(self) -> str:
        return "TLSv1.3"

    def unwrap(self) -> StreamSocket:
        return self

    def shutdown(self, how: int) -> None:
        if self._closed:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        if how != 0:
            self._ended = True

    def close(self) -> None:
        """Close. Files made of the socket can still read what has arrived, as with a real one."""
        if not self._closed:
            self._closed = True
            descriptors.forget(self)
            if self._awaited and self._timeout == 0 and not (self._reset or self._ended or self._kernel.closing):
                self._gave_up(self._silent_point)
            if not self._carrying:
                self._hung_up()

    def detach(self) -> int:
        self.close()
        return -1

    def __enter__(self) -> StreamSocket:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self._peer[0]}:{self._peer[1]}{' closed' if self._closed else ''}>"


class _File(io.RawIOBase):
    """The raw file that ``makefile`` buffers."""

    def __init__(self, sock: StreamSocket, *, readable: bool, writable: bool) -> None:
        self._sock: StreamSocket | None = sock
        self._readable = readable
        self._writable = writable

    def _open_socket(self) -> StreamSocket:
        if self._sock is None:
            raise ValueError("I/O operation on closed file")
        return self._sock

    def readable(self) -> bool:
        return self._readable

    def writable(self) -> bool:
        return self._writable

    def readinto(self, buffer: Any) -> int:
        return self._open_socket().recv_into(buffer)

    def write(self, data: Any) -> int:
        self._open_socket().sendall(data)
        return len(data)

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            sock._files -= 1
        super().close()
