"""The environment "memory": a scenario inside the kernel, on in-memory services.

:class:`SimulatedRun` builds everything that one run consists of, runs it to
its end and takes it apart again. Nothing of a run outlives it.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from harness import compat, observe, points
from harness.environments.actions import SimulatedActions
from harness.environments.bench import SimulatedBench
from harness.environments.handler import HandlerMark
from harness.environments.keys import KeyBook
from harness.environments.processes import Addresses, ProcessTable
from harness.environments.queues import QueueService, creations
from harness.environments.quiet import QuietPeriod
from harness.environments.recorder import HistoryRecorder
from harness.environments.redis_queues import redis_delivery
from harness.environments.sink import PointsSink
from harness.environments.workload import Sender
from harness.errors import Deadlock, Runaway, Stalled
from harness.faults.engine import FaultEngine
from harness.faults.plan import FaultPlan
from harness.faults.watched import Passed, WatchedEngine
from harness.history import Event, Writer
from harness.scenario import Queue, Scenario
from harness.seeds import Seeds
from harness.sim import latency, patches, world
from harness.sim.kernel import EPOCH_US, Kernel
from harness.sim.preempt import Level, Rewriting
from harness.sim.services.http import HttpStubs
from harness.sim.services.redis import RedisServer
from harness.sim.services.sqs import SqsService
from harness.sim.services.timebase import KernelTimebase
from harness.sim.wire import aiobotocore as aiobotocore_wire
from harness.sim.wire import botocore as botocore_wire
from harness.sim.wire import http as http_wire
from harness.sim.wire import redis as redis_wire
from harness.sim.wire import redis_async as redis_async_wire
from harness.sim.wire import sqlite as sqlite_wire
from harness.sim.wire.botocore_moto import MotoServices
from harness.sim.world import Service

__all__ = ["SimulatedRun", "install", "uninstall"]

#: A run ends after so many quiet periods even if something goes on striking in them.
_QUIET_PERIODS_MAX = 10

_REASONS: dict[type[BaseException], str] = {
    Deadlock: "deadlock",
    Runaway: "runaway",
    Stalled: "stalled",
    KeyboardInterrupt: "interrupted",
}


def install() -> None:
    """Put the shims in: once a process, before the user's modules are imported. They do nothing outside a run."""
    patches.install()
    botocore_wire.install()
    aiobotocore_wire.install()
    redis_wire.install()
    http_wire.install()
    redis_async_wire.install()
    sqlite_wire.install()


def uninstall() -> None:
    """Take the shims out again."""
    sqlite_wire.uninstall()
    redis_async_wire.uninstall()
    http_wire.uninstall()
    redis_wire.uninstall()
    aiobotocore_wire.uninstall()
    botocore_wire.uninstall()
    patches.uninstall()


#: What the real variables were when base_environ() was made last, and what was made of them.
_base_environ: tuple[dict[Any, Any], tuple[tuple[str, str], ...]] | None = None


def base_environ() -> tuple[tuple[str, str], ...]:
    """The environment variables of a run before a process's own: the user's, without anything of AWS's.

    Nor its proxies: a stub dependency is behind none of them.
    """
    global _base_environ
    data = compat.raw_environ()
    if _base_environ is not None and _base_environ[0] == data:
        return _base_environ[1]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "BOTO_")) and not name.lower().endswith("_proxy")
    }
    kept.update(botocore_wire.environ())
    _base_environ = dict(data), tuple(kept.items())
    return _base_environ[1]


def retry_mode() -> str:
    """botocore's default retry mode in a run: it differs between versions, so a history names it."""
    return str(_config_default("retry_mode"))


@functools.cache
def _config_default(name: str) -> Any:
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES

    return BOTOCORE_DEFAUT_SESSION_VARIABLES[name][2]


def latency_model() -> str:
    """The name of the latency model in force."""
    return latency.DEFAULT.name


class SimulatedRun:
    """One run of one scenario: build it, ``execute()``, then always ``close()``.

    *step* is called with each event (the judge); *enough* says after each
    event whether the run may stop early; *passed* is told of every passing of
    a fault point.
    """

    def __init__(
        self,
        scenario: Scenario,
        plan: FaultPlan,
        seed: int,
        *,
        step: Callable[[Event], None] | None = None,
        enough: Callable[[], bool] | None = None,
        writer: Writer | None = None,
        tape: Sequence[int] | None = None,
        max_steps: int = 50_000_000,
        max_instant_steps: int = 1_000_000,
        watchdog_seconds: float = 10.0,
        preempt: Level | None = None,
        passed: Passed | None = None,
    ) -> None:
        self.scenario = scenario
        self.plan = plan
        self.stop_reason = ""
        seeds = Seeds(seed)
        self.kernel = kernel = Kernel(
            seeds,
            max_steps=max_steps,
            max_instant_steps=max_instant_steps,
            watchdog_seconds=watchdog_seconds,
            tape=tape,
            preempt=preempt,
        )
        self.record = record = HistoryRecorder(kernel, writer=writer)
        record.step = step if enough is None else self._stopping(step, enough)
        self._actions = SimulatedActions(kernel, record)
        make = FaultEngine if passed is None else functools.partial(WatchedEngine, passed)
        self.engine = engine = make(plan, seeds, kernel, record, self._actions)
        self.world = made = world.World(kernel, engine, record)
        self.elsewhere = made.elsewhere = MotoServices(made, seeds)
        self.sqs = self._make_services(seeds)
        self.redis = made.redis = self._actions.redis = RedisServer(
            made, seeds.stream("redis"), history_seconds=_longest_failover(plan)
        )
        self.redis.may_lose = any(fault.kind in ("failover", "flushed") for fault in plan)
        self.http = made.http = HttpStubs(made)
        self.keys = KeyBook(scenario)
        self.redis_queues = redis_delivery(scenario, kernel, record, self.redis, self.keys)
        self.quiet = QuietPeriod(scenario, record)
        self._handler = self._make_handler(seeds)
        self.processes = self._actions.table = ProcessTable(
            scenario,
            kernel,
            record,
            Addresses(self._queue_url, self.http.url, self.redis.url(), "http://127.0.0.1:9"),
            base_environ(),
            self._handler,
            engine.start_delay_us,
        )
        self._rewriting = None if preempt is None else Rewriting(scenario.preempt, preempt, apart=scenario.isolated)
        self._undo: list[Callable[[], object]] = []
        self._ended = False

    def _stopping(self, step: Callable[[Event], None] | None, enough: Callable[[], bool]) -> Callable[[Event], None]:
        def stepped(event: Event) -> None:
            if step is not None:
                step(event)
            if enough():
                self.kernel.stop("violation")

        return stepped

    def _queue_url(self, name: str) -> str:
        """How a process names the queue called *name*: the URL of an SQS queue, the key of one in Redis."""
        if self.redis_queues is not None and name in self.redis_queues.queues:
            return name
        return self.sqs.queue_url(name)

    def _make_services(self, seeds: Seeds) -> QueueService:
        """The services that are simulated here; those that few scenarios use are made at their first call."""
        made = self.world
        sqs = made.services["sqs"] = SqsService(
            KernelTimebase(self.kernel),
            seeds.stream("sqs/ids"),
            self.record,
            chance=seeds.stream("sqs/chance"),
            record_bodies=self.scenario.record_bodies,
        )
        made.makers["cloudwatch"] = lambda: self._make_cloudwatch(sqs)
        made.makers["sns"] = lambda: self._make_sns(sqs, seeds)
        return sqs

    def _make_sns(self, sqs: SqsService, seeds: Seeds) -> Service:
        from harness.environments.service_clock import ServiceClock
        from harness.sim.services.sns import SnsService

        delivery_us = latency.DEFAULT.sampler(seeds.stream("sns/deliveries"))
        clock = ServiceClock(self.kernel, self.record, "sns")
        return SnsService(clock, seeds.stream("sns/ids"), sqs, lambda: delivery_us("aws.sns"))

    def _make_cloudwatch(self, sqs: SqsService) -> Service:
        from harness.environments.service_clock import ServiceClock
        from harness.sim.services.cloudwatch import CloudWatchService

        made = CloudWatchService(ServiceClock(self.kernel, self.record, "cloudwatch"), self.record)
        made.measure(sqs, self.record.events, EPOCH_US)
        return made

    def _make_handler(self, seeds: Seeds) -> HandlerMark | None:
        if self.scenario.handler is None:
            return None
        return HandlerMark(
            self.scenario,
            self.kernel,
            self.engine,
            self.record,
            seeds.stream("handler"),
            self.keys.of_message,
            effect=not self.scenario.effects,
        )

    # -- the run

    def execute(self) -> None:
        """Run the scenario to its end: the workload, the faults, the quiet period.

        Raises:
            SimulationError: the run could not go on. What happened until then is in the history.
            KeyboardInterrupt: Ctrl-C; likewise.
        """
        world.enter(self.world)
        self._undo.append(world.leave)
        try:
            self._set_up()
            self._drive()
            reason = self.kernel.stop_reason or "quiet"
        except BaseException as error:
            self._end(_REASONS.get(type(error), "error"))
            raise
        self._end(reason)

    def _set_up(self) -> None:
        record, scenario = self.record, self.scenario
        if "moto" in scenario.needs:
            self.elsewhere.open()  # now: to import it takes a second
        record("run.start")
        preemption = self.kernel.preemption
        if self._rewriting is not None and preemption is not None:
            self._rewriting.install()
            self._undo.append(self._rewriting.uninstall)
            preemption.record = record
        record.tap("send", self.keys.sent)
        self.sqs.key_of = self.keys.of_send
        self._make_queues()
        for name, responder in scenario.http.items():
            # A class is made for this run: what a responder remembers must not outlive it.
            self.http.respond(name, responder() if isinstance(responder, type) else responder)
        bench = SimulatedBench(self.kernel, record, self.sqs, self.http, self.redis)
        if self.redis_queues is not None:
            bench.redis_queues = self.redis_queues
            self.redis_queues.create()
        self._undo += [effect.observe(bench) for effect in scenario.effects]
        self._undo.append(observe.install(record, key_of=lambda message: self.keys.of_message(None, message)))
        before = points.set_sink(PointsSink(self.kernel, self.engine, record))
        self._undo.append(lambda: points.set_sink(before))
        if self._handler is not None:
            self._undo.append(self._handler.uninstall)
            self.kernel.on_sleep = self.engine.middle
            self.world.wires["asyncio.sleep"] = self.engine.middle_is_due, self.engine.middle
        self._undo.append(self.processes.restore)
        self._undo.append(_silence_last_resort())
        record.outside = "faults"
        self.engine.start()
        self.processes.start_all()
        first = 0
        for workload in scenario.workloads:
            sender = Sender(scenario, workload, first, self.kernel, self.engine, record, self.sqs, self.keys)
            sender.redis_queues = self.redis_queues
            sender.start()
            first += workload.messages

    def _make_queues(self) -> None:
        def arn_of(queue: Queue, dead_letter: str) -> str:
            return f"arn:aws:sqs:{queue.region}:{self.sqs.account}:{dead_letter}"

        for queue, attributes in creations(self.scenario, arn_of):
            self.sqs.create_queue(queue.name, attributes, region=queue.region)

    def _drive(self) -> None:
        """The active part, then the quiet period, which begins anew when something strikes in it."""
        kernel, quiet = self.kernel, self.quiet
        active_us = max(1, round(max(self.scenario.ends, self.plan.last_known_end) * 1_000_000))
        if kernel.run(active_us) == "stopped":
            return
        kernel.now_us = max(kernel.now_us, active_us)
        self.record.outside = "-"
        self.record("run.quiet", until=kernel.now + quiet.seconds)
        self.record.outside = "faults"
        latest_us = active_us + _QUIET_PERIODS_MAX * quiet.us
        while True:
            until_us = min(max(active_us, self.engine.disturbed_until_us) + quiet.us, latest_us)
            if until_us <= kernel.now_us:
                return
            outcome = kernel.run(until_us)
            if outcome == "stopped":
                return
            if outcome == "idle":
                kernel.now_us = max(kernel.now_us, until_us)

    def _end(self, reason: str) -> None:
        self.stop_reason = reason
        self.record.outside = "-"
        self.record(
            "run.end",
            reason=reason,
            queues=self.sqs.inventory() | ({} if self.redis_queues is None else self.redis_queues.inventory()),
            points=self.engine.table(),
            steps=self.kernel.steps,
            **self._preempted(),
        )
        self.record.closed = True
        self.record.flush()

    def _preempted(self) -> dict[str, Any]:
        preemption = self.kernel.preemption
        if preemption is None:
            return {}
        return {"preempt": {"level": preemption.level, "passed": preemption.passed, **preemption.struck}}

    def missed(self) -> list[str]:
        """What pre-emption was asked to rewrite and did not."""
        return [] if self._rewriting is None else self._rewriting.missed()

    def notes(self) -> list[str]:
        """What somebody who reads the verdict should know besides: processes that died, actors that never wake."""
        found = list(self.processes.failures)
        if self.kernel.refused:
            found += [str(error) for error in self.kernel.refused]
        for service in self.world.services.values():
            found += getattr(service, "notes", ())
        return found + self.elsewhere.failures

    def close(self) -> None:
        """Take the run apart. Idempotent."""
        self.record.closed = True
        try:
            self.kernel.close()
        finally:
            while self._undo:
                self._undo.pop()()
            self.elsewhere.close()


def _silence_last_resort() -> Callable[[], object]:
    """Keep log records that nobody handles off the terminal: the history tells what happened; returns the undo."""
    before = logging.lastResort
    logging.lastResort = logging.NullHandler()
    return lambda: setattr(logging, "lastResort", before)


def _longest_failover(plan: FaultPlan) -> float | None:
    """How far back Redis must be able to go: the plan's longest failover, in seconds."""
    return max((float(fault.parameters["lost_seconds"]) for fault in plan if fault.kind == "failover"), default=None)
