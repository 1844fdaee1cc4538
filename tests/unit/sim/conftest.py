"""Fixtures of the simulation's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.sim import patches


@pytest.fixture
def shims() -> Iterator[None]:
    """The shims are in; afterwards as before."""
    before = patches.installed()
    patches.install()
    yield
    if not before:
        patches.uninstall()
