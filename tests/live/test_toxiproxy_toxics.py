"""What the toxics do to bytes, on the embedded server and on a real one; where they differ on purpose, it says so."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from harness.toxiproxy.client import ToxiproxyClient
from tests.live.toxiproxy_servers import KINDS, Upstream, ending, in_background, pair, receive, running, silent

MANY = bytes(range(256)) * 400  # 102,400 bytes


@dataclass
class Case:
    """A server of one kind, with a proxy ``p`` in front of an upstream of this test."""

    kind: str
    client: ToxiproxyClient
    upstream: Upstream

    @property
    def port(self) -> int:
        return self.client.proxy("p").port

    def add(self, kind: str, stream: str = "downstream", *, toxicity: float = 1.0, **attributes: int) -> None:
        """A toxic named ``kind-stream``."""
        self.client.add_toxic("p", kind, attributes, name=f"{kind}-{stream}", stream=stream, toxicity=toxicity)


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, ToxiproxyClient]]:
    with running(request.param) as launched:
        yield request.param, launched.client


@pytest.fixture
def case(server: tuple[str, ToxiproxyClient]) -> Iterator[Case]:
    kind, client = server
    with closing(Upstream()) as upstream:
        client.create("p", upstream.address)
        yield Case(kind, client, upstream)
        client.delete("p")


def test_bytes_pass_both_ways(case: Case) -> None:
    """Without a toxic what is sent arrives, in both directions."""
    with pair(case.port, case.upstream) as (client, server):
        for source, sink in ((client, server), (server, client)):
            in_background(source, MANY)
            assert receive(sink, len(MANY)) == MANY


@pytest.mark.parametrize("stream", ["upstream", "downstream"])
def test_latency_is_of_one_direction(case: Case, stream: str) -> None:
    """Data are late by the latency in the toxic's direction, and not in the other; the connect is not late."""
    case.add("latency", stream, latency=150)
    began = time.monotonic()
    with pair(case.port, case.upstream) as (client, server):
        assert time.monotonic() - began < 0.14
        late, prompt = (
            ((client, server), (server, client)) if stream == "upstream" else ((server, client), (client, server))
        )
        began = time.monotonic()
        prompt[0].sendall(b"x")
        assert receive(prompt[1], 1) == b"x"
        assert time.monotonic() - began < 0.14
        began = time.monotonic()
        late[0].sendall(b"y")
        assert receive(late[1], 1) == b"y"
        assert time.monotonic() - began >= 0.149


def test_latencies_add_up_and_keep_the_order(case: Case) -> None:
    """Two toxics of one direction act one after the other, and jitter never lets bytes overtake bytes."""
    case.add("latency", latency=60, jitter=20)
    case.client.add_toxic("p", "latency", {"latency": 60}, name="second")
    with pair(case.port, case.upstream) as (client, server):
        began = time.monotonic()
        for number in range(20):
            server.sendall(bytes([number]))
            time.sleep(0.002)
        assert receive(client, 20) == bytes(range(20))
        assert time.monotonic() - began >= 0.099


def test_a_toxic_comes_changes_and_goes_on_a_live_connection(case: Case) -> None:
    """Adding, updating and removing take effect at once, and nothing is lost."""
    with pair(case.port, case.upstream) as (client, server):
        server.sendall(b"a")
        assert receive(client, 1) == b"a"
        case.add("latency", latency=10_000)
        server.sendall(b"b")
        assert silent(client)
        case.client.remove_toxic("p", "latency-downstream")
        assert receive(client, 1) == b"b"
        case.add("latency", latency=10_000)
        case.client.update_toxic("p", "latency-downstream", {"latency": 100})
        began = time.monotonic()
        server.sendall(b"c")
        assert receive(client, 1) == b"c"
        assert 0.099 <= time.monotonic() - began < 5


def test_bandwidth(case: Case) -> None:
    """30 KB at 100 KB/s take 0.3 s, give or take a chunk; every byte arrives."""
    case.add("bandwidth", rate=100)
    with pair(case.port, case.upstream) as (client, server):
        began = time.monotonic()
        server.sendall(MANY[:30_000])
        assert receive(client, 30_000) == MANY[:30_000]
        assert 0.25 <= time.monotonic() - began < 1.5


def test_bandwidth_zero_blocks_until_it_goes(case: Case) -> None:
    """Rate 0 lets nothing through; what was sent arrives when the toxic is taken away."""
    case.add("bandwidth", rate=0)
    with pair(case.port, case.upstream) as (client, server):
        server.sendall(b"held")
        assert silent(client)
        case.client.remove_toxic("p", "bandwidth-downstream")
        assert receive(client, 4) == b"held"


def test_slow_close(case: Case) -> None:
    """Data come at once, the end later."""
    case.add("slow_close", delay=200)
    with pair(case.port, case.upstream) as (client, server):
        began = time.monotonic()
        server.sendall(b"now")
        assert receive(client, 3) == b"now"
        assert time.monotonic() - began < 0.19
        server.close()
        assert ending(client) == "fin"
        assert time.monotonic() - began >= 0.199


def test_timeout(case: Case) -> None:
    """Data vanish; after the time both sides see the end."""
    case.add("timeout", timeout=150)
    with pair(case.port, case.upstream) as (client, server):
        began = time.monotonic()
        server.sendall(b"into the gap")
        assert ending(client) == "fin"
        assert time.monotonic() - began >= 0.14
        assert ending(server) == "fin"


def test_timeout_zero_holds_until_it_goes(case: Case) -> None:
    """Timeout 0 never closes by itself; taking it away does."""
    case.add("timeout", timeout=0)
    with pair(case.port, case.upstream) as (client, server):
        server.sendall(b"x")
        assert silent(client)
        case.client.remove_toxic("p", "timeout-downstream")
        assert ending(client) == "fin"


def test_reset_peer(case: Case) -> None:
    """Nothing happens before data come; after them, and the timeout, the client sees a reset."""
    case.add("reset_peer", timeout=100)
    with pair(case.port, case.upstream) as (client, server):
        assert silent(client, 0.15)
        began = time.monotonic()
        server.sendall(b"x")
        assert ending(client) == "reset"
        assert time.monotonic() - began >= 0.09


def test_reset_peer_on_a_live_connection(case: Case) -> None:
    """Ours resets a connection that was open before; Toxiproxy ends it politely."""
    with pair(case.port, case.upstream) as (client, server):
        server.sendall(b"x")
        assert receive(client, 1) == b"x"
        case.add("reset_peer")
        server.sendall(b"y")
        assert ending(client) == {"embedded": "reset", "binary": "fin"}[case.kind]


def test_slicer(case: Case) -> None:
    """Pieces of the size asked for, so long apart; together they are what was sent."""
    case.add("slicer", average_size=10, delay=20_000)
    with pair(case.port, case.upstream) as (client, server):
        began = time.monotonic()
        server.sendall(MANY[:40])
        pieces = [client.recv(100)]
        while sum(map(len, pieces)) < 40:
            pieces.append(client.recv(100))
        assert b"".join(pieces) == MANY[:40]
        assert len(pieces) <= 4
        assert len(pieces[0]) == 10
        assert time.monotonic() - began >= 0.055


@pytest.mark.parametrize("size", [0, 1, 5, 100])
def test_limit_data(case: Case, size: int) -> None:
    """Exactly so many bytes pass, then both sides see the end; 0 ends it at the first data."""
    case.add("limit_data", bytes=size)
    with pair(case.port, case.upstream) as (client, server):
        assert silent(client, 0.03)
        server.sendall(MANY[:150])
        assert receive(client, 150) == MANY[:size]
        assert ending(server) in ("fin", "reset")


def test_limit_data_counts_what_passes_in_one_direction(case: Case) -> None:
    """What goes the other way does not count."""
    case.add("limit_data", bytes=3)
    with pair(case.port, case.upstream) as (client, server):
        client.sendall(MANY[:100])
        assert receive(server, 100) == MANY[:100]
        server.sendall(b"abc")
        assert receive(client, 4) == b"abc"


@pytest.mark.parametrize("kind", ["latency", "bandwidth", "timeout", "limit_data"])
def test_toxicity_zero_strikes_nobody(case: Case, kind: str) -> None:
    """A toxic whose toxicity is 0 changes nothing; with 1 by an update, it strikes."""
    attributes = {"latency": {"latency": 10_000}, "timeout": {"timeout": 0}}.get(kind, {})
    case.client.add_toxic("p", kind, attributes, name=f"{kind}-downstream", toxicity=0.0)
    with pair(case.port, case.upstream) as (client, server):
        server.sendall(b"x")
        assert receive(client, 1) == b"x"
        case.client.update_toxic("p", f"{kind}-downstream", toxicity=1.0)
        server.sendall(b"y")
        if kind == "limit_data":
            assert ending(client) == "fin"
        else:
            assert silent(client)


def test_disabled_and_enabled(case: Case) -> None:
    """Disabled: live connections get FIN, new ones are refused; enabled again at the same port."""
    port = case.port
    with pair(port, case.upstream) as (client, server):
        case.client.update("p", enabled=False)
        assert (ending(client), ending(server)) == ("fin", "fin")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    case.client.update("p", enabled=True)
    assert case.port == port
    with pair(port, case.upstream) as (client, server):
        client.sendall(b"x")
        assert receive(server, 1) == b"x"


def test_another_upstream(case: Case) -> None:
    """A changed upstream closes the live connections; new ones go there, by the same port."""
    port = case.port
    with closing(Upstream()) as other:
        with pair(port, case.upstream) as (client, _):
            case.client.update("p", upstream=other.address)
            assert ending(client) == "fin"
        with pair(port, other) as (client, server):
            server.sendall(b"from there")
            assert receive(client, 10) == b"from there"


def test_reset_takes_toxics_away_and_enables(case: Case) -> None:
    """POST /reset: every proxy is enabled, no toxic is left, live connections go on."""
    with pair(case.port, case.upstream) as (client, server):
        case.add("latency", latency=10_000)
        server.sendall(b"held")
        assert silent(client)
        case.client.reset()
        assert receive(client, 4) == b"held"
    case.client.update("p", enabled=False)
    case.client.reset()
    assert case.client.proxy("p").enabled
    assert case.client.toxics("p") == []


def test_populate_leaves_a_proxy_that_is_the_same(case: Case) -> None:
    """The same addresses: its connections and toxics stay. Another upstream: it is replaced."""
    case.add("noop")
    listen = case.client.proxy("p").listen
    with pair(case.port, case.upstream) as (client, server):
        case.client.populate([{"name": "p", "listen": listen, "upstream": case.upstream.address}])
        server.sendall(b"x")
        assert receive(client, 1) == b"x"
        assert len(case.client.toxics("p")) == 1
        case.client.populate([{"name": "p", "listen": listen, "upstream": "127.0.0.1:1"}])
        assert ending(client) == "fin"
        assert case.client.toxics("p") == []


def test_a_dead_upstream(case: Case) -> None:
    """A client is accepted, and then sees the end."""
    port = case.port
    case.upstream.close()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        assert ending(client) in ("fin", "reset")


def test_half_close(case: Case) -> None:
    """Ours keeps a reply that is sent after the client's last byte; with Toxiproxy it is lost."""
    with pair(case.port, case.upstream) as (client, server):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive(server, 100) == b"question"
        time.sleep(0.02)
        in_background(server, b"answer").join(5)
        server.close()
        if case.kind == "embedded":
            assert receive(client, 100) == b"answer"
        else:
            assert ending(client) in ("fin", "reset")


def test_reset_peer_that_strikes_nobody(case: Case) -> None:
    """At toxicity 0 ours changes nothing; Toxiproxy makes a reset of the close."""
    case.add("reset_peer", toxicity=0.0)
    with pair(case.port, case.upstream) as (client, server):
        server.close()
        assert ending(client) == {"embedded": "fin", "binary": "reset"}[case.kind]


def test_the_api_answers_while_a_client_does_not_read(case: Case) -> None:
    """Toxics are added, changed and removed, and the proxy listed, while bytes wait for a deaf client."""
    if case.kind == "binary":
        pytest.skip("a real one hangs for good: nothing could be tidied up")
    with pair(case.port, case.upstream) as (client, server):
        in_background(server, MANY * 100)
        assert not silent(client, 1)
        for kind, attributes in (
            ("latency", {"latency": 5}),
            ("bandwidth", {"rate": 1}),
            ("slicer", {"average_size": 9}),
        ):
            case.client.add_toxic("p", kind, attributes, name=f"{kind}-downstream")
            case.client.update_toxic("p", f"{kind}-downstream", attributes)
        case.client.reset()
        assert receive(client, 100 * len(MANY)) == MANY * 100
