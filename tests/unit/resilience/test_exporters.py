"""Exporters of error counts, through the libraries of OpenTelemetry and Prometheus themselves."""

from __future__ import annotations

import builtins
from typing import Any

import pytest

from harness.resilience import ErrorMonitoring, OpenTelemetryExporter, PrometheusExporter
from tests.requirements import module


def monitoring(exporter: Any) -> ErrorMonitoring:
    return ErrorMonitoring(publish=False, exporters=[exporter])


def test_prometheus_counters() -> None:
    """Errors are messaging_errors_total by service and type; other dimensions add up, named ones are labels."""
    client = module("prometheus_client", "prometheus")
    registry = client.CollectorRegistry()
    made = monitoring(PrometheusExporter(registry, labels=["Region"]))
    made.track_error_metrics("Timeout", "orders", {"Region": "eu", "Shard": 1})
    made.track_error_metrics("Timeout", "orders", {"Region": "eu", "Shard": 2})
    made.track_error_metrics("Timeout", "orders")

    def value(region: str) -> float | None:
        labels = {"service": "orders", "error_type": "Timeout", "Region": region}
        found: float | None = registry.get_sample_value("messaging_errors_total", labels)
        return found

    assert (value("eu"), value("")) == (2.0, 1.0)


def test_prometheus_counters_of_one_name_twice() -> None:
    """Two exporters on one registry need two prefixes, as the library says itself."""
    client = module("prometheus_client", "prometheus")
    registry = client.CollectorRegistry()
    PrometheusExporter(registry)
    PrometheusExporter(registry, prefix="other")
    with pytest.raises(ValueError, match="Duplicated"):
        PrometheusExporter(registry)


def test_opentelemetry_counters() -> None:
    """Errors are the counter messaging.errors with the attributes of the semantic conventions."""
    export = module("opentelemetry.sdk.metrics.export", "opentelemetry")
    metrics = module("opentelemetry.sdk.metrics", "opentelemetry")
    reader = export.InMemoryMetricReader()
    provider = metrics.MeterProvider(metric_readers=[reader])
    made = monitoring(OpenTelemetryExporter(provider.get_meter("test")))
    for _ in range(3):
        made.track_error_metrics("Timeout", "orders", {"Region": "eu"})
    data = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    (errors,) = [metric for metric in data if metric.name == "messaging.errors"]
    (point,) = errors.data.data_points
    assert point.value == 3
    assert dict(point.attributes) == {"service.name": "orders", "error.type": "Timeout", "Region": "eu"}
    provider.shutdown()


def test_the_global_meter() -> None:
    """Without a meter of the user's the global meter provider is used."""
    module("opentelemetry.metrics", "opentelemetry")
    monitoring(OpenTelemetryExporter()).track_error_metrics("Timeout", "orders")


@pytest.mark.parametrize(
    ("make", "extra"), [(OpenTelemetryExporter, "opentelemetry"), (PrometheusExporter, "prometheus")]
)
def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, make: Any, extra: str) -> None:
    """The exporter says which extra to install; importing the package needs neither library."""
    original = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] in ("opentelemetry", "prometheus_client"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=rf"resilience-harness\[{extra}\]"):
        make()
