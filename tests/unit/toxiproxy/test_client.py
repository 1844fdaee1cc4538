"""The thin client and the launcher: errors that are told as they are, servers that are stopped."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import EnvironmentFailed, UsageError
from harness.net.guard import guarded_pid
from harness.toxiproxy import launcher
from harness.toxiproxy.client import ToxiproxyClient, ToxiproxyError, UnsupportedToxicError
from harness.toxiproxy.launcher import launch, loopback
from harness.toxiproxy.server import ToxiproxyServer


@pytest.fixture(scope="module")
def server() -> Iterator[ToxiproxyServer]:
    with ToxiproxyServer() as made:
        yield made


@pytest.fixture
def deaf() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def foreign() -> Iterator[str]:
    """A server that knows no route: as a real Toxiproxy knows none of ours."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n404 page not found\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_errors_have_their_status_and_text(server: ToxiproxyServer) -> None:
    """404, 400 and 409 with the server's own words."""
    client = ToxiproxyClient(server.url)
    with pytest.raises(ToxiproxyError, match="proxy not found") as refused:
        client.proxy("none")
    assert refused.value.status == 404
    client.create("p", "127.0.0.1:1")
    with pytest.raises(ToxiproxyError, match="answered 409: proxy already exists"):
        client.create("p", "127.0.0.1:1")
    with pytest.raises(ToxiproxyError, match="invalid toxic type"):
        client.add_toxic("p", "nonsense")
    client.delete("p")


def test_a_server_that_does_not_answer(deaf: str) -> None:
    """The timeout holds, and the message says what to do."""
    with pytest.raises(EnvironmentFailed, match="no Toxiproxy answers at"):
        ToxiproxyClient(deaf, timeout=0.05).version()


def test_nobody_there() -> None:
    """The same for a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(EnvironmentFailed, match="Start one, or use --toxiproxy embedded"):
        ToxiproxyClient(f"127.0.0.1:{port}").proxies()


def test_what_only_the_embedded_one_has(foreign: str) -> None:
    """Extra toxics, schedules and atomic calls are refused on another server before they are asked for."""
    client = ToxiproxyClient(foreign)
    assert not client.embedded
    for asked in (
        lambda: client.add_toxic("p", "half_open"),
        lambda: client.apply([]),
        lambda: client.schedule([]),
        client.stop_schedule,
    ):
        with pytest.raises(UnsupportedToxicError, match="known to the embedded proxy only"):
            asked()


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "http://127.0.0.1:99999", "ftp://x", "http://127.0.0.1:x"])
def test_no_address_of_a_toxiproxy(url: str) -> None:
    """One message with the option's name, no traceback."""
    with pytest.raises(UsageError, match="no address of a Toxiproxy"):
        ToxiproxyClient(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [("127.0.0.1", "http://127.0.0.1:8474"), ("http://[::1]:5/", "http://[::1]:5"), ("a:7", "http://a:7")],
)
def test_addresses(url: str, shown: str) -> None:
    """With or without scheme and port."""
    assert ToxiproxyClient(url).url == shown


def test_the_variable_names_a_server(server: ToxiproxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """TOXIPROXY_URL is used where nothing else is chosen, and that server is not stopped."""
    monkeypatch.setenv("TOXIPROXY_URL", server.url)
    with launch() as launched:
        assert (launched.kind, launched.url) == ("url", server.url)
    assert ToxiproxyClient(server.url).version() == "2.12.0"


def test_a_server_elsewhere_is_refused() -> None:
    """An address outside loopback only with --allow-remote."""
    for url in ("http://192.0.2.1:8474", "http://[2001:db8::1]:8474"):
        with pytest.raises(UsageError, match="not on loopback"):
            launch(url)
    assert loopback("127.3.2.1")
    assert loopback("::1")
    assert not loopback("192.0.2.1")


def test_a_binary_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to get it."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentFailed, match="go install"):
        launch("binary")


def test_a_binary_that_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it printed is told."""
    program = tmp_path / launcher.BINARY
    program.write_text("#!/bin/sh\necho no such flag >&2\nexit 2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(EnvironmentFailed, match="ended with code 2 before it could be used: no such flag"):
        launch("binary")


def test_a_binary_ends_when_whoever_launched_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Toxiproxy does not know that rule: a guard stands between."""
    program = tmp_path / launcher.BINARY
    program.write_text(f"#!{sys.executable}\n{TOXIPROXY}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    launched = launch("binary")
    child = launched.child
    assert child is not None
    below = guarded_pid(child.pid)
    assert child._process.stdin is not None
    child._process.stdin.close()  # as when this process is killed
    until = time.monotonic() + 10
    while Path(f"/proc/{below}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not Path(f"/proc/{below}").exists()
    launched.stop()


#: A toxiproxy-server that answers /version and ends with nobody.
TOXIPROXY = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"version": "2.12.0"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("-port") + 1])), Handler).serve_forever()
"""


def test_the_embedded_one_is_a_process_that_ends_with_the_run() -> None:
    """It has a pid of its own, the seed it was given, and is gone afterwards."""
    with launch("embedded", seed=3) as launched:
        assert launched.child is not None
        assert launched.client.embedded
        pid = launched.child.pid
        assert pid != os.getpid()
    assert not launched.child.alive
