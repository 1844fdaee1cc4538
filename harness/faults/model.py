"""The fault model: under which faults an invariant must hold, and to what it weakens under others.

A table of data. Every invariant must hold under every kind of fault, but for
the rows of :data:`MODEL`: each names what it weakens (an invariant), under
what (patterns of faults), to what, *why* no system could do better, and one
plan that shows it. The runner applies the table with :func:`weaken` and
prints what it weakened; a search stays inside it unless told otherwise.

``python -m harness.faults.model`` writes ``docs/fault-model.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["MODEL", "Weakening", "open_ended", "weaken"]

S = TypeVar("S")


@dataclass(frozen=True)
class Weakening:
    """One row of the fault model."""

    invariants: tuple[str, ...]
    under: tuple[str, ...]
    to: str
    why: str
    plan: Mapping[str, Any]
    parameters: Mapping[str, Any] | None = None


MODEL: tuple[Weakening, ...] = ()


def open_ended(fault: Mapping[str, Any]) -> bool:
    return False


def weaken(specs: Iterable[S], plan: Mapping[str, Any]) -> tuple[tuple[S, ...], list[dict[str, Any]]]:
    return tuple(specs), []
