"""Histories made by a small queue model, rich enough to draw before anything is simulated."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Any

from harness.history import History


@dataclass
class Outage:
    """Between *start* and *end* handling fails."""

    start: float
    end: float


@dataclass
class Model:
    """A source queue, some workers, a dependency with outages, one breaker."""

    name: str = "synthetic"
    load: float = 300.0
    per_second: float = 10.0
    quiet: float = 100.0
    workers: int = 4
    service: float = 0.2
    visibility: float = 30.0
    max_receives: int = 3
    faults: list[dict[str, Any]] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    breaker: bool = True
    crashes: list[tuple[float, float]] = field(default_factory=list)
    poison: float = 0.0
    jumps: list[tuple[float, float]] = field(default_factory=list)
    seed: int = 1


def fault(target: str, kind: str, **fields: Any) -> dict[str, Any]:
    """One fault as a plan's JSON holds it."""
    base = {"target": target, "kind": kind, "side": "before", "start": None, "end": None, "nth": None}
    return {**base, "probability": 1.0, "parameters": {}, **fields}


class _Run:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.random = random.Random(model.seed)
        self.agenda: list[tuple[float, int, str, Any]] = []
        self.order = 0
        self.raw: list[dict[str, Any]] = []
        self.waiting: list[str] = []
        self.receives: dict[str, int] = {}
        self.idle = model.workers
        self.state, self.failures, self.generation = "closed", 0, 1
        self.down = 0

    def at(self, t: float, what: str, data: Any = None) -> None:
        self.order += 1
        heapq.heappush(self.agenda, (t, self.order, what, data))

    def emit(self, t: float, kind: str, message: str | None = None, actor: str = "worker.1", **fields: Any) -> None:
        event: dict[str, Any] = {"t": round(t, 6), "actor": actor, "kind": kind}
        if message is not None:
            event["message"] = message
        self.raw.append({**event, **fields})

    def broken(self, t: float) -> bool:
        return any(o.start <= t < o.end for o in self.model.outages)

    def turn(self, t: float, after: str) -> None:
        self.generation += 1
        self.emit(
            t, "breaker.transition", breaker="payments", to=after, generation=self.generation, **{"from": self.state}
        )
        self.state, self.failures = after, 0
        if after == "open":
            self.at(t + 30, "half-open")

    def receive(self, t: float) -> None:
        while self.idle and self.waiting and not self.down:
            message = self.waiting.pop(0)
            self.idle -= 1
            count = self.receives[message] = self.receives.get(message, 0) + 1
            fields = {"queue": "orders", "receive_count": count, "handle": f"{message}/{count}"}
            self.emit(t, "receive", message, visible_at=t + self.model.visibility, **fields)
            self.at(t + self.model.service * self.random.uniform(0.5, 1.5), "done", message)

    def done(self, t: float, message: str) -> None:
        self.idle += 1
        poison = int(message[1:]) in self.poisoned
        if self.model.breaker and self.state == "open":
            self.emit(t, "breaker.call", message, breaker="payments", outcome="rejected", state="open")
            return self.again(t, message)
        if self.broken(t) or poison:
            self.emit(t, "call.failed", message, point="dependency.payments", error="503", fault=0, took=0.1)
            self.emit(t, "fault.strike", fault=0, point="dependency.payments.before", fault_kind="status", actor="-")
            self.failures += 1
            if self.model.breaker and not poison and (self.failures >= 5 or self.state == "half_open"):
                self.turn(t, "open")
            return self.again(t, message)
        if self.state == "half_open":
            self.turn(t, "closed")
        self.emit(t, "effect", message, name="charged", key=message[1:], source="http")
        self.emit(t, "delete", message, queue="orders", handle=message, found=True)
        return None

    def again(self, t: float, message: str) -> None:
        limit = self.model.max_receives if int(message[1:]) in self.poisoned else 10**6
        if self.receives[message] >= limit:
            self.emit(t, "move", message, queue="orders", to="orders-dlq", receive_count=limit)
        else:
            self.emit(t, "visibility", message, queue="orders", handle=message, visible_at=t + 10)
            self.at(t + 10, "visible", message)

    def go(self) -> History:
        model = self.model
        total = int(model.load * model.per_second)
        self.poisoned = {n for n in range(total) if self.random.random() < model.poison}
        for n in range(total):
            self.at(n / model.per_second, "send", f"m{n}")
        for index, spec in enumerate(model.faults):
            for edge in ("start", "end"):
                if spec["nth"] is None and spec[edge] is not None:
                    self.at(spec[edge], f"fault.{edge}", index)
        for down, up in model.crashes:
            self.at(down, "crash")
            self.at(up, "restart")
        for t, seconds in model.jumps:
            self.at(t, "jump", seconds)
        self.at(model.load, "quiet")
        end = model.load + model.quiet
        self.emit(0, "run.start", actor="-")
        while self.agenda and self.agenda[0][0] <= end:
            t, _, what, data = heapq.heappop(self.agenda)
            self.step(t, what, data)
            self.receive(t)
        self.emit(end, "run.end", actor="-", reason="quiet")
        events = [{"n": n, **event} for n, event in enumerate(self.raw, start=1)]
        return History(self.header(), events)  # type: ignore[arg-type]  # a dict is a Mapping

    def step(self, t: float, what: str, data: Any) -> None:
        if what == "send":
            self.emit(t, "send", data, actor="workload", queue="orders", bytes=20, origin="workload")
            self.waiting.append(data)
        elif what == "done":
            self.done(t, data)
        elif what == "visible":
            self.waiting.append(data)
        elif what == "half-open":
            self.turn(t, "half_open")
        elif what == "quiet":
            self.emit(t, "run.quiet", actor="-", until=t + self.model.quiet)
        elif what == "jump":
            self.emit(t, "clock.jump", actor="faults", process="worker.1", seconds=data, offset=data)
        elif what == "crash":
            self.down += 1
            self.emit(t, "process.crash", actor="faults", process="worker.1")
        elif what == "restart":
            self.down -= 1
            self.emit(t, "process.start", actor="-", process="worker.1", incarnation=2)
        else:
            spec = self.model.faults[data]
            self.emit(t, what, actor="faults", fault=data, target=spec["target"], fault_kind=spec["kind"])

    def header(self) -> dict[str, Any]:
        model = self.model
        return {
            "schema": "harness-history",
            "version": 1,
            "scenario": model.name,
            "seed": model.seed,
            "backend": "memory",
            "plan": {"version": 1, "faults": model.faults},
            "system": {
                "queues": [{"name": "orders"}, {"name": "orders-dlq"}],
                "sources": ["orders"],
                "dead_letter_queues": ["orders-dlq"],
                "processes": [{"name": "worker", "target": "shop:main", "count": 1}],
                "effects": [{"name": "charged", "source": "http", "key": "$.order_id"}],
            },
            "workload": [
                {"to": "orders", "messages": int(model.load * model.per_second), "per_second": model.per_second}
            ],
            "duration": model.load,
            "quiet_period": model.quiet,
            "invariants": ["no-message-loss"],
        }


def history(model: Model) -> History:
    """The history that *model* makes; the same for the same model."""
    return _Run(model).go()


def outage() -> Model:
    """Five minutes, the dependency is down for one of them, a crash, poison messages."""
    return Model(
        name="downstream-down",
        faults=[
            fault("dependency.payments", "status", start=60, end=120, parameters={"code": 503}),
            fault("process.worker", "crash", nth=1),
        ],
        outages=[Outage(60, 120)],
        crashes=[(200, 215)],
        poison=0.01,
    )


def hour() -> Model:
    """One hour, many faults."""
    faults = [fault("dependency.payments", "status", start=600 * n, end=600 * n + 120) for n in range(1, 6)]
    faults += [
        fault("aws.sqs.ReceiveMessage", "throttled", start=900, end=1500, probability=0.3),
        fault("aws.sqs.DeleteMessage", "timeout", side="after", start=1800, end=1860),
        fault("redis.*", "refused", start=2400, end=2700),
        fault("clock.worker", "jump", start=3000, parameters={"seconds": 240}),
        fault("process.worker", "crash", start=500, end=3300, probability=0.01),
        fault("workload.orders", "malformed", start=0, end=3600, probability=0.05),
    ]
    return Model(
        name="rolling-mix",
        load=3600,
        per_second=3,
        quiet=300,
        faults=faults,
        outages=[Outage(600 * n, 600 * n + 120) for n in range(1, 6)],
        crashes=[(500 + 400 * n, 530 + 400 * n) for n in range(7)],
        poison=0.02,
        jumps=[(3000, 240.0)],
    )


def short() -> Model:
    """Six seconds, one strike, no breaker."""
    return Model(
        name="one-lost-answer",
        load=4,
        per_second=5,
        quiet=2,
        faults=[fault("aws.sqs.DeleteMessage", "timeout", side="after", nth=3)],
        breaker=False,
    )


def calm() -> Model:
    """No faults at all."""
    return Model(name="calm", load=120, per_second=4, quiet=60, breaker=False)
