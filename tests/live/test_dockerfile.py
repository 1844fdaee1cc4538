"""The Dockerfile: what it copies is there, and its very command serves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

from harness.net.child import Child, free_port, listens

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, str]]:
    """Name and rest of each line."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line and not line.startswith("#")]


def the(name: str) -> str:
    [found] = [rest for instruction, rest in instructions() if instruction == name]
    return found


def test_what_it_copies_is_there() -> None:
    """Every package directory that the wheel needs is copied, and let through by .dockerignore."""
    copied = {name for kind, rest in instructions() if kind == "COPY" for name in rest.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    places = {setuptools.get("package-dir", {}).get(one, one.replace(".", "/")) for one in setuptools["packages"]}
    assert {place.partition("/")[0] for place in places} <= copied
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == let_through
    assert the("RUN") == "pip install --no-cache-dir '.[live]'"


def test_its_command_serves() -> None:
    """As a container is started, with a port of its own; its health check finds it, and SQS answers."""
    entry = json.loads(the("ENTRYPOINT"))
    assert entry[entry.index("--port") + 1] == the("EXPOSE") == "9324"
    port = free_port()
    command = [sys.executable, "-m", *entry, "--host", "127.0.0.1", "--port", str(port)]
    with Child("the container's command", command, ready=lambda: listens(port)):
        check = json.loads(the("HEALTHCHECK").partition("CMD ")[2])
        program = check[2].replace(":9324/", f":{port}/")
        assert program != check[2]
        done = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
        assert done.returncode == 0
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/?Action=ListQueues", timeout=10) as answer:
            assert b"<ListQueuesResponse" in answer.read()


def test_the_docs_speak_of_it() -> None:
    """The name of the image in the example is the one that the page builds."""
    text = (ROOT / "docs" / "sqs-server.md").read_text()
    [name] = re.findall(r"docker build -t (\S+) \.", text)
    assert f'GenericContainer<>("{name}")' in text
