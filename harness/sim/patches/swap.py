"""Replaces an object by another wherever the interpreter can find a reference to it.

A name imported before installation, a default argument, a
``functools.partial``, a class attribute, a dataclass's default factory: a
function is kept in many places beside its own module. ``gc.get_referrers``
finds them, once, at installation (some ten milliseconds); a tuple that holds
one is replaced in its turn.
"""

from __future__ import annotations

import ctypes
import functools
import gc
from collections.abc import Iterable, Mapping
from types import CellType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

__all__ = ["EXEMPT", "exempt", "keep", "release", "swap"]

#: Packages whose references stay real: they must see the machine's clock also inside a run.
EXEMPT = frozenset(
    {
        "_hypothesis_pytestplugin",
        "_pytest",
        "coverage",
        "execnet",
        "faulthandler",
        "greenlet",
        "harness",
        "hypothesis",
        "pluggy",
        "pytest",
        "pytest_cov",
        "pytest_timeout",
        "xdist",
    }
)
#: Parts of the harness that run inside, as code under test.
_UNDER_TEST = ("harness.resilience", "harness.catalogue", "harness.points")

_OWN = "harness.sim."  # whose shims hold the originals
_DEPTH = 4  # tuples in tuples
_SKIP = object()
_kept: dict[int, object] = {}


def keep(container: Any) -> Any:
    """Never replace anything in *container* (a list, dict or tuple), nor in those inside it; returns it."""
    _kept[id(container)] = container
    for item in container.values() if isinstance(container, dict) else container:
        if isinstance(item, list | dict | tuple):
            keep(item)
    return container


def exempt(module: object) -> bool:
    """Whether the module of that name keeps its references."""
    if not isinstance(module, str):
        return False
    package = module.partition(".")[0]
    return package in EXEMPT and not module.startswith(_UNDER_TEST)


def release(container: Any) -> None:
    """Undo :func:`keep`."""
    _kept.pop(id(container), None)
    for item in container.values() if isinstance(container, dict) else container:
        if isinstance(item, list | dict | tuple):
            release(item)


class _Swap:
    def __init__(self, pairs: Iterable[tuple[object, object]], ignore_exemptions: bool) -> None:
        self.pairs = list(pairs)
        self.new = {id(old): new for old, new in self.pairs}
        self.old = [old for old, _ in self.pairs]
        self.ignore_exemptions = ignore_exemptions
        self.tuples: list[tuple[object, object]] = []
        self.changed: list[dict[Any, Any]] = []

    def run(self) -> None:
        own = {id(self.pairs), id(self.new), id(self.old), id(self.__dict__)} | {id(pair) for pair in self.pairs}
        for referrer in gc.get_referrers(*self.old):
            if id(referrer) not in own and id(referrer) not in _kept and referrer is not self:
                self.replace_in(referrer)

    def get(self, value: object) -> object:
        return self.new.get(id(value), _SKIP)

    def skips(self, module: object) -> bool:
        if isinstance(module, str) and module.startswith(_OWN):
            return True
        return not self.ignore_exemptions and exempt(module)

    def replace_in(self, referrer: Any) -> None:
        kind = type(referrer)
        if kind is dict:
            self.replace_in_dict(referrer)
        elif issubclass(kind, tuple):
            items = [self.new.get(id(item), item) for item in referrer]
            self.tuples.append((referrer, tuple.__new__(kind, items)))
        elif kind is list:
            for index, item in enumerate(referrer):
                new = self.get(item)
                if new is not _SKIP:
                    referrer[index] = new
        elif kind is CellType:
            self.replace_in_cell(referrer)
        elif kind is FunctionType:
            new = self.get(referrer.__defaults__)
            if new is not _SKIP and not self.skips(referrer.__module__):
                referrer.__defaults__ = new
        elif kind is staticmethod or kind is classmethod:
            new = self.get(referrer.__func__)
            if new is not _SKIP:
                referrer.__init__(new)
        elif issubclass(kind, functools.partial):
            self.replace_in_partial(referrer)
        elif not issubclass(kind, type | ModuleType):
            self.replace_in_object(referrer)

    def replace_in_dict(self, values: dict[Any, Any]) -> None:
        name = values.get("__name__") if "__spec__" in values else values.get("__module__")
        if self.skips(name):
            return
        for key, value in list(values.items()):
            new = self.get(value)
            if new is not _SKIP:
                values[key] = new
                if "__module__" in values:  # perhaps a class's own dict, whose look-ups are cached
                    self.changed.append(values)

    def replace_in_partial(self, partial: Any) -> None:
        parts = (partial.func, partial.args, partial.keywords)
        function, args, keywords = (self.new.get(id(part), part) for part in parts)
        partial.__setstate__((function, args, keywords, partial.__dict__ or None))

    def replace_in_cell(self, cell: CellType) -> None:
        try:
            new = self.get(cell.cell_contents)
        except ValueError:  # empty by now
            return
        if new is not _SKIP:
            cell.cell_contents = new

    def replace_in_object(self, thing: Any) -> None:
        kind = type(thing)
        if self.skips(kind.__module__):
            return
        if getattr(kind, "__dictoffset__", 0):
            values = object.__getattribute__(thing, "__dict__")
            if type(values) is dict:
                self.replace_in_dict(values)
        for base in kind.__mro__:
            for descriptor in vars(base).values():
                if type(descriptor) is not MemberDescriptorType:
                    continue
                try:
                    new = self.get(descriptor.__get__(thing, kind))
                    if new is not _SKIP:
                        descriptor.__set__(thing, new)
                except (AttributeError, TypeError):  # an empty slot, or one that C keeps read-only
                    continue


def swap(
    pairs: Mapping[int, tuple[object, object]] | Iterable[tuple[object, object]], *, everywhere: bool = False
) -> None:
    """Replace each first object by its second wherever it is referred to.

    Left alone: references of exempt modules (unless *everywhere*), frames of
    running functions, and what C code keeps for itself.
    """
    work = list(pairs.values()) if isinstance(pairs, Mapping) else list(pairs)
    changed: list[dict[Any, Any]] = []
    for _ in range(_DEPTH):
        if not work:
            break
        step = _Swap(work, everywhere)
        work = []
        step.run()
        changed += step.changed
        work = step.tuples
    _forget_lookups(changed)


def _forget_lookups(changed: list[dict[Any, Any]]) -> None:
    """Tell the types whose dicts were changed behind their backs."""
    if not changed:
        return
    for referrer in gc.get_referrers(*changed):
        if isinstance(referrer, type):
            ctypes.pythonapi.PyType_Modified(ctypes.py_object(referrer))
