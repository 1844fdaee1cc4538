"""How fast a simulation is: an hour of 10,000 messages, and plans per second of a small scenario.

    python -m benchmarks.throughput hour|hour-wire|plans

Each is measured in a process of its own (``measure`` starts it), in CPU
seconds beside wall seconds: on a shared machine only the former says much.
"""

from __future__ import annotations

import cProfile
import json
import pstats
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PLANS = 300


def measure(what: str) -> dict[str, Any]:
    """Run one measurement in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.throughput", what]
    outcome = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def hour(*, short_cut: bool) -> dict[str, Any]:
    """One virtual hour, 10,000 messages, 4 consumers in batches of ten, full history, all default invariants."""
    from benchmarks.scenarios import hour as scenario
    from harness import runner
    from harness.sim.wire import botocore

    runner.install()
    botocore.short_cut(short_cut)
    cpu, wall = time.process_time(), time.perf_counter()
    result = runner.run(scenario())
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


def plans() -> dict[str, Any]:
    """Runs per second of twenty messages, one fault, all default invariants, history in memory, without Hypothesis."""
    from benchmarks.scenarios import small
    from harness import runner

    runner.install()
    scenario = small()
    for seed in range(20):
        result = runner.run(scenario, seed=seed)
        assert result.verdict == "passed", result.verdicts
    cpu, wall = time.process_time(), time.perf_counter()
    for seed in range(PLANS):
        runner.run(scenario, seed=seed)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "plans_per_second_cpu": PLANS / cpu,
        "plans_per_second_wall": PLANS / wall,
        "events": len(result.history),
        "steps": result.history.events[-1]["steps"],
        "where": _where(scenario),
    }


def _where(scenario: Any) -> dict[str, float]:
    """Per cent of the profiled time by part of the code, the largest first."""
    from harness import runner

    profile = cProfile.Profile()
    profile.enable()
    for seed in range(50):
        runner.run(scenario, seed=seed)
    profile.disable()
    parts: Counter[str] = Counter()
    stats: Any = pstats.Stats(profile)
    for (file, _, _), (_, _, own, _, _) in stats.stats.items():
        parts[_part(file)] += own
    total = sum(parts.values())
    return {name: round(100 * own / total, 1) for name, own in parts.most_common(10)}


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
    measurements = {"hour": lambda: hour(short_cut=True), "hour-wire": lambda: hour(short_cut=False), "plans": plans}
    print(json.dumps(measurements[sys.argv[1]]()))
