"""``harness proxy`` as a command: what it says, what it refuses, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.cli import run_command
from harness.toxiproxy.client import ToxiproxyClient

Refused = Callable[..., tuple[int, str]]
COMMAND = [sys.executable, "-m", "harness", "proxy"]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Iterator[Refused]:
    """Exit code and standard error of a command that is to end by itself; in this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*arguments: str) -> tuple[int, str]:
        return run_command(["proxy", *arguments]), capfd.readouterr().err

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the line that it prints."""
    process = subprocess.Popen([*COMMAND, "--port", "0", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate(timeout=10)


def test_a_port_that_is_taken(refused: Refused) -> None:
    """Exit code 3, and a message with the address and the remedy."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused("--port", str(port))
    assert code == 3
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "give another port" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(number: int) -> None:
    """Exit code 0 at once; live connections get FIN, with what was on its way."""
    with socket.create_server(("127.0.0.1", 0)) as upstream, running() as (process, line):
        url = line.split()[3].rstrip(",")
        port = ToxiproxyClient(url).create("p", f"127.0.0.1:{upstream.getsockname()[1]}").port
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            served, _ = upstream.accept()
            served.settimeout(10)
            with served:
                served.sendall(b"last words")
                assert client.recv(4) == b"last"
                process.send_signal(number)
                assert client.recv(100) == b" words"
                assert (client.recv(1), served.recv(1)) == (b"", b"")
        assert process.wait(10) == 0


def test_a_configuration(tmp_path: Path) -> None:
    """Proxies of a file, with their toxics: they are there before the first line is printed."""
    file = tmp_path / "toxiproxy.json"
    toxic = {"type": "latency", "attributes": {"latency": 5}, "toxicity": 0.5}
    file.write_text(json.dumps([{"name": "a", "upstream": "127.0.0.1:1", "toxics": [toxic]}]))
    with running("--config", str(file), "--proxy-metrics") as (_, line):
        assert f"1 proxies from {file}" in line
        [proxy] = ToxiproxyClient(line.split()[3].rstrip(",")).proxies().values()
        assert (proxy.name, proxy.toxics[0].toxicity) == ("a", 0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("{", "unexpected EOF"),
        ("{}", "array of proxies"),
        ('[{"upstream": "127.0.0.1:1"}]', "missing required field: name"),
        ('[{"name": "a", "upstream": "127.0.0.1:1", "toxics": [{"type": "x"}]}]', "invalid toxic type"),
        ('[{"name": "a", "upstream": "192.0.2.1:1"}]', "--allow-remote"),
    ],
)
def test_a_wrong_configuration(refused: Refused, tmp_path: Path, text: str | None, said: str) -> None:
    """Exit code 2, one message with the file, no traceback."""
    file = tmp_path / "toxiproxy.json"
    if text is not None:
        file.write_text(text)
    code, output = refused("--port", "0", "--config", str(file))
    assert code == 2, output
    assert said in output
    assert str(file) in output
    assert "Traceback" not in output


def test_a_proxys_port_that_is_taken(refused: Refused, tmp_path: Path) -> None:
    """Exit code 3: the environment's fault, not the file's."""
    file = tmp_path / "toxiproxy.json"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        file.write_text(json.dumps([{"name": "a", "upstream": "127.0.0.1:1", "listen": listen}]))
        code, output = refused("--port", "0", "--config", str(file))
    assert code == 3
    assert "address already in use" in output


def test_an_address_outside_loopback(refused: Refused) -> None:
    """Exit code 2 without --allow-remote."""
    code, output = refused("--port", "0", "--host", "192.0.2.1")
    assert code == 2
    assert "--allow-remote" in output


def test_it_ends_with_whoever_started_it() -> None:
    """With --announce it prints JSON, and ends when its standard input does."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--announce"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdin is not None
    told = json.loads(process.stdout.readline())
    assert told["pid"] == process.pid
    assert ToxiproxyClient(told["url"]).proxies() == {}
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()
