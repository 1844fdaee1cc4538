"""Nothing is left behind: descriptors, sockets, timers, pipes; and nothing is used up by peers that misbehave."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pytest

from harness.toxiproxy import connection as connection_module
from harness.toxiproxy.client import ToxiproxyClient
from harness.toxiproxy.endpoint import Endpoint
from harness.toxiproxy.server import ToxiproxyServer
from tests.budget import NIGHTLY, examples
from tests.unit.toxiproxy.test_server import Echo, exchange, receive


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with closing(Echo()) as made:
        yield made


@pytest.fixture
def server() -> Iterator[ToxiproxyServer]:
    with ToxiproxyServer() as made:
        yield made


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def wait_for(what: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.005)


def fill(connection: socket.socket) -> None:
    """Send until nobody takes any more."""
    connection.settimeout(0.1)
    for _ in range(1000):
        try:
            connection.send(bytes(1 << 20))
        except TimeoutError:
            return
    raise AssertionError("somebody takes it all")


def live(server: ToxiproxyServer) -> int:
    """Connections that the server holds."""
    proxies = server.collection.proxies.values()
    return server.call(lambda: sum(len(proxy.connections) for proxy in proxies))


def test_connections_opened_and_dropped(server: ToxiproxyServer, echo: Echo) -> None:
    """Thousands, ended politely, by reset and in the middle of data, under toxics: no descriptor and no timer stays."""
    client = ToxiproxyClient(server.url)
    port = client.create("p", echo.address).port
    client.create("other", echo.address)
    for kind, attributes in (
        ("latency", {"latency": 1}),
        ("timeout", {"timeout": 60_000}),
        ("slicer", {"average_size": 5}),
    ):
        client.add_toxic("p", kind, attributes, toxicity=0.3)
    client.add_toxic("other", "latency", {"latency": 7})
    with socket.create_connection(("127.0.0.1", client.proxy("other").port), timeout=10) as steady:
        assert exchange(steady, b"x") == b"x"
        before = descriptors()
        count = 10_000 if NIGHTLY else examples(1500)
        for number in range(count):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as dropped:
                if number % 3:
                    dropped.sendall(b"some bytes")
                if number % 2:
                    dropped.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_for(lambda: live(server) <= 1)
        wait_for(lambda: descriptors() <= before + 4)
        assert server.call(lambda: len(server.reactor._timers)) < 1000
        assert exchange(steady, b"y") == b"y"
    [toxic] = client.toxics("other")
    assert dict(toxic.attributes) == {"latency": 7, "jitter": 0}


def test_a_server_that_is_stopped_leaves_nothing(echo: Echo) -> None:
    """With live connections, a deaf client with data on its way, toxics that hold data, a schedule, half a call."""
    gc.collect()
    before = descriptors()
    threads = threading.active_count()
    with ExitStack() as stack:
        made = stack.enter_context(ToxiproxyServer())
        client = ToxiproxyClient(made.url)
        port = client.create("p", echo.address).port
        client.create("gone", echo.address)
        deaf = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        fill(deaf)
        client.add_toxic("p", "latency", {"latency": 60_000})
        client.schedule([{"at": 60, "proxy": "p", "enabled": False}])
        half = stack.enter_context(socket.create_connection(("127.0.0.1", urlsplit(made.url).port or 0)))
        half.sendall(b"POST /proxies HTTP/1.1\r\nContent-Le")
        client.delete("p")  # its connection lingers: bytes wait for the deaf client
        made.stop()
        deaf.setblocking(True)
        half.settimeout(5)
        assert half.recv(10) == b""
    wait_for(lambda: descriptors() <= before)
    assert threading.active_count() <= threads + 1


def test_a_deleted_proxy_lets_go_of_a_deaf_client(
    server: ToxiproxyServer, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lingers for what was sent, and not for ever."""
    monkeypatch.setattr(connection_module, "_LINGER_SECONDS", 0.05)
    client = ToxiproxyClient(server.url)
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        port = client.create("p", f"127.0.0.1:{upstream.getsockname()[1]}").port
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            served, _ = upstream.accept()
            with served:
                lingering = server.collection._surroundings.lingering
                fill(served)
                before = descriptors()
                client.delete("p")
                wait_for(lambda: not lingering and descriptors() <= before - 3)


def test_a_half_closed_peer_that_is_gone(server: ToxiproxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has sent its last is waited for; once its system says that it is gone, the connection ends."""
    monkeypatch.setattr(connection_module, "_HALF_CLOSED_SECONDS", 0.03)
    gone: set[int] = set()
    monkeypatch.setattr(Endpoint, "gone", property(lambda self: self.closed or id(self) in gone))
    client = ToxiproxyClient(server.url)
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        port = client.create("p", f"127.0.0.1:{upstream.getsockname()[1]}").port
        with socket.create_connection(("127.0.0.1", port), timeout=5) as ours:
            served, _ = upstream.accept()
            with served:
                served.settimeout(5)
                ours.shutdown(socket.SHUT_WR)
                assert served.recv(1) == b""
                time.sleep(0.1)
                served.sendall(b"still here")
                assert receive(ours, 10) == b"still here"
                [held] = server.collection.proxies["p"].connections
                gone.add(id(held.client))
                wait_for(lambda: live(server) == 0)


@pytest.mark.slow
def test_a_client_that_closed_while_the_upstream_never_does(server: ToxiproxyServer) -> None:
    """Keepalive tells a closed client from a half-closed one, within about two minutes (Linux forgets it after one)."""
    client = ToxiproxyClient(server.url)
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        port = client.create("p", f"127.0.0.1:{upstream.getsockname()[1]}").port
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            served, _ = upstream.accept()
        with served:
            wait_for(lambda: live(server) == 0, 170)


def test_a_connection_without_descriptors_is_closed(
    server: ToxiproxyServer, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No socket for the upstream: the client sees the end at once, and the next connection works again."""
    client = ToxiproxyClient(server.url)
    port = client.create("p", echo.address).port
    real = socket.socket
    thread = server.call(threading.get_ident)

    def scarce(*arguments: int, **named: int) -> socket.socket:
        if threading.get_ident() == thread and not named:
            raise OSError(24, "Too many open files")
        return real(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr("harness.toxiproxy.connection.socket.socket", scarce)
        with real(socket.AF_INET, socket.SOCK_STREAM) as one:
            one.settimeout(5)
            one.connect(("127.0.0.1", port))
            assert one.recv(1) == b""
    assert live(server) == 0
    with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
        assert exchange(one, b"x") == b"x"


def test_idle_connections_cost_nothing(server: ToxiproxyServer, echo: Echo) -> None:
    """Hundreds of idle proxies and connections: no timer and no turn of the loop is theirs."""
    client = ToxiproxyClient(server.url)
    client.populate([{"name": f"p{n}", "upstream": echo.address} for n in range(200)])
    ports = [proxy.port for proxy in client.proxies().values()]
    with ExitStack() as stack:
        for port in ports:
            one = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            assert exchange(one, b"x") == b"x"
        timers = server.call(lambda: sum(entry[2].function is not None for entry in server.reactor._timers))
        assert timers == 1  # the API's own, once a second
