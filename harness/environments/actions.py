"""What the fault engine asks of a simulated run: kill, stop, pause and restart processes, move clocks, hurt Redis."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness.environments.recorder import HistoryRecorder
from harness.sim.kernel import Kernel, Process
from harness.sim.services.redis import RedisServer

if TYPE_CHECKING:
    from harness.environments.processes import ProcessTable

__all__ = ["SimulatedActions"]


class SimulatedActions:
    """The :class:`harness.faults.engine.Actions` of one run. ``table`` and ``redis`` are set before it starts."""

    table: ProcessTable
    redis: RedisServer

    def __init__(self, kernel: Kernel, record: HistoryRecorder) -> None:
        self._kernel = kernel
        self._record = record

    def processes(self) -> Iterable[Process]:
        return [process for process in self._kernel.processes if process.alive]

    def restart(self, process: Process, after_us: int) -> None:
        self.table.start(process.name, self._kernel.now_us + after_us)

    def crash(self, process: Process) -> None:
        self._kernel.crash(process)

    def sigterm(self, process: Process, grace_us: int) -> None:
        handler = process.handlers.get(int(signal.SIGTERM), signal.SIG_DFL)
        self._record("process.sigterm", process=process.name, handled=handler is not signal.SIG_DFL)
        self.table.replace_when_ended(process)
        self._kernel.sigterm(process, grace_us)

    def pause(self, process: Process, us: int) -> None:
        kernel, record = self._kernel, self._record
        until_us = kernel.now_us + us
        record("process.pause", process=process.name, until=until_us / 1_000_000)

        def resumed() -> None:
            if process.alive and process.resume_at_us <= kernel.now_us:
                record("process.resume", process=process.name)

        kernel.call_at(until_us, resumed)
        kernel.pause(process, us)

    def jump(self, name: str, us: int) -> None:
        offset_us = self.table.move_clock(name, us)
        self._record("clock.jump", process=name, seconds=us / 1_000_000, offset=offset_us / 1_000_000)

    def drift(self, name: str, rate: float) -> None:
        self.table.set_clock_rate(name, rate)
        self._record("clock.drift", process=name, rate=rate)

    def flush(self) -> None:
        self.redis.flush()

    def failover(self, lost_us: int) -> None:
        self.redis.failover(lost_us / 1_000_000)
