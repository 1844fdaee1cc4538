"""What consumers' processes tell the run and ask it: one line of JSON each way, over loopback.

A consumer waits for each answer: an effect is written down before anything
else can happen to the process, and a fault that kills it does so at the very
point that it passes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Caller", "Channel"]

_MOST_LINE: Final = 4 * 1024 * 1024

Answerer = Callable[[str, dict[str, Any]], dict[str, Any]]


class Channel:
    """The run's end. *answer* is called with a process's name and its line, on a thread of that process.

    Only who knows the token, which consumers get in their environment, is listened to.
    """

    def __init__(self, answer: Answerer) -> None:
        self._answer = answer
        self.token = secrets.token_hex(16)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Listen on a thread of its own."""
        threading.Thread(target=self._accept, name="live-channel", daemon=True).start()

    def close(self) -> None:
        """Hang up on everybody."""
        self._closed = True
        with contextlib.suppress(OSError):  # nobody was there to be woken
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):  # the other side was quicker
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(2.0)

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(connection,), name="live-consumer", daemon=True)
            with self._lock:
                self._connections.add(connection)
                self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rwb") as lines:
                hello = _read(lines)
                if hello is None or hello.get("token") != self.token:
                    return
                name = str(hello["process"])
                _write(lines, {})
                while (line := _read(lines)) is not None:
                    _write(lines, self._answer(name, line))
        except (OSError, ValueError, KeyError, SystemExit):
            return  # the process was killed in the middle of a line, or the run is over
        finally:
            with self._lock:
                self._connections.discard(connection)


class Caller:
    """A consumer's end. Any thread may ask; a thread has a connection of its own, and so has a forked child."""

    def __init__(self, address: str, token: str, process: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host, int(port))
        self._token = token
        self._process = process
        self._own = threading.local()
        self._open: list[Any] = []
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        """In a forked child: the parent's connections, which it has too, stay the parent's.

        They are kept as they are: closing them would send what the parent had not yet sent.
        """
        self._inherited = self._open
        self._own = threading.local()
        self._open = []

    def close(self) -> None:
        """Hang up, on every thread's connection."""
        while self._open:
            one = self._open.pop()
            with contextlib.suppress(OSError):  # what was not sent is not wanted any more
                one.close()

    def ask(self, **line: Any) -> dict[str, Any]:
        """The run's answer.

        Raises:
            ConnectionError: the run is over.
        """
        lines = getattr(self._own, "lines", None)
        if lines is None:
            connection = socket.create_connection(self._address, timeout=None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            lines = self._own.lines = connection.makefile("rwb")
            self._open += [connection, lines]
            _write(lines, {"token": self._token, "process": self._process})
            _read(lines)
        _write(lines, line)
        answer = _read(lines)
        if answer is None:
            raise ConnectionError("the run is over")
        return answer


def _read(lines: Any) -> dict[str, Any] | None:
    """The next line; None at the end of the stream."""
    text = lines.readline(_MOST_LINE)
    if not text:
        return None
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("a line must be an object")
    return document


def _write(lines: Any, document: dict[str, Any]) -> None:
    lines.write(json.dumps(document).encode() + b"\n")
    lines.flush()
