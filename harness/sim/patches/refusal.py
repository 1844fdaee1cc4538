"""Refuses what is real: the error names who asked and what to do instead."""

from __future__ import annotations

from typing import NoReturn

from harness.errors import RealWorld
from harness.sim import world
from harness.sim.stacks import caller

__all__ = ["inside_actor", "refuse"]


def inside_actor() -> bool:
    """Whether an actor runs on this OS thread."""
    run = world.current()
    return run is not None and run.kernel.current is not None


def refuse(what: str, remedy: str) -> NoReturn:
    """Raise RealWorld in the code that asked for *what*; the kernel remembers it in ``refused``."""
    run = world.current()
    actor = run.kernel.current if run is not None else None
    who = f" by {actor.name}" if actor is not None else ""
    error = RealWorld(f"{what} was asked for inside a simulation{who} ({caller()}). {remedy}")
    if run is not None and not run.kernel.closing:
        run.kernel.refused.append(error)
    raise error
