"""The builder behind the pytest fixture ``sim``: a scenario made step by step, run from the test's body.

::

    def test_no_order_is_lost(sim):
        orders = sim.queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=3)
        sim.process("worker", "myshop.worker:main", environ={"QUEUE_URL": "{queue:orders}"})
        sim.effects.point("charged")
        sim.send(orders, [{"order_id": n} for n in range(20)], key="$.order_id")
        sim.inject("aws.sqs.DeleteMessage", "timeout", side="after", nth=3)
        result = sim.run()
        assert result.messages.duplicated <= 1
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import effects as effect_kinds
from harness import runner
from harness.effects import Effect
from harness.errors import HarnessError, ScenarioError
from harness.faults.plan import Fault, FaultPlan
from harness.result import Result
from harness.scenario import Process, Queue, Scenario, Target, Workload
from harness.sim.lambda_consumer import LambdaConsumer

__all__ = ["Effects", "Sim"]

#: Fields of a scenario that have no method of their own; ``sim.set`` takes them.
_FIELDS = frozenset(
    {
        "description",
        "duration",
        "handler",
        "http",
        "invariants",
        "isolate",
        "needs",
        "objectives",
        "preempt",
        "record_bodies",
        "service_time",
    }
)


class Effects:
    """``sim.effects``: says by which effects in the outside world a message counts as processed."""

    def __init__(self) -> None:
        self.declared: list[Effect] = []

    def _add(self, effect: Effect) -> Effect:
        self.declared.append(effect)
        return effect

    def point(self, name: str) -> Effect:
        """``points.effect(name, key)``, called by the code under test."""
        return self._add(effect_kinds.point(name))

    def http(self, call: str, key: str | None = None, *, name: str = "") -> Effect:
        """A call of a stub dependency, as ``"POST {http:payments}/charges"``; *key*: JSON path in its body."""
        return self._add(effect_kinds.http(call, key, name=name))

    def redis(self, command: str, key: str | None = None, *, name: str = "") -> Effect:
        """A Redis write, as ``"SET order:{key}"``."""
        return self._add(effect_kinds.redis(command, key, name=name))

    def sqlite(self, table: str, key: str, *, name: str = "") -> Effect:
        """A row inserted in *table* and committed; *key* is the column of the message's key."""
        return self._add(effect_kinds.sqlite(table, key, name=name))

    def queue(self, name: str, key: str) -> Effect:
        """A message sent to the queue *name*; *key* is a JSON path in its body."""
        return self._add(effect_kinds.queue(name, key))


class Sim:
    """One test's scenario. ``run()`` runs it; a test may run it again, from the start, after adding to it.

    *seed* is the run's; *faults* are those of the marker ``chaos``; *command*
    repeats the test with this seed and stands in every failure; *out* is
    where a history goes that a failing test leaves behind.
    """

    def __init__(
        self,
        name: str = "test",
        *,
        seed: int = 0,
        faults: Iterable[Fault] = (),
        command: str = "",
        remedy: str = "",
        out: Path | None = None,
    ) -> None:
        self.name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "test"
        self.seed = seed
        self.command = command
        self.effects = Effects()
        #: The finished run, after ``run()``.
        self.result: Result | None = None
        self._remedy = remedy
        self._out = out
        self._queues: dict[str, Queue] = {}
        self._processes: list[Process] = []
        self._workloads: list[Workload] = []
        self._faults: list[Fault] = list(faults)
        self._fields: dict[str, Any] = {}

    def queue(self, name: str, **settings: Any) -> Queue:
        """Declare a queue; *settings* as of :class:`harness.Queue`. Its dead-letter queue is made too.

        Raises:
            ScenarioError: the name is taken, or a setting does not fit.
        """
        if name in self._queues:
            raise ScenarioError("is declared already", field=f"sim.queue({name!r})", remedy="Declare each queue once")
        made = self._queues[name] = Queue(name, **settings)
        return made

    def process(
        self,
        name: str,
        target: Target | LambdaConsumer,
        *,
        count: int = 1,
        environ: Mapping[str, str] | None = None,
        queue: Queue | str | None = None,
    ) -> Process:
        """Declare *count* processes that run *target*: ``"module:function"``, or a function.

        With a :class:`harness.LambdaConsumer` it is a Lambda function, which *queue* invokes.
        """
        invoked_by = queue.name if isinstance(queue, Queue) else queue
        made = Process(name, target, count=count, environ=environ or {}, queue=invoked_by)
        self._processes.append(made)
        return made

    def send(
        self,
        queue: Queue | str,
        bodies: Sequence[object],
        *,
        key: str | None = None,
        per_second: float | None = 10,
        start: float = 0,
        group: Callable[[int], str] | None = None,
        attributes: Callable[[int], Mapping[str, Any]] | None = None,
    ) -> Workload:
        """Send *bodies* to *queue* during the run: text as it is, anything else as JSON; *key* as of a workload."""
        name = queue.name if isinstance(queue, Queue) else queue
        held = tuple(bodies)
        made = Workload(
            to=name,
            messages=len(held),
            per_second=per_second,
            body=lambda number: held[number],
            key=key,
            start=start,
            group=group,
            attributes=attributes,
        )
        self._workloads.append(made)
        return made

    def inject(self, target: str, kind: str, **fields: Any) -> Fault:
        """Add a fault; *fields* as of :class:`harness.Fault` (side, start, end, nth, probability, parameters).

        Raises:
            PlanError: there is no such target or kind, or a field does not fit.
        """
        made = Fault(target, kind, **fields)
        self._faults.append(made)
        return made

    def set(self, **fields: Any) -> None:
        """Set other fields of the scenario: handler, invariants, objectives, http, duration, isolate, ...

        Raises:
            ScenarioError: a scenario has no such field, or ``sim`` has a method for it.
        """
        for name in fields:
            if name not in _FIELDS:
                close = difflib.get_close_matches(name, sorted(_FIELDS), n=1)
                raise ScenarioError(
                    "is unknown",
                    field=f"sim.set({name}=...)",
                    remedy=f"Did you mean {close[0]}?" if close else f"Choose from {', '.join(sorted(_FIELDS))}",
                )
        self._fields.update(fields)

    def scenario(self) -> Scenario:
        """What has been said so far, as a scenario.

        Raises:
            ScenarioError: no process or no workload is there, or something does not fit together.
        """
        for what, line in (
            (self._processes, 'sim.process("worker", "myshop.worker:main")'),
            (self._workloads, 'sim.send(orders, [{"order_id": 1}], key="$.order_id")'),
        ):
            if not what:
                raise ScenarioError("nothing to run", field="sim.run()", remedy=f"Add: {line}")
        return Scenario(
            name=self.name,
            processes=self._processes,
            workload=self._workloads,
            queues=list(self._queues.values()),
            effects=self.effects.declared,
            faults=FaultPlan(self._faults),
            **self._fields,
        )

    def run(self, judge: bool = True) -> Result:
        """Run until quiet. With *judge* a verdict that is not *passed* raises; without, judging is the test's.

        Raises:
            InvariantViolated: an invariant was broken; the subclass of that invariant.
            Inconclusive: something could not be judged, or a fault never struck.
            SimulationError: the run could not go on.
        """
        __tracebackhide__ = True
        result = runner.run(self.scenario(), seed=self.seed)
        reason = result.reason
        if result.verdict == "error" and self._remedy:
            reason = f"{reason}\n{self._remedy}"
        self.result = result = dataclasses.replace(result, command=self.command or result.command, reason=reason)
        if judge:
            try:
                result.raise_for_verdict()
            except HarnessError as error:
                raise error.with_traceback(None) from None  # the reader wants the test's line, not ours
        return result

    def save(self) -> Path | None:
        """Write the history of the last run where a reader of the failure finds it; its path."""
        if self.result is None or self._out is None:
            return None
        self._out.mkdir(parents=True, exist_ok=True)
        path = self._out / f"{self.name}.seed-{self.seed}.history.jsonl"
        self.result.history.save(path)
        return path
