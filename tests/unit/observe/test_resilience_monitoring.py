"""The project's error monitoring, observed."""

from __future__ import annotations

from harness.resilience import ErrorMonitoring
from tests.unit.observe.helpers import observed


def test_what_is_counted_is_written() -> None:
    """Each error that the code counts is an event, with its metric, dimensions and namespace."""
    monitoring = ErrorMonitoring(publish=False, namespace="Shop")
    with observed() as record:
        monitoring.track_error_metrics("Timeout", "orders")
        record.running = False
        monitoring.track_error_metrics("Timeout", "orders")
    monitoring.track_error_metrics("Timeout", "orders")
    assert record.events == [
        {
            "kind": "monitoring.count",
            "source": "tracked",
            "namespace": "Shop",
            "metric": "ErrorCount",
            "dimensions": {"ErrorType": "Timeout", "ServiceName": "orders"},
            "value": 1,
        }
    ]
