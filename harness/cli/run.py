"""``harness run``: run scenarios, show their verdicts, write a report."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import config as settings
from harness.cli.live_options import live_options, live_options_given
from harness.cli.options import json_option, output_file, seed_option, write_file
from harness.cli.shards import Shard, shard_option
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cli.execute import Job
    from harness.cli.interrupts import Interrupts
    from harness.cli.selection import Selected
    from harness.report.console import Progress
    from harness.report.folder import ReportFolder
    from harness.sim.preempt_rewrite import Level

__all__ = ["command", "exit_code"]


@dataclass(frozen=True)
class _Asked:
    """The options of one ``harness run``, settings filled in."""

    names: tuple[str, ...]
    seed: int
    backend: str
    out: Path
    jobs: int
    verify: bool
    durable: bool
    preempt: Level | None
    catalogue: bool
    allow_inconclusive: bool
    json: str | None
    junit: str | None
    live: Mapping[str, Any]


@click.command("run")
@click.argument("names", nargs=-1, metavar="[NAME|PATH]...")
@click.option("--backend", type=click.Choice(["memory", "moto", "live"]), help="Where to run.  [default: memory]")
@seed_option
@click.option("--verify", is_flag=True, help="Run each scenario twice and compare the histories byte for byte.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report.  [default: reports/latest]")
@json_option
@click.option("--junit", metavar="FILE", help="Write JUnit XML there too (- for standard output).")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), help="How many processes.  [default: 1]")
@click.option("--catalogue", is_flag=True, help="The built-in catalogue, whatever else is here.")
@click.option("--allow-inconclusive", is_flag=True, default=None, help="Exit 0 if nothing is worse than inconclusive.")
@click.option("--durable", is_flag=True, help="Write each event of the history at once.")
@click.option(
    "--preempt",
    type=click.Choice(["calls", "statements"]),
    help="Let the modules under `preempt` of a scenario give way inside their blocks: where CPython with its GIL can "
    "(calls), or where free-threaded Python could (statements).",
)
@shard_option
@live_options
def command(names: tuple[str, ...], json: str | None, junit: str | None, shard: Shard | None, **given: Any) -> int:
    """Run scenarios in simulation or live, show a table of verdicts, and write a report.

    Without a NAME or PATH: the folders of `scenarios` under [tool.harness] (./scenarios if it is there), else the
    built-in catalogue.

    Exit code: 0 all passed, 1 an invariant was broken, 2 wrong input, 3 a run ended as error, 4 nothing worse than
    inconclusive or everything left out, 130 interrupted.
    """
    asked = _ask(names, json, junit, given)
    if "-" in (asked.json, asked.junit) and asked.json == asked.junit:
        raise UsageError("--json - and --junit - want standard output both", remedy="Give one of them a file")
    output_file(asked.json, "--json")
    output_file(asked.junit, "--junit")
    from harness.cli.selection import select
    from harness.report.folder import ReportFolder

    found = settings.load()
    scenarios = select(asked.names, found, catalogue=asked.catalogue)
    if shard is not None:
        scenarios = _part(scenarios, shard)
    _validate(scenarios, asked.backend)
    if asked.preempt is not None:
        _check_preempt(scenarios, asked.backend)
    if asked.verify and asked.backend == "live":
        raise UsageError(
            "--verify compares two runs byte for byte, and no two live runs are the same",
            remedy="Leave it out, or run with --backend memory",
        )
    with ReportFolder(asked.out) as folder:
        return _run(scenarios, asked, folder)


def _ask(names: tuple[str, ...], json: str | None, junit: str | None, given: Mapping[str, Any]) -> _Asked:
    found = settings.load()

    def choose(name: str) -> Any:
        return getattr(found, name) if given[name] is None else given[name]

    out: Path | None = given["out"]
    return _Asked(
        names=names,
        seed=choose("seed"),
        backend=choose("backend"),
        out=(found.out_folder if out is None else out).absolute(),
        jobs=choose("jobs"),
        verify=given["verify"],
        durable=given["durable"],
        preempt=given["preempt"],
        catalogue=given["catalogue"],
        allow_inconclusive=choose("allow_inconclusive"),
        json=json,
        junit=junit,
        live=live_options_given(given, given["backend"] or found.backend),
    )


def _part(scenarios: list[Selected], shard: Shard) -> list[Selected]:
    """The scenarios of one part. Raises UsageError where it would have none: a job that does nothing passes nothing."""
    part = shard.of(scenarios)
    if not part:
        raise UsageError(
            f"{shard} has no scenario: there are {len(scenarios)}", field="--shard", remedy="Use fewer parts"
        )
    return part


def _validate(scenarios: Sequence[Selected], backend: str) -> None:
    """Every plan is right before anything runs or is written."""
    from harness.errors import PlanError
    from harness.faults.points import validate

    for one in scenarios:
        scenario = one.scenario
        if backend in scenario.backends:
            try:
                validate(scenario.plan, scenario, backend)
            except PlanError as error:
                where = ": ".join(part for part in (one.name, error.field) if part)
                raise PlanError(error.message, file=scenario.file, field=where, remedy=error.remedy) from None


def _check_preempt(scenarios: Sequence[Selected], backend: str) -> None:
    if backend == "live":
        raise UsageError(
            "--preempt is for simulations: real threads are scheduled by the system", remedy="Leave it out"
        )
    if not any(one.scenario.preempt for one in scenarios):
        names = ", ".join(one.name for one in scenarios[:3])
        raise UsageError(
            f"--preempt finds nothing to pre-empt: {names} {'names' if len(scenarios) == 1 else 'name'} no modules",
            remedy='Add preempt=["your.module"] to the scenario',
        )


def _run(scenarios: Sequence[Selected], asked: _Asked, folder: ReportFolder) -> int:
    from harness.cli.interrupts import catching
    from harness.report.console import make_console, progress
    from harness.report.table import print_report

    jobs = _jobs(scenarios, asked, folder)
    talk = make_console(stderr="-" in (asked.json, asked.junit))
    with catching() as caught:
        with progress(make_console(stderr=True), len(jobs)) as shown:
            entries = _in_order(jobs, scenarios, asked, shown, caught)
        facts = _facts(asked, len(entries), len(jobs))
        page = folder.publish(entries, facts=facts, allow_inconclusive=asked.allow_inconclusive)
        print_report(talk, entries, report=_shown(page))
        _write(entries, asked)
    if caught:
        return _interrupted(len(entries), len(jobs))
    return exit_code(entries, allow_inconclusive=asked.allow_inconclusive)


def _jobs(scenarios: Sequence[Selected], asked: _Asked, folder: ReportFolder) -> list[Job]:
    from harness.cli.execute import Job

    return [
        Job(
            file=str(one.scenario.file),
            name=one.name,
            folder=str(folder.work),
            place=_shown(folder.place),
            seed=asked.seed,
            backend=asked.backend,
            durable=asked.durable,
            preempt=asked.preempt if one.scenario.preempt else None,
            verify=asked.verify,
            objectives=one.scenario.objectives.to_json() if one.scenario.objectives else None,
            again=_again(one, asked),
            live=asked.live,
        )
        for one in scenarios
    ]


def _again(one: Selected, asked: _Asked) -> str:
    """The command that repeats exactly one run."""
    backend = "" if asked.backend == "memory" else f" --backend {asked.backend}"
    preempt = f" --preempt {asked.preempt}" if asked.preempt and one.scenario.preempt else ""
    live = "".join(f" --{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in asked.live.items())
    return f"harness run {shlex.quote(one.argument)} --seed {asked.seed}{backend}{preempt}{live.replace(' True', '')}"


def _in_order(
    jobs: Sequence[Job], scenarios: Sequence[Selected], asked: _Asked, shown: Progress, caught: Interrupts
) -> list[dict[str, Any]]:
    """The entries of all jobs, or of those that were done before Ctrl-C."""
    if asked.jobs > 1 and len(jobs) > 1:
        from harness.cli.pool import Pool

        pool = Pool(asked.jobs)
        try:
            with pool:
                return pool.run(jobs, began=shown.began, ended=shown.ended)
        except KeyboardInterrupt:
            return [pool.entries[job.name] for job in jobs if job.name in pool.entries]
    return _one_after_the_other(jobs, scenarios, shown, caught)


def _one_after_the_other(
    jobs: Sequence[Job], scenarios: Sequence[Selected], shown: Progress, caught: Interrupts
) -> list[dict[str, Any]]:
    from harness.cli.execute import discard, execute, interrupted

    entries: list[dict[str, Any]] = []
    for job, one in zip(jobs, scenarios, strict=True):
        shown.began(job.name)
        try:
            entry = execute(one.scenario, job)
        except KeyboardInterrupt:
            discard(Path(job.folder), job.name)
            break
        if caught:
            entry = interrupted(entry)
        entries.append(entry)
        shown.ended(entry)
        if caught:
            break
    return entries


def exit_code(entries: Sequence[Mapping[str, Any]], *, allow_inconclusive: bool = False) -> int:
    """The exit code that the verdicts of a command's runs give."""
    from harness.cli import ERROR, FINDING, OK, UNSURE

    verdicts = {entry["verdict"] for entry in entries}
    if "failed" in verdicts:
        return FINDING
    if "error" in verdicts:
        return ERROR
    if verdicts & {"inconclusive", "flaky"} or verdicts <= {"left out"}:
        return OK if allow_inconclusive else UNSURE
    return OK


def _facts(asked: _Asked, done: int, total: int) -> dict[str, str]:
    import harness

    facts = {
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "by harness": harness.__version__,
        "on Python": platform.python_version(),
        "with seed": str(asked.seed),
        "backend": asked.backend,
    }
    if done < total:
        facts["interrupted after"] = f"{done} of {total} scenarios"
    return facts


def _write(entries: Sequence[Mapping[str, Any]], asked: _Asked) -> None:
    from harness.report import json_result, junit

    writers: tuple[tuple[str | None, Callable[[], bytes]], ...] = (
        (asked.json, lambda: json_result.dumps(entries)),
        (asked.junit, lambda: junit.dumps(entries, allow_inconclusive=asked.allow_inconclusive)),
    )
    for target, dumps in writers:
        if target is not None:
            write_file(target, dumps())


def _interrupted(done: int, total: int) -> int:
    from harness.cli import INTERRUPTED

    print(f"harness: interrupted after {done} of {total} scenarios", file=sys.stderr)
    return INTERRUPTED


def _shown(path: Path) -> str:
    """*path* from the current folder, where it is below it."""
    here = Path.cwd()
    return os.path.relpath(path, here) if path.is_relative_to(here) else str(path)
