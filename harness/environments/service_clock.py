"""The clock of a service that does work of its own: events of it name the service as the one who acts."""

from __future__ import annotations

from collections.abc import Callable

from harness.environments.recorder import HistoryRecorder
from harness.sim.kernel import Kernel
from harness.sim.services.timebase import KernelTimebase

__all__ = ["ServiceClock"]


class ServiceClock(KernelTimebase):
    """The virtual clock; while a function called by it runs, *name* stands for the actor that is none."""

    __slots__ = ("_name", "_record")

    def __init__(self, kernel: Kernel, record: HistoryRecorder, name: str) -> None:
        super().__init__(kernel)
        self._record = record
        self._name = name

    def call_at(self, at_us: int, function: Callable[[], object]) -> None:
        record = self._record

        def named() -> None:
            before, record.outside = record.outside, self._name
            try:
                function()
            finally:
                record.outside = before

        super().call_at(at_us, named)
