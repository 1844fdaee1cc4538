"""Receives what the code under test reports through ``harness.points``."""

from __future__ import annotations

from harness.environments.recorder import HistoryRecorder
from harness.faults.engine import FaultEngine
from harness.jsonpath import key_text
from harness.sim.kernel import Kernel

__all__ = ["PointsSink"]


class PointsSink:
    """The :class:`harness.points.Sink` of one run. Reports from outside an actor are nobody's and are dropped."""

    def __init__(self, kernel: Kernel, engine: FaultEngine, record: HistoryRecorder) -> None:
        self._kernel = kernel
        self._engine = engine
        self._record = record

    def effect(self, name: str, key: object) -> None:
        if self._kernel.current is not None:
            self._record("effect", name=name, key=key_text(key), source="point")

    def point(self, name: str) -> None:
        if self._kernel.current is None:
            return
        self._engine.passing(f"point.{name}", "before")  # a moment: it has one side

    def always(self, condition: bool, name: str) -> None:
        if self._kernel.current is not None and not condition:
            self._record("assert.always", name=name, held=False)

    def sometimes(self, condition: bool, name: str) -> None:
        if self._kernel.current is not None and condition:
            self._record("assert.sometimes", name=name, held=True)

    def reachable(self, name: str) -> None:
        if self._kernel.current is not None:
            self._record("assert.reachable", name=name)
