"""``harness report``: a report of saved runs, judged and drawn again."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import json_option, markdown_option, output_file, write_file

if TYPE_CHECKING:
    from harness.cli.gathering import Saved
    from harness.report.folder import ReportFolder

__all__ = ["command"]


@click.command("report")
@click.argument("places", nargs=-1, required=True, metavar="DIR...")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/report"), show_default=True,
              help="Folder of the report.")  # fmt: skip
@click.option("--since", metavar="DIR", help="The report to compare with.  [default: the one that is replaced]")
@json_option
@click.option("--junit", metavar="FILE", help="Write JUnit XML there too (- for standard output).")
@markdown_option
@click.option("--allow-inconclusive", is_flag=True, help="In the JUnit XML, what could not be judged is no failure.")
def command(
    places: tuple[str, ...],
    out: Path,
    since: str | None,
    json: str | None,
    junit: str | None,
    markdown: str | None,
    allow_inconclusive: bool,
) -> int:
    """Judge saved runs again and write one report of them all.

    A DIR is a folder of `harness run`, sweep or search, or a history.jsonl.

    A failing run is set beside the nearest one of the same scenario that passed.

    Exit code: 0 the report was written, whatever it says; 2 wrong input.
    """
    from harness.cli.gathering import entries_of, gather, set_beside
    from harness.report import json_result
    from harness.report import junit as junit_xml
    from harness.report import markdown as as_markdown
    from harness.report.console import make_console
    from harness.report.folder import Before, ReportFolder
    from harness.report.plots import plots_of
    from harness.report.table import print_report

    for target, option in ((json, "--json"), (junit, "--junit"), (markdown, "--markdown")):
        output_file(target, option)
    before = Before(since, entries_of(since)) if since is not None else None
    runs = gather(places)
    set_beside(runs)
    with ReportFolder(out.absolute()) as folder:
        entries = [_drawn(run, folder, name) for run, name in zip(runs, _folder_names(runs), strict=True)]
        page = folder.publish(
            entries,
            facts={"made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"), "of": ", ".join(places)},
            allow_inconclusive=allow_inconclusive,
            before=before,
            plots=plots_of(entries, [Path(place) for place in places]),
        )
    here = Path.cwd()
    shown = os.path.relpath(page, here) if page.is_relative_to(here) else str(page)
    print_report(make_console(stderr="-" in (json, junit, markdown)), entries, report=shown)
    if json is not None:
        write_file(json, json_result.dumps(entries))
    if junit is not None:
        write_file(junit, junit_xml.dumps(entries, allow_inconclusive=allow_inconclusive))
    if markdown is not None:
        write_file(markdown, as_markdown.summary(entries).encode("utf-8"))
    return 0


def _folder_names(runs: list[Saved]) -> list[str]:
    """A folder for each run: its scenario's name, with a number from the second of a name on."""
    used: set[str] = set()
    names = []
    for run in runs:
        base = name = str(run.entry["name"]) or "run"
        number = 1
        while name in used:
            number += 1
            name = f"{base}-{number}"
        used.add(name)
        names.append(name)
    return names


def _drawn(run: Saved, folder: ReportFolder, name: str) -> dict[str, Any]:
    """The run's entry with its picture, and its history copied into the report."""
    from harness.report.folder import draw

    if run.history is None:
        return dict(run.entry)
    entry = {**run.entry, "story": list(run.story)}
    drawn = draw(folder.work, entry, run.history.header, run.history.events, subfolder=name)
    if drawn.get("packed"):
        run.history.save(folder.work / name / "history.jsonl")
        drawn["history"] = str(folder.place / name / "history.jsonl")
    return drawn
