"""``harness search``: draw fault plans, workload sizes and schedules until an invariant breaks, and make it small."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import json_option, output_file, seed_option, write_file
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.explore.search import Search
    from harness.explore.search_report import Finding, SearchReport

__all__ = ["command"]

_MEASURES = ("recovery_seconds", "duplicates", "backlog", "attempts", "amplification")


@click.command("search")
@click.argument("name", metavar="NAME|PATH")
@click.option("--examples", type=click.IntRange(1), default=1_000, show_default=True, help="How many runs to try.")
@click.option(
    "--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so long, with what it has."
)
@click.option("--first", is_flag=True, help="Stop at the first finding, once it is made small.")
@seed_option
@click.option("--kinds", metavar="KIND,...", help="Only these kinds of fault.")
@click.option("--targets", metavar="PATTERN,...", help="Only faults at these points, such as aws.sqs.*.")
@click.option(
    "--max-faults", type=click.IntRange(1, 20), default=4, show_default=True, help="At most so many faults in a plan."
)
@click.option("--beyond", is_flag=True, help="Faults without an end too, under which safety alone is judged.")
@click.option("--maximise", type=click.Choice(_MEASURES), help="Look for the plan with the highest figure.")
@click.option(
    "--schedules",
    type=click.Choice(("portfolio", "exhaustive")),
    default="portfolio",
    help="exhaustive: every schedule of the scenario's own plan with at most --deviations.  [default: portfolio]",
)
@click.option("--deviations", type=click.IntRange(0, 8), help="Choices that are not first come.  [default: 2]")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="How many processes.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/search"), help="Where findings go.")
@click.option(
    "--database",
    metavar="WHERE",
    help="Where findings are kept for the next search: a folder, redis://HOST:PORT, github:OWNER/REPO (read only), or "
    "none.  [default: .hypothesis/examples]",
)
@json_option
def command(
    name: str,
    examples: int,
    max_seconds: float | None,
    first: bool,
    seed: int | None,
    kinds: str | None,
    targets: str | None,
    max_faults: int,
    beyond: bool,
    maximise: str | None,
    schedules: str,
    deviations: int | None,
    jobs: int,
    out: Path,
    database: str | None,
    json: str | None,
) -> int:
    """Look for faults, workload sizes and schedules that break an invariant of a scenario.

    What earlier searches found is tried first. What is found is made small (fewest faults, plainest faults, fewest
    messages, plainest schedule) and written as files that replay, each in a folder of its own. The same seed finds the
    same, but for --max-seconds and what is remembered. Ctrl-C keeps what it has.

    Exit code: 0 nothing broke, 1 something did, 3 runs ended as error, 4 no fault ever struck or schedules were left,
    130 interrupted.
    """
    output_file(json, "--json")
    if schedules == "exhaustive":
        from harness.cli.exhaustive import every_schedule

        return every_schedule(name, seed, 2 if deviations is None else deviations, max_seconds, jobs, out, json)
    if deviations is not None:
        raise UsageError("is for every schedule", field="--deviations", remedy="Add --schedules exhaustive")
    from harness import config
    from harness.cli.exploring import kinds_named, one_scenario, progress
    from harness.explore.remembered import DEFAULT, Remembered, database_of
    from harness.explore.search import Search, carry_on
    from harness.explore.search_report import write
    from harness.explore.search_worker import runs_in
    from harness.loading import digest

    found = config.load()
    kept = database_of(DEFAULT if database is None else database)
    scenario = one_scenario(name, found, "Search")
    with redirect_stdout(sys.stderr):  # what the code under test prints is no result
        work = Search(
            scenario,
            seed=found.seed if seed is None else seed,
            kinds=kinds_named(kinds),
            targets=None if targets is None else targets.split(","),
            max_faults=max_faults,
            beyond=beyond,
            maximise=maximise,
            remembered=None if kept is None else Remembered(kept, scenario.name),
        )
        with (
            runs_in(scenario, jobs, alone=bool(work.alone), maximise=maximise) as runs,
            progress("search", examples) as shown,
        ):
            report = carry_on(
                work,
                runs,
                examples=examples,
                max_seconds=max_seconds,
                first=first,
                progress=lambda work: shown(work.tried, _words(work)),
            )
    report = write(report, out / scenario.name, digest(scenario))
    return _tell(report, out / scenario.name, json)


def _words(work: Search) -> str:
    """How far a search has come, for its bar."""
    found = f", {len(work.findings)} found" if work.findings else ""
    return f"{len(work.coverage)} states{found}"


def _tell(report: SearchReport, folder: Path, json: str | None) -> int:
    stream = sys.stderr if json == "-" else sys.stdout

    def say(text: str) -> None:
        click.echo(text, file=stream)

    for finding in report.findings:
        for line in _finding(finding):
            say(line)
    for reason, count in report.errors.items():
        say(f"! {count} ended as error: {reason}")
    if report.alone:
        say(f"two clean runs in one process differ, so that runs need processes of their own: {report.alone}")
    if report.again:
        say(
            f"remembered: {_count(report.again, 'finding')} of earlier searches tried again, {report.still} still break"
        )
    if report.worst is not None:
        worst = report.worst
        say(f"worst {worst.measure}: {worst.figure:g}, in {folder / f'worst-{worst.measure}.json'}")
        for line in str(worst.candidate.plan).splitlines():
            say(f"    {line}")
    say(_coverage(report))
    say(_summary(report))
    if json is not None:
        write_file(json, _json(report))
    if report.interrupted:
        return 130
    if report.findings:
        return 1
    if report.errors:
        return 3
    return 0 if report.struck else 4


def _finding(finding: Finding) -> Iterator[str]:
    yield f"✗ {finding.name}: {finding.verdict.detail}"
    for line in str(finding.candidate.plan).splitlines():
        yield f"    {line}"
    choices = sum(1 for choice in finding.candidate.schedule.tape if choice)
    schedule = f"{choices} choices other than first come" if choices else "first come first served"
    yield (
        f"    {_count(len(finding.candidate.plan), 'fault')}, {_count(finding.messages, 'message')}, {schedule}; "
        f"found after {_count(finding.tried, 'run')}, smallest of {finding.runs} more"
        + ("" if finding.finished else " (its time was over)")
    )
    yield f"    again: harness replay {finding.file}"


def _coverage(report: SearchReport) -> str:
    if not report.struck:
        return "no fault ever struck: nothing was explored"
    return (
        f"covered: {report.reached} of {report.reachable} (point, kind), in {len(report.coverage)} states; "
        f"a fault struck in {report.struck} of {report.tried} runs"
    )


def _summary(report: SearchReport) -> str:
    text = f"{report.scenario}: {_count(report.tried, 'run')}, {_count(len(report.findings), 'finding')}"
    if report.bound is not None:
        text += (
            f"; {report.clean} random plans were survived: with 95 % confidence at most "
            f"{report.bound:.2%} of such plans break anything"
        )
    text += f"; {report.plans_per_second:.0f} runs a second"
    return text + ("" if report.complete else "; broken off")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _json(report: SearchReport) -> bytes:
    import orjson

    return orjson.dumps(report.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
