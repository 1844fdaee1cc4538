"""Observes :class:`harness.resilience.monitoring.ErrorMonitoring`: every error that the code under test counts."""

from __future__ import annotations

from collections.abc import Callable

from harness.observe.context import Context
from harness.resilience.monitoring import Counted, MonitoringEvent, watch_monitoring

__all__ = ["install"]


def install(context: Context) -> Callable[[], None]:
    """Write every count of every monitoring of the project to the context's record."""

    def listen(event: MonitoringEvent) -> None:
        if not isinstance(event, Counted) or not context.active():
            return
        context.record(
            "monitoring.count",
            source="tracked",
            namespace=event.monitoring.namespace,
            metric=event.metric,
            dimensions=dict(event.dimensions),
            value=event.number,
        )

    return watch_monitoring(listen)
