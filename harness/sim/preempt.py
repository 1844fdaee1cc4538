"""Pre-emption: chosen modules give way in the middle of their blocks, where threads could.

An actor gives way when it waits; between two waits nothing else runs, so that
a race inside a block of code (read, call, write) cannot happen. A
:class:`Rewriting` imports the chosen modules from rewritten source
(:mod:`harness.sim.preempt_rewrite`), and a :class:`Preemption` decides in a
run at which of the marked places an actor is held up, and for how long: at
most 5 ms, CPython's switch interval.

The decisions stand in the kernel's ``decisions``, two numbers each: how many
places are passed before the next one that counts, and the index of the delay
there (0: none). After the end of a tape nobody is held up any more.
"""

from __future__ import annotations

import importlib.abc
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from harness.errors import ScenarioError
from harness.sim import world
from harness.sim.preempt_rewrite import AFTER, HERE, LEAVE, LEVELS, STATEMENT, STORE, Level, rewrite

if TYPE_CHECKING:
    from harness.sim.kernel import Kernel

__all__ = ["DELAYS_US", "LEVELS", "Level", "Preemption", "Rewriting"]

#: How long an actor is held up, by the index in a decision.
DELAYS_US = (0, 1, 50, 1_000, 5_000)
_WEIGHTS = (0.0, 0.6, 0.75, 0.9)  # below the first is delay 1, below the second delay 2, ...
_MEAN_GAPS = (2, 6, 20, 60)  # places passed between two that hold somebody up: one of these a run

_GAP_MAX = (1 << 31) - 1  # more places than any run passes
_NEVER = 1 << 62

# What rewritten code looks at, at each place: as few instructions as can be. One kernel runs at a time in a process.
_left = _NEVER  # places to be passed before one that counts
_returned = False  # a rewritten function has just returned: CPython checks nothing then
_preemption: Preemption | None = None


def _after(value: Any = None) -> Any:
    global _left, _returned
    if _returned:
        _returned = False
    elif _left > 0:
        _left -= 1
    else:
        _strike("calls")
    return value


def _here(value: Any = None) -> Any:
    global _left, _returned
    _returned = False
    if _left > 0:
        _left -= 1
    else:
        _strike("calls")
    return value


def _leave(value: Any = None) -> Any:
    global _returned
    _returned = True
    return value


def _statement() -> None:
    global _left
    if _left > 0:
        _left -= 1
    else:
        _strike("statements")


def _store(value: Any) -> Any:
    _statement()
    return value


_PLACES: dict[str, Callable[..., Any]] = {
    AFTER: _after,
    HERE: _here,
    LEAVE: _leave,
    STATEMENT: _statement,
    STORE: _store,
}


def _strike(kind: Level) -> None:
    """A place that counts. What is passed where nobody can wait is passed over: the next one counts instead."""
    run = world.current()
    if _preemption is None or run is None:
        return
    kernel = run.kernel
    if kernel is _preemption.kernel and kernel.current is not None and not kernel.closing:
        _preemption.strike(kind)


class Preemption:
    """What decides in one run. The kernel calls ``begin()`` and ``end()``.

    ``struck[level]`` counts how often an actor was held up at places of each
    level; ``record`` (set by the environment) writes an event for each.
    """

    def __init__(self, kernel: Kernel, level: Level) -> None:
        self.kernel = kernel
        self.level = level
        self.struck: dict[Level, int] = dict.fromkeys(LEVELS, 0)
        self.record: Callable[..., object] | None = None
        self._planned = 0
        self._left_at_end = 0
        self._random: Callable[[], float] = kernel.seeds.stream("preempt").random
        self._mean_gap = _MEAN_GAPS[int(self._random() * len(_MEAN_GAPS))]

    @property
    def passed(self) -> int:
        """How many places were passed."""
        return self._planned - (_left if _preemption is self else self._left_at_end)

    def begin(self) -> None:
        """Places count from now on."""
        global _left, _preemption, _returned
        _preemption, _left, _returned = self, 0, False
        self._plan()

    def end(self) -> None:
        """No place counts any more. Idempotent."""
        global _left, _preemption
        if _preemption is self:
            self._left_at_end = _left
            _preemption, _left = None, _NEVER

    def strike(self, kind: Level) -> None:
        """The current actor is at a place that counts: hold it up, and plan the next."""
        kernel = self.kernel
        self._planned += 1
        us = DELAYS_US[kernel.decide(self._draw_delay, len(DELAYS_US))]
        self._plan()
        if not us:
            return
        self.struck[kind] += 1
        if self.record is not None:
            self.record("preempt", where=_where(), level=kind, seconds=us / 1e6)
        kernel.sleep_us(us)

    def _plan(self) -> None:
        global _left
        _left = self.kernel.decide(self._draw_gap, _GAP_MAX + 1, spent=_GAP_MAX)
        self._planned += _left

    def _draw_gap(self) -> int:
        """Geometric: the next place is as likely as any other."""
        return min(int(math.log(1.0 - self._random()) / math.log(1.0 - 1.0 / self._mean_gap)), _GAP_MAX)

    def _draw_delay(self) -> int:
        drawn = self._random()
        return next((index for index, limit in enumerate(_WEIGHTS) if drawn < limit), len(_WEIGHTS))


def _where() -> str:
    """The rewritten code that is at a place: ``module:line``."""
    frame: Any = sys._getframe(1)
    while frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return f"{frame.f_globals.get('__name__')}:{frame.f_lineno}"


# -- importing ------------------------------------------------------------------------------------


class _Loader(SourceFileLoader):
    """Loads one module from rewritten source. What it compiles is kept for the life of the process, in no file."""

    def __init__(self, name: str, path: str, level: Level) -> None:
        super().__init__(name, path)
        self._level = level

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = self.get_data(path)
        key = (path, self._level, source)
        code = _codes.get(key)
        if code is None:
            code = _codes[key] = compile(rewrite(source, path, self._level), path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(_PLACES)
        super().exec_module(module)


_codes: dict[tuple[str, Level, bytes], CodeType] = {}


class Rewriting(importlib.abc.MetaPathFinder):
    """Imports the modules below *roots* from rewritten source while it is in force (``install``, ``uninstall``).

    Modules that were imported before, and those that hold something of them,
    are set aside meanwhile, so that a run imports them anew; those of *apart*
    (which each process imports afresh by itself) are left alone.
    """

    def __init__(self, roots: Sequence[str], level: Level, *, apart: Sequence[str] = ()) -> None:
        self._roots = tuple(roots)
        self._level = level
        self._apart = tuple(apart)
        self._aside: dict[str, ModuleType] = {}
        self._kept = _kept.setdefault((self._roots, level), {})
        self._seen: set[str] = set()  # modules that were imported rewritten
        self._as_they_are: set[str] = set()  # ... and those that are no Python source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not _below(fullname, self._roots):
            return None
        found: ModuleSpec | None = None
        for finder in sys.meta_path:
            if finder is self or type(finder).__module__.startswith("_pytest."):
                continue
            found = finder.find_spec(fullname, path, target)
            if found is not None:
                break
        if found is None:
            return None
        if type(found.loader) is not SourceFileLoader:
            self._as_they_are.add(fullname)
            return found
        found.loader = _Loader(found.loader.name, found.loader.path, self._level)
        found.cached = None
        self._seen.add(fullname)
        return found

    def install(self) -> None:
        """Import the chosen modules rewritten from now on."""
        names = [*self._names(sys.modules), *_known_holders(self._roots)]
        self._aside = {
            name: sys.modules.pop(name) for name in names if name in sys.modules and not _below(name, self._apart)
        }
        sys.modules.update(self._kept)
        self._seen.update(name for name in self._kept if _below(name, self._roots))
        sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        """Everything is as it was. What was imported meanwhile is kept for the next run, as modules are."""
        sys.meta_path.remove(self)
        mine = {*self._names(sys.modules), *self._aside}
        self._kept.update(
            {name: sys.modules.pop(name) for name in mine if name in sys.modules and not _below(name, self._apart)}
        )
        sys.modules.update(self._aside)

    def _names(self, modules: Iterable[str]) -> list[str]:
        return [name for name in modules if _below(name, self._roots)]

    def missed(self) -> list[str]:
        """What was asked for and did not come about: one sentence each."""
        found = [
            f"preempt names {root!r}, which no process imported"
            for root in self._roots
            if not any(_below(name, (root,)) for name in self._seen | self._as_they_are)
        ]
        found += [f"preempt names {name!r}, which is no Python source" for name in sorted(self._as_they_are)]
        return found


_kept: dict[tuple[tuple[str, ...], Level], dict[str, ModuleType]] = {}


def _below(name: str, roots: Sequence[str]) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


_holders_of: dict[tuple[str, ...], tuple[int, int, list[ModuleType], list[str]]] = {}


def _known_holders(roots: tuple[str, ...]) -> list[str]:
    """What :func:`_holders` gives, looked for anew when a module was imported or got another name."""
    known = _holders_of.get(roots)
    if known is not None:
        loaded, names, modules, holders = known
        if loaded == len(sys.modules) and names == sum(len(vars(module)) for module in modules):
            return holders
    modules = [module for _, module in _candidates(roots)]
    holders = list(_holders(roots))
    _holders_of[roots] = (len(sys.modules), sum(len(vars(module)) for module in modules), modules, holders)
    return holders


def _holders(roots: Sequence[str]) -> Iterator[str]:
    """Loaded modules that hold a module, function, class or instance of *roots*, or of such a module in turn."""
    candidates = {name: _homes(name, module) for name, module in _candidates(roots)}
    held: Sequence[str] = tuple(roots)
    while held:
        tops = {name.partition(".")[0] for name in held}
        found = [
            name
            for name, (homes_tops, homes) in candidates.items()
            if not tops.isdisjoint(homes_tops) and any(_below(home, held) for home in homes)
        ]
        for name in found:
            del candidates[name]
        yield from found
        held = found


_homes_of: dict[str, tuple[ModuleType, int, frozenset[str], frozenset[str]]] = {}


def _homes(name: str, module: ModuleType) -> tuple[frozenset[str], frozenset[str]]:
    """Which packages, and which modules, the values in *module* are of; kept while it has as many names."""
    values = vars(module)
    known = _homes_of.get(name)
    if known is None or known[0] is not module or known[1] != len(values):
        homes = frozenset(_home(value) for value in list(values.values()))
        tops = frozenset(home.partition(".")[0] for home in homes)
        known = _homes_of[name] = (module, len(values), tops, homes)
    return known[2], known[3]


def _candidates(roots: Sequence[str]) -> Iterator[tuple[str, ModuleType]]:
    """Whose modules might be imported anew: the user's, and the components that we ship."""
    for name, module in sys.modules.items():
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top.startswith("harness_scenario_") or top == "__main__":
            continue
        ours = top == "harness" and not name.startswith("harness.resilience")
        if type(module) is ModuleType and not ours and not _below(name, roots):
            yield name, module


def _home(value: object) -> str:
    """The module that *value* is of; never asks the value itself, which may be lazy."""
    kind = type(value)
    if kind is ModuleType:
        return str(vars(value).get("__name__", ""))
    if kind is FunctionType:
        return str(value.__module__)
    if issubclass(kind, type):
        return str(type.__getattribute__(value, "__module__"))
    return str(kind.__module__)


def check(roots: Sequence[str], level: str, scenario: str, backend: str = "memory") -> None:
    """See that there is a level, something to be rewritten, and a kernel that decides.

    Raises:
        ScenarioError: there is not.
    """
    if level not in LEVELS:
        raise ScenarioError(f"is {level!r}", field="preempt", remedy=f"Choose from {', '.join(LEVELS)}")
    if backend == "live":
        raise ScenarioError(
            "is for simulations: the threads of a live run are scheduled by the system",
            field="preempt",
            remedy="Leave it out, or run it with backend='memory'",
        )
    if not roots:
        raise ScenarioError(
            "is empty, so that nothing can be pre-empted",
            field=f"{scenario}.preempt",
            remedy='Name the modules whose threads may race: preempt=["myshop.worker"]',
        )


def remark(kernel: Kernel, violated: bool) -> str | None:
    """What is to be said of a run's interleavings, if anything."""
    preemption = kernel.preemption
    if preemption is None:
        if kernel.identities == len(kernel.processes):
            return None  # no process had a thread: nothing shares memory
        return "Interleavings inside a block were not explored (pre-emption was off)"
    if violated and preemption.struck["statements"]:
        return (
            "Found at level statements: threads were switched where free-threaded Python may and CPython "
            f"{sys.version_info[0]}.{sys.version_info[1]} with the GIL does not. Unless level calls finds it too, "
            f"not on CPython {sys.version_info[0]}.{sys.version_info[1]} with the GIL"
        )
    return None
