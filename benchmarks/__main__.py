"""``python -m benchmarks [--json FILE]`` (``make bench``): every figure in one run, with ratios against peers.

Absolute times of a shared machine prove little: CPU seconds stand beside wall
seconds, and peers are measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import asyncio_switch, preemption, sqs_backlog
from benchmarks.throughput import measure

ROOT = Path(__file__).resolve().parent.parent


def _overhead() -> dict[str, Any]:
    """The retry and breaker libraries, measured in a process without shims."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "overhead.json"
        subprocess.run([sys.executable, "-m", "benchmarks.overhead", "--json", str(file)], cwd=ROOT, check=True)
        found: dict[str, Any] = json.loads(file.read_text())
    return found


def _measured(module: str) -> dict[str, Any]:
    """What *module* prints as JSON, run in a process of its own."""
    outcome = subprocess.run([sys.executable, "-m", module], cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def main() -> int:
    """Measure, print, and write the figures as JSON where asked to."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start: more than 1 means noise\n")
    figures: dict[str, Any] = {}

    print("One virtual hour, 10,000 messages, 4 consumers in batches of ten, full history, all default invariants")
    ways = (
        ("hour-calm", "short cut, no fault"),
        ("hour", "short cut, a minute's outage"),
        ("hour-wire", "full wire path, the same"),
    )
    for what, title in ways:
        found = figures[what] = measure(what)
        print(
            f"  {title:29} {found['times_real_time_cpu']:>7,.0f} x real time (CPU), "
            f"{found['times_real_time_wall']:>7,.0f} x (wall), {found['messages_per_second']:>7,.0f} messages/s, "
            f"{found['events']:,} events, peak {found['peak_mb']:.0f} MB",
            flush=True,
        )

    print("\nTwenty messages, 4 consumers, history in memory, all default invariants, without Hypothesis")
    for what, title in (("plans-calm", "no fault"), ("plans", "one call fails and is retried")):
        found = figures[what] = measure(what)
        cpu, best, wall = (found[f"plans_per_second_{kind}"] for kind in ("cpu", "cpu_best", "wall"))
        print(
            f"  {title:29} {cpu:>7,.0f} plans/s (CPU, median of batches; the best {best:,.0f}), {wall:,.0f} (wall), "
            f"{found['events']} events, {found['steps']} steps, {found['calls_per_plan']:,} function calls"
        )
    print(f"  noise: the slowest batch took {found['noise']:.2f} x the fastest")
    print("  time goes to: " + ", ".join(f"{name} {share:g} %" for name, share in found["where"].items()), flush=True)

    print("\nOne SQS call by backlog, without wire and kernel")
    rows = figures["backlog"] = sqs_backlog.report()
    sqs_backlog.show(rows)

    print("\nGiving way: CPU time of one switch, in virtual time")
    figures["asyncio"] = asyncio_switch.report()
    asyncio_switch.show(figures["asyncio"])

    print("\nPre-emption: what a rewritten module costs", flush=True)
    figures["preemption"] = _measured("benchmarks.preemption")
    preemption.show(figures["preemption"])

    print("\nOverhead of a successful call beside peers", flush=True)
    figures["overhead"] = _overhead()
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
