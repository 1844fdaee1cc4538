"""Runs a scenario: builds its environment, drives it to its end, and judges the history.

``run`` is the one entry; everything that runs a scenario (the command line,
the pytest fixture, search) goes through it.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.environments import simulated
from harness.environments.live.options import LiveOptions
from harness.environments.moto import MotoRun
from harness.errors import ScenarioError, SimulationError, UsageError
from harness.faults.model import weaken
from harness.faults.plan import Fault, FaultPlan
from harness.faults.points import validate
from harness.faults.watched import Passed
from harness.history import SCHEMA, VERSION, Event, History, Writer
from harness.invariants.judge import Judge
from harness.invariants.recovery import recovery_of
from harness.redact import redact_name
from harness.redis_queues import RedisList, RedisStream
from harness.result import Result, overall
from harness.scenario import Process, Scenario
from harness.sim import preempt as preemption
from harness.sim import real
from harness.sim.lambda_consumer import LambdaConsumer
from harness.sim.preempt import Level

__all__ = ["Options", "header_of", "install", "run", "uninstall"]

_VERSIONS_OF = ("boto3", "botocore", "redis", "fakeredis", "greenlet", "hypothesis", "moto")
_ENVIRONMENTS: dict[str, type[simulated.SimulatedRun]] = {"memory": simulated.SimulatedRun, "moto": MotoRun}
_NEEDS: dict[str, tuple[str, ...]] = {"moto": ("moto",), "live": ("toxiproxy", "httptools", "cbor2")}
_installed = False


def install() -> None:
    """Put the simulation's shims in, before the user's modules are imported. Idempotent."""
    global _installed
    simulated.install()  # each part looks for itself, should somebody have taken one out
    if not _installed:
        _installed = True
        atexit.register(uninstall)


def uninstall() -> None:
    """Take the shims out at the end of a command or session. Idempotent."""
    global _installed
    if _installed:
        _installed = False
        atexit.unregister(uninstall)
        simulated.uninstall()


@dataclass(frozen=True)
class Options:
    """How a run is done, beside what is run.

    *tape* is a recorded schedule to follow; *stop_early* ends the run at the
    first violation; *durable* writes each event at once; *judge* = False
    leaves judging to the caller. *preempt* rewrites the scenario's modules of
    that name so that they give way inside their blocks, at the level
    ``calls`` or ``statements`` (:mod:`harness.sim.preempt`). *witness* is
    called with each event where it happens, in its actor, and *passed* with each passing of a fault point. A run ends
    as error after *max_steps* steps
    of the kernel, after *max_instant_steps* at one virtual instant, and after
    *watchdog_seconds* of real time without a step. *live* says which servers a live run uses.
    """

    tape: Sequence[int] | None = None
    stop_early: bool = False
    durable: bool = False
    judge: bool = True
    preempt: Level | None = None
    witness: Callable[[Event], None] | None = None
    passed: Passed | None = None
    max_steps: int = 50_000_000
    max_instant_steps: int = 1_000_000
    watchdog_seconds: float = 10.0
    live: LiveOptions = field(default_factory=LiveOptions)


def run(
    scenario: Scenario,
    *,
    faults: FaultPlan | Iterable[Fault] | None = None,
    seed: int = 0,
    backend: str = "memory",
    out: Path | str | None = None,
    options: Options | None = None,
) -> Result:
    """Run *scenario* once and judge it.

    *faults* replaces the scenario's plan. With *out* (a folder) the history
    is written there as it happens, as ``<scenario>/history.jsonl``.

    Raises:
        UsageError: the scenario, the plan or the backend is wrong; nothing has been written then.
        NestedSimulation: called from inside a run.
    """
    if not isinstance(scenario, Scenario):
        raise ScenarioError(f"run() was given {type(scenario).__name__}", remedy="Hand in a harness.Scenario")
    options = options or Options()
    plan = scenario.plan if faults is None else faults if isinstance(faults, FaultPlan) else FaultPlan(faults)
    left_out = _left_out(scenario, backend)
    if left_out:
        return _empty(scenario, plan, seed, backend, left_out)
    if options.preempt is not None:
        preemption.check(scenario.preempt, options.preempt, scenario.name, backend)
    if backend == "live":
        return _run_live(scenario, plan, seed, Path(out) if out is not None else None, options)
    install()
    validate(plan, scenario, backend)
    return _run_simulated(scenario, plan, seed, backend, Path(out) if out is not None else None, options)


def _left_out(scenario: Scenario, backend: str) -> str:
    """Why *scenario* cannot run on *backend* here; "" if it can."""
    if backend not in ("memory", "moto", "live"):
        raise ScenarioError(f"is {backend!r}", field="backend", remedy="Choose memory, moto or live")
    if backend not in scenario.backends:
        return f"it does not name the backend {backend!r} (backends={list(scenario.backends)})"
    needs = dict.fromkeys((*scenario.needs, *_NEEDS.get(backend, ())))
    missing = [name for name in needs if importlib.util.find_spec(name) is None]
    if missing:
        # The consumers of others in the catalogue are modules that their packages do not share a name with.
        of_others = Path(scenario.file or "").parent.name == "others"
        package = "'resilience-harness[adapters]'" if of_others else " ".join(missing)
        return f"it needs {', '.join(missing)}, which is not installed (pip install {package})"
    in_redis = any(isinstance(queue, (RedisList, RedisStream)) for queue in scenario.queues)
    if backend == "live" and in_redis and shutil.which("redis-server") is None:
        return "it has queues in Redis, which a live run sees in a redis-server only (Debian: apt install redis-server)"
    return ""


def _empty(scenario: Scenario, plan: FaultPlan, seed: int, backend: str, reason: str) -> Result:
    return Result(
        scenario=scenario.name,
        verdict="left out",
        seed=seed,
        backend=backend,
        history=History(header_of(scenario, plan, seed, backend, [], [])),
        reason=reason,
        sentence=scenario.sentence,
        command=_command(scenario, seed, backend),
    )


def header_of(
    scenario: Scenario,
    plan: FaultPlan,
    seed: int,
    backend: str,
    invariants: Sequence[Any],
    weakened: Sequence[Any],
) -> dict[str, Any]:
    """The header of a run's history: all that judging and drawing need to know beside the events."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "scenario": scenario.name,
        "file": scenario.file,
        "sentence": scenario.sentence,
        "seed": seed,
        "backend": backend,
        "plan": plan.to_json(),
        "environment": {"python": platform.python_version(), "implementation": sys.implementation.name},
        "versions": {name: _version(name) for name in ("resilience-harness", *_VERSIONS_OF)},
        "retry_mode": simulated.retry_mode(),
        "latency_model": simulated.latency_model(),
        "system": {
            "queues": [
                {
                    "name": queue.name,
                    "fifo": queue.fifo,
                    "visibility_timeout": queue.visibility_timeout,
                    "dead_letter": queue.dead_letter,
                    "max_receives": queue.max_receives,
                    "retention": queue.retention,
                }
                for queue in scenario.queues
            ],
            "sources": list(scenario.sources),
            "dead_letter_queues": list(scenario.dead_letter_queues),
            "processes": [
                {"name": one.name, "target": _target_name(one.code), "count": one.count, **_lambda(one)}
                for one in scenario.processes
            ],
            "effects": _effects(scenario),
            "handler": None if scenario.handler is None else _target_name(scenario.handler),
            "idempotent": any(getattr(spec, "name", "") == "effects-once" for spec in scenario.invariants or ()),
        },
        "workload": [
            {
                "to": work.to,
                "messages": work.messages,
                "per_second": work.per_second,
                "start": work.start,
                "key": work.key,
            }
            for work in scenario.workloads
        ],
        "duration": scenario.ends,
        "objectives": scenario.objectives.to_json(),
        "invariants": [spec.to_json() for spec in invariants],
        "weakened": list(weakened),
    }


def _effects(scenario: Scenario) -> list[dict[str, Any]]:
    if scenario.effects:
        found = [effect.to_json() for effect in scenario.effects]
        return [{**one, "name": redact_name(one["name"])} for one in found]  # as events have it
    if scenario.handler is not None:
        return [{"name": "handled", "source": "handler", "key": None}]
    return []


@functools.cache
def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _target_name(target: Any) -> str:
    return target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"


def _lambda(process: Process) -> dict[str, Any]:
    """What the header says of a Lambda function beside its handler."""
    if not isinstance(process.target, LambdaConsumer):
        return {}
    return {"queue": process.queue, "lambda": process.target.to_json()}


def _command(scenario: Scenario, seed: int, backend: str, preempt: str | None = None) -> str:
    where = f" {scenario.file}" if scenario.file else f" {scenario.name}"
    suffix = "" if backend == "memory" else f" --backend {backend}"
    suffix += "" if preempt is None else f" --preempt {preempt}"
    return f"harness run{where} --seed {seed}{suffix}"


def _run_simulated(
    scenario: Scenario, plan: FaultPlan, seed: int, backend: str, out: Path | None, options: Options
) -> Result:
    specs, weakened = weaken(tuple(scenario.invariants or ()), plan.to_json())
    header = header_of(scenario, plan, seed, backend, specs, weakened)
    if options.preempt is not None:
        header["preempt"] = {"level": options.preempt, "modules": list(scenario.preempt)}
    judge = Judge(specs, header)
    began = real.perf_counter()
    path = None if out is None else out / scenario.name / "history.jsonl"
    writer = _open(path, header, options)
    simulation = _ENVIRONMENTS[backend](
        scenario,
        plan,
        seed,
        step=_step(judge, options),
        enough=(lambda: judge.violated) if options.stop_early else None,
        writer=writer,
        tape=options.tape,
        max_steps=options.max_steps,
        max_instant_steps=options.max_instant_steps,
        watchdog_seconds=options.watchdog_seconds,
        preempt=options.preempt,
        passed=options.passed,
    )
    failure: SimulationError | None = None
    try:
        simulation.execute()
    except SimulationError as error:
        failure = error
    finally:
        simulation.close()
        if writer is not None:
            writer.close()
    wall_s = real.perf_counter() - began
    history = History(header, simulation.record.events)
    verdicts = judge.finish() if options.judge else []
    unstruck = [str(fault) for fault in simulation.engine.unstruck()] + simulation.missed()
    notes = simulation.notes()
    remark = (
        None
        if failure is not None
        else preemption.remark(simulation.kernel, any(v.status == "violated" for v in verdicts))
    )
    return Result(
        scenario=scenario.name,
        verdict="error" if failure is not None else overall(verdicts, unstruck),
        seed=seed,
        backend=backend,
        history=history,
        verdicts=verdicts,
        faults=simulation.engine.table(),
        simulated_seconds=simulation.kernel.now_us / 1_000_000,
        wall_seconds=wall_s,
        history_file=path,
        unstruck=unstruck,
        weakened=weakened,
        notes=notes if remark is None else [*notes, remark],
        reason=str(failure) if failure is not None else "",
        stacks=failure.stacks if failure is not None else {},
        schedule=list(simulation.kernel.decisions),
        sentence=scenario.sentence,
        command=_command(scenario, seed, backend, options.preempt),
        **(_figures(scenario, judge, sum(simulation.engine.strikes()) > 0) if options.judge else {}),
    )


def _run_live(scenario: Scenario, plan: FaultPlan, seed: int, out: Path | None, options: Options) -> Result:
    """Run with real processes and sockets; the history is written when it is over, however it ended."""
    from harness.live_runner import run_live

    validate(plan, scenario, "live")
    specs, weakened = weaken(tuple(scenario.invariants or ()), plan.to_json())
    header = header_of(scenario, plan, seed, "live", specs, weakened)
    path = None if out is None else out / scenario.name / "history.jsonl"
    writer = _open(path, header, options)
    try:
        outcome = run_live(scenario, plan, seed, specs, header, options.live)
    except BaseException:
        _keep(writer, ())  # nothing has happened
        raise
    unkept = _keep(writer, outcome.events)
    if unkept:
        outcome.verdict = "error"
        outcome.reason = f"{outcome.reason}; {unkept}" if outcome.reason else unkept
    return Result(
        scenario=scenario.name,
        verdict=outcome.verdict,
        seed=seed,
        backend="live",
        history=History(header, outcome.events),
        verdicts=outcome.verdicts,
        faults=outcome.faults,
        simulated_seconds=outcome.seconds,
        wall_seconds=outcome.wall_seconds,
        history_file=path,
        unstruck=outcome.unstruck,
        weakened=weakened,
        notes=outcome.notes,
        reason=outcome.reason,
        sentence=scenario.sentence,
        command=_command(scenario, seed, "live"),
        **_figures(scenario, outcome.judge, outcome.strikes > 0),
    )


def _keep(writer: Writer | None, events: Iterable[Event]) -> str:
    """Write *events* and close the file; what went wrong, "" if nothing did."""
    if writer is None:
        return ""
    try:
        for event in events:
            writer.write(event)
        writer.close()
    except OSError as error:
        writer.abandon()
        return f"the history could not be written to {writer.path}: {error.strerror or error}"
    return ""


def _step(judge: Judge, options: Options) -> Callable[[Event], None] | None:
    """What is called with each event of a simulated run."""
    witness = options.witness
    if witness is None:
        return judge.step if options.judge else None
    if not options.judge:
        return witness

    def step(event: Event) -> None:
        witness(event)
        judge.step(event)

    return step


def _open(path: Path | None, header: dict[str, Any], options: Options) -> Writer | None:
    if path is None:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return Writer(path, header, durable=options.durable)
    except OSError as error:
        raise UsageError(
            f"cannot be written ({error.strerror})", file=str(path), remedy="Choose another folder with --out"
        ) from None


def _figures(scenario: Scenario, judge: Judge, faulted: bool) -> dict[str, Any]:
    """The numbers of a result: what became of the messages, how long recovery took, what was promised and met."""
    counts = judge.messages()
    recovery = recovery_of(judge.ledger)
    outcomes = scenario.objectives.judge(
        recovery_seconds=recovery.seconds,
        backlog_seconds=recovery.backlog_seconds,
        lost=counts.lost,
        duplicated=counts.duplicated,
        faulted=faulted,
    )
    return {
        "messages": counts,
        "recovery_seconds": recovery.seconds,
        "objectives": [outcome.to_json() for outcome in outcomes],
    }
