"""A project to run commands in, and a way to run them in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cli import run_command
from tests.unit.cli.project import Project, make


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A new project; the current folder is its root."""
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield make(tmp_path)
    sys.path[:] = path


@pytest.fixture
def command(project: Project, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Done]:
    """Runs a command in the project, in this process."""

    def run(*arguments: str) -> Done:
        capfdbinary.readouterr()
        code = run_command(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = capfdbinary.readouterr()
        return Done(code, out.decode(), err.decode())

    return run
