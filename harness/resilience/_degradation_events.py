"""What a degradation manager tells its listeners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from harness.resilience.degradation import ServiceDegradationManager

__all__ = [
    "WATCHERS",
    "DegradationEvent",
    "DegradationListener",
    "HealthAssessed",
    "LevelChanged",
    "Measure",
    "MeasureChanged",
]

Measure: TypeAlias = Literal["processing-rate", "features", "breakers", "emergency"]


@dataclass(frozen=True, slots=True)
class HealthAssessed:
    """The health was looked at: ``metrics`` ask for level ``assessed``, with the margin of the hysteresis for
    ``allows``; ``level`` is in force. ``pinned``: a person keeps it there."""

    manager: ServiceDegradationManager
    metrics: Mapping[str, float | None]
    assessed: str
    allows: str
    level: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class LevelChanged:
    """Another level is in force. ``by_hand``: a person decided, not the health."""

    manager: ServiceDegradationManager
    before: str
    after: str
    metrics: Mapping[str, float | None]
    reason: str
    by_hand: bool


@dataclass(frozen=True, slots=True)
class MeasureChanged:
    """A measure was applied (again, where a level changes its strength), lifted, or failed with ``error``.

    ``details`` say what is in force now: ``rate`` (messages a second, ``None``:
    no limit), ``off`` (features), ``breakers`` (names of those that are
    tightened or isolated), ``intake`` (open, by-priority, stopped).
    """

    manager: ServiceDegradationManager
    measure: Measure
    active: bool
    level: str
    details: Mapping[str, Any] = field(default_factory=dict)
    error: BaseException | None = None


DegradationEvent: TypeAlias = HealthAssessed | LevelChanged | MeasureChanged
DegradationListener: TypeAlias = Callable[[DegradationEvent], object]

#: Who is told of every manager of this process.
WATCHERS: list[DegradationListener] = []
