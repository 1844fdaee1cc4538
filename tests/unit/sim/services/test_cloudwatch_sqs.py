"""The metrics that SQS sends to the simulated CloudWatch."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from harness.sim.services.cloudwatch_sqs import COUNTS, GAUGES
from tests.unit.sim.services.cloudwatch_desk import EPOCH, CloudWatchDesk
from tests.unit.sim.services.sqs_desk import EPOCH_US


@pytest.fixture
def desk() -> CloudWatchDesk:
    found = CloudWatchDesk(measured=True)
    found.sqs.create_queue("orders")
    return found


def sums(desk: CloudWatchDesk, metric: str, queue: str = "orders", statistic: str = "Sum") -> list[float]:
    points = desk.statistics(
        statistic, namespace="AWS/SQS", metric=metric, Dimensions=[{"Name": "QueueName", "Value": queue}]
    )
    return [point[statistic] for point in points]


def sqs(desk: CloudWatchDesk, operation: str, **parameters: Any) -> dict[str, Any]:
    return desk.sqs.call(operation, {"QueueUrl": "orders", **parameters}, region="us-east-1")


def test_counts_as_they_happen(desk: CloudWatchDesk) -> None:
    """[aws_sqs_metrics_created] Sent 1, size 5 for "Hello", received, deleted, and 1 for each empty receive."""
    sqs(desk, "SendMessage", MessageBody="Hello")
    handle = sqs(desk, "ReceiveMessage")["Messages"][0]["ReceiptHandle"]
    sqs(desk, "DeleteMessage", ReceiptHandle=handle)
    sqs(desk, "DeleteMessage", ReceiptHandle=handle)
    sqs(desk, "ReceiveMessage")
    assert {name: sums(desk, name) for name in COUNTS} == {
        "NumberOfMessagesSent": [1.0],
        "SentMessageSize": [5.0],
        "NumberOfMessagesReceived": [1.0],
        "NumberOfMessagesDeleted": [2.0],  # documented: every deletion with a valid handle, repeated ones too
        "NumberOfEmptyReceives": [1.0],
    }


def test_gauges_by_the_minute(desk: CloudWatchDesk) -> None:
    """[sqs_approximate_metrics] Visible, not visible and delayed come once a minute, for the minute that passed."""
    for delay in (0, 0, 0, 90):
        sqs(desk, "SendMessage", MessageBody="x", DelaySeconds=delay)
    sqs(desk, "ReceiveMessage", VisibilityTimeout=200)
    assert all(sums(desk, name) == [] for name in GAUGES)
    desk.pass_seconds(120)
    assert sums(desk, "ApproximateNumberOfMessagesVisible") == [2.0, 3.0]
    assert sums(desk, "ApproximateNumberOfMessagesNotVisible") == [1.0, 1.0]
    assert sums(desk, "ApproximateNumberOfMessagesDelayed") == [1.0, 0.0]
    times = [
        point["Timestamp"]
        for point in desk.statistics(
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            Dimensions=[{"Name": "QueueName", "Value": "orders"}],
        )
    ]
    assert times == [EPOCH, EPOCH + timedelta(minutes=1)]


def test_the_age_of_the_oldest_message(desk: CloudWatchDesk) -> None:
    """A message received three times leaves the metric; the next oldest one counts then."""
    sqs(desk, "SendMessage", MessageBody="poison")
    desk.pass_seconds(30)
    sqs(desk, "SendMessage", MessageBody="good")
    desk.pass_seconds(30)
    assert sums(desk, "ApproximateAgeOfOldestMessage", statistic="Maximum") == [60.0]
    for _ in range(3):
        first = sqs(desk, "ReceiveMessage", VisibilityTimeout=0)["Messages"][0]
        assert first["Body"] == "poison"
    desk.pass_seconds(60)
    assert sums(desk, "ApproximateAgeOfOldestMessage", statistic="Maximum") == [60.0, 90.0]


def test_what_redrive_moves(desk: CloudWatchDesk) -> None:
    """A message that the redrive policy moves is not sent to the dead-letter queue, is visible there, and ages anew."""
    desk.sqs.create_queue("dlq")
    arn = "arn:aws:sqs:us-east-1:000000000000:dlq"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
    sqs(desk, "SetQueueAttributes", Attributes={"RedrivePolicy": policy})
    sqs(desk, "SendMessage", MessageBody="x")
    desk.pass_seconds(30)
    for _ in range(4):
        sqs(desk, "ReceiveMessage", VisibilityTimeout=0)
    desk.pass_seconds(30)
    assert sums(desk, "NumberOfMessagesSent", "dlq") == []
    assert sums(desk, "ApproximateNumberOfMessagesVisible", "dlq") == [1.0]
    assert sums(desk, "ApproximateAgeOfOldestMessage", "dlq", "Maximum") == [30.0]


def test_what_happened_before_is_made_up_for() -> None:
    """Counts from before the first call of CloudWatch come from the history."""
    desk = CloudWatchDesk()
    desk.sqs.create_queue("orders")
    past = [
        {"kind": "send", "t": 5.0, "queue": "orders", "bytes": 7},
        {"kind": "receive", "t": 65.0, "queue": "orders"},
        {"kind": "delete", "t": 66.0, "queue": "orders"},
        {"kind": "send", "t": 5.0, "queue": "gone", "bytes": 7},
        {"kind": "effect", "t": 66.0, "name": "x"},
    ]
    desk.pass_seconds(70)
    desk.cw.measure(desk.sqs, past, EPOCH_US)
    assert sums(desk, "NumberOfMessagesSent") == [1.0]
    assert sums(desk, "SentMessageSize") == [7.0]
    assert sums(desk, "NumberOfMessagesReceived") == [1.0]
    assert sums(desk, "NumberOfMessagesDeleted") == [1.0]


def test_an_alarm_on_the_depth_of_a_queue(desk: CloudWatchDesk) -> None:
    """The metric is ApproximateNumberOfMessagesVisible; the queue attribute's name has no data."""
    for _ in range(9):
        sqs(desk, "SendMessage", MessageBody="x")
    watched = {"Namespace": "AWS/SQS", "Dimensions": [{"Name": "QueueName", "Value": "orders"}], "Statistic": "Maximum"}
    desk.alarm(**watched, MetricName="ApproximateNumberOfMessagesVisible")
    desk.alarm(**watched, AlarmName="wrong", MetricName="ApproximateNumberOfMessages")
    desk.pass_seconds(60)
    assert desk.state == "ALARM"
    assert desk.described("wrong")["StateValue"] == "INSUFFICIENT_DATA"


def test_nothing_is_measured_before_cloudwatch_is_used() -> None:
    """Without CloudWatch SQS has no meter: such runs pay nothing."""
    assert CloudWatchDesk().sqs.meter is None
