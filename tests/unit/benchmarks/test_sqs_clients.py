"""The table of clients: every language does the same checks, and the harness's own server passes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import sqs_clients
from benchmarks.sqs_clients import SOURCES, Client, boto3, run, table
from benchmarks.sqs_peers import OWN, served

#: Where each language names its checks.
NAMED = {
    "javascript/round.mjs": r'^  async "([a-z-]+)"\(',
    "go": r'^\t\{"([a-z-]+)", func',
    "java/src/main/java/Round.java": r'checks\.put\("([a-z-]+)"',
    "python/round.py": r"^def ([a-z_]+)\(\) -> None:",
}


def checks(place: str, pattern: str) -> set[str]:
    path = SOURCES / place
    files = sorted(path.glob("*.go")) if path.is_dir() else [path]
    found = re.findall(pattern, "\n".join(file.read_text() for file in files), re.M)
    return {name.replace("_", "-") for name in found}


def test_every_language_does_the_same_checks() -> None:
    """As their sources name them; aws-cli's are in its loop."""
    loop = (SOURCES / "aws-cli" / "round").read_text().partition("for check in ")[2].partition(";")[0]
    expected = set(loop.replace("\\", "").split())
    assert len(expected) == 22
    assert {place: checks(place, pattern) for place, pattern in NAMED.items()} == dict.fromkeys(NAMED, expected)


def test_boto3_passes_them() -> None:
    """All of them, on a server of its own."""
    with served(OWN) as url:
        found = run(boto3(), url)
    assert {name: why for name, why in found.items() if why} == {}
    assert len(found) == 22


def script(tmp_path: Path, text: str) -> Client:
    path = tmp_path / "client"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Client([str(path)])


def test_what_a_client_says(tmp_path: Path) -> None:
    """A check that fails is there with its reason; the table counts what passed."""
    found = run(script(tmp_path, "echo warm; echo ok a; echo not ok b: no: why; exit 1"), "url")
    assert found == {"a": "", "b": "no: why"}
    text = table({("mine", "sh"): found, ("theirs", "sh"): {"a": ""}})
    assert text.splitlines()[0] == "| check | sh on mine | sh on theirs |"
    assert text.splitlines()[2:] == ["| a | ✓ | ✓ |", "| b | ✗ | ? |", "| **passed** | 1 of 2 | 1 of 1 |"]


@pytest.mark.parametrize("text", ["exit 0", "echo ok a; exit 1", "echo not ok a: x; exit 0"])
def test_a_client_that_does_not_say_what_it_did(tmp_path: Path, text: str) -> None:
    """No check at all, or an exit code that does not fit them, is an error and not a pass."""
    with pytest.raises(SystemExit):
        run(script(tmp_path, text), "url")


def test_a_failure_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On the harness's own server; on others it only stands in the table."""
    client = script(tmp_path, "case $1 in http*) echo ok a;; *) exit 3;; esac")
    monkeypatch.setattr(sqs_clients, "CLIENTS", {"sh": lambda: client})
    monkeypatch.setattr("sys.argv", ["sqs_clients", "--server", OWN])
    assert sqs_clients.main() == 0
    failing = script(tmp_path, "echo not ok a: x; exit 1")
    monkeypatch.setattr(sqs_clients, "CLIENTS", {"sh": lambda: failing})
    assert sqs_clients.main() == 1
