"""A kernel in a world of its own, for tests of the simulation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from harness.seeds import Seeds
from harness.sim import world
from harness.sim.kernel import Kernel

MISSING: Any = None  # a world's hook and recorder, where no test needs one


@contextmanager
def kernel(seed: int = 0, **options: Any) -> Iterator[Kernel]:
    """A kernel whose world is the one in force; closed at the end."""
    made = Kernel(Seeds(seed), **options)
    world.enter(world.World(made, MISSING, MISSING))
    try:
        yield made
    finally:
        made.close()
        world.leave()


def simulate(*mains: Callable[[], object], seed: int = 0, until: float | None = None, **options: Any) -> Kernel:
    """Run each function as a process (``p1``, ``p2``, ...); an error of one is raised here."""
    with kernel(seed, **options) as made:
        for number, main in enumerate(mains, start=1):
            made.start_process(f"p{number}", main)
        made.run(None if until is None else round(until * 1e6))
    for process in made.processes:
        if process.exit_error is not None:
            raise process.exit_error
    return made


def answer(function: Callable[[], Any], **options: Any) -> Any:
    """What *function* returns, called in a process."""
    found: list[Any] = []
    simulate(lambda: found.append(function()), **options)
    assert found, "the function did not return"
    return found[0]


needs_shims = pytest.mark.usefixtures("shims")
