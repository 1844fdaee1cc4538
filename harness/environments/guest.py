"""Runs what was not written for the simulation, such as somebody's test, inside the kernel; or beside it.

The guest brings its own AWS (moto) and its own Redis (fakeredis). Their calls
pass fault points (:mod:`harness.sim.wire.mocked_aws`,
:mod:`harness.sim.wire.mocked_redis`); everything else is the kernel's: time,
threads, chance, and the refusal of the real world.

What the kernel refuses can run *outside* it: the same faults at the same
points, while real time goes on. Waiting that a fault brings (a timeout) then
takes no time at all.

One guest a process: nothing is put back, so that the process should be a
child that ends with it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harness.environments.actions import SimulatedActions
from harness.environments.callers import Callers
from harness.environments.recorder import HistoryRecorder
from harness.environments.simulated import base_environ
from harness.errors import SimulationError
from harness.faults.engine import FaultEngine
from harness.faults.plan import FaultPlan
from harness.faults.watched import WatchedEngine
from harness.seeds import Seeds
from harness.sim import world as _world
from harness.sim.kernel import Kernel
from harness.sim.wire import mocked_aws, mocked_privates, mocked_redis
from harness.sim.world import World

__all__ = ["Called", "Guest", "Handled", "Stay", "warm"]


@dataclass(frozen=True)
class Called:
    """One passing of a point. ``site``: the line that called; ``own``: the test itself called, no code under test."""

    point: str
    side: str
    nth: int
    site: str
    own: bool


@dataclass(frozen=True)
class Handled:
    """What became of SQS messages and of the outside world, one step after the other, in the code under test.

    ``what``: "receive" and "delete" with the message's body in ``of``; "effect" with the point of a call that
    changed something.
    """

    what: str
    of: str


@dataclass
class Stay:
    """How a guest's stay ended.

    ``ended``: "done", "hang" (it never came to its end), or "refused" (the kernel cannot run it; ``reason`` says why).
    ``refused``: what it asked of the real world, even if it went on without.
    """

    ended: str = "done"
    reason: str = ""
    called: list[Called] = field(default_factory=list)
    handled: list[Handled] = field(default_factory=list)
    struck: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    seconds: float = 0.0


class _Outside:
    """Stands for the kernel where there is none: a clock that moves only when somebody waits for a fault or a call."""

    def __init__(self) -> None:
        self.now_us = 0
        self.current = None
        self.closing = False
        self.last_event = 0

    @property
    def now(self) -> float:
        return self.now_us / 1_000_000

    def sleep_us(self, us: int) -> None:
        self.now_us += us

    def park(self, until_us: int | None = None) -> bool:
        self.now_us = max(self.now_us, until_us or 0)
        return False

    def call_at(self, at_us: int, function: Callable[[], object]) -> None:
        raise SimulationError("outside the kernel a fault strikes at passings only, not at times")


class Guest:
    """One stay: make it, ``run(function)``, look at what it returns.

    Args:
        plan: faults that strike the n-th passing of a point.
        seed: of everything that is drawn.
        callers: tells who calls.
        inside: in the kernel, in virtual time; else beside it.
        max_seconds: of virtual time, after which it hangs; *max_steps* of the kernel likewise.
    """

    def __init__(
        self,
        plan: FaultPlan,
        seed: int,
        callers: Callers,
        *,
        inside: bool = True,
        max_seconds: float = 86_400.0,
        max_steps: int = 5_000_000,
        watchdog_seconds: float = 10.0,
    ) -> None:
        seeds = Seeds(seed)
        self._inside = inside
        self._max_seconds = max_seconds
        self._callers = callers
        self._counts: dict[tuple[str, str], int] = {}
        self._stay = Stay()
        self._bodies: dict[str, str] = {}  # of messages, by receipt handle
        self._kernel: Any = _Outside()
        if inside:
            self._kernel = Kernel(seeds, max_steps=max_steps, watchdog_seconds=watchdog_seconds)
        record = HistoryRecorder(self._kernel)
        actions = SimulatedActions(self._kernel, record)
        self._engine: FaultEngine = WatchedEngine(self._passed, plan, seeds, self._kernel, record, actions)
        self._world = World(self._kernel, self._engine, record)
        mocked_aws.install(self._world, self._carried, seed)
        mocked_redis.install(self._world, self._commanded)

    def run(self, function: Callable[[], object]) -> Stay:
        """Run *function* to its end, or until it is clear that it has none."""
        stay = self._stay
        if self._inside:
            _world.enter(self._world)
            process = self._kernel.start_process("test", function)
            try:
                self._kernel.run(round(self._max_seconds * 1_000_000))
            except SimulationError as error:
                stay.ended, stay.reason = "refused", _first_line(error)
            else:
                if process.alive:
                    stay.ended = "hang"
                    stay.reason = f"it did not end within {self._max_seconds:,.0f} virtual seconds"
            stay.refused = [_first_line(error) for error in self._kernel.refused]
        else:
            function()
        stay.struck = self._engine.strikes()
        stay.seconds = self._kernel.now_us / 1_000_000
        return stay

    def _passed(self, point: str, side: str, key: str | None) -> None:
        nth = self._counts[point, side] = self._counts.get((point, side), 0) + 1
        site, own = self._callers.now()
        self._stay.called.append(Called(point, side, nth, site, own))

    def _carried(self, call: mocked_aws.Carried) -> None:
        """moto has carried out a call: what does that mean to messages and to the world outside?"""
        if call.status >= 400 or self._callers.now()[1]:
            return
        note = self._stay.handled.append
        if call.service == "sqs" and call.operation == "ReceiveMessage":
            for message in call.answered.get("Messages") or ():
                body = self._bodies[message["ReceiptHandle"]] = str(message.get("Body"))
                note(Handled("receive", body))
        elif call.service == "sqs" and call.operation in ("DeleteMessage", "DeleteMessageBatch"):
            for entry in call.asked.get("Entries", [call.asked]):
                if entry.get("ReceiptHandle") in self._bodies:
                    note(Handled("delete", self._bodies[entry["ReceiptHandle"]]))
        elif _changes(call.service, call.operation):
            for _ in call.asked.get("Entries", (None,)):
                note(Handled("effect", f"aws.{call.service}.{call.operation}"))

    def _commanded(self, name: str) -> None:
        from harness.sim.services.redis_engine import command_flags

        if "write" in command_flags(name) and not self._callers.now()[1]:
            self._stay.handled.append(Handled("effect", f"redis.{name}"))


def warm(services: Iterable[str]) -> None:
    """Read from disk, once and for all children, what clients of these AWS services and moto need of it.

    Most of what a repetition costs is botocore's descriptions of services.
    """
    import boto3.session
    import botocore.session
    from botocore.exceptions import BotoCoreError

    names = list(services)
    for name in (*names, "iam", "sts"):  # every service of moto asks these two who calls
        mocked_privates.load_moto(name)
    inspect.getmodule(sys._getframe())  # it looks at every module's path, once, for the source in a failure's report

    def make_clients() -> None:
        # moto looks in botocore's own folder, boto3 in one more.
        for make in (botocore.session.Session().create_client, boto3.session.Session().client):
            for name in names:
                with suppress(BotoCoreError):  # its test will say what is wrong
                    make(name)

    seeds = Seeds(0)
    kernel = Kernel(seeds)
    record = HistoryRecorder(kernel)
    engine = FaultEngine(FaultPlan(), seeds, kernel, record, SimulatedActions(kernel, record))
    _world.enter(World(kernel, engine, record))
    try:
        kernel.start_process("warm", make_clients, environ=dict(base_environ()))
        kernel.run()
    finally:
        kernel.close()
        _world.leave()


_READS = ("Assume", "BatchGet", "Check", "Decode", "Describe", "Estimate", "Get", "Head", "List", "Lookup", "Query",
          "Scan", "Search", "Select", "Simulate", "Test", "TransactGet", "Validate", "Verify")  # fmt: skip


def _changes(service: str, operation: str) -> bool:
    """Whether a call is an effect: it changes something in the outside world, beside a message's being in hand."""
    if service == "sqs":
        return operation.startswith("SendMessage")
    return not operation.startswith(_READS)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
