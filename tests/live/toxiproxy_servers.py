"""The servers that the conformance tests run on, and small clients and peers for them."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.toxiproxy.launcher import Launched, launch
from tests.requirements import require

#: Where each test runs: on the embedded server, and on a real one.
KINDS = ("embedded", "binary")


@contextmanager
def running(kind: str) -> Iterator[Launched]:
    """A server in a process of its own."""
    if kind == "binary":
        require("toxiproxy")
    with launch(kind) as launched:
        yield launched


@dataclass
class Answer:
    status: int
    body: str
    headers: Mapping[str, str]  # names in lower case


def ask(url: str, method: str, path: str, body: str | None = None, agent: str | None = None) -> Answer:
    """One request, whatever its answer."""
    parts = urlsplit(url)
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=10)) as connection:
        connection.request(
            method, path, None if body is None else body.encode(), {"User-Agent": agent} if agent else {}
        )
        answer = connection.getresponse()
        text = answer.read().decode()
        return Answer(answer.status, text, {name.lower(): value for name, value in answer.getheaders()})


class Upstream:
    """A server in this test's hands: ``accept()`` gives the next connection that the proxy makes."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(10)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"

    def accept(self) -> socket.socket:
        accepted, _ = self.socket.accept()
        accepted.settimeout(10)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return accepted

    def close(self) -> None:
        self.socket.close()


@contextmanager
def pair(port: int, upstream: Upstream) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection through the proxy on *port*: the client's end and the upstream's."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with upstream.accept() as server:
            yield client, server


def receive(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or those before the end."""
    got = bytearray()
    while len(got) < size:
        part = connection.recv(size - len(got))
        if not part:
            break
        got += part
    return bytes(got)


def silent(connection: socket.socket, seconds: float = 0.08) -> bool:
    """Whether nothing comes for so long."""
    connection.settimeout(seconds)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)
    return False


def ending(connection: socket.socket) -> str:
    """How the connection ends: ``fin``, ``reset``, or ``data`` if there is more."""
    try:
        return "data" if connection.recv(1) else "fin"
    except ConnectionResetError:
        return "reset"


def in_background(connection: socket.socket, data: bytes) -> threading.Thread:
    """Send *data* from a thread; that the connection breaks meanwhile is the test's own doing."""

    def send() -> None:
        try:
            connection.sendall(data)
        except OSError:
            return

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread
