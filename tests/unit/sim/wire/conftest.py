"""The shims and cuts are in while a test of the wires runs, and out again after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.sim import patches
from harness.sim.wire import http, redis, redis_async, sqlite


@pytest.fixture(scope="module")
def cuts() -> Iterator[None]:
    patches.install()
    for wire in (redis, http, redis_async, sqlite):
        wire.install()
    yield
    for wire in (sqlite, redis_async, http, redis):
        wire.uninstall()
    patches.uninstall()
