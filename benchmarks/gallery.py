"""Writes ``reports/gallery``, one committed example of each report: ``python -m benchmarks.gallery [--live]``.

The same code gives the same bytes (under one version of matplotlib), so that
a change of the gallery in a diff is a change of what people see. No two live
runs are the same: the live picture is drawn from a run that was kept
(``live-history.jsonl``), which ``--live`` makes anew.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from harness.cli.demo import make
from harness.cli.judging import entry_of
from harness.history import History
from harness.report.timeline import Caption, render

__all__ = ["FOLDER", "draw_live", "main", "record_live"]

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "reports" / "gallery"

#: What ``harness demo`` draws when it is given no seed.
_DEMO_SEED = 0
_LIVE = "live-history.jsonl"
_LIVE_SCENARIO = "scenarios/live/sqs_cut_off.py"


def draw_demo(folder: Path) -> Path:
    """The timeline of ``harness demo``."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "demo"
        make(made, _DEMO_SEED)
        return Path(shutil.copyfile(made / "timeline.png", folder / "demo-timeline.png"))


def record_live(folder: Path) -> None:
    """Run the live scenario and keep its history. Real processes, real time.

    Raises:
        RuntimeError: it did not pass.
    """
    from harness import runner
    from harness.loading import load

    result = runner.run(load(ROOT / _LIVE_SCENARIO)[0], backend="live")
    if result.verdict != "passed":
        raise RuntimeError(f"{result.scenario}: {result.verdict} {result.reason}")
    header = {**result.history.header, "file": _LIVE_SCENARIO}  # not where it lies on this machine
    History(header, result.history.events).save(folder / _LIVE)


def draw_live(folder: Path) -> Path:
    """The timeline of the live run that was kept, judged anew."""
    file = folder / _LIVE
    if not file.exists():
        shutil.copyfile(FOLDER / _LIVE, file)
    history = History.load(file)
    entry = entry_of(history, str(file))
    caption = Caption(
        title=str(entry["name"]),
        verdict=str(entry["verdict"]),
        details=f"seed {entry['seed']}, {entry['backend']}",
        messages=entry["messages"],
        recovery_seconds=entry["recovery_seconds"],
        time_label="measured time since the start",
    )
    place = folder / "live-timeline.png"
    place.write_bytes(render(history.header, history.events, caption))
    return place


def main(folder: Path = FOLDER, *, live: bool = False, report: bool = False) -> None:
    """Write the pictures of the gallery into *folder*, and say which.

    *live*: make the live run anew; *report*: the report's page with all that belongs to it, too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if live:
        record_live(folder)
    made = [draw_demo(folder), draw_live(folder)]
    if report:
        from benchmarks import gallery_report

        made += gallery_report.write(folder)
    for path in made:
        print(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.gallery", description=__doc__)
    parser.add_argument("--live", action="store_true", help="make the live run anew")
    main(live=parser.parse_args().live, report=True)
