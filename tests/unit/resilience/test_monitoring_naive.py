"""The usual error monitoring against the simulated CloudWatch: each trap springs, so that our tests mean something."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.utils import parse_to_aware_datetime

from harness.resilience import ErrorMonitoring
from harness.resilience._monitoring_counts import Count
from harness.resilience._monitoring_publisher import requests
from tests.unit.resilience.cloudwatch_fake import CloudWatchFake, client_error
from tests.unit.resilience.naive_monitoring import NaiveErrorMonitoring


@pytest.fixture
def cloudwatch() -> CloudWatchFake:
    fake = CloudWatchFake()
    fake.desk.cw.quotas = True
    return fake


def test_an_error_storm_is_an_api_storm_that_loses_counts(cloudwatch: CloudWatchFake) -> None:
    """1,000 errors in a second are 1,000 calls, of which AWS takes 500; ours are one."""
    naive = NaiveErrorMonitoring(_without_time(cloudwatch))
    lost = 0
    for _ in range(1_000):
        try:
            naive.track_error_metrics("E", "orders")
        except ClientError:
            lost += 1
    assert (cloudwatch.count(), lost) == (1_000, 500)
    assert cloudwatch.errors(ServiceName="orders", ErrorType="E") == 500


class _without_time:
    """The client, with the real time of the test taken out: the service lives in another year."""

    def __init__(self, cloudwatch: CloudWatchFake) -> None:
        self._cloudwatch = cloudwatch

    def put_metric_data(self, **parameters: Any) -> Any:
        for datum in parameters["MetricData"]:
            assert datum.pop("Timestamp").tzinfo is None
        return self._cloudwatch.put_metric_data(**parameters)


def test_cloudwatch_down_raises_into_the_consumer(cloudwatch: CloudWatchFake) -> None:
    """The naive one hands its caller CloudWatch's errors; ours counts on."""
    cloudwatch.down = client_error("ServiceUnavailable")
    with pytest.raises(ClientError):
        NaiveErrorMonitoring(_without_time(cloudwatch)).track_error_metrics("E", "orders")
    made = ErrorMonitoring(cloudwatch=cloudwatch, background=False)
    made.track_error_metrics("E", "orders")
    assert made.pending == 1


def test_its_alarms_are_refused(cloudwatch: CloudWatchFake) -> None:
    """Without namespace and statistic PutMetricAlarm is a ValidationError, and no alarm is there."""
    with pytest.raises(ClientError, match="Namespace must be specified"):
        NaiveErrorMonitoring(cloudwatch).create_error_alarms()
    assert cloudwatch.desk.call("DescribeAlarms")["MetricAlarms"] == []


def test_its_alarms_would_be_blind(cloudwatch: CloudWatchFake) -> None:
    """Even with namespace and statistic, the alarm without dimensions sees none of its data."""
    naive = NaiveErrorMonitoring(_without_time(cloudwatch))
    cloudwatch.desk.alarm(
        AlarmName="HighErrorRate", Namespace="Messaging/Errors", MetricName="ErrorCount", Threshold=100.0
    )
    for _ in range(400):
        naive.track_error_metrics("E", "orders")
    cloudwatch.desk.pass_seconds(60)
    assert cloudwatch.desk.described("HighErrorRate")["StateValue"] == "INSUFFICIENT_DATA"


def test_naive_local_times_are_taken_for_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """What now() gives is hours off on a machine that is not in UTC; what ours gives is not."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        meant = datetime(2030, 1, 1, tzinfo=UTC)
        naive = datetime.fromtimestamp(meant.timestamp())
        assert parse_to_aware_datetime(naive) == meant + timedelta(hours=9)
        ((count, datum),) = next(requests([Count(int(meant.timestamp()), "ErrorCount", (), 1)], meant.timestamp()))
        assert count.number == 1
        assert parse_to_aware_datetime(datum["Timestamp"]) == meant
    finally:
        monkeypatch.undo()
        time.tzset()
