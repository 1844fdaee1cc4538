"""``python -m benchmarks.determinism [SEED [FOLDER]]``: each scenario of the catalogue in two processes, same bytes.

The processes differ in PYTHONHASHSEED, in their current folder's name and in
whether the short cut past botocore's serialisation is taken. What differs is
named with the first event of both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_CHILD = """
import hashlib, json, sys
from harness import runner
runner.install()
from harness.loading import load, scenario_files
from harness.sim.wire import botocore
from pathlib import Path
botocore.short_cut(sys.argv[3] == "short")
digests = {}
for path in scenario_files(Path(sys.argv[1])):
    for scenario in load(path):
        result = runner.run(scenario, seed=int(sys.argv[2]))
        text = result.history.to_bytes()
        digests[scenario.name] = [hashlib.sha256(text).hexdigest(), len(result.history), result.verdict]
print(json.dumps(digests))
"""


def digests(hash_seed: str, seed: int, path: str) -> dict[str, list[object]]:
    """What each scenario's history hashes to in a fresh process."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "MPLCONFIGDIR": str(ROOT / "build")}
    folder = sys.argv[2] if len(sys.argv) > 2 else str(ROOT / "scenarios")
    command = [sys.executable, "-c", _CHILD, folder, str(seed), path]
    outcome = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    if outcome.returncode:
        raise SystemExit(outcome.stderr)
    found: dict[str, list[object]] = json.loads(outcome.stdout)
    return found


def main() -> int:
    """Print one line a scenario; the exit code is 1 if any differs or did not pass."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    first, second = digests("1", seed, "short"), digests("777", seed, "wire")
    wrong = 0
    for name, (digest, events, verdict) in first.items():
        same = second[name][0] == digest
        wrong += not same or verdict not in ("passed", "left out")
        print(f"{'same     ' if same else 'DIFFERENT'} {verdict:12} {events:>7} events  {str(digest)[:12]}  {name}")
    left_out = sum(verdict == "left out" for _, _, verdict in first.values())
    print(f"{len(first) - wrong - left_out} passed, {wrong} failed, {left_out} left out")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
