"""Writes ``reports/gallery``, one committed example of each report: ``python -m benchmarks.gallery``.

The same code gives the same bytes (under one version of matplotlib), so that
a change of the gallery in a diff is a change of what people see.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from harness.cli.demo import make

__all__ = ["FOLDER", "main"]

FOLDER = Path(__file__).parents[1] / "reports" / "gallery"

#: What ``harness demo`` draws when it is given no seed.
_DEMO_SEED = 0


def main(folder: Path = FOLDER) -> None:
    """Write every picture of the gallery into *folder*, and say which."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "demo"
        make(made, _DEMO_SEED)
        shutil.copyfile(made / "timeline.png", folder / "demo-timeline.png")
    print(folder / "demo-timeline.png")


if __name__ == "__main__":
    main()
