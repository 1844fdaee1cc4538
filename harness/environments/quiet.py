"""How long a run goes on after the last fault and the last send."""

from __future__ import annotations

from harness.environments.recorder import HistoryRecorder
from harness.history import Event
from harness.scenario import Process, Queue, Scenario
from harness.sim.lambda_consumer import LambdaConsumer

__all__ = ["QuietPeriod"]


def _lambda_s(scenario: Scenario, process: Process) -> float:
    """What a Lambda function adds to the quiet period, in seconds."""
    if not isinstance(process.target, LambdaConsumer):
        return 0.0
    queue = next(one for one in scenario.queues if isinstance(one, Queue) and one.name == process.queue)
    more = max(0, (queue.max_receives or 0) - 3)
    return more * queue.visibility_timeout + process.target.window + process.target.timeout


class QuietPeriod:
    """3 x the longest visibility timeout + the longest recovery timeout + the longest backoff.

    With Lambda functions also their window and timeout, and for a queue with
    more than 3 max receives a visibility timeout for each more: a mapping
    leaves a failed message hidden until its time is over, each time.

    Recovery timeouts and backoffs are those that were observed: a breaker
    or a policy nobody saw adds nothing. What is still queued or in flight
    after that long is stuck, not late.
    """

    def __init__(self, scenario: Scenario, record: HistoryRecorder) -> None:
        self.visibility_s = max((queue.visibility_timeout for queue in scenario.queues), default=30.0)
        self.recovery_s = 0.0
        self.backoff_s = 0.0
        self.lambda_s = max((_lambda_s(scenario, process) for process in scenario.processes), default=0.0)
        self.last_disturbance_us = 0
        record.tap("breaker.created", self._breaker)
        record.tap("retry.sleep", self._sleep)
        record.tap("visibility", self._hidden)

    @property
    def seconds(self) -> float:
        """The length of the quiet period, as far as is known now."""
        return 3 * self.visibility_s + self.recovery_s + self.backoff_s + self.lambda_s

    @property
    def us(self) -> int:
        """The same in whole microseconds."""
        return round(self.seconds * 1_000_000)

    def disturbed(self, at_us: int) -> None:
        """Something struck or began again at *at_us*: the quiet starts after it."""
        self.last_disturbance_us = max(self.last_disturbance_us, at_us)

    def _breaker(self, event: Event) -> None:
        timeout = event.get("recovery_timeout_max", event.get("recovery_timeout"))
        if isinstance(timeout, (int, float)):
            self.recovery_s = max(self.recovery_s, float(timeout))

    def _sleep(self, event: Event) -> None:
        for name in ("delay", "high"):
            value = event.get(name)
            if isinstance(value, (int, float)):
                self.backoff_s = max(self.backoff_s, float(value))

    def _hidden(self, event: Event) -> None:
        """A consumer may hide a message for longer than the queue's own timeout."""
        until = event.get("visible_at")
        if isinstance(until, (int, float)):
            self.visibility_s = max(self.visibility_s, float(until) - float(event["t"]))
