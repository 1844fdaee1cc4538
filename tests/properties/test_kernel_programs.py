"""Properties of the simulation, on generated concurrent programs."""

from __future__ import annotations

import importlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.sim.preempt import Level, Rewriting
from tests.budget import NIGHTLY, examples
from tests.properties import determined
from tests.properties.programs import KINDS, NESTED, Program, draw_program, programs, run
from tests.shims import shims_in
from tests.unit.sim.simulate import answer

_SETTINGS = settings(max_examples=examples(150), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True, scope="module")
def shims() -> Iterator[None]:
    """The shims are in; afterwards as before."""
    with shims_in():
        yield


@_SETTINGS
@given(program=programs, seed=st.integers(0, 1000))
def test_run_equals_run_equals_replay(program: Program, seed: int) -> None:
    """The same seed gives the same run; its recorded decisions as a tape give it again."""
    first = run(program, seed)
    assert run(program, seed) == first
    assert run(program, seed, tape=first.decisions) == first


def test_run_equals_run_equals_replay_over_many_programs() -> None:
    """A thousand programs (nightly: 20,000): run == run == replay; every kind of operation was among them."""
    kinds: set[str] = set()
    for number in range(20_000 if NIGHTLY else 1_000):
        program = draw_program(random.Random(number))
        first = run(program, number)
        assert run(program, number) == first, program
        assert run(program, number, tape=first.decisions) == first, program
        kinds.update(operation[0] for process in program for operation in process)
    assert kinds == {*KINDS, *NESTED}


@_SETTINGS
@given(program=programs, tape=st.lists(st.integers(0, 5), max_size=30))
def test_any_tape_is_a_run_that_its_decisions_repeat(program: Program, tape: list[int]) -> None:
    """Whatever a shrinker writes on a tape, the decisions that it came to are a tape of the same run."""
    first = run(program, 1, tape=tape)
    assert run(program, 1, tape=first.decisions) == first


@_SETTINGS
@given(program=programs, seed=st.integers(0, 1000))
def test_what_every_run_obeys(program: Program, seed: int) -> None:
    """Time never goes back, locks exclude, the killed are silent, and the clocks agree with the kernel."""
    observed = run(program, seed)
    times = [entry[0] for entry in observed.log]
    assert times == sorted(times)
    dead: set[str] = set()
    within: dict[int, list[str]] = {0: [], 1: []}
    for now_us, name, kind, *rest in observed.log:
        process = name.partition("/")[0]
        assert process not in dead
        if kind == "crashes":
            victim = f"p{rest[0] % len(program)}"
            dead.add(victim)
            for holders in within.values():
                holders[:] = [holder for holder in holders if holder.partition("/")[0] != victim]
        elif kind == "inside":
            assert not within[rest[0]]
            within[rest[0]].append(name)
        elif kind == "outside":
            assert within[rest[0]].count(name) <= 1
            if name in within[rest[0]]:
                within[rest[0]].remove(name)
        elif kind == "clock":
            assert rest == [(1_893_456_000_000_000 + now_us) / 1e6, (100_000_000_000 + now_us) / 1e6]
    assert all(process in {"p0", "p1", "p2", "p3"} for process in dead)


@pytest.mark.parametrize("level", ["calls", "statements"])
def test_run_equals_run_equals_replay_with_preemption(level: Level) -> None:
    """The same holds where the programs' own code gives way inside its blocks."""
    rewriting = Rewriting(["tests.properties.programs"], level)
    rewriting.install()
    try:
        module: Any = importlib.import_module("tests.properties.programs")
        assert module.run is not run
        others = 0
        for number in range(examples(1_000)):
            program = draw_program(random.Random(number))
            first = module.run(program, number, preempt=level)
            assert module.run(program, number, preempt=level) == first, program
            assert module.run(program, number, tape=first.decisions, preempt=level) == first, program
            others += first.log != run(program, number).log
        assert others > examples(1_000) // 4
    finally:
        rewriting.uninstall()


def test_real_threads_come_to_the_same_outcome() -> None:
    """Programs whose outcome no schedule can change come out alike under two seeds and on real threads."""
    kinds: set[str] = set()
    for number in range(examples(1_000)):
        program = determined.draw_rounds(random.Random(number))
        simulated = [answer(lambda: determined.outcome(program), seed=seed) for seed in (number, number + 1)]  # noqa: B023
        real = determined.outcome(program)
        assert simulated == [real, real], program
        kinds.update(kind for operations in program for kind, _ in operations)
    assert kinds == set(determined.KINDS)


_PROGRAM: Program = [
    [("thread", [("sleep", 1), ("locked", 0, 2), ("draw",)]), ("locked", 0, 1), ("get", 3), ("clock",), ("draw",)],
    [("put", 5), ("sleep", 1), ("locked", 0, 1), ("pause", 0, 2), ("set",), ("fail",)],
    [("wait", 4), ("thread", [("locked", 1, 1), ("get", 2)]), ("sleep", 1), ("locked", 1, 2), ("crash", 1), ("draw",)],
    [("locked", 1, 1), ("sleep", 2), ("draw",), ("thread", [("put", 1), ("put", 2)])],
]


def test_the_hash_seed_and_the_process_change_nothing() -> None:
    """Separate processes under PYTHONHASHSEED 0, 1 and 777 observe the same runs."""
    program = (
        "from harness.sim import patches; patches.install()\n"
        "from tests.properties.programs import run\n"
        "from tests.properties.test_kernel_programs import _PROGRAM\n"
        "print([run(_PROGRAM, seed) for seed in range(20)])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=Path(__file__).resolve().parents[2],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for hash_seed in ("0", "1", "777")
    }
    assert len(outputs) == 1
    (output,) = outputs
    assert len(output) > 10_000
    assert output.strip() == str([run(_PROGRAM, seed) for seed in range(20)])
