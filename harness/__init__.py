"""A chaos and fault-injection testing harness for SQS and Redis messaging systems.

A map of the code:

* ``harness.resilience``: production components (retry, breaker, dead letters, ...); standard library only.
* ``harness.points``: marks for production code; standard library only, nothing outside a run.
* ``scenario``, ``loading``: what is run; ``runner``, ``result``: running it and what came of it.
* ``audit``: the settings of queues, and a template's queues for a scenario.
* ``faults``: plans, kinds of faults, the engine that lets them strike, the fault model.
* ``sim``: the deterministic simulation: kernel, patches, services, wires; ``environments`` put a scenario in it.
* ``history``, ``invariants``, ``observe``, ``effects``: what happened, and whether it may.
* ``explore``: search, sweep, stories, counterexamples, replays; ``strategies``: the same for Hypothesis.
* ``report``, ``cli``, ``pytest_plugin``: what people see.

The names below are imported on first use, so that ``import harness.points``
in a production process costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness import effects as effects
    from harness import faults as faults
    from harness import invariants as invariants
    from harness import points as points
    from harness import strategies as strategies
    from harness.audit.queues import from_template as from_template
    from harness.explore.search import search as search
    from harness.explore.sweep import sweep as sweep
    from harness.faults.plan import Fault as Fault
    from harness.faults.plan import FaultPlan as FaultPlan
    from harness.history import History as History
    from harness.invariants.base import Verdict as Verdict
    from harness.objectives import Objectives as Objectives
    from harness.redis_queues import RedisList as RedisList
    from harness.redis_queues import RedisStream as RedisStream
    from harness.result import Result as Result
    from harness.runner import run as run
    from harness.scenario import Process as Process
    from harness.scenario import Queue as Queue
    from harness.scenario import Scenario as Scenario
    from harness.scenario import Workload as Workload
    from harness.sim.lambda_consumer import LambdaConsumer as LambdaConsumer

__version__ = "0.1.0"

_NAMES = {
    "Fault": "harness.faults.plan",
    "FaultPlan": "harness.faults.plan",
    "History": "harness.history",
    "LambdaConsumer": "harness.sim.lambda_consumer",
    "Objectives": "harness.objectives",
    "Process": "harness.scenario",
    "Queue": "harness.scenario",
    "RedisList": "harness.redis_queues",
    "RedisStream": "harness.redis_queues",
    "Result": "harness.result",
    "Scenario": "harness.scenario",
    "Verdict": "harness.invariants.base",
    "Workload": "harness.scenario",
    "from_template": "harness.audit.queues",
    "run": "harness.runner",
    "search": "harness.explore.search",
    "sweep": "harness.explore.sweep",
}
_MODULES = ("effects", "faults", "invariants", "points", "resilience", "strategies")

__all__ = [
    "Fault",
    "FaultPlan",
    "History",
    "LambdaConsumer",
    "Objectives",
    "Process",
    "Queue",
    "RedisList",
    "RedisStream",
    "Result",
    "Scenario",
    "Verdict",
    "Workload",
    "effects",
    "faults",
    "from_template",
    "invariants",
    "points",
    "resilience",
    "run",
    "search",
    "strategies",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        try:
            value = getattr(importlib.import_module(_NAMES[name]), name)
        except ModuleNotFoundError as error:
            if error.name and error.name.startswith("harness"):
                raise
            raise ImportError(
                f"harness.{name} needs {error.name}, which is not installed: pip install 'resilience-harness[sim]'"
            ) from error
    elif name in _MODULES:
        value = importlib.import_module(f"harness.{name}")
    else:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
