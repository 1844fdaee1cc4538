"""Rewrites a module's source so that its functions may give way in the middle of a block.

Level ``calls`` marks the places where CPython with its GIL looks whether
another thread wants to run (3.11 to 3.13: ``CHECK_EVAL_BREAKER`` in
``Python/ceval.c`` and ``bytecodes.c``): when a Python function is entered or
a generator goes on, after a call into C, and where a loop jumps back. A call
of a Python function is checked at its entry and not at its return. Level
``statements`` adds what free-threaded Python could do besides: between any
two statements, and between the reading and the writing of ``a.x += 1``.

Where CPython's own order cannot be kept exactly, a place is left out: what is
found must be possible. Line numbers stay as they are.
"""

from __future__ import annotations

import ast
from typing import Literal, TypeAlias, cast

__all__ = ["AFTER", "HERE", "LEAVE", "LEVELS", "STATEMENT", "STORE", "Level", "rewrite"]

Level: TypeAlias = Literal["calls", "statements"]
LEVELS: tuple[Level, ...] = ("calls", "statements")

# The names that rewritten code calls. They end in underscores, so that no class body mangles them.
AFTER = "__harness_after__"  # a call has returned: (its value)
HERE = "__harness_here__"  # a function begins, a generator goes on, a loop jumps back: (value)
LEAVE = "__harness_leave__"  # a rewritten function returns: (value)
STATEMENT = "__harness_statement__"  # before a statement: ()
STORE = "__harness_store__"  # before something is written: (value)

_LOOP = "__harness_looped_{}__"  # a local: whether this loop has jumped back to its test
_UNMARKED_CALLS = frozenset({"super", "locals"})  # which look at the frame that calls them; nobody waits in them
_UNMARKED_FUNCTIONS = frozenset({"__del__"})  # which run at odd moments, perhaps inside the kernel

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def rewrite(source: bytes | str, filename: str, level: Level) -> ast.Module:
    """The syntax tree of *source* with its places marked.

    Raises:
        SyntaxError: it is no Python.
    """
    tree = ast.parse(source, filename)
    marked: ast.Module = _Rewriter(level == "statements").visit(tree)
    return ast.fix_missing_locations(marked)


def _call(name: str, at: ast.AST, value: ast.expr | None = None) -> ast.Call:
    made = ast.Call(ast.Name(name, ast.Load()), [] if value is None else [value], [])
    for node in (made, made.func):
        ast.copy_location(node, at)
    return made


def _statement(name: str, at: ast.AST) -> ast.stmt:
    return ast.copy_location(ast.Expr(_call(name, at)), at)


def _assign(name: str, value: bool, at: ast.AST) -> ast.stmt:
    made = ast.Assign([ast.Name(name, ast.Store())], ast.Constant(value))
    return ast.fix_missing_locations(ast.copy_location(made, at))


def _ends_the_block(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Return | ast.Raise | ast.Break | ast.Continue)


def _is_plain(node: _Function) -> bool:
    """Whether a call of this function runs its body: it is neither a coroutine's nor a generator's."""
    if isinstance(node, ast.AsyncFunctionDef):
        return False
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Yield | ast.YieldFrom):
            return False
        if not isinstance(one, _Function | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(one)
    return True


class _Loop:
    """A loop around the statement that is looked at. ``flag`` is the local of a ``while``."""

    def __init__(self, flag: str | None) -> None:
        self.flag = flag


class _Rewriter(ast.NodeTransformer):
    """Marks what is inside functions; modules and class bodies run once, at import, and stay as they are."""

    def __init__(self, statements: bool) -> None:
        self._statements = statements
        self._inside = False  # a function
        self._loops: list[_Loop] = []
        self._plain = True  # the function is neither a coroutine's nor a generator's
        self._withs = 0  # with statements of this function that are open
        self._flags = 0

    # -- functions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: _Function) -> ast.AST:
        node.decorator_list = [self.visit(one) for one in node.decorator_list]
        self._defaults(node.args)
        if node.name in _UNMARKED_FUNCTIONS:
            return node
        outer = self._inside, self._loops, self._plain, self._withs
        self._inside, self._loops, self._plain, self._withs = True, [], _is_plain(node), 0
        first = 1 if ast.get_docstring(node, clean=False) is not None else 0
        docstring, rest = node.body[:first], node.body[first:]
        body = self._block(rest)
        at = rest[0] if rest else node.body[0]
        falls = self._plain and not (rest and _ends_the_block(rest[-1]))
        end = [_statement(LEAVE, rest[-1] if rest else at)] if falls else []
        node.body = [*docstring, _statement(HERE, at), *body, *end]
        self._inside, self._loops, self._plain, self._withs = outer
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._defaults(node.args)
        outer, self._inside = self._inside, True
        node.body = self.visit(node.body)
        self._inside = outer
        return node

    def _defaults(self, arguments: ast.arguments) -> None:
        arguments.defaults = [self.visit(one) for one in arguments.defaults]
        arguments.kw_defaults = [one and self.visit(one) for one in arguments.kw_defaults]

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        outer, self._inside = self._inside, False
        node.body = [self.visit(one) for one in node.body]
        self._inside = outer
        return node

    # -- blocks

    def _block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """The statements of one block inside a function, marked."""
        marked: list[ast.stmt] = []
        for statement in body:
            if self._statements and not isinstance(statement, ast.Global | ast.Nonlocal):
                marked.append(_statement(STATEMENT, statement))
            found = self.visit(statement)
            marked += found if isinstance(found, list) else [found]
        return marked

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not self._inside:
            return super().generic_visit(node)
        for name, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                setattr(node, name, self._block(value))
            elif isinstance(value, list):
                setattr(node, name, [self.visit(one) if isinstance(one, ast.AST) else one for one in value])
            elif isinstance(value, ast.AST):
                setattr(node, name, self.visit(value))
        return node

    def visit_Return(self, node: ast.Return) -> ast.AST | list[ast.stmt]:
        leaves = self._plain and not self._withs  # else __exit__ is called last, and that is checked
        if node.value is None:
            return [_statement(LEAVE, node), node] if leaves else node
        node.value = self.visit(node.value)
        if leaves:
            node.value = _call(LEAVE, node, node.value)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:  # the annotation stays as it is: it may be kept as text
            node.value = self._stored(self.visit(node.value), [node.target])
        node.target = self.visit(node.target)
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        node.value = self._stored(self.visit(node.value), node.targets)
        node.targets = [self.visit(one) for one in node.targets]
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        node.value = self.visit(node.value)
        node.target = self.visit(node.target)
        if self._inside and self._statements:
            node.value = _call(STORE, node.value, node.value)  # the target was read before the value is
        return node

    def _stored(self, value: ast.expr, targets: list[ast.expr]) -> ast.expr:
        """*value* of an assignment; where it can be seen by others, they may run before it is written."""
        if self._inside and self._statements and not all(isinstance(one, ast.Name) for one in targets):
            return _call(STORE, value, value)
        return value

    def visit_With(self, node: ast.With) -> ast.AST | list[ast.stmt]:
        self._withs += 1
        self.generic_visit(node)
        self._withs -= 1
        return [node, _statement(AFTER, node)] if self._inside else node  # __exit__ was called

    # -- loops

    def visit_For(self, node: ast.For) -> ast.AST:
        return self._for(node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self._for(node)

    def _for(self, node: ast.For | ast.AsyncFor) -> ast.AST:
        if not self._inside:
            return self.generic_visit(node)
        node.target, node.iter = self.visit(node.target), self.visit(node.iter)
        end = [] if _ends_the_block(node.body[-1]) else [_statement(HERE, node)]
        self._loops.append(_Loop(None))
        node.body = [*self._block(node.body), *end]
        self._loops.pop()
        node.orelse = self._block(node.orelse)
        return node

    def visit_While(self, node: ast.While) -> ast.AST | list[ast.stmt]:
        """The test is repeated at the end of the body, and the jump back comes after it."""
        if not self._inside:
            return self.generic_visit(node)
        self._flags += 1
        flag = _LOOP.format(self._flags)
        node.test = self.visit(node.test)
        ends = _ends_the_block(node.body[-1])
        last = node.body[-1]
        self._loops.append(_Loop(flag))
        body = self._block(node.body)
        self._loops.pop()
        node.orelse = self._block(node.orelse)
        look = ast.If(ast.Name(flag, ast.Load()), [_statement(HERE, node)], [])
        ast.fix_missing_locations(ast.copy_location(look, node))
        node.body = [look, *body, *([] if ends else [_assign(flag, True, last)])]
        return [_assign(flag, False, node), node]

    def visit_Continue(self, node: ast.Continue) -> ast.AST | list[ast.stmt]:
        if not self._inside or not self._loops:
            return node
        flag = self._loops[-1].flag
        unset = [] if flag is None else [_assign(flag, False, node)]  # it jumps to the test, and is checked before it
        return [*unset, _statement(HERE, node), node]

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._comprehension(node)

    def _comprehension(self, node: ast.ListComp | ast.SetComp) -> ast.AST:
        self.generic_visit(node)
        if self._inside:
            node.elt = _call(HERE, node.elt, node.elt)
        return node

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        self.generic_visit(node)
        if self._inside:
            node.value = _call(HERE, node.value, node.value)
        return node

    # -- calls

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not self._inside or (isinstance(node.func, ast.Name) and node.func.id in _UNMARKED_CALLS):
            return node
        return _call(AFTER, node, node)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        """The call of a coroutine function makes a coroutine; nothing is checked there."""
        value = node.value
        node.value = cast(ast.expr, self.generic_visit(value) if isinstance(value, ast.Call) else self.visit(value))
        return node

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        self.generic_visit(node)
        return _call(HERE, node, node) if self._inside else node
