"""``harness search --schedules exhaustive``: every schedule of a scenario with at most so many deviations."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import write_file
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.explore.exhaust import ExhaustReport

__all__ = ["every_schedule"]

#: Options of a search that draws, which say nothing where all is tried.
_OF_PLANS = ("examples", "first", "kinds", "targets", "max_faults", "beyond", "maximise", "database")


def every_schedule(
    name: str, seed: int | None, deviations: int, max_seconds: float | None, jobs: int, out: Path, json: str | None
) -> int:
    """Run them, tell what came of it, and return the exit code.

    Raises:
        UsageError: the scenario is none, or an option goes with plans that are drawn alone.
    """
    from harness import config
    from harness.cli.exploring import one_scenario, progress
    from harness.explore.exhaust import exhaust
    from harness.loading import digest

    context = click.get_current_context()
    for option in _OF_PLANS:
        if context.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE:
            field = f"--{option.replace('_', '-')}"
            raise UsageError("is for plans that are drawn", field=field, remedy="Leave one of the two options out")
    found = config.load()
    scenario = one_scenario(name, found, "Search")
    with redirect_stdout(sys.stderr), progress("schedules", 0) as shown:  # what the code under test prints is no result
        report = exhaust(
            scenario,
            deviations=deviations,
            seed=found.seed if seed is None else seed,
            max_seconds=max_seconds,
            jobs=jobs,
            out=out / scenario.name,
            digest=digest(scenario),
            progress=shown,
        )
    return _tell(report, json)


def _tell(report: ExhaustReport, json: str | None) -> int:
    from harness.cli import ERROR, FINDING, INTERRUPTED, OK, UNSURE

    err = json == "-"
    for finding in report.findings:
        made = sum(1 for choice in finding.candidate.schedule.tape if choice)
        click.echo(f"✗ {finding.invariant}: {finding.verdict.detail}", err=err)
        click.echo(
            f"    {_count(made, 'deviation')}; in {_count(report.broke[finding.invariant], 'schedule')}", err=err
        )
        click.echo(f"    again: harness replay {finding.file}", err=err)
    for reason, count in report.errors.items():
        click.echo(f"! {count} ended as error: {reason}", err=err)
    by = ", ".join(f"{number} with {depth}" for depth, number in enumerate(report.tried))
    state = "exhausted" if report.exhausted else "not exhausted"
    click.echo(
        f"{report.scenario}: {state}: {_count(report.total, 'schedule')} with at most "
        f"{_count(report.deviations, 'deviation')} from first come first served ({by}), "
        f"{_count(len(report.findings), 'finding')}; the plain one makes {_count(report.decisions, 'choice')}",
        err=err,
    )
    if json is not None:
        import orjson

        write_file(json, orjson.dumps(report.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    if report.interrupted:
        return INTERRUPTED
    if report.findings:
        return FINDING
    if report.errors:
        return ERROR
    return OK if report.exhausted else UNSURE


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
