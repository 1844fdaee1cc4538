"""Fixtures of the simulation's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.shims import shims_in


@pytest.fixture
def shims() -> Iterator[None]:
    """The shims are in; afterwards as before."""
    with shims_in():
        yield
