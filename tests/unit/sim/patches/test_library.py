"""Tests of the standard library's module state, which each run begins with alike."""

from __future__ import annotations

import logging
import os
import tempfile
import time

import pytest

from tests.unit.sim.simulate import answer, needs_shims, simulate

pytestmark = needs_shims


def test_names_of_temporary_files_repeat_from_run_to_run() -> None:
    """The same seed draws the same names in a first and a later run, and names outside go on as before."""

    def main() -> list[str]:
        found: list[str] = []
        for _ in range(2):
            handle, path = tempfile.mkstemp()
            os.close(handle)
            os.unlink(path)
            found.append(os.path.basename(path))
        return found

    with tempfile.NamedTemporaryFile() as outside:
        first = answer(main, seed=7)
        assert answer(main, seed=7) == first
        assert len(set(first)) == 2
        with tempfile.NamedTemporaryFile() as again:
            assert os.path.basename(again.name) not in {*first, os.path.basename(outside.name)}


def test_log_records_count_from_the_start_of_the_run() -> None:
    """created is virtual time, relativeCreated the milliseconds since the start; outside both are real again."""

    def main() -> tuple[float, float]:
        time.sleep(2.5)
        record = logging.makeLogRecord({})
        return record.created, record.relativeCreated

    created, relative = answer(main)
    assert created == 1_893_456_002.5
    assert round(relative) == 2500
    simulate(lambda: None)
    assert 0 < logging.makeLogRecord({}).relativeCreated < 1e9


def test_numpys_global_generator_starts_from_the_seed() -> None:
    """The same seed draws the same in each run, another seed another; outside it goes on where it was."""
    numpy_random = pytest.importorskip("numpy.random")

    def main() -> list[float]:
        return [*numpy_random.rand(3), *numpy_random.default_rng().random(3)]

    numpy_random.seed(1)
    expected = numpy_random.rand(2).tolist()
    numpy_random.seed(1)
    outside = [numpy_random.rand()]
    first = answer(main, seed=7)
    assert answer(main, seed=7) == first
    assert answer(main, seed=8) != first
    assert [*outside, numpy_random.rand()] == expected
