"""``harness sweep``: every single fault at every point that a scenario passes, one run each."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import json_option, output_file, seed_option, write_file

if TYPE_CHECKING:
    from harness.explore.sweep import Outcome, Single, Sweep
    from harness.explore.sweep_log import SweepLog

__all__ = ["command"]

_AHEAD = 4  # tasks that wait for each process


@click.command("sweep")
@click.argument("name", metavar="NAME|PATH")
@seed_option
@click.option("--kinds", metavar="KIND,...", help="Only these kinds of fault.")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="How many processes.")
@click.option(
    "--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so long, with what it has."
)
@click.option("--max-passing", type=click.IntRange(1), help="No more than the first N passings of each point.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/sweep"), help="Where findings go.")
@click.option("--afresh", is_flag=True, help="Forget what an earlier sweep has tried.")
@json_option
def command(
    name: str,
    seed: int | None,
    kinds: str | None,
    jobs: int,
    max_seconds: float | None,
    max_passing: int | None,
    out: Path,
    afresh: bool,
    json: str | None,
) -> int:
    """Run a scenario once for each fault that could strike it, and say which ones it does not survive.

    A clean run counts every passing of every fault point; then each (point, passing, kind) has a run with exactly that
    fault. What is broken off (Ctrl-C, --max-seconds) goes on with the next call.

    Exit code: 0 every single fault was survived, 1 one was not, 3 a run ended as error, 4 not everything was tried.
    """
    output_file(json, "--json")
    from harness import config
    from harness.cli.exploring import kinds_named, one_scenario
    from harness.explore.sweep import Sweep

    found = config.load()
    scenario = one_scenario(name, found, "Sweep")
    sweep = Sweep.of(scenario, found.seed if seed is None else seed, kinds=kinds_named(kinds))
    tried = [one for one in sweep.singles if max_passing is None or one.nth <= max_passing]
    log = _log(out / scenario.name, sweep, afresh)
    try:
        complete = _carry_out(sweep, tried, log, jobs, max_seconds)
    finally:
        log.close()
    return _tell(sweep, tried, log, out / scenario.name, complete, json)


def _log(folder: Path, sweep: Sweep, afresh: bool) -> SweepLog:
    from harness import __version__
    from harness.explore.sweep_log import SweepLog
    from harness.loading import digest

    path = folder / "sweep.jsonl"
    if afresh:
        path.unlink(missing_ok=True)
    head = {
        "scenario": sweep.scenario.name,
        "digest": digest(sweep.scenario),
        "seed": sweep.seed,
        "version": __version__,
        "clean": len(sweep.clean.history.to_bytes()),
    }
    return SweepLog(path, head)


def _carry_out(sweep: Sweep, tried: Sequence[Single], log: SweepLog, jobs: int, max_seconds: float | None) -> bool:
    """Run what was not run yet; false if it was broken off."""
    from harness.cli.exploring import progress

    todo = [one for one in tried if one.name not in log.outcomes]
    until = None if max_seconds is None else time.monotonic() + max_seconds
    runs = _in_processes(sweep, todo, jobs) if jobs > 1 or sweep.alone else _here(sweep, todo)
    done = len(tried) - len(todo)
    broken = sum(bool(one.violated) for one in log.outcomes.values())
    with progress("sweep", len(tried)) as shown:
        try:
            for outcome in runs:
                log.add(outcome)
                done += 1
                broken += bool(outcome.violated)
                shown(done, f"{broken} not survived" if broken else "")
                if until is not None and time.monotonic() > until:
                    return done == len(tried)
        except KeyboardInterrupt:
            return False
    return done == len(tried)


def _here(sweep: Sweep, todo: Sequence[Single]) -> Iterator[Outcome]:
    from harness.explore.sweep import run_single

    for one in todo:
        yield run_single(sweep.scenario, one, sweep.seed)[0]


def _in_processes(sweep: Sweep, todo: Sequence[Single], jobs: int) -> Iterator[Outcome]:
    """In *jobs* processes; each run in one of its own where runs leave something behind."""
    from harness.explore.processes import perform, processes
    from harness.explore.sweep import try_single

    pool = processes(sweep.scenario, jobs, alone=bool(sweep.alone), remedy="Sweep it with -j 1")
    waiting: set[Future[Outcome]] = set()
    rest = iter(todo)
    try:
        while True:
            while len(waiting) < jobs * _AHEAD and (one := next(rest, None)) is not None:
                waiting.add(pool.submit(perform, (try_single, (one, sweep.seed))))
            if not waiting:
                return
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in finished)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _tell(sweep: Sweep, tried: Sequence[Single], log: SweepLog, folder: Path, complete: bool, json: str | None) -> int:
    from harness.explore.sweep import summary

    outcomes = [log.outcomes[one.name] for one in tried if one.name in log.outcomes]
    counts = summary(outcomes)
    findings = _findings(sweep, tried, log, folder)
    stream = sys.stderr if json == "-" else sys.stdout

    def say(text: str) -> None:
        click.echo(text, file=stream)

    for finding in findings:
        say(f"✗ {finding['name']}: {', '.join(finding['invariants'])}: {finding['detail']}")
        more = f"{finding['more']} more passings of it likewise; " if finding["more"] else ""
        say(f"    {more}again: harness replay {finding['file']}")
    for one in outcomes:
        if one.verdict == "error":
            say(f"! {one.name}: {one.reason.splitlines()[0] if one.reason else 'error'}")
    if sweep.alone:
        say(f"two clean runs in one process differ, so that each run had its own: {sweep.alone}")
    struck = counts["tried"] - counts["not_struck"]
    say(
        f"{sweep.scenario.name}: {counts['survived']} of {struck} single faults survived, "
        f"{counts['behaviours']} behaviours"
        + (f"; {counts['not_struck']} were not reached" if counts["not_struck"] else "")
        + ("" if complete else f"; {len(tried) - len(outcomes)} of {len(tried)} not tried yet: call it again")
    )
    if json is not None:
        write_file(json, _json(sweep, tried, counts, findings, complete))
    if counts["broken"]:
        return 1
    if counts["errors"]:
        return 3
    return 0 if complete and struck else 4


def _findings(sweep: Sweep, tried: Sequence[Single], log: SweepLog, folder: Path) -> list[dict[str, Any]]:
    """One for each (point, kind): the first passing, as a file that replays; how many are like it."""
    from harness.explore.finding import save, slug
    from harness.explore.sweep import run_single
    from harness.loading import digest

    groups: dict[str, list[Single]] = {}
    for one in tried:
        outcome = log.outcomes.get(one.name)
        if outcome is not None and outcome.violated:
            groups.setdefault(one.choice.name, []).append(one)
    found = []
    for name, members in groups.items():
        _, result = run_single(sweep.scenario, members[0], sweep.seed)
        if result is None or not result.violated:
            continue  # it takes a process of its own to show itself
        verdict = result.violated[0]
        saved = save(result, verdict, folder / slug(name), digest=digest(sweep.scenario))
        found.append(
            {
                "name": members[0].name,
                "invariants": [one.name for one in result.violated],
                "detail": verdict.detail,
                "more": len(members) - 1,
                "file": str(saved.file),
            }
        )
    return found


def _json(
    sweep: Sweep,
    tried: Sequence[Single],
    counts: dict[str, int],
    findings: list[dict[str, Any]],
    complete: bool,
) -> bytes:
    import orjson

    document = {
        "scenario": sweep.scenario.name,
        "seed": sweep.seed,
        "passings": {f"{point}.{side}": count for (point, side), count in sweep.passed.items()},
        "faults": len(tried),
        "complete": complete,
        **counts,
        "findings": findings,
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
