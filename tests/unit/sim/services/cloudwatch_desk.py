"""A CloudWatch on a clock that the test moves, with short calls and the recorded events."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from harness.sim.services.cloudwatch import CloudWatchService
from harness.sim.services.errors import ServiceError
from harness.sim.services.sqs import SqsService
from tests.unit.sim.services.sqs_desk import EPOCH_US, HandClock

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)


class CloudWatchDesk:
    """The service with short calls; ``sqs`` beside it, measured if *measured*."""

    def __init__(self, *, measured: bool = False) -> None:
        self.clock = HandClock()
        self.events: list[dict[str, Any]] = []
        self.cw = CloudWatchService(self.clock, self._record)
        self.cw.quotas = False
        self.actions: list[tuple[str, dict[str, Any]]] = []
        self.cw.action_observers.append(lambda arn, message: self.actions.append((arn, message)))
        self.sqs = SqsService(self.clock, random.Random(1), self._record)
        if measured:
            self.cw.measure(self.sqs)

    def _record(self, kind: str, message: str | None = None, **fields: Any) -> int:
        self.events.append({"kind": kind, "message": message, **fields})
        return len(self.events)

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] in kinds]

    def call(self, operation: str, region: str = "us-east-1", **parameters: Any) -> dict[str, Any]:
        return self.cw.call(operation, parameters, region=region)

    def refused(self, operation: str, **parameters: Any) -> ServiceError:
        """The error that a call is refused with."""
        with pytest.raises(ServiceError) as caught:
            self.call(operation, **parameters)
        return caught.value

    def pass_seconds(self, seconds: float) -> None:
        self.clock.pass_to(self.clock.us + round(seconds * 1e6))

    @property
    def seconds(self) -> float:
        return (self.clock.us - EPOCH_US) / 1e6

    def put(self, *data: dict[str, Any], namespace: str = "N") -> None:
        self.call("PutMetricData", Namespace=namespace, MetricData=[{"MetricName": "m", **datum} for datum in data])

    def statistics(
        self, *statistics: str, namespace: str = "N", metric: str = "m", **more: Any
    ) -> list[dict[str, Any]]:
        """The data points of the last hour by the minute, oldest first."""
        parameters: dict[str, Any] = {
            "Namespace": namespace,
            "MetricName": metric,
            "StartTime": self.now - timedelta(hours=1),
            "EndTime": self.now + timedelta(minutes=1),
            "Period": 60,
            "Statistics": list(statistics or ("Sum",)),
            **more,
        }
        points: list[dict[str, Any]] = self.call("GetMetricStatistics", **parameters)["Datapoints"]
        return sorted(points, key=lambda point: point["Timestamp"])

    @property
    def now(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.clock.us - EPOCH_US)

    def alarm(self, **changes: Any) -> dict[str, Any]:
        """Put the alarm ``a`` on the metric ``m``; returns its parameters."""
        parameters: dict[str, Any] = {
            "AlarmName": "a",
            "Namespace": "N",
            "MetricName": "m",
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 5.0,
            "ComparisonOperator": "GreaterThanThreshold",
            **changes,
        }
        parameters = {name: value for name, value in parameters.items() if value is not None}
        self.call("PutMetricAlarm", **parameters)
        return parameters

    def described(self, name: str = "a") -> dict[str, Any]:
        found: list[dict[str, Any]] = self.call("DescribeAlarms", AlarmNames=[name])["MetricAlarms"]
        return found[0]

    @property
    def state(self) -> str:
        return str(self.described()["StateValue"])
