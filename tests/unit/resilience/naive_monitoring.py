"""Error monitoring as it is usually written: what its traps look like to CloudWatch."""

from __future__ import annotations

from datetime import datetime
from typing import Any


class NaiveErrorMonitoring:
    """One call an error, local times, and alarms that lack half of what they need."""

    def __init__(self, cloudwatch: Any) -> None:
        self.cloudwatch = cloudwatch

    def track_error_metrics(
        self, error_type: str, service_name: str, additional_dimensions: list[dict[str, str]] | None = None
    ) -> None:
        dimensions = [{"Name": "ServiceName", "Value": service_name}, {"Name": "ErrorType", "Value": error_type}]
        dimensions += additional_dimensions or []
        datum = {"MetricName": "ErrorCount", "Value": 1, "Unit": "Count", "Timestamp": datetime.now()}
        self.cloudwatch.put_metric_data(Namespace="Messaging/Errors", MetricData=[{**datum, "Dimensions": dimensions}])

    def create_error_alarms(self) -> None:
        alarms: list[dict[str, Any]] = [
            {"AlarmName": "HighErrorRate", "MetricName": "ErrorCount", "Threshold": 100, "EvaluationPeriods": 2},
            {
                "AlarmName": "DLQDepthHigh",
                "MetricName": "ApproximateNumberOfMessages",
                "Threshold": 1000,
                "EvaluationPeriods": 1,
            },
        ]
        for alarm in alarms:
            self.cloudwatch.put_metric_alarm(**alarm, ComparisonOperator="GreaterThanThreshold", Period=300)
