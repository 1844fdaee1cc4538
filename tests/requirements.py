"""What some tests need beside Python: skipped by name where it is not there, a failure where it was promised.

``HARNESS_REQUIRE=redis,toxiproxy`` turns the skip of a test that needs one of
these into a failure, so that a machine that installed them cannot pass
without having used them.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.environments.live.elasticmq import elasticmq_command
from harness.errors import EnvironmentFailed
from harness.net.child import Child, free_port, listens
from harness.net.guard import guarded

PROGRAMS = {
    "redis": "redis-server",
    "toxiproxy": "toxiproxy-server",
    "toxiproxy-cli": "toxiproxy-cli",
    "java": "java",
    "chromium": "chromium",
    "go": "go",
    "npm": "npm",
}


def required() -> set[str]:
    """The names in HARNESS_REQUIRE."""
    return {name.strip() for name in os.environ.get("HARNESS_REQUIRE", "").split(",") if name.strip()}


def require(name: str) -> str:
    """The path of the program that *name* stands for; skips the test if it is not there, or fails it if promised."""
    path = shutil.which(PROGRAMS[name])
    if path is None:
        message = f"{PROGRAMS[name]} is not on PATH"
        if name in required():
            pytest.fail(f"HARNESS_REQUIRE names {name}, but {message}")
        pytest.skip(message)
    return path


def require_elasticmq(port: int = 9324) -> list[str]:
    """What starts ElasticMQ on *port*; skips the test if it is not here, or fails it if promised."""
    try:
        return elasticmq_command(port)
    except EnvironmentFailed as error:
        if "elasticmq" in required():
            pytest.fail(f"HARNESS_REQUIRE names elasticmq, but {error}")
        pytest.skip(str(error))


@contextmanager
def elasticmq() -> Iterator[str]:
    """An ElasticMQ on loopback for the time of a test: its URL. Its jars are where ELASTICMQ_JARS says."""
    port = free_port()
    command = guarded(require_elasticmq(port))
    server = Child("ElasticMQ", command, ready=lambda: listens(port), timeout=60)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def module(path: str, name: str) -> Any:
    """The module *path* of the extra *name*; skips the test if it is not installed, or fails it if promised."""
    try:
        return importlib.import_module(path)
    except ImportError as error:
        if name in required():
            pytest.fail(f"HARNESS_REQUIRE names {name}, but {error}")
        pytest.skip(f"{path} is not installed (extra {name})")


@contextmanager
def redis_server(port: int | None = None) -> Iterator[int]:
    """A real redis-server on loopback for the time of a test, on *port* or any; gives its port."""
    program = require("redis")
    port = free_port() if port is None else port
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        server = subprocess.Popen([*command, "--dir", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_for(port, server)
            yield port
        finally:
            server.terminate()
            server.wait(timeout=10)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until the server answers: ten seconds at most."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError(f"redis-server ended with {server.returncode}")
        if listens(port):
            return
        time.sleep(0.02)
    raise RuntimeError("redis-server did not answer within ten seconds")
