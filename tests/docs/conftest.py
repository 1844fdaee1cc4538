"""The servers that the commands talk to, and a folder to type them in."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.report import folder
from tests.docs.desk import Desk
from tests.docs.services import Services, running


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with running() as found:
        yield found


@pytest.fixture
def desk(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A new folder, the current one, and the services as every page finds them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "dont_write_bytecode", True
    )  # a file that changes within a second must not stay the old one
    monkeypatch.setattr(logging.getLogger("harness.resilience"), "disabled", True)  # what it does is in the history
    monkeypatch.setattr(
        folder, "render", lambda *_, **__: b""
    )  # pictures cost more than runs, and have their own tests
    services.reset()
    path = list(sys.path)
    found = Desk(tmp_path, services.environ)
    yield found
    sys.path[:] = path
    found.forget()
