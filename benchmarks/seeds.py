"""``python -m benchmarks.seeds FROM TO``: every scenario of the catalogue under many seeds; each must pass."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from pathlib import Path

from harness import runner

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """One line a scenario, and one for each seed that did not pass; the exit code is 1 if there was any."""
    first, last = int(sys.argv[1]), int(sys.argv[2])
    logging.disable(logging.CRITICAL)
    runner.install()
    from harness.loading import load, scenario_files

    passed = failed = 0
    for path in scenario_files(ROOT / "scenarios"):
        for scenario in load(path):
            verdicts: Counter[str] = Counter()
            for seed in range(first, last):
                result = runner.run(scenario, seed=seed)
                if result.verdict == "left out":
                    break
                verdicts[result.verdict] += 1
                if result.verdict != "passed":
                    wrong = [f"{one.name}: {one.detail}" for one in result.verdicts if one.status != "holds"]
                    print(f"  seed {seed}: {result.verdict}: {'; '.join([*wrong, *result.unstruck, result.reason])}")
            passed += verdicts["passed"]
            failed += verdicts.total() - verdicts["passed"]
            print(f"{scenario.name}: {dict(verdicts)}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
