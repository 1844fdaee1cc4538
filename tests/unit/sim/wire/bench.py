"""A small run for tests of wires and services: kernel, scripted faults, recorded events."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from harness.seeds import Seeds
from harness.sim import world as world_module
from harness.sim.kernel import Kernel
from harness.sim.services.http import HttpStubs
from harness.sim.services.redis import RedisServer
from harness.sim.verdicts import Verdict
from harness.sim.world import World


class Faults:
    """A hook that strikes where it was told to: ``plan[(point, side)]`` lists verdicts, one a passing."""

    def __init__(self) -> None:
        self.plan: dict[tuple[str, str], list[Any]] = {}
        self.always: Callable[[str, str], Verdict | None] = lambda point, side: None
        self.passed: list[tuple[str, str]] = []
        self.latency = 10_000

    def passing(self, point: str, side: str, key: str | None = None) -> Verdict | None:
        self.passed.append((point, side))
        waiting = self.plan.get((point, side))
        verdict = waiting.pop(0) if waiting else self.always(point, side)
        return verdict() if callable(verdict) else verdict

    def latency_us(self, point: str) -> int:
        return self.latency


class Run:
    """One simulated run; ``with Run() as run: run.actor(function); run.go()``."""

    def __init__(self, *, history_seconds: float | None = None) -> None:
        self.kernel = Kernel(Seeds(1))
        self.faults = Faults()
        self.events: list[dict[str, Any]] = []
        self.failures: list[BaseException] = []
        self.world = World(self.kernel, self.faults, self._record)
        self._history_seconds = history_seconds

    def _record(self, kind: str, message: str | None = None, **fields: Any) -> int:
        self.events.append({"t": self.kernel.now, "kind": kind, **fields})
        return len(self.events)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]

    def __enter__(self) -> Run:
        world_module.enter(self.world)
        self.world.redis = RedisServer(self.world, random.Random(7), history_seconds=self._history_seconds)
        self.world.http = HttpStubs(self.world)
        return self

    def __exit__(self, *error: object) -> None:
        self.kernel.close()
        world_module.leave()

    def actor(self, function: Callable[[], object], name: str = "worker", at: float = 0.0) -> Any:
        """Start *function* as a process of its own at second *at*."""

        def main() -> None:
            if at:
                self.kernel.sleep_us(round(at * 1e6))
            try:
                function()
            except Exception as error:
                self.failures.append(error)

        return self.kernel.start_process(name, main)

    def go(self, until: float | None = None) -> None:
        """Run to the end (or to second *until*) and raise the first exception of an actor."""
        self.kernel.run(None if until is None else round(until * 1e6))
        if self.failures:
            raise self.failures[0]
