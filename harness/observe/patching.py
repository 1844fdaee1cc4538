"""Putting a hook into a class of somebody else's, and taking it out again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["replace_attributes", "when_imported"]


def replace_attributes(*changes: tuple[type, str, Any]) -> Callable[[], None]:
    """Set each (class, name, value); returns a function that puts back what was there.

    Names must be the class's own, so that putting back leaves the class as it was.
    """
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)

    def restore() -> None:
        while before:
            owner, name, value = before.pop()
            setattr(owner, name, value)

    return restore


def when_imported(name: str, hook: Callable[[ModuleType], Callable[[], None]]) -> Callable[[], None]:
    """Call *hook* with the top-level module *name*: now if it is imported, and each time that it is loaded.

    (A process of a run may import a fresh copy.) *hook* returns a function
    that undoes what it did. The function returned here calls those, and waits
    for no import any more.
    """
    undo: list[Callable[[], None]] = []

    def loaded(module: ModuleType) -> None:
        undo.append(hook(module))

    if name in sys.modules:
        loaded(sys.modules[name])
    finder = _Finder(name, loaded)
    sys.meta_path.insert(0, finder)

    def stop() -> None:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
        while undo:
            undo.pop()()

    return stop


class _Finder(MetaPathFinder):
    """Lets the other finders find one module, and runs a function after it was loaded."""

    def __init__(self, name: str, loaded: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._loaded = loaded

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target) if finder is not self else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, self._loaded)
                return spec
        return None


class _Loader(Loader):
    def __init__(self, loader: Loader, loaded: Callable[[ModuleType], None]) -> None:
        self._loader = loader
        self._loaded = loaded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # what else a loader can do: resources, source

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._loaded(module)
