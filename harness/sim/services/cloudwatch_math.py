"""Metric math, as far as it goes here: numbers, ids, ``+ - * / ^``, parentheses, SUM, AVG, MIN, MAX and FILL.

What is not here is refused with its name, never computed otherwise than AWS
would ("Using metric math", Amazon CloudWatch user guide).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Expression", "Unsupported"]


class Unsupported(Exception):
    """The expression uses something that is not here."""


_OPERATIONS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)


_FUNCTIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "AVG": _average,
    "MAX": max,
    "MIN": min,
    "SUM": sum,
}


class Expression:
    """One expression. ``names``: the ids that it refers to.

    Raises:
        Unsupported: it cannot be computed here.
    """

    def __init__(self, text: str) -> None:
        try:
            self._tree: ast.expr = ast.parse(text.replace("^", "**"), mode="eval").body
        except SyntaxError as error:
            raise Unsupported(f"it cannot be read: {error.msg}") from None
        names: set[str] = set()
        self._check(self._tree, names)
        self.names = frozenset(names)

    def _check(self, node: ast.expr, names: set[str]) -> None:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return
        if isinstance(node, ast.Name) and node.id[:1].islower():
            names.add(node.id)
        elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            self._check(node.left, names)
            self._check(node.right, names)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            self._check(node.operand, names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            self._check_call(node.func.id, node.args, names)
        else:
            raise Unsupported(f"{ast.unparse(node)} is not simulated")

    def _check_call(self, function: str, arguments: list[ast.expr], names: set[str]) -> None:
        if function == "FILL" and len(arguments) == 2 and isinstance(arguments[1], ast.Constant):
            self._check(arguments[0], names)
            self._check(arguments[1], names)
        elif function in _FUNCTIONS and len(arguments) == 1 and isinstance(arguments[0], ast.List):
            for one in arguments[0].elts:
                self._check(one, names)
        else:
            raise Unsupported(f"{function} of these arguments is not simulated")

    def over_time(self, values: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
        """The expression at each time at which it has a value: all that it needs is there, nothing divides by zero."""
        times = {at_s for name in self.names for at_s in values[name]}
        found: dict[int, float] = {}
        for at_s in sorted(times):
            value = self._value(self._tree, {name: values[name][at_s] for name in self.names if at_s in values[name]})
            if value is not None:
                found[at_s] = value
        return found

    def _value(self, node: ast.expr, at: Mapping[str, float]) -> float | None:
        if isinstance(node, ast.Constant):
            return float(node.value)  # type: ignore[arg-type]  # _check saw a number
        if isinstance(node, ast.Name):
            return at.get(node.id)
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, at)
            return None if value is None else -value
        if isinstance(node, ast.BinOp):
            return self._operated(node, at)
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        if node.func.id == "FILL":
            value = self._value(node.args[0], at)
            return self._value(node.args[1], at) if value is None else value
        inner: Any = node.args[0]
        values = [value for one in inner.elts if (value := self._value(one, at)) is not None]
        return _FUNCTIONS[node.func.id](values) if values else None

    def _operated(self, node: ast.BinOp, at: Mapping[str, float]) -> float | None:
        left, right = self._value(node.left, at), self._value(node.right, at)
        if left is None or right is None:
            return None
        try:
            value = _OPERATIONS[type(node.op)](left, right)
        except (ZeroDivisionError, OverflowError):
            return None
        return value if isinstance(value, (int, float)) else None
