"""The page of the embedded proxy is true: its commands and code run, its tables are those of the code."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from harness.toxiproxy.client import ToxiproxyClient
from harness.toxiproxy.server import ToxiproxyServer
from harness.toxiproxy.toxics import EXTRA, TOXICS
from tests.docs.pages import DOCS, blocks, section

PAGE = DOCS / "toxiproxy.md"
BLOCKS = blocks(PAGE)
COMMANDS = [
    line.removeprefix("$ ").partition("#")[0]
    for block in BLOCKS
    if block.language == "console"
    for line in block.text.splitlines()
    if line.startswith("$ ")
]
PYTHON = [block.text for block in BLOCKS if block.language == "python"]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands(line: str, tmp_path: Path) -> None:
    """Each starts (on a free port, others run tests, too), says where its API is, and its proxies are there."""
    (tmp_path / "toxiproxy.json").write_text('[{"name": "redis", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}]')
    arguments = [re.sub("^8474$", "0", part) for part in shlex.split(line)]
    assert arguments[:2] == ["harness", "proxy"]
    command = [sys.executable, "-m", "harness", *arguments[1:]]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        proxies = ToxiproxyClient(said.split()[3].rstrip(",")).proxies()
        assert list(proxies) == (["redis"] if "--config" in line else [])
    finally:
        process.terminate()
        assert process.wait(10) == 0
        process.communicate()


def test_a_server_in_this_process() -> None:
    """The first block of Python runs as it stands."""
    exec(compile(PYTHON[0], str(PAGE), "exec"), {})


def test_the_fixture(toxiproxy: object) -> None:
    """The second one is a test that passes."""
    names: dict[str, object] = {}
    exec(compile(PYTHON[1], str(PAGE), "exec"), names)
    test = names["test_a_slow_redis"]
    assert callable(test)
    test(toxiproxy)


def test_the_schedule() -> None:
    """The steps are taken as they stand."""
    [steps] = [json.loads(block.text) for block in BLOCKS if block.language == "json"]
    with ToxiproxyServer() as server:
        client = ToxiproxyClient(server.url)
        client.create("redis", "127.0.0.1:1")
        client.schedule(steps)
        client.stop_schedule()


def test_the_tables_of_toxics() -> None:
    """Every toxic has a row with its attributes, under Toxiproxy's or under ours; no other has one."""
    text = section(PAGE, "Toxics")
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", text, re.M))
    assert set(rows) == set(TOXICS)
    for name, attributes in rows.items():
        assert set(TOXICS[name].types()) <= set(re.findall(r"`(\w+)`", attributes)), name
    ours = text.partition("Ours, refused")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", ours, re.M)) == set(EXTRA)
