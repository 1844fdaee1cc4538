"""``python -m benchmarks.sweep [--firsts] [NAME ...]``: every single fault on every scenario of the catalogue.

One line a scenario as ``harness sweep`` prints it, and what was not survived
with the file that shows it again, under ``build/sweep``. A sweep that was
broken off goes on where it was. The exit code is 1 if a run ended as error:
what a scenario does not survive is a property of the system that it shows.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.loading import load, scenario_files

ROOT = Path(__file__).resolve().parent.parent
_SURVIVED, _NOT_SURVIVED = 0, 1
_EXPECTED = (_SURVIVED, _NOT_SURVIVED)


def names() -> list[str]:
    """Those of the catalogue that run in memory with what is installed."""
    from harness import runner

    runner.install()
    found = [scenario for path in scenario_files(ROOT / "scenarios") for scenario in load(path)]
    return [one.name for one in found if "memory" in one.backends and runner.run(one).verdict == "passed"]


def main() -> int:
    """Sweep the scenarios named, or all; two processes each."""
    firsts = "--firsts" in sys.argv
    chosen = [one for one in sys.argv[1:] if not one.startswith("--")] or names()
    failed = []
    for name in chosen:
        command = [str(Path(sys.executable).with_name("harness")), "sweep", name, "-j", "2", "--out", "build/sweep"]
        done = subprocess.run([*command, *(["--firsts"] if firsts else [])], cwd=ROOT, check=False)
        if done.returncode not in _EXPECTED:
            failed.append(f"{name} ({done.returncode})")
    print(f"{len(chosen)} scenarios swept" + (f"; ended as error: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
