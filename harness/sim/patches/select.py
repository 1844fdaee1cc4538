"""Waiting for several sockets at once: ``select.select``, ``select.poll`` and selectors, over simulated sockets.

Inside a run every selector is a :class:`VirtualSelector`, which parks its
actor in the kernel until one of its sockets is ready. A wait that finds
something, or that may not wait, takes a microsecond and lets others run, so
that a loop which never rests cannot stop time; after 1,000 such waits in a
row each takes a millisecond. The order in which sockets that are ready at
the same time are reported is a choice of the scheduler's.
"""

from __future__ import annotations

import math
import select
import selectors
from collections.abc import Callable, Iterable
from typing import Any

from harness.errors import SimulationError
from harness.sim import descriptors, real, world
from harness.sim.kernel import Actor, Kernel
from harness.sim.patches.refusal import inside_actor, refuse
from harness.sim.patches.time import to_us

__all__ = ["VirtualSelector", "attributes", "pairs"]

_TURN_US = 1
_SPIN_TURNS = 1_000  # turns without a rest, after which each takes _SPIN_US
_SPIN_US = 1_000
_REMEDY = "Only simulated sockets can be waited for in a run; files and real descriptors cannot"


def _until_us(kernel: Kernel, seconds: float | None) -> int | None:
    """When a wait ends. Rounded up, as the operating system's are: nobody is woken before the time has come."""
    if seconds is None:
        return None
    return kernel.now_us + max(1, math.ceil(min(seconds, 1e12) * 1e6 - 0.001))


class _Waiting:
    """Waits until one of some pollables is ready."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._actor: Actor | None = None
        self._turns = 0

    def changed(self) -> None:
        if self._actor is not None:
            self.kernel.wake(self._actor)

    def wait(
        self, found: Callable[[], list[Any]], things: Iterable[descriptors.Pollable], seconds: float | None
    ) -> list[Any]:
        """What *found* returns once it is not empty, or after *seconds*."""
        kernel = self.kernel
        if kernel.closing:
            kernel.refuse()
        if kernel.current is None:
            raise SimulationError("code that runs in no process (a timer, the set-up of the run) cannot wait")
        if (seconds is not None and seconds <= 0) or found():
            self._turn()
            return self._in_some_order(found())
        self._turns = 0
        until_us = _until_us(kernel, seconds)
        while True:
            self._park(things, until_us)
            ready = found()
            if ready:
                return self._in_some_order(ready)
            if until_us is not None and kernel.now_us >= until_us:
                return []

    def _turn(self) -> None:
        self._turns += 1
        self.kernel.sleep_us(_TURN_US if self._turns <= _SPIN_TURNS else _SPIN_US)

    def _park(self, things: Iterable[descriptors.Pollable], until_us: int | None) -> None:
        for thing in things:
            due_us = thing.ready_at_us()
            if due_us is not None and (until_us is None or due_us < until_us):
                until_us = due_us
        self._actor = self.kernel.current
        try:
            self.kernel.park(until_us)
        finally:
            self._actor = None

    def _in_some_order(self, ready: list[Any]) -> list[Any]:
        if len(ready) > 1:
            permute(self.kernel, ready, 0, len(ready))
        return ready


def permute(kernel: Kernel, items: Any, start: int, end: int) -> None:
    """Bring ``items[start:end]`` into an order of the scheduler's choice; every decision 0 leaves them as they are."""
    for position in range(start, end - 1):
        chosen = position + kernel.choose(end - position)
        if chosen != position:
            item = items[chosen]
            del items[chosen]
            items.insert(position, item)


def _events(thing: descriptors.Pollable, events: int) -> int:
    ready = 0
    if events & selectors.EVENT_READ and thing.readable():
        ready |= selectors.EVENT_READ
    if events & selectors.EVENT_WRITE and thing.writable():
        ready |= selectors.EVENT_WRITE
    return ready


def _pollable(number: int) -> descriptors.Pollable:
    thing: descriptors.Pollable | None = descriptors.find(number)
    if thing is None:
        refuse(f"to wait for file descriptor {number}", _REMEDY)
    return thing


class VirtualSelector(selectors.SelectSelector):
    """A selector over the run's sockets; what ``selectors.DefaultSelector()`` gives inside a run."""

    def __init__(self) -> None:
        run = world.current()
        assert run is not None, "made inside a run only"
        super().__init__()
        self._waiting = _Waiting(run.kernel)
        self._things: dict[int, tuple[descriptors.Pollable, selectors.SelectorKey]] = {}
        #: Called before each wait: an event loop brings its ready queue into order there.
        self.before_wait: Callable[[Kernel], None] | None = None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        try:
            thing = _pollable(key.fd)
        except BaseException:
            super().unregister(fileobj)
            raise
        self._things[key.fd] = thing, key
        thing.watchers.append(self._waiting)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = super().unregister(fileobj)
        found = self._things.pop(key.fd, None)
        if found is not None and self._waiting in found[0].watchers:
            found[0].watchers.remove(self._waiting)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().modify(fileobj, events, data)
        thing, _ = self._things[key.fd]
        self._things[key.fd] = thing, key
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.before_wait is not None:
            self.before_wait(self._waiting.kernel)
        return self._waiting.wait(self._found, [thing for thing, _ in self._things.values()], timeout)

    def _found(self) -> list[tuple[selectors.SelectorKey, int]]:
        found = []
        for thing, key in self._things.values():
            ready = _events(thing, key.events)
            if ready:
                found.append((key, ready))
        return found

    def close(self) -> None:
        for thing, _ in self._things.values():
            if self._waiting in thing.watchers:
                thing.watchers.remove(self._waiting)
        self._things.clear()
        super().close()


def _wait(things: dict[int, tuple[descriptors.Pollable, int]], seconds: float | None) -> list[tuple[int, int]]:
    """Wait once for things by number, each with the events wanted; returns numbers with the events that came."""
    run = world.current()
    assert run is not None
    waiting = _Waiting(run.kernel)

    def found() -> list[tuple[int, int]]:
        states = [(number, _events(thing, events)) for number, (thing, events) in things.items()]
        return [state for state in states if state[1]]

    for thing, _ in things.values():
        thing.watchers.append(waiting)
    try:
        return waiting.wait(found, [thing for thing, _ in things.values()], seconds)
    finally:
        for thing, _ in things.values():
            thing.watchers.remove(waiting)


def _number(thing: Any) -> int:
    return thing if isinstance(thing, int) else int(thing.fileno())


class VirtualPoll:
    """What ``select.poll()`` gives inside a run."""

    def __init__(self) -> None:
        self._wanted: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = select.POLLIN | select.POLLPRI | select.POLLOUT, /) -> None:
        _pollable(_number(fd))
        self._wanted[_number(fd)] = eventmask

    def modify(self, fd: Any, eventmask: int, /) -> None:
        if _number(fd) not in self._wanted:
            raise FileNotFoundError(2, "No such file or directory")
        self._wanted[_number(fd)] = eventmask

    def unregister(self, fd: Any, /) -> None:
        del self._wanted[_number(fd)]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """*timeout* in milliseconds; ``None`` or a negative number: without end."""
        things: dict[int, tuple[descriptors.Pollable, int]] = {}
        gone: list[tuple[int, int]] = []
        for number, mask in self._wanted.items():
            thing = descriptors.find(number)
            if thing is None:
                gone.append((number, select.POLLNVAL))
                continue
            wanted = selectors.EVENT_READ if mask & (select.POLLIN | select.POLLPRI) else 0
            things[number] = thing, wanted | (selectors.EVENT_WRITE if mask & select.POLLOUT else 0)
        seconds = 0.0 if gone else None if timeout is None or timeout < 0 else timeout / 1000
        found = _wait(things, seconds)
        masks = {selectors.EVENT_READ: select.POLLIN, selectors.EVENT_WRITE: select.POLLOUT}
        return gone + [(number, sum(bit for event, bit in masks.items() if ready & event)) for number, ready in found]


class _Selects:
    """The shims of functions; bound methods, as the originals bind to no instance."""

    def select(self, rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None, /) -> Any:
        run = world.current()
        if run is None or run.kernel.current is None:
            return real.select(rlist, wlist, xlist, timeout)
        if timeout is not None and timeout < 0:
            raise ValueError("timeout must be non-negative")
        if not rlist and not wlist and timeout is not None:
            run.kernel.sleep_us(to_us(timeout))  # the old way to sleep
            return [], [], []
        wanted: dict[int, tuple[descriptors.Pollable, int]] = {}
        for things, event in ((rlist, selectors.EVENT_READ), (wlist, selectors.EVENT_WRITE), (xlist, 0)):
            for thing in things:
                number = _number(thing)
                _, before = wanted.get(number, (None, 0))
                wanted[number] = _pollable(number), before | event
        ready = dict(_wait(wanted, timeout))
        return (
            [thing for thing in rlist if ready.get(_number(thing), 0) & selectors.EVENT_READ],
            [thing for thing in wlist if ready.get(_number(thing), 0) & selectors.EVENT_WRITE],
            [],
        )


_selects = _Selects()
_real_poll: Callable[..., Any] | None = getattr(select, "poll", None)  # not on Windows


def _poll() -> Any:
    if inside_actor():
        return VirtualPoll()
    assert _real_poll is not None
    return _real_poll()


def _new_selector(cls: type, *args: Any, **kwargs: Any) -> Any:
    """A selector of the standard library's is a virtual one inside a run. A subclass of somebody's is refused."""
    if cls is VirtualSelector or not inside_actor():
        return object.__new__(cls)
    if cls.__module__ != "selectors":
        refuse(f"the selector {cls.__qualname__}", "Use selectors.DefaultSelector, which is simulated")
    return VirtualSelector()


def pairs() -> list[tuple[object, object]]:
    """Functions to be replaced wherever they are kept."""
    return [(real.select, _selects.select)]


def attributes() -> list[tuple[Any, str, object]]:
    """Names to be set: (owner, name, shim)."""
    found: list[tuple[Any, str, object]] = []
    if _real_poll is not None:  # a function; the others are types, which programs compare with
        found.append((select, "poll", _poll))
    kinds: list[Any] = [kind for kind in vars(selectors).values() if isinstance(kind, type)]
    for kind in dict.fromkeys(kinds):
        if issubclass(kind, selectors.BaseSelector) and "select" in vars(kind) and kind is not selectors.BaseSelector:
            found.append((kind, "__new__", staticmethod(_new_selector)))
    return found
