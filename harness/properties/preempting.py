"""Pre-emption of code that is imported already: its functions give way in the middle of their blocks, for a while.

A scenario imports the modules to be pre-empted anew, rewritten. A component
in a contract is an object that exists, so its functions get the rewritten
code in place, and their own back afterwards.
"""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from harness.sim.preempt import _PLACES, Level
from harness.sim.preempt_rewrite import rewrite

__all__ = ["modules_of", "rewritten_in_place"]

_OURS = "harness.resilience"


def modules_of(things: Iterable[Any], component: Any) -> list[ModuleType]:
    """The loaded modules that define *component* and its parts, with their packages, and those of *things*."""
    names: set[str] = set()
    for kind in [type(component), *(type(part) for part in _parts(component))]:
        for base in kind.__mro__:
            module = sys.modules.get(base.__module__)
            package = getattr(module, "__package__", "") or base.__module__
            names |= {name for name in list(sys.modules) if name == package or name.startswith(package + ".")}
            names.add(base.__module__)
    for thing in things:
        names.add(getattr(getattr(thing, "__func__", thing), "__module__", None) or "")
    return [sys.modules[name] for name in sorted(names) if _rewritable(name)]


def _parts(component: Any) -> list[Any]:
    values = getattr(component, "__dict__", None)
    return list(values.values()) if isinstance(values, dict) else []


def _rewritable(name: str) -> bool:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("greenlet", "hypothesis", "pytest", "_pytest", "__main__", ""):
        return False
    if top == "harness" and not name.startswith(_OURS):
        return False
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    return isinstance(module, ModuleType) and isinstance(file, str) and file.endswith(".py")


@contextmanager
def rewritten_in_place(modules: Iterable[ModuleType], level: Level) -> Iterator[None]:
    """The functions of *modules* give way at *level* where a pre-empting kernel runs; as before at the end."""
    changed: list[tuple[FunctionType, CodeType]] = []
    try:
        for module in modules:
            codes = _codes(module, level)
            vars(module).update(_PLACES)  # they stay: closures made meanwhile look them up for as long as they live
            for function in _functions(module):
                code = function.__code__
                new = codes.get((code.co_qualname, code.co_firstlineno))
                if new is not None and new.co_freevars == code.co_freevars:
                    changed.append((function, code))
                    function.__code__ = new
        yield
    finally:
        for function, code in changed:
            function.__code__ = code


def _functions(module: ModuleType) -> list[FunctionType]:
    """Every function whose global names are *module*'s."""
    values = vars(module)
    return [one for one in gc.get_referrers(values) if type(one) is FunctionType and one.__globals__ is values]


def _codes(module: ModuleType, level: Level) -> dict[tuple[str, int], CodeType]:
    return _codes_of(str(module.__file__), level)


@functools.cache
def _codes_of(path: str, level: Level) -> dict[tuple[str, int], CodeType]:
    """The rewritten code of each function of the file at *path*, by qualified name and first line."""
    try:
        tree = rewrite(Path(path).read_bytes(), path, level)
    except (OSError, SyntaxError):  # it was changed or removed since it was imported: its functions stay as they are
        return {}
    found: dict[tuple[str, int], CodeType] = {}
    waiting = [compile(tree, path, "exec", dont_inherit=True)]
    while waiting:
        for constant in waiting.pop().co_consts:
            if isinstance(constant, CodeType):
                found.setdefault((constant.co_qualname, constant.co_firstlineno), constant)
                waiting.append(constant)
    return found
