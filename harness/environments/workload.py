"""Sends a scenario's messages at their times, straight into the queue: the workload is the outside world."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from harness.environments.keys import KeyBook
from harness.environments.queues import QueueService
from harness.environments.recorder import HistoryRecorder
from harness.errors import ScenarioError
from harness.faults.engine import FaultEngine
from harness.jsonpath import compile_path, key_text
from harness.scenario import Queue, Scenario, Workload
from harness.sim.kernel import Kernel
from harness.sim.services.redis_delivery import RedisDelivery

__all__ = ["Sender", "body_text", "key_reader"]


def body_text(value: object) -> str:
    """A message's body as text: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def key_reader(workload: Workload) -> Callable[[int, object], str]:
    """The function that gives the key of a message from its number and body.

    It raises ScenarioError where a body has nothing at the workload's path.
    """
    if workload.key is None:
        return lambda number, value: str(number)
    find = compile_path(workload.key, field="workload.key")

    def read(number: int, value: object) -> str:
        found = find(orjson.loads(value) if isinstance(value, str) else value)
        if found is None:
            raise ScenarioError(
                f"{workload.key!r} names nothing in the body of message {number}",
                field="workload.key",
                remedy="Give a JSON path that every body has, such as $.order_id",
            )
        return key_text(found)

    return read


class Sender:
    """One workload's messages, each sent by the hub at its time."""

    def __init__(
        self,
        scenario: Scenario,
        workload: Workload,
        first: int,
        kernel: Kernel,
        engine: FaultEngine,
        record: HistoryRecorder,
        sqs: QueueService,
        keys: KeyBook,
    ) -> None:
        self._workload = workload
        self._first = first  # number of the workload's first message among all messages, for keys without a path
        self._kernel = kernel
        self._engine = engine
        self._record = record
        self._sqs = sqs
        self._keys = keys
        self.redis_queues: RedisDelivery | None = None  # where messages for queues in Redis go
        self._ends_us = None if scenario.duration is None else round(scenario.duration * 1_000_000)
        self._number = 0
        self._key = key_reader(workload)
        self._region = next(
            (one.region for one in scenario.queues if isinstance(one, Queue) and one.name == workload.to), None
        )

    def start(self) -> None:
        """Schedule the first message."""
        if self._workload.messages:
            self._schedule()

    def _schedule(self) -> None:
        due = round(self._workload.due(self._number) * 1_000_000)
        if self._ends_us is None or due <= self._ends_us:
            self._kernel.call_at(due, self._send_due)

    def _send_due(self) -> None:
        """Send every message that is due at this instant, then schedule the next."""
        workload = self._workload
        outside, self._record.outside = self._record.outside, "workload"
        try:
            while True:
                self._send(self._number)
                self._number += 1
                if self._number >= workload.messages:
                    return
                if round(workload.due(self._number) * 1_000_000) > self._kernel.now_us:
                    break
        finally:
            self._record.outside = outside
        self._schedule()

    def _send(self, number: int) -> None:
        workload = self._workload
        value = workload.body(number)
        key = self._key(number + self._first if workload.key is None else number, value)
        attributes: dict[str, Any] | None = dict(workload.attributes(number)) if workload.attributes else None
        meant = body_text(value)
        body, attributes = self._engine.workload_body(workload.to, number, key, meant, attributes)
        self._keys.workload_sends(body, key, spoiled=body != meant or workload.key is None)
        redis_queues = self.redis_queues
        if redis_queues is not None and workload.to in redis_queues.queues:
            group = workload.group(number) if workload.group else None
            redis_queues.put(workload.to, value, body, key=key, group=group, spoiled=body != meant)
            return
        fifo = workload.to.endswith(".fifo")
        self._sqs.put(
            workload.to,
            body,
            attributes=attributes,
            group=(workload.group(number) if workload.group else "all") if fifo else None,
            dedup=f"{self._first + number}" if fifo else None,
            key=key,
            origin="workload",
            region=self._region,
        )
