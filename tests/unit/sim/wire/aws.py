"""A small run with SQS under real boto3 clients: scripted faults, recorded events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from harness.seeds import Seeds
from harness.sim import world as world_module
from harness.sim.kernel import Kernel
from harness.sim.services.sqs import SqsService
from harness.sim.services.timebase import KernelTimebase
from harness.sim.verdicts import Verdict
from harness.sim.wire import botocore as wire
from harness.sim.world import World


class Faults:
    """A hook that strikes where it is told to: ``plan[(point, side)]`` lists verdicts, one a passing."""

    def __init__(self, seeds: Seeds) -> None:
        self.plan: dict[tuple[str, str], list[Verdict | None]] = {}
        self.passed: list[tuple[str, str]] = []
        self.latency: int | None = None
        self._latencies = seeds.stream("latency")

    def strike(self, operation: str, *verdicts: Verdict | None, side: str = "before") -> None:
        self.plan.setdefault((f"aws.sqs.{operation}", side), []).extend(verdicts)

    def passing(self, point: str, side: str, key: str | None = None) -> Verdict | None:
        self.passed.append((point, side))
        waiting = self.plan.get((point, side))
        return waiting.pop(0) if waiting else None

    def latency_us(self, point: str) -> int:
        return self.latency if self.latency is not None else self._latencies.randint(2_000, 20_000)


class Run:
    """One simulated run. ``Run().go(main, ...)`` runs functions as processes and raises their first error."""

    def __init__(self, seed: int = 1) -> None:
        seeds = Seeds(seed)
        self.kernel = Kernel(seeds)
        self.faults = Faults(seeds)
        self.events: list[dict[str, Any]] = []
        self.world = World(self.kernel, self.faults, self._record)
        world_module.enter(self.world)
        try:
            self.sqs = SqsService(KernelTimebase(self.kernel), seeds.stream("sqs"), self._record)
        finally:
            world_module.leave()
        self.world.services["sqs"] = self.sqs

    def _record(self, kind: str, message: str | None = None, **fields: Any) -> int:
        actor = self.kernel.current
        self.events.append(
            {"t": self.kernel.now, "actor": actor.name if actor else "-", "kind": kind, "message": message, **fields}
        )
        return len(self.events)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == kind]

    def passings(self, operation: str, side: str = "before") -> int:
        return self.faults.passed.count((f"aws.sqs.{operation}", side))

    def go(self, *mains: Callable[[], object], environ: dict[str, str] | None = None) -> Any:
        """Run each function as a process to its end; returns what the first returned."""
        found: list[Any] = []

        def noted(main: Callable[[], object]) -> Callable[[], object]:
            return lambda: found.append(main()) if main is mains[0] else main()

        world_module.enter(self.world)
        try:
            for number, main in enumerate(mains):
                self.kernel.start_process(f"p{number}", noted(main), environ={**wire.environ(), **(environ or {})})
            self.kernel.run()
        finally:
            self.kernel.close()
            world_module.leave()
        for process in self.kernel.processes:
            if process.exit_error is not None:
                raise process.exit_error
        return found[0] if found else None


def client(mode: str = "standard", service: str = "sqs", **config: Any) -> Any:
    """A client in a retry mode, of a session of its own."""
    retries = {"mode": mode, **config.pop("retries", {})}
    return boto3.Session(
        aws_access_key_id="key", aws_secret_access_key="secret", region_name=config.pop("region", "us-east-1")
    ).client(service, config=Config(retries=retries, **config))


@contextmanager
def short_cut(enabled: bool) -> Any:
    before = wire.short_cut(enabled)
    try:
        yield
    finally:
        wire.short_cut(before)
