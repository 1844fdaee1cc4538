"""The simulation's shims for a test, a module or a block: in, and afterwards as before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.sim import patches

__all__ = ["shims_in"]


@contextmanager
def shims_in() -> Iterator[None]:
    """The shims are in; afterwards as before."""
    before = patches.installed()
    patches.install()
    yield
    if not before:
        patches.uninstall()
