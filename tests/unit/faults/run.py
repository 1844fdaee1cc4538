"""A stand-in for a run: virtual time, a recorder and an environment that note what they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.faults.engine import FaultEngine
from harness.faults.plan import Fault, FaultPlan
from harness.seeds import Seeds


class Killed(BaseException):
    """Stands for an actor that is never resumed."""


@dataclass(frozen=True)
class FakeProcess:
    name: str
    group: str


@dataclass(frozen=True)
class FakeActor:
    name: str
    process: FakeProcess


WORKER = FakeActor("worker.1", FakeProcess("worker.1", "worker"))
OTHER = FakeActor("other", FakeProcess("other", "other"))


@dataclass
class FakeKernel:
    """Virtual time that moves when a test says so; timers run in order of time."""

    now_us: int = 0
    current: FakeActor | None = WORKER
    timers: list[tuple[int, int, Callable[[], object]]] = field(default_factory=list)

    def call_at(self, at_us: int, function: Callable[[], object]) -> object:
        self.timers.append((at_us, len(self.timers), function))
        return None

    def sleep_us(self, us: int) -> None:
        assert us >= 1
        self.now_us += us

    def park(self, until_us: int | None = None) -> bool:
        raise Killed("parked for ever")

    def advance(self, seconds: float) -> None:
        """Go to *seconds* since the start, running the timers due on the way, as the hub does."""
        target_us = round(seconds * 1_000_000)
        actor, self.current = self.current, None
        while due := sorted(one for one in self.timers if one[0] <= target_us):
            self.timers.remove(due[0])
            self.now_us = max(self.now_us, due[0][0])
            due[0][2]()
        self.now_us = max(self.now_us, target_us)
        self.current = actor


@dataclass
class FakeActions:
    """Notes what the engine asks the environment for."""

    kernel: FakeKernel
    running: list[FakeProcess] = field(default_factory=lambda: [WORKER.process, OTHER.process])
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def processes(self) -> list[FakeProcess]:
        return list(self.running)

    def restart(self, process: FakeProcess, after_us: int) -> None:
        self.asked.append(("restart", process.name, after_us))

    def crash(self, process: FakeProcess) -> None:
        self.asked.append(("crash", process.name))
        if self.kernel.current is not None and self.kernel.current.process is process:
            raise Killed(process.name)

    def sigterm(self, process: FakeProcess, grace_us: int) -> None:
        self.asked.append(("sigterm", process.name, grace_us))

    def pause(self, process: FakeProcess, us: int) -> None:
        self.asked.append(("pause", process.name, us))

    def jump(self, name: str, us: int) -> None:
        self.asked.append(("jump", name, us))

    def drift(self, name: str, rate: float) -> None:
        self.asked.append(("drift", name, rate))

    def flush(self) -> None:
        self.asked.append(("flush",))

    def failover(self, lost_us: int) -> None:
        self.asked.append(("failover", lost_us))


class Run:
    """An engine with a plan, on stand-ins for everything else; started."""

    def __init__(self, *faults: Fault, seed: int = 0, start: bool = True) -> None:
        self.kernel = FakeKernel()
        self.actions = FakeActions(self.kernel)
        self.events: list[dict[str, Any]] = []
        self.engine = FaultEngine(FaultPlan(faults), Seeds(seed), self.kernel, self._record, self.actions)
        if start:
            self.engine.start()
            self.kernel.advance(0)

    def _record(self, kind: str, message: str | None = None, **fields: Any) -> int:
        self.events.append({"t": self.kernel.now_us / 1e6, "kind": kind, **fields})
        return len(self.events)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]

    def at(self, seconds: float) -> Run:
        self.kernel.advance(seconds)
        return self

    def passing(self, point: str, side: str = "before", key: str | None = None) -> Any:
        return self.engine.passing(point, side, key)
