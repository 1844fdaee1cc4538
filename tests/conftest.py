"""What holds for every test."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.budget import NIGHTLY, examples

# A shell starts background jobs with SIGINT ignored, and children inherit that: tests of Ctrl-C would test nothing.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Examples are the same in every run of a commit, so that nobody's change fails on another's luck; nightly draws afresh.
settings.register_profile("part", max_examples=examples(125), derandomize=True, deadline=None)
settings.register_profile("nightly", max_examples=200, deadline=None)
settings.load_profile("nightly" if NIGHTLY else "part")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked ``slow``, but for nightly and a run of named tests."""
    if NIGHTLY or any("::" in argument for argument in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.fixture(autouse=True, scope="session")
def conservation() -> Iterator[None]:
    """No in-memory SQS of any test gains or loses a message: asserted after each of its calls."""
    from tests import conservation

    conservation.install()
    yield
    conservation.uninstall()
