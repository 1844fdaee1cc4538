"""The shims and cuts are in while a test of the wires runs, and out again after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.sim import patches
from harness.sim.wire import http, redis, sqlite


@pytest.fixture(scope="module")
def cuts() -> Iterator[None]:
    patches.install()
    for wire in (redis, http, sqlite):
        wire.install()
    yield
    for wire in (sqlite, http, redis):
        wire.uninstall()
    patches.uninstall()
