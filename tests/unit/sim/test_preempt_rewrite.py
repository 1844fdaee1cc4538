"""Rewriting: where the marks are, and that the code does what it did."""

from __future__ import annotations

import ast
import difflib
import fractions
import heapq
import importlib.util
import json.decoder
import sys
import textwrap
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from harness.sim.preempt_rewrite import AFTER, HERE, LEAVE, STATEMENT, STORE, Level, rewrite

_SHORT = {AFTER: "AFTER", HERE: "HERE", LEAVE: "LEAVE", STATEMENT: "NEXT", STORE: "STORE"}
_PASSES: dict[str, Callable[..., Any]] = {name: lambda value=None: value for name in _SHORT}


def rewritten(source: str, level: Level = "calls") -> str:
    text = ast.unparse(rewrite(textwrap.dedent(source), "x.py", level))
    for name, short in _SHORT.items():
        text = text.replace(name, short)
    return text.replace("__harness_looped_1__", "LOOPED")


@pytest.mark.parametrize(
    ("source", "marked"),
    [
        ("def f(a):\n    return g(a)", "def f(a):\n    HERE()\n    return LEAVE(AFTER(g(a)))"),
        ("def f():\n    '''Text.'''", "def f():\n    '''Text.'''\n    HERE()\n    LEAVE()"),
        ("def f():\n    s.n = s.n + 1", "def f():\n    HERE()\n    s.n = s.n + 1\n    LEAVE()"),
        ("def f():\n    s.n += 1", "def f():\n    HERE()\n    s.n += 1\n    LEAVE()"),
        (
            "def f():\n    for x in y:\n        if x:\n            continue\n        break",
            "def f():\n    HERE()\n    for x in y:\n        if x:\n            HERE()\n            continue\n"
            "        break\n    LEAVE()",
        ),
        (
            "def f():\n    while x:\n        y = 1",
            "def f():\n    HERE()\n    LOOPED = False\n    while x:\n        if LOOPED:\n            HERE()\n"
            "        y = 1\n        LOOPED = True\n    LEAVE()",
        ),
        (
            "def f():\n    with lock:\n        return 1",
            "def f():\n    HERE()\n    with lock:\n        return 1\n    AFTER()\n    LEAVE()",
        ),
        ("def f():\n    x = yield 1\n    return", "def f():\n    HERE()\n    x = HERE((yield 1))\n    return"),
        ("async def f():\n    await g(h())", "async def f():\n    HERE()\n    await g(AFTER(h()))"),
        ("def f():\n    return [x for x in y]", "def f():\n    HERE()\n    return LEAVE([HERE(x) for x in y])"),
        ("def f():\n    super().g()", "def f():\n    HERE()\n    AFTER(super().g())\n    LEAVE()"),
        ("x = f(1)\nclass C:\n    y = f(2)", "x = f(1)\n\nclass C:\n    y = f(2)"),
        ("class C:\n\n    def __del__(self):\n        f()", "class C:\n\n    def __del__(self):\n        f()"),
        ("f = lambda a=g(): h(a)", "f = lambda a=g(): AFTER(h(a))"),
    ],
)  # fmt: skip
def test_level_calls_marks_where_the_interpreter_looks(source: str, marked: str) -> None:
    """At a function's entry, after calls, where loops jump back; not at import, in class bodies or in ``__del__``."""
    assert rewritten(source) == marked.replace("'''", '"""')


@pytest.mark.parametrize(
    ("source", "marked"),
    [
        ("def f():\n    s.n += 1", "def f():\n    HERE()\n    NEXT()\n    s.n += STORE(1)\n    LEAVE()"),
        ("def f():\n    s.n = s.n + 1", "def f():\n    HERE()\n    NEXT()\n    s.n = STORE(s.n + 1)\n    LEAVE()"),
        ("def f():\n    n = s.n", "def f():\n    HERE()\n    NEXT()\n    n = s.n\n    LEAVE()"),
        (
            "def f():\n    global n\n    n += 1",
            "def f():\n    HERE()\n    global n\n    NEXT()\n    n += STORE(1)\n    LEAVE()",
        ),
    ],
)  # fmt: skip
def test_level_statements_marks_every_statement_and_store(source: str, marked: str) -> None:
    """Before each statement, and before what others can see is written."""
    assert rewritten(source, "statements") == marked


def imported(original: ModuleType, level: Level) -> Any:
    """*original* again, from rewritten source."""
    spec = importlib.util.find_spec(original.__name__)
    assert spec is not None
    assert spec.origin is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(_PASSES)
    with open(spec.origin, "rb") as file:
        exec(compile(rewrite(file.read(), spec.origin, level), spec.origin, "exec"), vars(module))
    return module


@pytest.mark.parametrize("level", ["calls", "statements"])
def test_rewritten_code_does_the_same(level: Level) -> None:
    """Modules of the standard library give the same answers rewritten: loops, generators, classes, closures."""
    again = imported(difflib, level)
    texts = ["one", "two", "three", "four"], ["zero", "one", "three", "tree", "four"]
    assert list(again.unified_diff(*texts)) == list(difflib.unified_diff(*texts))
    assert list(again.ndiff(*texts)) == list(difflib.ndiff(*texts))
    wrapped = imported(textwrap, level)
    assert wrapped.fill("some words " * 40, 33) == textwrap.fill("some words " * 40, 33)
    number = imported(fractions, level)
    assert str(number.Fraction("3.25") ** 3 / 7) == str(fractions.Fraction("3.25") ** 3 / 7)
    heap = imported(heapq, level)
    assert list(heap.merge([1, 4, 9], [2, 3], reverse=False)) == [1, 2, 3, 4, 9]
    decoder = imported(json.decoder, level)
    text = '{"a": [1, 2.5, null, {"b": "\\u00e4"}]}'
    assert decoder.JSONDecoder().decode(text) == json.loads(text)


@pytest.mark.parametrize("level", ["calls", "statements"])
def test_much_real_code_can_be_rewritten(level: Level) -> None:
    """A part of the standard library compiles rewritten: every kind of statement that Python has."""
    names = [
        "asyncio.tasks",
        "contextlib",
        "dataclasses",
        "enum",
        "inspect",
        "logging",
        "queue",
        "typing",
        "zipfile",
        "ast",
    ]
    for name in names:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        with open(spec.origin, "rb") as file:
            compile(rewrite(file.read(), spec.origin, level), spec.origin, "exec")


def test_control_flow_stays() -> None:
    """Return, break, continue, else, finally, match, generators that return, async generators: the same trace."""
    source = textwrap.dedent("""
        import asyncio

        def flow(log):
            for n in range(5):
                try:
                    if n == 1:
                        continue
                    if n == 3:
                        break
                    log.append(n)
                finally:
                    log.append("finally")
            else:
                log.append("never")
            n = 0
            while n < 4:
                n += 1
                if n == 2:
                    continue
                log.append(n)
            else:
                log.append("else")
            match log:
                case [0, *rest]:
                    log.append(len(rest))
            return log

        def generate():
            got = yield 1
            yield got
            return "returned"

        def delegate():
            return (yield from generate())

        async def agen():
            yield 1
            return

        async def main():
            return [x async for x in agen()]

        def all_of_it():
            steps = delegate()
            found = [next(steps), steps.send("sent")]
            try:
                next(steps)
            except StopIteration as end:
                found.append(end.value)
            pairs = {k: v for k, v in zip("ab", range(2))}
            return flow([]), found, asyncio.run(main()), pairs, (lambda *a, b=2: (a, b))(1)
    """)
    plain: dict[str, Any] = {}
    exec(source, plain)
    for level in ("calls", "statements"):
        names: dict[str, Any] = dict(_PASSES)
        exec(compile(rewrite(source, "x.py", level), "x.py", "exec"), names)
        assert names["all_of_it"]() == plain["all_of_it"]()


def test_the_interpreter_looks_there() -> None:
    """The instructions that CPython checks at are those that level calls stands on."""
    import dis

    def looped(x: Any) -> None:
        for _ in x:
            x.f()

    names = {instruction.opname for instruction in dis.get_instructions(looped)}
    assert {"RESUME", "JUMP_BACKWARD"} <= names
    assert any(name.startswith("CALL") for name in names), sys.version
