"""What stands behind the proxies that are measured: a source, an echo and a sink, in a process of their own."""

from __future__ import annotations

import socket
import sys
from typing import Final

from harness.net import child
from harness.net.child import Child
from harness.net.reactor import READ, WRITE, Reactor

__all__ = ["Peer"]

_CHUNK: Final = bytes(262_144)


class Peer(Child):
    """The process. ``source`` sends for ever, ``echo`` sends back, ``sink`` swallows: their ports."""

    def __init__(self) -> None:
        super().__init__("the peer of the benchmark", [sys.executable, "-m", "benchmarks.proxy_peer"])
        self.source = int(self.announced["source"])
        self.echo = int(self.announced["echo"])
        self.sink = int(self.announced["sink"])

    def __enter__(self) -> Peer:
        return self


class _Served:
    """One connection."""

    def __init__(self, reactor: Reactor, connection: socket.socket, what: str) -> None:
        self._reactor = reactor
        self._connection = connection
        self._what = what
        reactor.watch(connection.fileno(), WRITE if what == "source" else READ, self)

    def ready(self, mask: int) -> None:
        if self._what == "source":
            self._connection.send(_CHUNK)
            return
        data = self._connection.recv(262_144)
        if not data:
            self.failed(EOFError())
        elif self._what == "echo":
            self._connection.send(data)

    def failed(self, error: Exception) -> None:
        self._reactor.forget(self._connection.fileno())
        self._connection.close()


class _Listener:
    def __init__(self, reactor: Reactor, what: str) -> None:
        self._reactor = reactor
        self._what = what
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        reactor.watch(self._socket.fileno(), READ, self)

    def ready(self, mask: int) -> None:
        connection, _ = self._socket.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _Served(self._reactor, connection, self._what)

    def failed(self, error: Exception) -> None:
        print(f"{self._what}: {error}", file=sys.stderr)


def main() -> None:
    """Serve until standard input ends."""
    reactor = Reactor()
    child.announce({what: _Listener(reactor, what).port for what in ("source", "echo", "sink")})
    child.end_with_parent(reactor.stop)
    reactor.run()


if __name__ == "__main__":
    main()
