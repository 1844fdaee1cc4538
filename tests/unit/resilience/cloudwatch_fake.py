"""A client of boto3 as error monitoring uses it, over the simulated CloudWatch: what AWS refuses, it refuses."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from harness.sim.services.errors import ServiceError
from tests.unit.sim.services.cloudwatch_desk import CloudWatchDesk


class CloudWatchFake:
    """``down``: what every call raises; ``lost``: what the next calls raise after they took effect."""

    def __init__(self) -> None:
        self.desk = CloudWatchDesk()
        self.down: Exception | None = None
        self.lost: list[Exception] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def now(self) -> float:
        """The wall clock, in seconds since 1970."""
        return self.desk.clock.us / 1e6

    def monotonic(self) -> float:
        return self.desk.seconds + 1_000

    def _call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        self.calls.append((operation, parameters))
        if self.down is not None:
            raise self.down
        try:
            answer = self.desk.call(operation, **parameters)
        except ServiceError as error:
            raise client_error(error.code, error.message, operation) from None
        if self.lost:
            raise self.lost.pop(0)
        return answer

    def put_metric_data(self, **parameters: Any) -> dict[str, Any]:
        return self._call("PutMetricData", **parameters)

    def put_metric_alarm(self, **parameters: Any) -> dict[str, Any]:
        return self._call("PutMetricAlarm", **parameters)

    def describe_alarms(self, **parameters: Any) -> dict[str, Any]:
        return self._call("DescribeAlarms", **parameters)

    def count(self, operation: str = "PutMetricData") -> int:
        return sum(1 for name, _ in self.calls if name == operation)

    def errors(self, **dimensions: str) -> float:
        """The sum of ErrorCount under these dimensions."""
        return self.sum("ErrorCount", **dimensions)

    def sum(self, metric: str, namespace: str = "Messaging/Errors", **dimensions: str) -> float:
        return sum(
            event["value"]
            for event in self.desk.of("monitoring.count")
            if (event["namespace"], event["metric"], event["dimensions"]) == (namespace, metric, dimensions)
        )


def client_error(code: str, message: str = "", operation: str = "PutMetricData") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)
