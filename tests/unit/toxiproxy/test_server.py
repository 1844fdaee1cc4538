"""The embedded proxy end to end: bytes through it, toxics on live connections, ports that come and go."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from harness.toxiproxy.client import ToxiproxyClient, ToxiproxyError
from harness.toxiproxy.server import ToxiproxyServer


class Echo:
    """Sends back what it gets, and FIN after FIN."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                return

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    with closing(Echo()) as made:
        yield made


@pytest.fixture(scope="module")
def server() -> Iterator[ToxiproxyServer]:
    with ToxiproxyServer() as made:
        yield made


@pytest.fixture
def client(server: ToxiproxyServer, echo: Echo) -> Iterator[ToxiproxyClient]:
    made = ToxiproxyClient(server.url)
    made.create("echo", echo.address)
    yield made
    for name in made.proxies():
        made.delete(name)


def connect(client: ToxiproxyClient, name: str = "echo") -> socket.socket:
    return socket.create_connection(("127.0.0.1", client.proxy(name).port), timeout=5)


def receive(connection: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        part = connection.recv(size - len(got))
        if not part:
            break
        got += part
    return got


def exchange(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return receive(connection, len(data))


def test_bytes_pass_and_half_close_is_kept(client: ToxiproxyClient) -> None:
    """What is sent comes back; a client that has sent its last still gets its answer, and then the end."""
    with connect(client) as connection:
        assert exchange(connection, b"hello") == b"hello"
        connection.sendall(b"last")
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, 100) == b"last"


def test_much_data_is_the_same_data(client: ToxiproxyClient) -> None:
    """Megabytes that are moved inside the kernel arrive whole, also when a toxic comes and goes meanwhile."""
    data = bytes(range(256)) * 40_000  # 10 MB
    with connect(client) as connection:
        threading.Thread(target=connection.sendall, args=(data,), daemon=True).start()
        got = receive(connection, 3_000_000)
        client.add_toxic("echo", "latency", {"latency": 5})
        got += receive(connection, 3_000_000)
        client.remove_toxic("echo", "latency_downstream")
        got += receive(connection, len(data) - len(got))
    assert got == data


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("latency", {"latency": 60_000}),
        ("bandwidth", {"rate": 0}),
        ("slicer", {"average_size": 1, "delay": 60_000_000}),
    ],
)
def test_what_a_toxic_holds_goes_on_when_it_is_taken_away(
    client: ToxiproxyClient, kind: str, attributes: dict[str, int]
) -> None:
    """Removing takes effect at once, on live connections, and loses no byte."""
    with connect(client) as connection:
        client.add_toxic("echo", kind, attributes, name="t")
        connection.sendall(b"held back")
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            receive(connection, 9)
        connection.settimeout(5)
        client.remove_toxic("echo", "t")
        rest = b"held back"[1:] if kind == "slicer" else b"held back"  # the first slice is not held
        assert receive(connection, len(rest)) == rest


def test_toxicity_zero_strikes_nobody(client: ToxiproxyClient) -> None:
    """A toxic whose toxicity is 0 changes nothing."""
    client.add_toxic("echo", "reset_peer", toxicity=0.0)
    with connect(client) as connection:
        assert exchange(connection, b"hello") == b"hello"


def test_limit_data_and_reset_after(client: ToxiproxyClient) -> None:
    """Exactly so many bytes, then the end; with reset_after the end is a reset."""
    client.add_toxic("echo", "limit_data", {"bytes": 5})
    with connect(client) as connection:
        connection.sendall(b"0123456789")
        assert receive(connection, 100) == b"01234"
    client.reset()
    client.add_toxic("echo", "reset_after", {"bytes": 5})
    with connect(client) as connection:
        connection.sendall(b"0123456789")
        assert receive(connection, 5) == b"01234"
        with pytest.raises(ConnectionResetError):
            receive(connection, 1)


def test_reset_peer_resets_a_live_connection(client: ToxiproxyClient) -> None:
    """A connection that was open before is reset, not ended politely."""
    with connect(client) as connection:
        assert exchange(connection, b"hello") == b"hello"
        client.add_toxic("echo", "reset_peer")
        connection.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            receive(connection, 1)


def test_refuse_and_half_open(client: ToxiproxyClient) -> None:
    """Refused: as if nobody listened, the port kept. Half-open: accepted, never answered, reset when it is over."""
    with connect(client) as connection:
        client.add_toxic("echo", "refuse", name="t")
        with pytest.raises(ConnectionRefusedError):
            connect(client)
        assert exchange(connection, b"goes on") == b"goes on"
        client.remove_toxic("echo", "t")
    client.add_toxic("echo", "half_open", name="t")
    with connect(client) as connection:
        connection.sendall(b"anybody?")
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(5)
        client.remove_toxic("echo", "t")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with connect(client) as connection:
        assert exchange(connection, b"back") == b"back"


def test_disabled_and_enabled(client: ToxiproxyClient) -> None:
    """Disabled: live connections end, new ones are refused. Enabled again on the same port."""
    with connect(client) as connection:
        assert exchange(connection, b"hello") == b"hello"
        port = client.proxy("echo").port
        client.update("echo", enabled=False)
        assert connection.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(client)
    client.update("echo", enabled=True)
    assert client.proxy("echo").port == port
    with connect(client) as connection:
        assert exchange(connection, b"hello") == b"hello"


def test_a_move_that_fails_changes_nothing(client: ToxiproxyClient) -> None:
    """A port that is taken: the proxy stays where it was, with its connections."""
    with socket.create_server(("127.0.0.1", 0)) as taken, connect(client) as connection:
        assert exchange(connection, b"a") == b"a"
        with pytest.raises(ToxiproxyError, match="address already in use") as refused:
            client.update("echo", listen=f"127.0.0.1:{taken.getsockname()[1]}")
        assert refused.value.status == 500
        assert exchange(connection, b"b") == b"b"


def test_apply_is_all_or_nothing(client: ToxiproxyClient, echo: Echo) -> None:
    """Several proxies and toxics in one call; if one of them cannot be, all is as before."""
    latency = {"type": "latency", "attributes": {"latency": 1}}
    made = client.apply([{"name": "echo", "toxics": [latency]}, {"name": "more", "upstream": echo.address}])
    assert [(one.name, len(one.toxics)) for one in made] == [("echo", 1), ("more", 0)]
    before = client.proxies()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ToxiproxyError):
            client.apply([
                {"name": "echo", "enabled": False, "toxics": []},
                {"name": "third", "upstream": echo.address},
                {"name": "fourth", "upstream": echo.address, "listen": busy},
            ])  # fmt: skip
    assert client.proxies() == before


def test_a_schedule(client: ToxiproxyClient) -> None:
    """Steps are carried out at their seconds, without a client."""
    client.schedule([
        {"at": 0.0, "proxy": "echo", "add": {"name": "cut", "type": "timeout"}},
        {"at": 0.1, "proxy": "echo", "remove": "cut"},
    ])  # fmt: skip
    with connect(client) as connection:
        connection.sendall(b"into the gap")
        assert connection.recv(10) == b""  # the removal of a timeout closes what it had caught
    with connect(client) as connection:
        assert exchange(connection, b"after") == b"after"
    assert client.toxics("echo") == []


@pytest.mark.parametrize(
    ("kind", "attributes", "toxicity"),
    [
        ("bandwidth", {"rate": -1}, 1.0),
        ("bandwidth", {"rate": 2**63 - 1}, 1.0),
        ("latency", {"latency": -5}, 1.0),
        ("latency", {"jitter": 5 * 10**18}, 1.0),
        ("slicer", {}, 1.0),
        ("slicer", {"average_size": 10, "size_variation": 11}, 1.0),
        ("slicer", {"average_size": 10, "size_variation": -1}, 1.0),
        ("noop", {}, 7.0),
        ("jitter", {"distribution": "flat"}, 1.0),
    ],
)
def test_values_that_mean_nothing_are_refused(
    client: ToxiproxyClient, kind: str, attributes: dict[str, object], toxicity: float
) -> None:
    """What Toxiproxy takes and dies or hangs of is answered with 400, and nothing is added."""
    with pytest.raises(ToxiproxyError) as refused:
        client.add_toxic("echo", kind, attributes, toxicity=toxicity)
    assert refused.value.status == 400
    assert client.toxics("echo") == []


def test_an_upstream_outside_loopback_is_refused(client: ToxiproxyClient) -> None:
    """Without --allow-remote nothing leads away from this machine."""
    for upstream in ("192.0.2.1:80", "[2001:db8::1]:80"):
        with pytest.raises(ToxiproxyError, match="--allow-remote"):
            client.create("away", upstream)
    with pytest.raises(ToxiproxyError, match="--allow-remote"):
        client.create("away", "127.0.0.1:80", listen="0.0.0.0:0")


def test_a_dead_upstream(client: ToxiproxyClient) -> None:
    """A client is accepted and then sees the end, as with Toxiproxy."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    client.create("dead", f"127.0.0.1:{port}")
    with connect(client, "dead") as connection:
        assert connection.recv(1) == b""


def test_what_was_taken_from_the_source_arrives_before_the_end(
    client: ToxiproxyClient, server: ToxiproxyServer
) -> None:
    """Disabled in the middle of a stream that the kernel moves: all that the proxy had read comes before the FIN."""
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        client.create("stream", f"127.0.0.1:{upstream.getsockname()[1]}")
        with connect(client, "stream") as reader:
            served, _ = upstream.accept()
            with served:
                served.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    served.sendall(bytes(100 << 20))
                [held] = server.collection.proxies["stream"].connections
                received = held.received["downstream"]
                client.update("stream", enabled=False)
                assert len(receive(reader, 1 << 30)) == received
