"""What a simulated run offers to be watched by effects."""

from __future__ import annotations

from harness.effects import SendObserver, Undo
from harness.environments.queues import QueueService
from harness.environments.recorder import HistoryRecorder
from harness.sim.kernel import Kernel
from harness.sim.services.http import HttpStubs
from harness.sim.services.redis import RedisServer

__all__ = ["SimulatedBench"]


class SimulatedBench:
    """The :class:`harness.effects.Bench` of one run."""

    def __init__(
        self, kernel: Kernel, record: HistoryRecorder, sqs: QueueService, http: HttpStubs, redis: RedisServer
    ) -> None:
        self._kernel = kernel
        self._record = record
        self._sqs = sqs
        self.http = http
        self.redis = redis

    def record_effect(self, name: str, key: str | None, source: str) -> None:
        self._record("effect", name=name, key=key, source=source)

    def record_effect_lost(self, name: str, key: str | None) -> None:
        self._record("effect.lost", name=name, key=key)

    def on_send(self, observer: SendObserver) -> Undo:
        observers = self._sqs.send_observers
        observers.append(observer)
        return lambda: observers.remove(observer)

    def now_us(self) -> int:
        return self._kernel.now_us
