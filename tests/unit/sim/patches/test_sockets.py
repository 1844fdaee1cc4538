"""Tests of sockets and DNS inside a run: simulated peers, or a refusal that names caller and remedy."""

from __future__ import annotations

import select
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.errors import RealWorld
from harness.sim.patches import sockets
from tests.unit.sim.simulate import answer, kernel, needs_shims

pytestmark = needs_shims


class Peer:
    """A simulated connection that answers in capitals."""

    def __init__(self, host: str, port: int, timeout: float | None) -> None:
        self.where = (host, port, timeout)
        self.timeout: float | None = None
        self.data = b""
        self.closed = False

    def settimeout(self, timeout: float | None) -> None:
        self.timeout = timeout

    def sendall(self, data: bytes) -> None:
        time.sleep(0.001)
        self.data += data.upper()

    def recv(self, size: int) -> bytes:
        data, self.data = self.data[:size], self.data[size:]
        return data

    def getpeername(self) -> tuple[str, int]:
        return self.where[:2]

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    """Connections to host ``known`` are simulated; the list of those made."""
    made: list[Peer] = []

    def connect(host: str, port: int, timeout: float | None) -> Any:
        if host == "refusing":
            raise ConnectionRefusedError(111, "Connection refused")
        if host not in ("known", "10.0.0.1"):
            return None
        made.append(Peer(host, port, timeout))
        return made[-1]

    before = sockets.set_connector(connect), sockets.set_resolver(lambda h, p: "10.0.0.1" if h == "known" else None)
    yield made
    sockets.set_connector(before[0])
    sockets.set_resolver(before[1])


def test_create_connection_leads_to_the_simulated_peer(peers: list[Peer]) -> None:
    """socket.create_connection gives what the connector returned, with its timeout set."""

    def main() -> bytes:
        connection = socket.create_connection(("known", 80), timeout=3)
        connection.sendall(b"hello")
        return connection.recv(100)

    assert answer(main) == b"HELLO"
    assert (peers[0].where, peers[0].timeout) == (("known", 80, 3), 3)


def test_a_plain_socket_leads_there_too(peers: list[Peer]) -> None:
    """socket.socket(), options, timeout, connect, use, close: as a client library does it, after getaddrinfo."""

    def main() -> Any:
        (family, kind, proto, _, address), *_ = socket.getaddrinfo("known", "http", 0, socket.SOCK_STREAM)
        with socket.socket(family, kind, proto) as connection:
            assert isinstance(connection, socket.socket)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(7)
            connection.connect(address)
            connection.sendall(b"abc")
            return connection.recv(2), connection.recv(9), connection.gettimeout(), connection.getpeername()

    assert answer(main) == (b"AB", b"C", 7.0, ("10.0.0.1", 80))
    assert peers[0].closed


def test_a_refused_simulated_connection_is_the_usual_error(peers: list[Peer]) -> None:
    """What the connector raises comes out of connect; connect_ex gives its number."""

    def main() -> Any:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("refusing", 1))
        return socket.socket().connect_ex(("refusing", 1))

    assert answer(main) == 111


def test_an_unconnected_socket_says_so(peers: list[Peer]) -> None:
    """Reading before connect is ENOTCONN, connecting after close EBADF, an unknown attribute AttributeError."""

    def main() -> list[Any]:
        found: list[Any] = []
        connection = socket.socket()
        for attempt in (
            lambda: connection.recv(1),
            lambda: (connection.close(), connection.connect(("known", 1))),
            lambda: connection.no_such_method(),  # type: ignore[attr-defined]
        ):
            try:
                attempt()
            except Exception as error:
                found.append(type(error).__name__)
        return found

    assert answer(main) == ["OSError", "OSError", "AttributeError"]


REFUSED: dict[str, Callable[[], Any]] = {
    "create_connection": lambda: socket.create_connection(("example.com", 80)),
    "connect": lambda: socket.socket().connect(("93.184.216.34", 80)),
    "connect_ex": lambda: socket.socket().connect_ex(("93.184.216.34", 80)),
    "loopback": lambda: socket.create_connection(("127.0.0.1", 1)),
    "unix": lambda: socket.socket(socket.AF_UNIX).connect("/tmp/x"),
    "datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 8125)),
    "bind": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "fileno": lambda: socket.socket(fileno=0),
    "getaddrinfo": lambda: socket.getaddrinfo("example.com", 80),
    "gethostbyname": lambda: socket.gethostbyname("example.com"),
    "gethostbyaddr": lambda: socket.gethostbyaddr("93.184.216.34"),
    "getnameinfo": lambda: socket.getnameinfo(("93.184.216.34", 80), 0),
    "select": lambda: select.select([0], [], []),
    "poll": lambda: select.poll().register(0),
    "selector": lambda: selectors.DefaultSelector().register(0, selectors.EVENT_READ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_real_is_refused_with_caller_and_remedy(name: str) -> None:
    """Each way to a real socket ends in RealWorld that names actor, file, line and what to do; the kernel notes it."""
    caught: list[RealWorld] = []
    with kernel() as k:

        def main() -> None:
            try:
                REFUSED[name]()
            except RealWorld as error:
                caught.append(error)

        k.start_process("worker.1", main)
        k.run()
        assert k.refused == caught
    text = str(caught[0])
    assert "worker.1" in text
    assert "test_sockets.py" in text
    assert text.endswith(("stub", "descriptors cannot"))


def test_numbers_and_localhost_need_no_dns() -> None:
    """Addresses are answered as they are; the machine's name is the same on every machine."""

    def main() -> list[Any]:
        return [
            socket.getaddrinfo("127.0.0.1", 80)[0][4],
            socket.getaddrinfo("localhost", None)[0][4],
            socket.getaddrinfo("::1", "https")[0][4],
            socket.gethostbyname("localhost"),
            socket.gethostbyname(socket.gethostname()),
            socket.gethostname(),
            socket.getfqdn(),
        ]

    assert answer(main) == [
        ("127.0.0.1", 80),
        ("127.0.0.1", 0),
        ("::1", 443, 0, 0),
        "127.0.0.1",
        "127.0.0.1",
        "simulation",
        "simulation",
    ]


def test_select_of_nothing_sleeps() -> None:
    """select.select([], [], [], t), the old way to sleep, takes virtual time."""

    def main() -> float:
        start = time.monotonic()
        assert select.select([], [], [], 2.5) == ([], [], [])
        return time.monotonic() - start

    assert answer(main) == pytest.approx(2.5)


def test_outside_a_run_sockets_are_real() -> None:
    """A real server and client on loopback talk to each other with the shims in."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname(), timeout=5)
        accepted, _ = server.accept()
        with client, accepted:
            client.sendall(b"real")
            assert accepted.recv(10) == b"real"
            assert isinstance(client, socket.socket)
