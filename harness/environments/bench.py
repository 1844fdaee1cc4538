"""What a simulated run offers to be watched by effects."""

from __future__ import annotations

from harness.effects import SendObserver, Undo
from harness.environments.queues import QueueService
from harness.environments.recorder import HistoryRecorder
from harness.sim.kernel import Kernel
from harness.sim.services.http import HttpStubs
from harness.sim.services.redis import RedisServer
from harness.sim.services.redis_delivery import RedisDelivery

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
        self.redis_queues: RedisDelivery | None = None

    def record_effect(self, name: str, key: str | None, source: str) -> None:
        self._record("effect", name=name, key=key, source=source)

    def record_effect_lost(self, name: str, key: str | None) -> None:
        self._record("effect.lost", name=name, key=key)

    def on_send(self, observer: SendObserver) -> Undo:
        places = [self._sqs.send_observers]
        if self.redis_queues is not None:
            places.append(self.redis_queues.clerk.send_observers)
        for observers in places:
            observers.append(observer)

        def undo() -> None:
            for observers in places:
                observers.remove(observer)

        return undo

    def now_us(self) -> int:
        return self._kernel.now_us
