"""What a fault may decide at a point. Faults decide, the wires and services act.

A wire asks ``world.hook.passing(point, side)`` and gets ``None`` (go on) or
one of these values. Faults that strike the process or the handler itself
(crash, pause, SIGTERM, an exception, a sleep) are carried out by the hook and
never reach the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

__all__ = ["Answer", "Lost", "Refused", "Reset", "Slow", "Twist", "Verdict"]

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Answer:
    """The service answers with an error instead of its own answer.

    For AWS: *status*, *code* (the error's code, without namespace) and
    *message*; for HTTP: *status*, *headers*, *body*; for Redis: *message* is
    the error line (``LOADING ...``), *status* 0.
    """

    status: int
    code: str = ""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer comes; the caller waits for its own read timeout. Before: nothing happened. After: it did."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The connection cannot be made."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection breaks."""


@dataclass(frozen=True, slots=True)
class Slow:
    """The answer takes this much longer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Twist:
    """The service itself behaves oddly (``duplicate``, ``reorder``, ``empty-receive``, ``partial-failure``, ...)."""

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)


Verdict: TypeAlias = Answer | Lost | Refused | Reset | Slow | Twist
