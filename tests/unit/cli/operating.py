"""Operators' commands inside a run: they reach the simulated account as they would reach a real one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from harness.cli import run_command
from tests.unit.resilience.operators import Bench


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def runner_of(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """A function that runs a command and returns what it did."""

    def run(*arguments: str) -> Done:
        capfd.readouterr()
        code = run_command(arguments)
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return run


__all__ = ["Bench", "Done", "runner_of"]
