"""The gallery's report: a page with its other files, a comparison, traces, and screenshots where Chromium is there.

The page shows a consumer that loses a message (the demo's) beside scenarios of
the catalogue that hold, and one saved finding with its story.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from harness.cli.demo import make
from harness.cli.gathering import Saved, gather, set_beside
from harness.history import History
from harness.report import otlp, perfetto
from harness.report.changes import changes
from harness.report.folder import Before, ReportFolder, draw
from harness.report.markdown import comparison
from harness.report.palette import LIGHT
from harness.report.plots import heat_map, read_sweep
from harness.report.timeline import plain_matplotlib, saved

__all__ = ["write"]

ROOT = Path(__file__).parents[1]
_SCENARIOS = ("scenarios/sqs_down_five_minutes.py", "scenarios/killed_between_dead_letter_and_delete.py")
_SWEPT = "scenarios/delete_answer_lost.py"
_KINDS = "timeout,unavailable,throttled,crash,pause,duplicate,empty-receive,refused,failover,status,slow"

#: Name -> what of the page is shown, in which window, dark or light.
_SHOTS = {
    "overview-light": ("", 1280, 1750, False),
    "overview-dark": ("", 1280, 1750, True),
    "scenario-light": ("#tutorial-consumer?event=41", 1280, 3300, False),
    "scenario-dark": ("#sqs-down-five-minutes?from=20&to=60&filter=kind:fault", 1280, 3300, True),
    "narrow": ("", 500, 1900, False),
}


def write(folder: Path) -> list[Path]:
    """Write ``report/``, ``compare.md``, the traces and the screenshots into *folder*; returns what was written."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        runs = _runs(place)
        page = _report(runs, folder / "report")
        made = [page, *_traces(runs[0], folder), _comparison(runs, folder / "compare.md"), _sweep(place, folder)]
    return [*made, *_screenshots(page, folder)]


def _runs(scratch: Path) -> list[Saved]:
    """The demo's finding first, then the scenarios that hold; commands and paths are those of a user."""
    from harness import runner
    from harness.cli.execute import Job, execute
    from harness.loading import load

    make(scratch / "demo", 0)
    runs = gather([scratch / "demo" / "lost"])
    runs[0].entry["command"] = "harness replay reports/demo/lost/counterexample.json"
    runner.install()
    for file in _SCENARIOS:
        (scenario,) = load(ROOT / file)
        job = Job(file=file, name=scenario.name, folder=str(scratch / "run"), place="", draw=False)
        entry = execute(scenario, job)
        (run,) = gather([scratch / "run" / scenario.name])
        run.entry |= {"command": f"harness run {file} --seed 0", "notes": entry["notes"]}
        runs.append(run)
    set_beside(runs)
    return runs


def _report(runs: list[Saved], place: Path) -> Path:
    with ReportFolder(place) as folder:
        entries = []
        for run in runs:
            assert run.history is not None
            header = {**run.history.header, "file": Path(str(run.history.header.get("file"))).name}
            entry = {**run.entry, "story": list(run.story), "history": f"{run.entry['name']}/history.jsonl"}
            entries.append(draw(folder.work, entry, header, run.history.events))
            History(header, run.history.events).save(folder.work / entry["name"] / "history.jsonl")
        return folder.publish(
            entries, facts={"made": "by make gallery"}, before=Before("a run before", _before(entries))
        )


def _before(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same report as if the first scenario had still passed and the second come back more slowly."""
    first, second, *rest = entries
    passed = {**first, "verdict": "passed", "messages": {**first["messages"], "lost": 0}}
    return [passed, {**second, "recovery_seconds": (second["recovery_seconds"] or 0.0) + 2}, *rest]


def _comparison(runs: list[Saved], file: Path) -> Path:
    entries = [run.entry for run in runs]
    file.write_text(comparison(changes(_before(entries), entries)), encoding="utf-8")
    return file


def _traces(run: Saved, folder: Path) -> list[Path]:
    assert run.history is not None
    found = []
    for name, dumps in (("lost.perfetto-trace", perfetto.dumps), ("lost.otlp.jsonl", otlp.dumps)):
        path = folder / name
        path.write_bytes(dumps(run.history.header, run.history.events))
        found.append(path)
    return found


def _sweep(scratch: Path, folder: Path) -> Path:
    """The heat map of a small sweep."""
    from harness.cli import run_command

    run_command(["sweep", str(ROOT / _SWEPT), "--kinds", _KINDS, "--max-passing", "1", "--out", str(scratch / "sweep")])
    (log,) = (scratch / "sweep").rglob("sweep.jsonl")
    _, cells = read_sweep(log)
    path = folder / "sweep.png"
    with plain_matplotlib(LIGHT):
        path.write_bytes(saved(heat_map(cells, LIGHT), "png"))
    return path


def _screenshots(page: Path, folder: Path) -> list[Path]:
    """Pictures of the page; none where Chromium is not there."""
    program = shutil.which("chromium")
    if program is None:
        print("chromium is not on PATH: the screenshots stay as they are (Debian: apt install chromium)")
        return []
    found = []
    for name, (hash_, width, height, dark) in _SHOTS.items():
        path = folder / f"{name}.png"
        scheme = "--blink-settings=preferredColorScheme=" + ("0" if dark else "1")
        flags = ["--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=8000", scheme]
        shot = [f"--window-size={width},{height}", f"--screenshot={path}", page.absolute().as_uri() + hash_]
        subprocess.run([program, *flags, *shot], check=True, capture_output=True, timeout=120)
        found.append(path)
    return found
