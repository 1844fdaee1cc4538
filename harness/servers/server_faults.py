"""Faults on a server: a fault plan of the layers aws and sqs, and rules in the shape of LocalStack's chaos API."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from harness.errors import PlanError, UsageError
from harness.faults.engine import FaultEngine
from harness.faults.plan import FaultPlan
from harness.seeds import Seeds
from harness.servers.service_clock import ServiceClock
from harness.sim.verdicts import Answer, Slow, Verdict
from harness.sim.world import Recorder

__all__ = ["ChaosRule", "ServerFaults"]

_LAYERS: Final = ("aws", "sqs")
_RULE_FIELDS: Final = ("service", "region", "operation", "probability", "error")
_DEFAULT_ERROR: Final = (503, "ServiceUnavailable")


@dataclass(frozen=True)
class ChaosRule:
    """One rule of LocalStack's ``/_localstack/chaos/faults``: what is left out matches everything."""

    service: str | None = None
    region: str | None = None
    operation: str | None = None
    probability: float = 1.0
    status: int = _DEFAULT_ERROR[0]
    code: str = _DEFAULT_ERROR[1]

    @classmethod
    def from_json(cls, document: Any, number: int) -> ChaosRule:
        """Raises UsageError for a field that is unknown or wrong."""
        if not isinstance(document, dict):
            raise UsageError("is no object", field=f"rule {number}")
        for name in document:
            if name not in _RULE_FIELDS:
                raise UsageError(
                    f"there is no field {name!r}", field=f"rule {number}", remedy=f"Use {', '.join(_RULE_FIELDS)}."
                )
        error = document.get("error") or {}
        probability = document.get("probability", 1.0)
        status = error.get("statusCode", _DEFAULT_ERROR[0]) if isinstance(error, dict) else None
        if not isinstance(probability, (int, float)) or isinstance(probability, bool) or not 0 <= probability <= 1:
            raise UsageError(f"must be between 0 and 1, not {probability!r}", field=f"rule {number}.probability")
        if not isinstance(status, int) or isinstance(status, bool) or not 400 <= status <= 599:
            raise UsageError(f"must be an HTTP status of an error, not {status!r}", field=f"rule {number}.error")
        code = error.get("code", _DEFAULT_ERROR[1])
        if not (isinstance(code, str) and code.isascii() and code.isprintable() and code):
            raise UsageError(f"must have a code of printable ASCII, not {code!r}", field=f"rule {number}.error")
        for name in ("service", "region", "operation"):
            if not isinstance(document.get(name, ""), str | None):
                raise UsageError(f"must be a name, not {document[name]!r}", field=f"rule {number}.{name}")
        return cls(
            document.get("service"),
            document.get("region"),
            document.get("operation"),
            float(probability),
            status,
            code,
        )

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            name: getattr(self, name) for name in ("service", "region", "operation") if getattr(self, name) is not None
        }
        return {**document, "probability": self.probability, "error": {"statusCode": self.status, "code": self.code}}

    def reaches(self, service: str, region: str, operation: str) -> bool:
        """Whether it is about such a call."""
        pairs = ((self.service, service), (self.region, region), (self.operation, operation))
        return all(wanted is None or wanted == given for wanted, given in pairs)


class _NoProcesses:
    """A server has no processes to crash: plans that ask for it are refused before."""

    def processes(self) -> Iterable[Any]:
        return ()

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def refuse(*arguments: object) -> NoReturn:
            raise PlanError(f"a server cannot carry out {name}", remedy="Run a scenario for faults of processes.")

        return refuse


class _View:
    """The clock as a fault engine sees it: seconds count from when the plan was given."""

    def __init__(self, clock: ServiceClock) -> None:
        self._clock = clock
        self._origin_us = clock.now_us()
        self.current = None
        self.over = False

    @property
    def now_us(self) -> int:
        return self._clock.now_us() - self._origin_us

    def sleep_us(self, us: int) -> None:
        self._clock.sleep_us(us)

    def park(self, until_us: int | None = None) -> bool:
        raise PlanError("a server cannot hang a handler")

    def call_at(self, at_us: int, function: Callable[[], object]) -> object:
        def unless_over() -> None:
            if not self.over:
                function()

        self._clock.call_at(self._origin_us + at_us, unless_over)
        return None


class ServerFaults:
    """``plan``: in force since :meth:`set_plan`. ``rules``: LocalStack's. ``latency_ms``: of its ``effects``."""

    def __init__(self, clock: ServiceClock, record: Recorder, *, seed: int = 0) -> None:
        self._clock = clock
        self._record = record
        self._seed = seed
        self._random = random.Random(f"{seed}/rules")
        self.rules: list[ChaosRule] = []
        self.latency_ms = 0.0
        self._rule_struck = 0
        self._view = _View(clock)
        self._engine = self._make(FaultPlan())

    @property
    def plan(self) -> FaultPlan:
        """The plan in force."""
        return self._engine.plan

    def set_plan(self, plan: FaultPlan) -> None:
        """From now on *plan* is in force, its seconds counted from here. Raises PlanError for other layers."""
        for index, fault in enumerate(plan):
            if fault.spec.layer not in _LAYERS:
                raise PlanError(
                    f"a server cannot inject {fault.kind} at {fault.target}",
                    field=f"faults[{index}]",
                    remedy="Faults of a server are those of aws.*; run a scenario for the others",
                )
        self._view.over = True
        self._view = _View(self._clock)
        self._engine = self._make(plan)
        self._engine.start()

    def passing(self, service: str, region: str, operation: str, side: str) -> Verdict | None:
        """What strikes this call on this side."""
        verdict = self._engine.passing(f"aws.{service}.{operation}", side)
        if verdict is not None or side != "before":
            return verdict
        for rule in self.rules:
            if rule.reaches(service, region, operation) and self._random.random() < rule.probability:
                self._rule_struck += 1
                text = f"Operation failed due to a simulated fault ({rule.code})"
                return Answer(rule.status, rule.code, text)
        return Slow(self.latency_ms / 1000) if self.latency_ms else None

    def table(self) -> dict[str, Any]:
        """How often each point was passed and struck under the plan in force, and how often a rule struck."""
        return {"points": self._engine.table(), "rules_struck": self._rule_struck}

    def strikes(self) -> list[int]:
        """How often each fault of the plan has struck."""
        return self._engine.strikes()

    def clear(self) -> None:
        """Nothing strikes any more."""
        self.set_plan(FaultPlan())
        self.rules = []
        self.latency_ms = 0.0
        self._rule_struck = 0

    def _make(self, plan: FaultPlan) -> FaultEngine:
        return FaultEngine(plan, Seeds(self._seed), self._view, self._record, _NoProcesses())


def rules_of(document: Any) -> list[ChaosRule]:
    """Raises UsageError for what is no list of rules."""
    if not isinstance(document, list):
        raise UsageError("must be an array of rules", field="faults")
    return [ChaosRule.from_json(one, number) for number, one in enumerate(document, 1)]


def without(rules: Iterable[ChaosRule], gone: Iterable[ChaosRule]) -> list[ChaosRule]:
    """*rules* but for those that equal one of *gone*."""
    away = list(gone)
    return [rule for rule in rules if rule not in away]
