"""The workload of a live run: messages sent at their times, straight into the queue, past proxies and faults."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from harness.environments.live.clock import LiveClock
from harness.environments.workload import body_text, key_reader
from harness.errors import EnvironmentFailed
from harness.faults.engine import FaultEngine
from harness.scenario import Scenario, Workload

__all__ = ["LiveSender"]


class LiveSender:
    """One workload's messages, from a thread of its own. ``done`` when the last is sent or the run is over."""

    def __init__(
        self,
        scenario: Scenario,
        workload: Workload,
        first: int,
        clock: LiveClock,
        engine: FaultEngine,
        send: Callable[[Mapping[str, Any]], object],
    ) -> None:
        self._workload = workload
        self._first = first
        self._clock = clock
        self._engine = engine
        self._send = send
        self._ends = scenario.duration
        self._key = key_reader(workload)
        self._thread = threading.Thread(target=self._work, name="live-workload", daemon=True)
        self.failure: EnvironmentFailed | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether everything is sent."""
        return not self._thread.is_alive()

    def join(self) -> None:
        self._thread.join(10.0)

    def _work(self) -> None:
        try:
            for number in range(self._workload.messages):
                due = self._workload.due(number)
                if self._ends is not None and due > self._ends:
                    return
                if self._clock.over.wait(max(0.0, due / self._clock.scale - self._clock.seconds)):
                    return
                self._send(self._message(number))
        except EnvironmentFailed as error:
            self.failure = error

    def _message(self, number: int) -> dict[str, Any]:
        workload = self._workload
        value = workload.body(number)
        key = self._key(number + self._first if workload.key is None else number, value)
        attributes: dict[str, Any] | None = dict(workload.attributes(number)) if workload.attributes else None
        with self._clock.lock:
            body, attributes = self._engine.workload_body(workload.to, number, key, body_text(value), attributes)
        message: dict[str, Any] = {"queue": workload.to, "body": body, "key": key}
        if attributes:
            message["attributes"] = {
                name: {field: b64encode(one).decode() if isinstance(one, bytes) else one for field, one in each.items()}
                for name, each in attributes.items()
            }
        if workload.to.endswith(".fifo"):
            message["group"] = workload.group(number) if workload.group else "all"
            message["deduplication"] = f"{self._first + number}"
        return message
