"""Hooks that wait for an import."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from harness.observe.patching import when_imported

NAME = "library_of_somebody_else"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that can be imported and is not yet."""
    (tmp_path / f"{NAME}.py").write_text("VALUE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    return NAME


def test_the_hook_waits_for_the_import(library: str) -> None:
    """A library that is installed and not imported is not imported for being observed, and hooked once it is."""
    hooked: list[ModuleType] = []
    undone: list[str] = []

    def hook(module: ModuleType):  # type: ignore[no-untyped-def]
        hooked.append(module)
        return lambda: undone.append(module.__name__)

    finders = list(sys.meta_path)
    stop = when_imported(library, hook)
    assert library not in sys.modules
    assert importlib.util.find_spec(library) is not None  # looking for it is no import
    assert hooked == []
    module = importlib.import_module(library)
    assert hooked == [module]
    assert module.__spec__ is not None
    assert module.__loader__ is module.__spec__.loader
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    stop()
    stop()
    assert undone == [library]
    assert sys.meta_path == finders
    sys.modules.pop(library)


def test_a_fresh_copy_is_hooked_too(library: str) -> None:
    """A process that imports the library afresh gets hooks in its own copy."""
    hooked: list[ModuleType] = []

    def hook(module: ModuleType):  # type: ignore[no-untyped-def]
        hooked.append(module)
        return lambda: None

    first = importlib.import_module(library)
    stop = when_imported(library, hook)
    del sys.modules[library]
    second = importlib.import_module(library)
    stop()
    assert hooked == [first, second]
    assert first is not second
    sys.modules.pop(library)


def test_a_library_that_is_not_there_costs_nothing() -> None:
    """An import that fails still fails as it should."""
    stop = when_imported("no_such_library_anywhere", lambda module: lambda: None)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_library_anywhere")
    stop()
