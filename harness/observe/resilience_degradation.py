"""Observes :class:`harness.resilience.degradation.ServiceDegradationManager`: health, levels and measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from harness.observe.context import Context, error_name
from harness.resilience.degradation import (
    LEVELS,
    MEASURES,
    DegradationEvent,
    HealthAssessed,
    LevelChanged,
    ServiceDegradationManager,
    watch_degradation,
)

__all__ = ["install"]


def install(context: Context) -> Callable[[], None]:
    """Write what every degradation manager does to the context's record."""
    record = context.record
    names: WeakKeyDictionary[ServiceDegradationManager, str] = WeakKeyDictionary()

    def name_of(manager: ServiceDegradationManager) -> str:
        name = names.get(manager)
        if name is None:
            name = names[manager] = context.new_name(manager.name, "degradation")
            record("degradation.created", manager=name, **_limits(manager))
        return name

    def listen(event: DegradationEvent) -> None:
        if not context.active():
            return
        name = name_of(event.manager)
        if isinstance(event, HealthAssessed):
            record(
                "degradation.health",
                manager=name,
                health=_rounded(event.metrics),
                assessed=event.assessed,
                allows=event.allows,
                level=event.level,
                pinned=event.pinned,
            )
        elif isinstance(event, LevelChanged):
            record(
                "degradation.level",
                manager=name,
                level=event.after,
                before=event.before,
                health=_rounded(event.metrics),
                reason=event.reason,
                by_hand=event.by_hand,
            )
        else:
            details = dict(event.details)
            if event.error is not None:
                details["error"] = error_name(event.error)
            record(
                "degradation.measure",
                manager=name,
                measure=event.measure,
                active=event.active,
                level=event.level,
                **details,
            )

    return watch_degradation(listen)


def _limits(manager: ServiceDegradationManager) -> dict[str, Any]:
    return {
        "library": "harness",
        "levels": list(LEVELS),
        # An endless one (never, by this metric) is no number in JSON.
        "thresholds": {
            metric: [None if limit == float("inf") else limit for limit in limits]
            for metric, limits in manager.thresholds.items()
        },
        "measures": {measure: number for number, measure in enumerate(MEASURES, 1)},
        "features": list(manager.features.declared),
        "breakers": manager.breaker_count,
        "queues": [url.rpartition("/")[2] for url in manager.queue_urls],
    }


def _rounded(metrics: Mapping[str, float | None]) -> dict[str, float | None]:
    """To a millionth: more says nothing about a system's health, and fills the history."""
    return {name: None if value is None else round(value, 6) for name, value in metrics.items()}
