"""Ready contracts: what a library documents is what it does, or the finding was checked against its source."""

from __future__ import annotations

import importlib

import pytest

from harness.properties import probe
from tests.budget import examples


@pytest.mark.parametrize("library", ["tenacity", "stamina", "backoff"])
def test_retry_libraries_keep_what_they_document(library: str) -> None:
    """No finding in the documented policy, in any of its forms."""
    pytest.importorskip(library)
    made = importlib.import_module(f"harness.properties.adapters.{library}").retry()
    report = probe(made, examples=examples(50))
    assert report.passed, str(report)


def test_our_own_components_keep_theirs() -> None:
    """No finding in ours."""
    ours = importlib.import_module("harness.properties.adapters.ours")
    for made in (ours.retry(), ours.breaker()):
        report = probe(made, examples=examples(50))
        assert report.passed, str(report)


def test_pybreaker_tells_time_by_the_wall_clock_and_holds_its_lock() -> None:
    """``open()`` notes ``datetime.now``, and ``call`` runs the function under the breaker's lock (1.4)."""
    pytest.importorskip("pybreaker")
    made = importlib.import_module("harness.properties.adapters.pybreaker").breaker()
    assert [one.property for one in probe(made, examples=examples(50)).findings] == ["wall-clock", "not-serialised"]


@pytest.mark.parametrize("library", ["circuitbreaker", "purgatory"])
def test_other_breakers_admit_every_caller_half_open(library: str) -> None:
    """Neither counts the probes under way: its half-open state is a comparison of times."""
    pytest.importorskip(library)
    made = importlib.import_module(f"harness.properties.adapters.{library}").breaker()
    assert "half-open-permits" in {one.property for one in probe(made, examples=examples(10)).findings}
