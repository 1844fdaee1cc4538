"""Clients of Toxiproxy that nobody here wrote, on the embedded server and on a real one."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.toxiproxy.client import ToxiproxyClient
from harness.toxiproxy.library import addressed
from tests.live.toxiproxy_servers import KINDS, Upstream, pair, receive, running
from tests.requirements import require

CLIENTS = Path(__file__).with_name("clients")
MODULE = "github.com/Shopify/toxiproxy/v2"
VERSION = "v2.12.0"


@pytest.fixture(scope="module", params=KINDS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with running(request.param) as launched:
        yield launched.url


def run(*command: str | Path, cwd: Path | None = None, timeout: float = 300) -> str:
    """What the command prints; it has to end well."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_toxiproxy_python(url: str) -> None:
    """Create, get, add a toxic, list, disable, enable, destroy, and the errors it knows."""
    from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

    with addressed(url) as client, closing(Upstream()) as upstream:
        assert client.running()
        assert b"version" in client.version()
        proxy = client.create(upstream=upstream.address, name="python")
        port = int(client.get_proxy("python").listen.rpartition(":")[2])
        proxy.add_toxic(type="latency", attributes={"latency": 1})
        proxy.add_toxic(name="cut", type="limit_data", toxicity=0.0, attributes={"bytes": 0})
        assert sorted(proxy.toxics()) == ["cut", "latency_downstream"]
        with pair(port, upstream) as (ours, theirs):
            theirs.sendall(b"hello")
            assert receive(ours, 5) == b"hello"
        proxy.destroy_toxic("cut")
        with proxy.down(), pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        with pytest.raises(ProxyExists):
            client.create(upstream=upstream.address, name="python")
        with pytest.raises(InvalidToxic):
            proxy.add_toxic(type="nonsense", attributes={})
        assert client.reset()
        assert proxy.toxics() == {}
        client.destroy_all()
        with pytest.raises(NotFound):
            proxy.toxics()
        assert client.proxies() == {}


def test_its_command_line(url: str) -> None:
    """toxiproxy-cli: create, list, inspect, toxic add, update and remove, toggle, delete."""
    cli = require("toxiproxy-cli")

    def command(*arguments: str) -> str:
        return run(cli, "--host", url, *arguments, timeout=30)

    command("create", "-l", "127.0.0.1:0", "-u", "127.0.0.1:1", "shell")
    assert "shell" in command("list")
    command("toxic", "add", "-t", "latency", "-n", "slow", "-a", "latency=100", "--toxicity", "0.5", "shell")
    shown = command("inspect", "shell")
    assert "slow" in shown
    assert "latency=100" in shown
    command("toxic", "update", "-n", "slow", "-a", "latency=7", "--toxicity", "1", "shell")
    assert "latency=7" in command("inspect", "shell")
    command("toxic", "remove", "-n", "slow", "shell")
    assert "slow" not in command("inspect", "shell")
    command("toggle", "shell")
    assert not ToxiproxyClient(url).proxy("shell").enabled
    command("delete", "shell")
    assert "shell" not in ToxiproxyClient(url).proxies()


@pytest.mark.slow
def test_toxiproxy_node_client(url: str, tmp_path: Path) -> None:
    """The client of npm: proxies, toxics, updates, populate, reset, errors."""
    npm = require("npm")
    run(npm, "install", "--no-audit", "--no-fund", "--prefix", tmp_path, "toxiproxy-node-client")
    module = tmp_path / "node_modules" / "toxiproxy-node-client"
    assert "all well" in run("node", CLIENTS / "node.cjs", url, module, timeout=60)


@pytest.fixture(scope="module")
def go_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module that uses Toxiproxy's, with the sources of it in the module cache."""
    go = require("go")
    folder = tmp_path_factory.mktemp("go")
    shutil.copy(CLIENTS / "main.go", folder)
    run(go, "mod", "init", "conformance", cwd=folder)
    run(go, "get", f"{MODULE}@{VERSION}", cwd=folder)
    return folder


@pytest.mark.slow
def test_its_go_client(url: str, go_module: Path) -> None:
    """Toxiproxy's own Go client: the same."""
    assert "all well" in run(require("go"), "run", ".", url, cwd=go_module)


@pytest.mark.slow
def test_its_own_tests_of_the_api(go_module: Path, tmp_path: Path) -> None:
    """api_test.go of Toxiproxy, asking the embedded server instead of the one that it would start itself."""
    go = require("go")
    source = run(go, "list", "-m", "-f", "{{.Dir}}", MODULE, cwd=go_module).strip()
    folder = tmp_path / "toxiproxy"
    shutil.copytree(source, folder)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    folder.chmod(0o755)
    tests = folder / "api_test.go"
    with running("embedded") as launched:
        port = launched.url.rpartition(":")[2]
        text = tests.read_text().replace("8475", port).replace(r"\"git\"", rf"\"{VERSION[1:]}\"")  # not a release's
        text = re.sub(r"(?s)(func WithServer\(.*?\) \{\n).*?\n\}\n", rf"\1{_WITH_SERVER % port}\n}}\n", text, count=1)
        tests.write_text(text)
        names = "|".join(re.findall(r"^func (Test\w+)", text, re.M))
        environ = {**os.environ, "GOFLAGS": "-mod=mod"}
        done = subprocess.run(
            [go, "test", "-count=1", "-v", "-run", f"^({names})$", "."],
            cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    passed = set(re.findall(r"^--- PASS: (\w+)", done.stdout, re.M))
    failed = set(re.findall(r"^--- FAIL: (\w+)", done.stdout, re.M))
    assert failed == set(), done.stdout + done.stderr
    assert len(passed) >= 34, done.stdout + done.stderr
    print(f"{len(passed)} of Toxiproxy's own tests pass on the embedded server")


_WITH_SERVER = """\t_, _, _, _ = flag.Lookup, os.Stdout, time.Now, zerolog.Nop
\t_, _, _ = testServer, prometheus.NewRegistry, toxiproxy.Version
\tdefer func() {
\t\tproxies, _ := client.Proxies()
\t\tfor _, proxy := range proxies {
\t\t\tproxy.Delete()
\t\t}
\t}()
\tf("http://localhost:%s")"""
