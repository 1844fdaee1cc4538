"""``threading.local`` with one set of values for each actor, and for each real thread outside a run."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from harness.sim import real, world

__all__ = ["local"]

_get_ident = real.get_ident
_MISSING = object()


class _Values:
    """The values of one thread-local: by actor inside the current run, by the real thread outside."""

    __slots__ = ("__weakref__", "arguments", "dicts", "kernel", "outside")

    def __init__(self, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        self.arguments = arguments
        self.outside = real.local()
        self.kernel: Any = None
        self.dicts: dict[int, dict[str, Any]] = {}


def _values_here(thing: local) -> dict[str, Any]:
    """The dict of whoever runs. On first use a subclass's ``__init__`` fills it, as with the real one."""
    values = _get_values(thing)
    run = world._world
    if run is None or run.thread_id != _get_ident():
        return _values_outside(thing, values)
    kernel = run.kernel
    if values.kernel is not kernel:
        values.kernel = kernel
        values.dicts = {}
    actor = kernel.current
    ident = actor.ident if actor is not None else 0
    found = values.dicts.get(ident)
    if found is None:
        found = values.dicts[ident] = {}
        if actor is not None:
            if actor.locals is None:
                actor.locals = []
            actor.locals.append(weakref.ref(values))
        _initialise(thing, values)
    return found


def _values_outside(thing: local, values: _Values) -> dict[str, Any]:
    found: dict[str, Any] | None = getattr(values.outside, "dict", None)
    if found is None:
        found = values.outside.dict = {}
        _initialise(thing, values)
    return found


def _initialise(thing: local, values: _Values) -> None:
    kind = type(thing)
    if kind.__init__ is not object.__init__:
        args, kwargs = values.arguments
        kind.__init__(thing, *args, **kwargs)


class local:
    """Thread-local data: what ``threading.local`` is while the shims are in."""

    __slots__ = ("__weakref__", "_local__values")

    def __new__(cls, /, *args: Any, **kwargs: Any) -> local:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError("Initialization arguments are not supported")
        self = object.__new__(cls)
        values = _Values((args, kwargs))
        _set_values(self, values)
        # Python calls __init__ next: these values exist already.
        run = world.current()
        if run is None:
            values.outside.dict = {}
        else:
            values.kernel = run.kernel
            actor = run.kernel.current
            values.dicts[actor.ident if actor is not None else 0] = {}
            if actor is not None:
                actor.locals = [*(actor.locals or ()), weakref.ref(values)]
        return self

    def __getattribute__(self, name: str) -> Any:
        here = _values_here(self)
        found = here.get(name, _MISSING)
        if found is not _MISSING:
            return found
        if name == "__dict__":
            return here
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__dict__":
            raise AttributeError(f"{type(self).__name__!r} object attribute '__dict__' is read-only")
        if hasattr(type(self), name) and hasattr(type(getattr(type(self), name)), "__set__"):
            object.__setattr__(self, name, value)
        else:
            _values_here(self)[name] = value

    def __delattr__(self, name: str) -> None:
        if name == "__dict__":
            raise AttributeError(f"{type(self).__name__!r} object attribute '__dict__' is read-only")
        here = _values_here(self)
        if name in here:
            del here[name]
        else:
            object.__delattr__(self, name)


_slot = vars(local)["_local__values"]
_get_values: Callable[[local], _Values] = _slot.__get__
_set_values = _slot.__set__
