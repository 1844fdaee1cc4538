"""``python -m benchmarks.lint``: ruff, mypy --strict and the import directions, each named with its outcome."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

CHECKS = {
    "ruff check": [str(BIN / "ruff"), "check", "."],
    "ruff format": [str(BIN / "ruff"), "format", "--check", "."],
    "mypy --strict harness": [sys.executable, "-m", "mypy", "harness"],
    "import directions": [str(BIN / "lint-imports"), "--no-cache"],
}


def main() -> int:
    """Run every check, even after one has failed; the exit code is 1 if any did."""
    failed = []
    for name, command in CHECKS.items():
        began = time.perf_counter()
        outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        print(
            f"{'ok    ' if outcome.returncode == 0 else 'FAILED'} {name} ({time.perf_counter() - began:.1f} s)",
            flush=True,
        )
        if outcome.returncode:
            failed.append(name)
            print(outcome.stdout + outcome.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
