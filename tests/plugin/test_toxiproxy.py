"""The fixture ``toxiproxy``, as a user's project meets it, and beside a simulation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.toxiproxy.client import ToxiproxyClient
from harness.toxiproxy.server import ToxiproxyServer

_TESTS = """
import socket, threading
from toxiproxy.api import APIConsumer

BEFORE = (APIConsumer.host, APIConsumer.port)

def test_a_slow_answer(toxiproxy):
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = toxiproxy.create(upstream="127.0.0.1:%d" % server.getsockname()[1], name="mine")
        proxy.add_toxic(type="latency", attributes={"latency": 1})
        assert list(proxy.toxics()) == ["latency_downstream"]
        with socket.create_connection(("127.0.0.1", int(proxy.listen.rpartition(":")[2])), timeout=5) as client:
            served, _ = server.accept()
            served.sendall(b"slowly")
            served.close()
            assert client.recv(10) == b"slowly"

def test_a_server_of_its_own(toxiproxy):
    assert list(toxiproxy.proxies()) == THERE

def test_the_address_is_restored():
    assert (APIConsumer.host, APIConsumer.port) == BEFORE == ("127.0.0.1", 8474)
"""


def _run(folder: Path, there: list[str], **environ: str) -> str:
    (folder / "test_it.py").write_text(f"THERE = {there!r}\n{_TESTS}")
    (folder / "pytest.ini").write_text("[pytest]\nchaos = true\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TOXIPROXY"))}
    done = subprocess.run(
        command, cwd=folder, env={**clean, **environ}, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def test_a_proxy_server_for_a_test(tmp_path: Path) -> None:
    """Its client works, each test has its own server, and the library's address is what it was afterwards."""
    pytest.importorskip("toxiproxy")
    assert "3 passed" in _run(tmp_path, [])


def test_a_server_that_runs_already_is_left_as_it_was(tmp_path: Path) -> None:
    """TOXIPROXY_URL: what the tests made there is gone afterwards, what was there is not."""
    pytest.importorskip("toxiproxy")
    with ToxiproxyServer() as server:
        client = ToxiproxyClient(server.url)
        client.create("theirs", "127.0.0.1:9")
        client.add_toxic("theirs", "noop")
        before = client.proxies()
        assert "3 passed" in _run(tmp_path, ["theirs"], TOXIPROXY_URL=server.url)
        assert client.proxies() == before
