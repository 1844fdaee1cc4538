"""Joins a scenario's queues in Redis to its run: their events, their messages' keys, what the workload sends."""

from __future__ import annotations

from typing import Any

from harness.environments.keys import KeyBook
from harness.environments.recorder import HistoryRecorder
from harness.errors import ScenarioError
from harness.redis_queues import RedisList, RedisStream
from harness.scenario import Scenario
from harness.sim.kernel import Kernel
from harness.sim.services.redis import RedisServer
from harness.sim.services.redis_delivery import RedisDelivery

__all__ = ["redis_delivery"]


def redis_delivery(
    scenario: Scenario, kernel: Kernel, record: HistoryRecorder, server: RedisServer, keys: KeyBook
) -> RedisDelivery | None:
    """What watches the queues that *scenario* has in Redis; ``None`` if it has none.

    Raises:
        ScenarioError: the workload would send to a list whose elements are not bodies.
    """
    queues = [queue for queue in scenario.queues if isinstance(queue, (RedisList, RedisStream))]
    if not queues:
        return None
    for work in scenario.workloads:
        queue = next((one for one in queues if one.name == work.to), None)
        if work.messages and isinstance(queue, RedisList) and (queue.bodies or queue.identity):
            raise ScenarioError(
                f"sends to {work.to!r}, a list of ids whose bodies stand elsewhere",
                field=f"{scenario.name}.workload",
                remedy="Give it messages=0 and let a process send, as the library that reads the list does it",
            )

    def note(actor: Any, kind: str, message: str | None = None, /, **fields: Any) -> None:
        with record.acting_for(actor):
            record(kind, message, **fields)

    return RedisDelivery(server, queues, note, keys.of_send, lambda: kernel.now, record_bodies=scenario.record_bodies)
