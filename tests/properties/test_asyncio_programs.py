"""Properties of asyncio inside a run, on generated programs of tasks, timeouts, cancellations, threads and crashes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.budget import examples
from tests.properties.asyncio_programs import Program, programs, run
from tests.shims import shims_in

_SETTINGS = settings(max_examples=examples(500), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True, scope="module")
def shims() -> Iterator[None]:
    """The shims are in; afterwards as before."""
    with shims_in():
        yield


@_SETTINGS
@given(program=programs, seed=st.integers(0, 1000))
def test_run_equals_run_equals_replay(program: Program, seed: int) -> None:
    """The same seed gives the same run of the same tasks; its recorded decisions as a tape give it again."""
    first = run(program, seed)
    assert run(program, seed) == first
    assert run(program, seed, tape=first.decisions) == first


@_SETTINGS
@given(program=programs, seed=st.integers(0, 1000))
def test_what_every_run_obeys(program: Program, seed: int) -> None:
    """Time never goes back, a process's lock excludes, every task is done once, and the killed are silent."""
    observed = run(program, seed)
    times = [entry[0] for entry in observed.log]
    assert times == sorted(times)
    dead: set[str] = set()
    inside: dict[str, str] = {}
    done: set[tuple[str, str]] = set()
    for _, actor, task, *what in observed.log:
        process = actor.partition("/")[0]
        assert process not in dead
        if what[:1] == ["crashes"]:
            dead.add(f"p{what[1] % len(program)}")
        elif what == ["inside"]:
            assert inside.setdefault(process, task) == task
        elif what == ["outside"]:
            assert inside.pop(process) == task
        elif what == ["done"]:
            assert (process, task) not in done
            done.add((process, task))
