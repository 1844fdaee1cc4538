"""Lets a task wait for what takes virtual time in an ordinary call, while the other tasks of its loop go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from harness.sim import lines, world
from harness.sim.actors import Actor, RunOver

__all__ = ["aside", "hang_up"]

_HANG_UP = -1  # stands among the numbers of the signals that are pending for an actor

T = TypeVar("T")


class _HungUp(Exception):
    """Raised in a courier that waits for nobody any more."""


def hang_up(courier: Actor) -> None:
    """Nobody waits for *courier*'s answer: if it waits itself it gives up, else it finishes what it is about."""
    if not courier.waiting or courier.dead:
        return

    def give_up(number: int, frame: object) -> None:
        raise _HungUp

    process = courier.process
    process.handlers.setdefault(_HANG_UP, give_up)
    if courier.pending is None:
        courier.pending = [_HANG_UP]
        process._kernel.interrupt(courier)


async def aside(function: Callable[[], T], *, hung_up: Callable[[Actor], object] | None = None) -> T:
    """What *function* returns or raises, called by a courier: an actor of the same process, in a copy of the context.

    Outside a run *function* is called as it is. If the task that waits is
    cancelled the courier goes on, as what is on its way goes on when its
    sender hangs up; *hung_up* is told.
    """
    run = world.current()
    actor = run.kernel.current if run is not None else None
    if run is None or actor is None:
        return function()
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = lines.carried(actor)

    def settle(error: BaseException | None, result: Any) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, StopIteration):  # no future takes one
            future.set_exception(RuntimeError(f"StopIteration: {error}"))
        else:
            future.set_exception(error)

    def carry() -> None:
        error: BaseException | None = None
        result: Any = None
        try:
            result = context.run(function)
        except RunOver:
            raise
        except BaseException as caught:
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, error, result)

    courier = run.kernel.spawn(actor.process, carry, lines.courier_name(actor))
    try:
        return await future
    except asyncio.CancelledError:
        if hung_up is not None and not courier.dead:
            hung_up(courier)
        raise
