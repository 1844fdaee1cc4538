"""How fast a simulation is: an hour of 10,000 messages, and plans per second of a small scenario.

    python -m benchmarks.throughput hour|hour-calm|hour-wire|plans|plans-calm

Each is measured in a process of its own (``measure`` starts it), in CPU
seconds beside wall seconds: on a shared machine only the former says much.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PLANS = 300
BATCH = 20  # plans timed together: the best batch is the one that neighbours disturbed least


def measure(what: str) -> dict[str, Any]:
    """Run one measurement in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.throughput", what]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def hour(*, short_cut: bool, messages: int = 10_000, outage: bool = True) -> dict[str, Any]:
    """One virtual hour, 10,000 messages, 4 consumers in batches of ten, full history, all default invariants.

    *outage*: a minute of it all receives are throttled, so that botocore's retries are in the figure.
    """
    from benchmarks.scenarios import hour as scenario
    from harness import runner
    from harness.sim.wire import botocore

    runner.install()
    botocore.short_cut(short_cut)
    cpu, wall = time.process_time(), time.perf_counter()
    result = runner.run(scenario(messages), faults=None if outage else ())
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert result.verdict == "passed", result.verdicts
    return {
        "cpu_s": cpu,
        "wall_s": wall,
        "times_real_time_cpu": result.simulated_seconds / cpu,
        "times_real_time_wall": result.simulated_seconds / wall,
        "messages_per_second": (result.messages.sent or 0) / wall,
        "events": len(result.history),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def plans(number: int = PLANS, *, fault: bool = True) -> dict[str, Any]:
    """Runs per second of twenty messages, one fault or none, history in memory, without Hypothesis."""
    from benchmarks.scenarios import small
    from harness import runner

    runner.install()
    scenario = small() if fault else replace(small(), faults=())
    for seed in range(BATCH):
        result = runner.run(scenario, seed=seed)
        assert result.verdict == "passed", result.verdicts
    batches: list[tuple[float, float]] = []
    for _ in range(max(1, number // BATCH)):
        cpu, wall = time.process_time(), time.perf_counter()
        for seed in range(BATCH):
            runner.run(scenario, seed=seed)
        batches.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpus, walls = zip(*batches, strict=True)
    calls, where = _where(scenario)
    return {
        "plans_per_second_cpu": BATCH / statistics.median(cpus),
        "plans_per_second_cpu_best": BATCH / min(cpus),
        "plans_per_second_wall": BATCH / statistics.median(walls),
        "noise": max(cpus) / min(cpus),
        "calls_per_plan": calls,
        "events": len(result.history),
        "steps": result.history.events[-1]["steps"],
        "where": where,
    }


def _where(scenario: Any, number: int = 50) -> tuple[int, dict[str, float]]:
    """Function calls a run, which no neighbour disturbs, and per cent of the profiled time by part of the code."""
    from harness import runner

    profile = cProfile.Profile()
    profile.enable()
    for seed in range(number):
        runner.run(scenario, seed=seed)
    profile.disable()
    parts: Counter[str] = Counter()
    stats: Any = pstats.Stats(profile)
    for (file, _, _), (_, _, own, _, _) in stats.stats.items():
        parts[_part(file)] += own
    total = sum(parts.values())
    return stats.total_calls // number, {name: round(100 * own / total, 1) for name, own in parts.most_common(10)}


def _part(file: str) -> str:
    for marker, name in (
        ("harness/sim/services/", "SQS service"),
        ("harness/sim/wire/", "wire"),
        ("harness/sim/", "kernel and shims"),
        ("harness/invariants/", "invariants"),
        ("harness/environments/", "environment"),
        ("harness/faults/", "fault engine"),
        ("harness/", "runner and the rest"),
        ("botocore/", "botocore"),
        ("benchmarks/", "the consumer"),
    ):
        if marker in file:
            return name
    return "built-ins and library"


if __name__ == "__main__":
    measurements = {
        "hour": lambda: hour(short_cut=True),
        "hour-calm": lambda: hour(short_cut=True, outage=False),
        "hour-wire": lambda: hour(short_cut=False),
        "plans": plans,
        "plans-calm": lambda: plans(fault=False),
    }
    print(json.dumps(measurements[sys.argv[1]]()))
