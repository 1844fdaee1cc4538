"""Error counts for OpenTelemetry and Prometheus, through their own libraries.

::

    from harness.resilience.exporters import OpenTelemetryExporter, PrometheusExporter
    ErrorMonitoring(exporters=[PrometheusExporter()], publish=False)     # without CloudWatch

Each library is imported when its exporter is made: the extras
``opentelemetry`` and ``prometheus`` install them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["OpenTelemetryExporter", "PrometheusExporter"]


class OpenTelemetryExporter:
    """Counts into the counters ``messaging.errors`` and ``messaging.events`` of OpenTelemetry.

    ``meter``: of the user's; by default one of the global meter provider.
    The dimensions become attributes: ``service.name``, ``error.type`` and
    ``event.name`` as the semantic conventions call them, others as they are.

    Raises:
        ImportError: no meter is given and opentelemetry-api is not installed.
    """

    _NAMES: Mapping[str, str] = {"ServiceName": "service.name", "ErrorType": "error.type", "Event": "event.name"}

    def __init__(self, meter: Any = None) -> None:
        if meter is None:
            try:
                from opentelemetry import metrics
            except ImportError as error:
                raise ImportError(
                    "opentelemetry-api is not installed: pip install 'resilience-harness[opentelemetry]'"
                ) from error
            meter = metrics.get_meter("harness.resilience")
        self._counters = {
            "ErrorCount": meter.create_counter("messaging.errors", unit="{error}", description="Errors by type"),
            "EventCount": meter.create_counter("messaging.events", unit="{event}", description="What components did"),
        }

    def count(self, metric: str, dimensions: Mapping[str, str], number: int) -> None:
        """Add *number* to the counter of *metric*."""
        attributes = {self._NAMES.get(name, name): value for name, value in dimensions.items()}
        self._counters[metric].add(number, attributes)


class PrometheusExporter:
    """Counts into ``messaging_errors_total`` and ``messaging_events_total`` of prometheus_client.

    ``registry``: by default the global one. A Prometheus counter has a fixed
    set of labels: ``service`` and ``error_type`` (``event``), and those that
    are named in ``labels`` (further dimensions by their names); other
    dimensions are added up. ``prefix``: in place of ``messaging``.

    Raises:
        ImportError: prometheus-client is not installed.
        ValueError: the registry has counters of these names already.
    """

    def __init__(self, registry: Any = None, *, labels: Sequence[str] = (), prefix: str = "messaging") -> None:
        try:
            import prometheus_client
        except ImportError as error:
            raise ImportError(
                "prometheus-client is not installed: pip install 'resilience-harness[prometheus]'"
            ) from error
        given = {"registry": registry} if registry is not None else {}
        self._more = tuple(labels)
        self._counters = {
            metric: (
                what,
                prometheus_client.Counter(f"{prefix}_{name}", text, ["service", label, *self._more], **given),
            )
            for metric, what, label, name, text in (
                ("ErrorCount", "ErrorType", "error_type", "errors", "Errors by type"),
                ("EventCount", "Event", "event", "events", "What components did"),
            )
        }

    def count(self, metric: str, dimensions: Mapping[str, str], number: int) -> None:
        """Add *number* to the counter of *metric*."""
        what, counter = self._counters[metric]
        values = (dimensions.get(name, "") for name in ("ServiceName", what, *self._more))
        counter.labels(*values).inc(number)
