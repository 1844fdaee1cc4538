"""HTTP on the event loop: answers in order, limits kept, garbage refused, nobody's connection left behind."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from harness.net.http_server import Answer, HttpServer, Limits, Request, Response
from harness.net.reactor import Reactor


class Served:
    """A server whose answers say what was asked; ``/later`` is answered when the next request comes."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.reactor = Reactor()
        self.later: list[Answer] = []
        self.server = HttpServer(self.reactor, self.respond, limits=limits)
        self.thread = threading.Thread(target=self.reactor.run)
        self.thread.start()

    def respond(self, request: Request, answer: Answer) -> None:
        if request.path == "/later":
            self.later.append(answer)
            return
        if request.path == "/broken":
            raise RuntimeError("no answer")
        answer(Response(200, f"{request.method} {request.target} ".encode() + request.body))
        for waiting in self.later:
            waiting(Response(200, b"later"))
        self.later = []

    def connect(self) -> socket.socket:
        return socket.create_connection((self.server.host, self.server.port), timeout=5)

    def close(self) -> None:
        self.reactor.call(self.server.close)
        self.reactor.stop()
        self.thread.join()
        self.reactor.close()


@pytest.fixture
def served() -> Iterator[Served]:
    with closing(Served()) as made:
        yield made


@pytest.fixture
def narrow() -> Iterator[Served]:
    with closing(Served(Limits(header_bytes=200, body_bytes=100, connections=3))) as made:
        yield made


def read_all(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_requests_of_one_connection(served: Served) -> None:
    """One connection carries any number of requests; targets and bodies arrive as they were sent."""
    with closing(http.client.HTTPConnection(served.server.host, served.server.port, timeout=5)) as client:
        for method, target, body in [("GET", "/a?b=c", None), ("POST", "//x/%2F", b"\0body"), ("DELETE", "/a", None)]:
            client.request(method, target, body)
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, f"{method} {target} ".encode() + (body or b""))
    assert served.reactor.call(lambda: served.server.connection_count) <= 1


def test_answers_come_in_the_order_of_the_requests(served: Served) -> None:
    """An answer that is made later holds back those behind it, also when the client has sent its last."""
    with served.connect() as client:
        client.sendall(b"GET /later HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        text = read_all(client)
    assert text.index(b"later") < text.index(b"GET /b")


def test_a_body_in_chunks(served: Served) -> None:
    """A chunked request is read whole."""
    with served.connect() as client:
        client.sendall(b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        client.sendall(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert read_all(client).endswith(b"POST /c abcde")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 no http at all\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nBad Header\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 300 + b"\r\n\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n70\r\n" + b"x" * 0x70 + b"\r\n0\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
    ],
)
def test_what_is_refused(narrow: Served, sent: bytes, status: bytes) -> None:
    """Garbage and what is too large get one answer, and the connection ends."""
    with narrow.connect() as client:
        client.sendall(sent)
        assert read_all(client).split()[1] == status
    with narrow.connect() as client:
        client.sendall(b"GET /still HTTP/1.0\r\n\r\n")
        assert read_all(client).endswith(b"GET /still ")


def test_too_many_connections(narrow: Served) -> None:
    """Beyond the limit a connection is closed at once; those within go on."""
    open_ones = [narrow.connect() for _ in range(3)]
    for one in open_ones:
        one.sendall(b"GET /x HTTP/1.1\r\n\r\n")
        assert one.recv(1000)
    with narrow.connect() as fourth:
        assert fourth.recv(10) == b""
    for one in open_ones:
        one.close()


def test_an_application_that_fails(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """It is answered for with 500, logged, and the next request is served."""
    with served.connect() as client:
        client.sendall(b"GET /broken HTTP/1.1\r\n\r\nGET /b HTTP/1.0\r\n\r\n")
        text = read_all(client)
    assert text.startswith(b"HTTP/1.1 500 ")
    assert text.endswith(b"GET /b ")
    assert "no answer" in caplog.text


def test_a_client_that_stops_in_the_middle(served: Served) -> None:
    """Half a request is no request: after its time it is answered with 408."""
    with served.connect() as client:
        client.sendall(b"POST /c HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")

        def age() -> None:
            for connection in list(served.server._connections):
                connection.deadline = 0.0

        while not served.reactor.call(lambda: any(one._request for one in served.server._connections)):
            continue
        served.reactor.call(age)
        assert read_all(client).split()[1] == b"408"


def test_expect_continue(served: Served) -> None:
    """A client that asks first is told to go on."""
    with served.connect() as client:
        client.sendall(b"POST /c HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"ok")
        assert read_all(client).endswith(b"POST /c ok")


def test_header_values_cannot_begin_another_header(served: Served) -> None:
    """A value with a line break in it is left out of the answer."""
    head = served.server.head(Response(200, b"", (("A", "x\r\nSet-Cookie: y"), ("B", "z"))), True)
    assert b"Set-Cookie" not in head
    assert b"\r\nB: z\r\n" in head


class _Scarce:
    """A listening socket of a process that has no descriptors left."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.asked = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        raise OSError(24, "Too many open files")

    def fileno(self) -> int:
        return self._real.fileno()


def test_without_descriptors_it_waits(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that cannot be accepted is not asked for in every turn, and is accepted when it can be."""
    reactor = Reactor()
    server = HttpServer(reactor, lambda request, answer: answer(Response(204)))
    real = server._socket
    scarce = _Scarce(real)
    with socket.create_connection((server.host, server.port), timeout=5) as client:
        server._socket = scarce  # type: ignore[assignment]
        for _ in range(50):
            reactor.turn(0)
        assert scarce.asked < 10
        assert "Too many open files" in caplog.text
        server._socket = real
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        until = reactor.now() + 5
        while server.connection_count == 0 and reactor.now() < until:
            reactor.turn(0.05)
        reactor.turn(0.05)
        assert client.recv(100).startswith(b"HTTP/1.1 204")
    server.close()
    server.close()
    reactor.close()


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nA: ", b"GET /"])
def test_a_header_without_an_end(served: Served, head: bytes) -> None:
    """Nothing keeps a header that goes on and on: 431."""
    with socket.create_connection((served.server.host, served.server.port), timeout=5) as client:
        client.sendall(head + b"x" * 300_000)
        assert client.recv(100).startswith(b"HTTP/1.1 431")


_UPGRADE = b"Connection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIA\r\n"


@pytest.mark.parametrize("expected", [b"", b"Expect: 100-continue\r\n"])
def test_an_upgrade_of_the_protocol_is_ignored(served: Served, expected: bytes) -> None:
    """Java's client asks for HTTP/2 with each request: each is answered once, body and all, and stays connected."""
    head = b"POST /a HTTP/1.1\r\nHost: x\r\n" + _UPGRADE + expected
    whole = head + b"Content-Length: 4\r\n\r\nbody" + b"GET /b HTTP/1.1\r\n" + _UPGRADE + b"\r\n"
    chunked = (
        head + b"Transfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n0\r\n\r\nGET /c HTTP/1.1\r\nConnection: close\r\n\r\n"
    )
    with served.connect() as client:
        for part in (whole[:-60], whole[-60:], chunked[:-70], chunked[-70:]):
            client.sendall(part)
        answer = read_all(client)
    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    found = [body.removesuffix(b"HTTP/1.1 100 Continue\r\n\r\n") for body in bodies]
    assert found == [b"POST /a body", b"GET /b ", b"POST /a more", b"GET /c "]
    assert answer.count(b"100 Continue") == (2 if expected else 0)
    assert answer.count(b"HTTP/1.1 400") == 0


def test_a_tunnel_is_refused(served: Served) -> None:
    """CONNECT is answered once, with 400, and the connection ends."""
    with served.connect() as client:
        client.sendall(b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\nabc")
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
