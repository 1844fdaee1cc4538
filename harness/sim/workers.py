"""Greenlets that live one actor after the other.

A greenlet costs some microseconds to make and to end (its stack is mapped
and unmapped), more than a short actor's whole life, so that those that have
ended serve again: in this run and in later ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

from harness.sim import real

if TYPE_CHECKING:
    from harness.sim.actors import Actor
    from harness.sim.kernel import Kernel

__all__ = ["Workers"]

_IDLE_MAX = 64
_idle: list[Any] = []  # greenlets of the main thread; one of another thread could not be resumed here


class Workers:
    """Where a kernel takes its greenlets from."""

    __slots__ = ("_idle",)

    def __init__(self) -> None:
        self._idle = _idle if real.get_ident() == real.main_thread().ident else []

    def start(self, kernel: Kernel, actor: Actor, hub: Any) -> Any:
        """Run *actor* in a greenlet, from the hub; returns what the hub is switched to with."""
        if self._idle:
            worker = self._idle.pop()
            worker.parent = hub
            worker.gr_context = None  # a new thread begins with an empty context, and so does an actor
        else:
            worker = greenlet(self._work, hub)
        actor.greenlet = worker
        return worker.switch(kernel, actor)

    def _work(self, kernel: Kernel, actor: Actor) -> Actor:
        """A worker's life: body after body. Nothing of an ended actor is kept meanwhile."""
        while True:
            kernel.live(actor)
            if len(self._idle) >= _IDLE_MAX:
                return actor
            self._idle.append(getcurrent())
            ended = [actor]
            hub = kernel.hub
            del kernel, actor
            kernel, actor = hub.switch(ended.pop())
