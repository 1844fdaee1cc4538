"""Why two runs of one scenario differ: from their first difference, and from what was seen of both."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.explore.difference import Difference, likely_cause
from harness.explore.witness import Frames, Witness

__all__ = ["suspect"]

_DAY_S = 86_400
_VIRTUAL_YEAR = 2030  # where virtual clocks start: a date of that year is the run's own
_NUMBER = re.compile(r"\d{10,19}(?:\.\d+)?")
_DATE = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)")
_FRAMES_READ = 6  # innermost frames of each stack whose source is looked at

_CALLS_OF_SETS = frozenset({"set", "frozenset", "intersection", "union", "difference", "symmetric_difference"})
_LISTINGS = frozenset({"listdir", "scandir", "iterdir", "glob", "iglob", "rglob", "walk"})
_ADDRESSES = frozenset({"id", "hash", "repr"})
_CLOCKS = frozenset({"time", "time_ns", "monotonic", "perf_counter", "now", "utcnow", "today"})


@dataclass(frozen=True)
class _Clue:
    """Something in the source of a frame. The lower the rank, the more it explains."""

    rank: int
    text: str


def suspect(difference: Difference, first: Witness, second: Witness) -> str:
    """The likely cause of *difference*, with the line of code where there is one."""
    number = difference.number
    if first.threads or second.threads:
        count = max(first.threads, second.threads)
        return (
            f"a thread: {count} real thread{'s' if count > 1 else ''} ran beside the simulation "
            "(started by a C extension, or by a function that was kept before harness was imported)"
        )
    if _of_today(difference):
        return "a real clock: a value is today's, while the run's clocks start in 2030" + _at(
            _clue(first.stack(number), second.stack(number), _CLOCKS, "reads a clock")
        )
    clue = _best(first.stack(number), second.stack(number))
    if clue is not None and clue.rank == 0:
        return clue.text
    reads = [read for witness in (first, second) for read in witness.reads if read[0] < number]
    if reads:
        _, what, where = reads[-1]
        return f"real I/O: {what} at {where}, which need not say the same in the next run"
    return clue.text if clue is not None else likely_cause(difference)


def _at(clue: _Clue | None) -> str:
    return "" if clue is None else f": {clue.text}"


def _of_today(difference: Difference) -> bool:
    """Whether a field that differs holds the real present, as a number or as a date."""
    first, second = difference.first, difference.second
    if first is None or second is None:
        return False
    return any(
        _is_present(first.get(name)) or _is_present(second.get(name)) for name in difference.fields if name != "t"
    )


def _is_present(value: Any) -> bool:
    now = time.time()
    text = str(value)
    for found in _NUMBER.findall(text):
        seconds = float(found)
        if any(abs(seconds / unit - now) < _DAY_S for unit in (1, 1e3, 1e6, 1e9)):
            return True
    today = time.localtime(now)
    return any(
        int(year) == today.tm_year != _VIRTUAL_YEAR and int(month) == today.tm_mon
        for year, month, _ in _DATE.findall(text)
    )


# -- the source -----------------------------------------------------------------------------------


def _best(*stacks: Frames) -> _Clue | None:
    clues = [clue for frames in stacks for clue in _clues(frames)]
    return min(clues, key=lambda clue: clue.rank, default=None)


def _clue(one: Frames, other: Frames, names: frozenset[str], what: str) -> _Clue | None:
    for file, line, function in (*one[:_FRAMES_READ], *other[:_FRAMES_READ]):
        for node in _body_of(file, line, function):
            if isinstance(node, ast.Call) and _name(node.func) in names:
                return _Clue(0, f"{_place(file, node)} {what}")
    return None


def _clues(frames: Frames) -> Iterator[_Clue]:
    for file, line, function in frames[:_FRAMES_READ]:
        if "site-packages" in file:
            continue
        body = list(_body_of(file, line, function))
        sets = {
            target.id
            for node in body
            if isinstance(node, ast.Assign) and _is_set(node.value, frozenset())
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in body:
            iterated = node.iter if isinstance(node, ast.For | ast.comprehension) else None
            if iterated is not None and _is_set(iterated, sets):
                yield _Clue(0, f"set order: {_place(file, iterated)} iterates over a set")
            elif iterated is not None and _listing(iterated):
                yield _Clue(0, f"real I/O: {_place(file, iterated)} iterates over a directory, in the system's order")
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _ADDRESSES:
                yield _Clue(1, f"an address: {_place(file, node)} calls {node.func.id}()")


def _body_of(file: str, line: int, function: str) -> Iterator[ast.AST]:
    """The nodes of the function that a frame was in; nothing where its source cannot be read."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    name = function.rpartition(".")[2]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name and _spans(node, line):
            yield from ast.walk(node)


def _spans(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or node.lineno)


def _is_set(node: ast.expr, sets: set[str] | frozenset[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Name):
        return node.id in sets
    if isinstance(node, ast.Call):
        name = _name(node.func)
        if name in ("list", "tuple", "enumerate", "iter") and node.args:
            return _is_set(node.args[0], sets)
        return name in _CALLS_OF_SETS
    return False


def _listing(node: ast.expr) -> bool:
    if isinstance(node, ast.Call) and _name(node.func) in ("list", "enumerate", "iter") and node.args:
        return _listing(node.args[0])
    return isinstance(node, ast.Call) and _name(node.func) in _LISTINGS


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _place(file: str, node: ast.AST) -> str:
    return f"{Path(file).name}:{getattr(node, 'lineno', '?')}"
