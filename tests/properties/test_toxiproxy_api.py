"""The embedded proxy's API port under garbage, half requests, floods, slow clients, and any sequence of calls."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from harness.net.http_server import Request, Response
from harness.toxiproxy.client import ToxiproxyClient
from harness.toxiproxy.server import ToxiproxyServer
from harness.toxiproxy.toxics import TOXICS
from tests.budget import NIGHTLY, examples
from tests.unit.toxiproxy.test_server import Echo, exchange


@pytest.fixture(scope="module")
def watched() -> Iterator[tuple[ToxiproxyServer, ToxiproxyClient, socket.socket]]:
    """A server with a proxy of somebody else's, who has a toxic and a live connection: all must stay as it is."""
    with ToxiproxyServer(proxy_metrics=True) as server, closing(Echo()) as echo:
        client = ToxiproxyClient(server.url)
        port = client.create("theirs", echo.address).port
        client.add_toxic("theirs", "latency", {"latency": 2})
        with socket.create_connection(("127.0.0.1", port), timeout=10) as steady:
            yield server, client, steady
            assert exchange(steady, b"still here") == b"still here"
            assert [dict(toxic.attributes) for toxic in client.toxics("theirs")] == [{"latency": 2, "jitter": 0}]


def _talk(server: ToxiproxyServer, data: bytes) -> bytes:
    """Send *data*, then the end; everything that comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        answer = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                answer += part
        except (ConnectionResetError, BrokenPipeError):
            return answer
        return answer


LINES = st.sampled_from([
    b"GET /proxies HTTP/1.1\r\n", b"POST /proxies HTTP/1.1\r\n", b"DELETE /proxies/none HTTP/1.0\r\n",
    b"PATCH / HTTP/1.1\r\n",
    b"Host: x\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"ffffffffffffffff\r\n", b"0\r\n\r\n", b"\r\n", b"\r\n\r\n",
    b"{}",
    b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n",
    b"GET * HTTP/1.1\r\n\r\n",
    b"GET http://a/proxies HTTP/1.1\r\n\r\n", b"GET /%ff%00/ HTTP/1.1\r\n\r\n", b"GET //..//proxies HTTP/1.1\r\n\r\n",
])  # fmt: skip


@settings(max_examples=examples(1000))
@given(st.lists(LINES | st.binary(max_size=60), max_size=12))
def test_bytes_that_are_no_requests(
    watched: tuple[ToxiproxyServer, ToxiproxyClient, socket.socket], pieces: list[bytes]
) -> None:
    """Whatever is sent is answered with HTTP or with an end, and never with a 500."""
    server, _, _ = watched
    answer = _talk(server, b"".join(pieces))
    note(repr(answer))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in answer


NAMES = st.sampled_from(["a", "b", "é", "日本", "a b", "x?y#z", "%41", "..", "a/b", ""]) | st.text(max_size=6)
VALUES: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=6)
    | st.just([])
    | st.just({})
)
NUMBERS = st.integers(0, 500) | VALUES
ATTRIBUTES = st.dictionaries(
    st.sampled_from(sorted({one.name for kind in TOXICS.values() for one in kind.attributes})), NUMBERS, max_size=4
)
TOXIC = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(TOXICS)) | VALUES},
    optional={
        "name": NAMES | VALUES,
        "stream": st.sampled_from(["upstream", "downstream", "UPSTREAM"]) | VALUES,
        "toxicity": st.floats(0, 1) | VALUES,
        "attributes": ATTRIBUTES | VALUES,
    },
)
PROXY = st.fixed_dictionaries(
    {
        "name": NAMES | VALUES,
        "upstream": st.sampled_from(["127.0.0.1:1", "nobody.invalid:1", ":x", "[::1]:2"]) | VALUES,
    },
    optional={
        "listen": st.sampled_from(["127.0.0.1:0", "localhost:0", "", "[::1]:0", "127.0.0.1"]) | VALUES,
        "enabled": VALUES,
        "toxics": st.lists(TOXIC, max_size=3) | VALUES,
    },
)
STEP = st.fixed_dictionaries(
    {"proxy": NAMES},
    optional={"at": st.floats(0, 5) | VALUES, "add": TOXIC, "remove": NAMES, "enabled": VALUES, "update": TOXIC},
)
BODIES = {
    "proxies": PROXY, "proxy": PROXY, "toxics": TOXIC, "toxic": TOXIC, "populate": st.lists(PROXY, max_size=3),
    "apply": st.lists(PROXY, max_size=3), "schedule": st.lists(STEP, max_size=3), "reset": VALUES,
}  # fmt: skip


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A method, a path and a body: mostly near the truth."""
    what = draw(st.sampled_from(sorted(BODIES)))
    name, toxic = (quote(draw(NAMES), safe="") for _ in range(2))
    path = {
        "proxy": f"/proxies/{name}", "toxics": f"/proxies/{name}/toxics", "toxic": f"/proxies/{name}/toxics/{toxic}",
    }.get(what, f"/{what}")  # fmt: skip
    method = draw(st.sampled_from(["GET", "POST", "PATCH", "DELETE", "PUT"]))
    document = draw(BODIES[what] | VALUES)
    return method, path, json.dumps(document).encode()


@settings(max_examples=examples(600))
@given(st.lists(calls(), max_size=8))
def test_any_sequence_of_calls(
    watched: tuple[ToxiproxyServer, ToxiproxyClient, socket.socket], sequence: list[tuple[str, str, bytes]]
) -> None:
    """Each call has an answer below 500, but for ports; lists stay readable; nothing of others changes."""
    server, client, _ = watched
    api: Any = server._http.application
    for method, path, body in sequence:
        answer: Response = server.call(partial(api.respond, Request(method, path, body=body)))
        note(f"{method} {path} {body!r}: {answer.status} {answer.body!r}")
        if answer.status >= 500:
            assert b"listen tcp" in answer.body
        elif answer.body and answer.status not in (301, 403, 404, 405):
            json.loads(answer.body)
        if path == "/reset" and answer.status == 204:
            client.add_toxic("theirs", "latency", {"latency": 2})
    for name in set(client.proxies()) - {"theirs"}:
        client.delete(name)


def _resident() -> int:
    """Bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_bodies_that_are_too_large(watched: tuple[ToxiproxyServer, ToxiproxyClient, socket.socket]) -> None:
    """Announced or not, with a length or in chunks: 413, and the memory is not used."""
    server, _, _ = watched
    before = _resident()
    head = b"POST /proxies HTTP/1.1\r\nHost: x\r\n"
    assert b" 413 " in _talk(server, head + b"Content-Length: 99999999\r\n\r\n")
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    answer = _talk(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 20)
    assert b" 413 " in answer or answer == b""  # the client that still writes may lose it to a reset
    assert b" 431 " in _talk(server, b"GET /proxies HTTP/1.1\r\n" + b"A: " + b"b" * 300_000)
    assert _resident() - before < 100 * 1024 * 1024


def test_slow_clients_hold_up_nobody(watched: tuple[ToxiproxyServer, ToxiproxyClient, socket.socket]) -> None:
    """Hundreds of half requests are open, and a whole one is answered at once."""
    server, client, _ = watched
    with ExitStack() as stack:
        for _ in range(1000 if NIGHTLY else 300):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            half.sendall(b"POST /proxies HTTP/1.1\r\nContent-Length: 10\r\n\r\n{")
        began = time.monotonic()
        assert "theirs" in client.proxies()
        assert time.monotonic() - began < 2


def test_upstreams_that_do_not_exist(watched: tuple[ToxiproxyServer, ToxiproxyClient, socket.socket]) -> None:
    """A name that nobody knows, a port that nobody listens on, a proxy that leads to a dead one: each sees the end."""
    _, client, _ = watched
    client.create("dead", "127.0.0.1:1")
    for name, upstream in (("nobody", "nobody.invalid:1"), ("twice", f"127.0.0.1:{client.proxy('dead').port}")):
        client.create(name, upstream)
    for name in ("dead", "nobody", "twice"):
        with socket.create_connection(("127.0.0.1", client.proxy(name).port), timeout=20) as connection:
            assert connection.recv(1) == b""
        client.delete(name)
