"""Who acts, where that is more than an actor: the tasks of an event loop, and couriers that act for them.

An actor that runs an event loop runs many tasks. What a task does in the
background of the loop (a service call, bytes on their way) is done by a
*courier*, an actor of the same process, in a copy of the task's context.
"""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

from harness import compat

if TYPE_CHECKING:
    from harness.sim.actors import Actor

__all__ = ["begin", "carried", "courier_name", "name_of"]

_get_running_loop, _ = compat.running_loop()
_current_task = compat.current_task()

#: For whom a courier acts.
_acting_for: contextvars.ContextVar[str | None] = contextvars.ContextVar("harness_acting_for", default=None)


_in_use = False  # whether there may be tasks and couriers: most runs have none, and events are many


def begin(in_use: bool = False) -> None:
    """A run begins, without tasks and couriers; or, *in_use*, the first of them is there."""
    global _in_use
    _in_use = in_use


def name_of(actor: Actor) -> str:
    """The name of who acts in *actor*: ``worker.1``, ``worker.1/Task-3``, ``worker.1/pool-1_0``."""
    if not _in_use or actor.process._kernel.current is not actor:
        return actor.name
    loop = _get_running_loop()
    if loop is None:
        return _acting_for.get() or actor.name
    task = _current_task(loop)
    return actor.name if task is None else f"{actor.process.name}/{task.get_name()}"


def carried(actor: Actor) -> contextvars.Context:
    """A copy of the context of *actor*, the current one, for a courier."""
    begin(in_use=True)
    context = contextvars.copy_context()
    context.run(_acting_for.set, name_of(actor))
    return context


def courier_name(actor: Actor) -> str:
    """The name, without the process's, of a courier for who acts in *actor*, the current one: the same as theirs."""
    return name_of(actor).partition("/")[2] or "courier"
