"""Runs a function as a guest of the kernel, in a process of its own: a guest's wires are never put back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import Fault, runner
from harness.environments.callers import Callers
from harness.environments.guest import Guest
from harness.faults.plan import FaultPlan
from harness.pytest_child import _forked

#: The answer of the function, and how its stay ended.
Visit = tuple[Any, dict[str, Any]]


def visit(function: Callable[[], object], *faults: Fault, inside: bool = True, max_seconds: float = 3_600) -> Visit:
    """What *function* returns, or the class of what it raises; and the stay, as far as JSON holds it."""
    runner.install()

    def stay() -> dict[str, Any]:
        found: list[object] = []

        def test() -> None:
            try:
                found.append(function())
            except Exception as error:
                found.append(type(error).__name__)

        # Every line of these tests stands for code under test.
        callers = Callers(Path(__file__).parent, lambda path: False)
        made = Guest(FaultPlan(faults), 0, callers, inside=inside, max_seconds=max_seconds)
        ended = made.run(test)
        stay = {**vars(ended), "handled": [f"{one.what} {one.of}" for one in ended.handled]}
        stay["called"] = [f"{one.point}.{one.side}" for one in ended.called]
        return {"answer": found[0] if found else None, "stay": stay}

    document = _forked(stay, 60)
    assert document is not None
    assert "broken" not in document, document
    return document["answer"], document["stay"]
