"""Builds histories by hand: a header and events, numbered and timed, so that a test shows only what it is about.

::

    h = HistoryBuilder(effects=["charged"])
    h.send("m1", key="7")
    h.receive("m1")
    h.effect("7")
    h.delete("m1")
    verdict = h.judge(no_message_loss())

Every method that adds an event returns its number; time moves by 10 ms with
each event, or to ``at=``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from harness.history import KINDS, SCHEMA, VERSION, Event, History
from harness.invariants.base import Spec, Verdict
from harness.invariants.judge import Judge


class HistoryBuilder:
    """A history of one source queue ``orders`` with the dead-letter queue ``orders-dlq``, unless told otherwise."""

    def __init__(
        self,
        *,
        effects: Iterable[str] = ("charged",),
        fifo: bool = False,
        max_receives: int | None = 3,
        plan: dict[str, Any] | None = None,
        system: dict[str, Any] | None = None,
        objectives: dict[str, Any] | None = None,
    ) -> None:
        suffix = ".fifo" if fifo else ""
        self.queue = f"orders{suffix}"
        self.dlq = f"orders-dlq{suffix}"
        self.header: dict[str, Any] = {
            "schema": SCHEMA,
            "version": VERSION,
            "scenario": "by-hand",
            "seed": 0,
            "plan": plan or {"version": 1, "faults": []},
            "system": {
                "queues": [
                    {
                        "name": self.queue,
                        "fifo": fifo,
                        "visibility_timeout": 30,
                        "dead_letter": self.dlq,
                        "max_receives": max_receives,
                        "retention": 345_600,
                    },
                    {"name": self.dlq, "fifo": fifo, "visibility_timeout": 30, "dead_letter": None},
                ],
                "sources": [self.queue],
                "dead_letter_queues": [self.dlq],
                "processes": [{"name": "worker", "target": "tests:worker", "count": 1}],
                "effects": [{"name": name, "source": "point", "key": None} for name in effects],
                "handler": None,
                "idempotent": False,
                **(system or {}),
            },
            "objectives": objectives or {},
        }
        self.events: list[Event] = []
        self.t = 0.0
        self._us = 0
        self._receives: dict[str, int] = {}
        self._keys: dict[str, str | None] = {}

    def add(
        self, kind: str, message: str | None = None, *, at: float | None = None, actor: str = "worker", **fields: Any
    ) -> int:
        """One event; *at* moves the clock there first, else it moves by 10 ms."""
        assert kind in KINDS, kind
        self._us = self._us + 10_000 if at is None else round(at * 1_000_000)
        self.t = self._us / 1_000_000
        event: dict[str, Any] = {"n": len(self.events) + 1, "t": self.t, "actor": actor, "kind": kind}
        if message is not None:
            event["message"] = message
        event.update(fields)
        self.events.append(event)
        return len(self.events)

    # -- delivery

    def send(self, message: str, key: str | None = None, **fields: Any) -> int:
        """By default the workload sends to the source queue."""
        self._keys[message] = key
        fields = {"queue": self.queue, "origin": "workload", "bytes": 10, **fields}
        fields.setdefault("actor", "workload" if fields["origin"] == "workload" else "worker")
        if key is not None:
            fields["key"] = key
        return self.add("send", message, **fields)

    def dead_letter(self, message: str, key: str | None = None, **fields: Any) -> int:
        """A consumer sends a message to the dead-letter queue."""
        return self.send(message, key, **{"queue": self.dlq, "origin": "process", **fields})

    def _about(self, message: str, fields: dict[str, Any]) -> dict[str, Any]:
        key = self._keys.get(message)
        return fields if key is None else {"key": key, **fields}

    def receive(self, message: str, **fields: Any) -> int:
        count = self._receives[message] = fields.pop("receive_count", self._receives.get(message, 0) + 1)
        at = fields.get("at")
        now = self.t + 0.01 if at is None else at
        fields = {
            "queue": self.queue,
            "receive_count": count,
            "handle": f"{message}-{count}",
            "visible_at": now + 30,
            **fields,
        }
        return self.add("receive", message, **self._about(message, fields))

    def delete(self, message: str, **fields: Any) -> int:
        fields = {"queue": self.queue, "handle": f"{message}-1", "found": True, **fields}
        return self.add("delete", message, **self._about(message, fields))

    def move(self, message: str, **fields: Any) -> int:
        """Native redrive to the dead-letter queue."""
        fields = {"queue": self.queue, "to": self.dlq, "receive_count": self._receives.get(message, 0), **fields}
        return self.add("move", message, **self._about(message, fields))

    def expire(self, message: str, **fields: Any) -> int:
        return self.add("expire", message, **self._about(message, {"queue": self.queue, **fields}))

    def effect(self, key: str, name: str = "charged", **fields: Any) -> int:
        return self.add("effect", name=name, key=key, source="point", **fields)

    def quarantine(self, message: str, key: str | None = None, **fields: Any) -> int:
        return self.add("quarantine", message, key=key, reason="too many failures", **fields)

    def handled(self, message: str, key: str) -> tuple[int, int, int]:
        """A delivery that went well: receive, effect, delete."""
        return self.receive(message), self.effect(key), self.delete(message)

    def handler(self, key: str, outcome: str = "ok", **fields: Any) -> tuple[int, int]:
        """The declared handler ran; *outcome* is ok or error."""
        error = {} if outcome == "ok" else {"error": "ValueError"}
        start = self.add("handler.start", key=key, **fields)
        return start, self.add("handler.end", key=key, outcome=outcome, took=0.01, **error, **fields)

    # -- breakers

    def breaker(self, name: str = "payments", **limits: Any) -> int:
        """A breaker was made: by default it opens after three failures, for 60 s, with one probe."""
        made: dict[str, Any] = {
            "library": "test",
            "failure_threshold": 3,
            "recovery_timeout": 60.0,
            "half_open_permits": 1,
            "success_threshold": 1,
            "mode": "consecutive",
            **limits,
        }
        return self.add("breaker.created", breaker=name, **made)

    def begin(self, call: int, state: str = "closed", generation: int = 1, **fields: Any) -> int:
        """A call was let in."""
        fields = {"breaker": "payments", "state": state, "generation": generation, "call": call, **fields}
        return self.add("breaker.begin", **fields)

    def called(self, call: int, outcome: str, state: str = "closed", generation: int = 1, **fields: Any) -> int:
        """A call ended (or was rejected)."""
        transient = True if outcome == "failure" else None
        fields = {
            "breaker": "payments",
            "outcome": outcome,
            "state": state,
            "generation": generation,
            "error": None,
            "transient": transient,
            "call": call,
            **fields,
        }
        return self.add("breaker.call", **fields)

    def call(self, call: int, outcome: str, state: str = "closed", generation: int = 1, **fields: Any) -> int:
        """A call began and ended; returns the number of its end."""
        self.begin(call, state, generation)
        return self.called(call, outcome, state, generation, **fields)

    def transition(self, before: str, after: str, generation: int, **fields: Any) -> int:
        """A breaker changed its state; *generation* is the new one."""
        fields = {"breaker": "payments", "to": after, "generation": generation, "reason": "", **fields}
        return self.add("breaker.transition", **{"from": before}, **fields)

    # -- retries

    def policy(self, name: str = "pay", **limits: Any) -> int:
        """A retry policy: by default four attempts, a cap of 10 s, no deadline."""
        limits = {"library": "test", "max_attempts": 4, "cap": 10.0, "deadline": None, **limits}
        return self.add("retry.policy", policy=name, **limits)

    def attempt(self, call: int, attempt: int, outcome: str = "error", **fields: Any) -> int:
        fields = {
            "policy": "pay",
            "call": call,
            "attempt": attempt,
            "outcome": outcome,
            "permanent": False if outcome == "error" else None,
            **fields,
        }
        return self.add("retry.attempt", **fields)

    def sleep(self, call: int, attempt: int, delay: float, *, wait: bool = True, **fields: Any) -> int:
        """A wait of *delay* seconds begins; unless told otherwise it is waited before the next event."""
        fields = {
            "policy": "pay",
            "call": call,
            "attempt": attempt,
            "delay": delay,
            "low": None,
            "high": None,
            **fields,
        }
        number = self.add("retry.sleep", **fields)
        if wait:
            self._us += round(delay * 1_000_000)
        return number

    def failed(self, point: str, **fields: Any) -> int:
        """A service call failed for the caller."""
        return self.add(
            "call.failed", **{"point": point, "error": "ServiceUnavailable", "fault": 0, "took": 0.0, **fields}
        )

    # -- faults and the end

    def strike(self, point: str, fault_kind: str, **fields: Any) -> int:
        return self.add("fault.strike", actor="faults", fault=0, point=point, fault_kind=fault_kind, **fields)

    def window(self, start: float, end: float, target: str = "aws.sqs.*") -> int:
        """A fault's window, opened and closed; returns the number of its end."""
        fields = {"fault": 0, "target": target, "fault_kind": "unavailable", "actor": "faults"}
        self.add("fault.start", at=start, **fields)
        return self.add("fault.end", at=end, **fields)

    def end(self, reason: str = "quiet", **fields: Any) -> int:
        """The run is over; by default three minutes after the last event."""
        fields.setdefault("at", self.t + 180)
        return self.add("run.end", actor="-", reason=reason, **fields)

    # -- judging

    @property
    def history(self) -> History:
        return History(self.header, self.events)

    def judged(self, specs: Sequence[Spec]) -> Judge:
        """A judge that has seen every event; the run is ended first where the test did not."""
        if not self.events or self.events[-1]["kind"] != "run.end":
            self.end()
        judge = Judge(specs, self.header)
        for event in self.events:
            judge.step(event)
        return judge

    def judge(self, spec: Spec) -> Verdict:
        """The one verdict of *spec*."""
        verdicts = self.judged([spec]).finish()
        assert len(verdicts) == 1
        return verdicts[0]
