"""The metrics that SQS itself sends to CloudWatch, from the in-memory SQS.

Counts (``NumberOfMessagesSent``, ...) are stored as they happen, gauges
(``ApproximateNumberOfMessagesVisible``, ...) once a minute, each for the
minute that has passed. Gauges and empty receives begin with the run's first
call of CloudWatch; what was counted before it is made up for. AWS delivers
them some minutes late, which the simulation does not do. What the redrive
policy moves into a dead-letter queue is not counted as sent to it (not
recorded, but widely told): watch ``ApproximateNumberOfMessagesVisible``.

Source: "Available CloudWatch metrics for Amazon SQS", Amazon SQS developer guide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from harness.sim.services.cloudwatch_series import MetricName
from harness.sim.services.sqs_line import Message
from harness.sim.services.sqs_queue import RECEIVES_TO_BACK, SECOND, Queue

__all__ = ["COUNTS", "GAUGES", "NAMESPACE", "QueueMeter"]

NAMESPACE = "AWS/SQS"
COUNTS = (
    "NumberOfEmptyReceives",
    "NumberOfMessagesDeleted",
    "NumberOfMessagesReceived",
    "NumberOfMessagesSent",
    "SentMessageSize",
)
GAUGES = (
    "ApproximateAgeOfOldestMessage",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesVisible",
)
_RECALLED = {
    "delete": "NumberOfMessagesDeleted",
    "receive": "NumberOfMessagesReceived",
    "send": "NumberOfMessagesSent",
}
_UNITS = {"SentMessageSize": "Bytes", "ApproximateAgeOfOldestMessage": "Seconds"}

#: Stores a value: metric, unit, seconds since 1970, value.
Put = Callable[[MetricName, str, int, float], object]


class _Queues(Protocol):
    """What is asked of the SQS service."""

    def queues(self) -> Iterable[Queue]: ...


class QueueMeter:
    """Measures every queue of a service, from now on."""

    def __init__(self, service: _Queues, put: Put) -> None:
        self._service = service
        self._put = put

    def count(self, queue: Queue, metric: str, value: float, now_us: int) -> None:
        """Something happened on *queue*."""
        self._store(queue, metric, now_us // SECOND, value)

    def recall(self, past: Iterable[Mapping[str, Any]], origin_us: int) -> None:
        """Count what happened before, from a history's events; *origin_us* is when it began."""
        queues = {queue.name: queue for queue in self._service.queues()}
        for event in past:
            metric, queue = _RECALLED.get(event["kind"]), queues.get(event.get("queue", ""))
            if metric is None or queue is None:
                continue
            at_us = origin_us + round(event["t"] * SECOND)
            self.count(queue, metric, 1, at_us)
            if "bytes" in event:
                self.count(queue, "SentMessageSize", event["bytes"], at_us)

    def sample(self, now_s: int) -> None:
        """Take the gauges of every queue for the minute that ends at *now_s*."""
        for queue in self._service.queues():
            for metric, value in (
                ("ApproximateNumberOfMessagesVisible", queue.visible),
                ("ApproximateNumberOfMessagesNotVisible", queue.in_flight),
                ("ApproximateNumberOfMessagesDelayed", queue.delayed),
                ("ApproximateAgeOfOldestMessage", oldest_age_s(queue, now_s)),
            ):
                self._store(queue, metric, now_s - 60, value)

    def _store(self, queue: Queue, metric: str, at_s: int, value: float) -> None:
        name = MetricName(queue.region, NAMESPACE, metric, (("QueueName", queue.name),))
        self._put(name, _UNITS.get(metric, "Count"), at_s, value)


def oldest_age_s(queue: Queue, now_s: int) -> int:
    """The age of the oldest message in seconds; 0 without one.

    In a standard queue a message received three times leaves this metric; in
    a dead-letter queue the age counts from the move.
    """
    message = next((one for one in queue.messages.values() if queue.fifo or _counts(one)), None)
    return 0 if message is None else max(0, now_s - message.arrived_us // SECOND)


def _counts(message: Message) -> bool:
    return message.serial < RECEIVES_TO_BACK  # the receives in this queue
