"""``harness sweep``: every single fault at every point that a scenario passes, one run each."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import json_option, output_file, seed_option, write_file

if TYPE_CHECKING:
    from harness.explore.pairs import Pair
    from harness.explore.sweep import Sweep, Task
    from harness.explore.sweep_log import SweepLog

__all__ = ["command"]

_AHEAD = 4  # tasks that wait for each process


@click.command("sweep")
@click.argument("name", metavar="NAME|PATH")
@seed_option
@click.option("--kinds", metavar="KIND,...", help="Only these kinds of fault.")
@click.option("--pairs", is_flag=True, help="Then pairs of faults, where the second meets what the first has changed.")
@click.option("-j", "--jobs", type=click.IntRange(1, 256), default=1, show_default=True, help="How many processes.")
@click.option(
    "--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after so long, with what it has."
)
@click.option("--max-passing", type=click.IntRange(1), help="No more than the first N passings of each point.")
@click.option("--firsts", is_flag=True, help="No more than one of each point, kind and abstract state.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("reports/sweep"), help="Where findings go.")
@click.option("--afresh", is_flag=True, help="Forget what an earlier sweep has tried.")
@json_option
def command(
    name: str,
    seed: int | None,
    kinds: str | None,
    pairs: bool,
    jobs: int,
    max_seconds: float | None,
    max_passing: int | None,
    firsts: bool,
    out: Path,
    afresh: bool,
    json: str | None,
) -> int:
    """Run a scenario once for each fault that could strike it, and say which ones it does not survive.

    A clean run counts every passing of every fault point; then each (point, passing, kind) has a run with exactly that
    fault, one of each point, kind and abstract state first. With --pairs a second fault follows where the first one
    made its passing new or changed, and where both touch a common message, key or breaker. What is broken off (Ctrl-C,
    --max-seconds) goes on with the next call.

    Exit code: 0 every fault was survived, 1 one was not, 3 a run ended as error, 4 not everything was tried, 130
    interrupted.
    """
    output_file(json, "--json")
    from harness import config
    from harness.cli.exploring import kinds_named, one_scenario
    from harness.explore.sweep import Sweep

    found = config.load()
    scenario = one_scenario(name, found, "Sweep")
    chosen = kinds_named(kinds)
    with redirect_stdout(sys.stderr):  # what the code under test prints is no result
        sweep = Sweep.of(scenario, found.seed if seed is None else seed, kinds=chosen)
    singles = sweep.singles[: sweep.firsts] if firsts else sweep.singles
    tried: list[Task] = [one for one in singles if max_passing is None or one.nth <= max_passing]
    log = _log(out / scenario.name, sweep, afresh)
    stage = _Stage(sweep, log, jobs, None if max_seconds is None else time.monotonic() + max_seconds)
    followed: Sequence[Pair] = []
    try:
        with redirect_stdout(sys.stderr):
            stage.carry_out(tried, "sweep")
            if pairs and stage.complete:
                followed = stage.pairs(chosen)
                stage.carry_out(followed, "pairs")
            findings = _findings(stage, [*tried, *followed], out / scenario.name)
    finally:
        log.close()
    return _tell(stage, tried, followed, findings, json)


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


class _Stage:
    """What one call of the command carries out, until it is complete or broken off.

    ``complete``: nothing is left to do; ``interrupted``: by Ctrl-C; ``broken``: how many were not survived.
    """

    def __init__(self, sweep: Sweep, log: SweepLog, jobs: int, until: float | None) -> None:
        self.sweep = sweep
        self.log = log
        self.complete = True
        self.interrupted = False
        self._jobs = jobs
        self._until = until
        self._broken = sum(bool(one.violated) for one in log.outcomes.values())

    def carry_out(self, tried: Sequence[Task], what: str) -> None:
        """Run what was not run yet."""
        from harness.explore.sweep import try_single

        todo = [one for one in tried if one.name not in self.log.outcomes]
        done = len(tried) - len(todo)
        runs = self._runs(try_single, [(one, self.sweep.seed) for one in todo])
        for outcome in self._shown(runs, what, len(tried), done):
            self.log.add(outcome)
            self._broken += bool(outcome.violated)

    def pairs(self, kinds: frozenset[str] | None) -> Sequence[Pair]:
        """Which pairs are worth a run, now that the single faults have been tried."""
        from harness.explore.pairs import follow, in_order, tasks_of

        tasks = tasks_of(self.sweep, self.log.outcomes, kinds)
        return in_order(list(self._shown(self._runs(follow, tasks), "firsts", len(tasks), 0)))

    def _shown(self, runs: Iterator[Any], what: str, total: int, done: int) -> Iterator[Any]:
        from harness.cli.exploring import progress
        from harness.cli.interrupts import catching

        with progress(what, total) as shown, catching() as caught:
            with suppress(KeyboardInterrupt):  # it has been counted
                for one in runs:
                    if caught:  # the run in force was stopped: it says nothing
                        break
                    done += 1
                    yield one
                    shown(done, f"{self._broken} not survived" if self._broken else "")
                    if self._until is not None and time.monotonic() > self._until:
                        break
            self.interrupted = self.interrupted or bool(caught)
        self.complete = self.complete and done == total

    def _runs(self, function: Any, tasks: Sequence[Any]) -> Iterator[Any]:
        if self._jobs > 1 or self.sweep.alone:
            return self._in_processes(function, tasks)
        return (function(self.sweep.scenario, task) for task in tasks)

    def _in_processes(self, function: Any, tasks: Sequence[Any]) -> Iterator[Any]:
        """In processes; each run in one of its own where runs leave something behind."""
        from harness.explore.processes import perform, processes

        pool = processes(self.sweep.scenario, self._jobs, alone=bool(self.sweep.alone), remedy="Sweep it with -j 1")
        waiting: set[Future[Any]] = set()
        rest = iter(tasks)
        try:
            while True:
                while len(waiting) < self._jobs * _AHEAD and (task := next(rest, None)) is not None:
                    waiting.add(pool.submit(perform, (function, task)))
                if not waiting:
                    return
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in finished)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _tell(
    stage: _Stage,
    tried: Sequence[Task],
    pairs: Sequence[Task],
    findings: list[dict[str, Any]],
    json: str | None,
) -> int:
    from harness.explore.sweep import summary

    sweep, log = stage.sweep, stage.log
    outcomes = [log.outcomes[one.name] for one in (*tried, *pairs) if one.name in log.outcomes]
    counts = summary(outcomes)
    stream = sys.stderr if json == "-" else sys.stdout

    def say(text: str) -> None:
        click.echo(text, file=stream)

    for finding in findings:
        say(f"✗ {finding['name']}: {', '.join(finding['invariants'])}: {finding['detail']}")
        more = f"{finding['more']} more passings of it likewise; " if finding["more"] else ""
        again = (
            f"harness replay {finding['file']}" if finding["file"] else "it shows itself in a process of its own only"
        )
        say(f"    {more}again: {again}")
    for one in outcomes:
        if one.verdict == "error":
            say(f"! {one.name}: {one.reason.splitlines()[0] if one.reason else 'error'}")
    if sweep.alone:
        say(f"two clean runs in one process differ, so that each run had its own: {sweep.alone}")
    say(_line(stage, tried, "single faults"))
    if pairs:
        say(_line(stage, pairs, "pairs"))
    if json is not None:
        write_file(json, _json(sweep, tried, pairs, counts, findings, stage.complete))
    if stage.interrupted:
        return 130
    if counts["broken"]:
        return 1
    if counts["errors"]:
        return 3
    return 0 if stage.complete and counts["tried"] > counts["not_struck"] else 4


def _line(stage: _Stage, tried: Sequence[Task], what: str) -> str:
    """How many were survived: the line that everybody reads."""
    from harness.explore.sweep import summary

    outcomes = [stage.log.outcomes[one.name] for one in tried if one.name in stage.log.outcomes]
    counts = summary(outcomes)
    struck = counts["tried"] - counts["not_struck"]
    left = len(tried) - len(outcomes)
    return (
        f"{stage.sweep.scenario.name}: {counts['survived']:,} of {struck:,} {what} survived, "
        f"{counts['behaviours']:,} behaviours"
        + (f"; {counts['not_struck']:,} were not reached" if counts["not_struck"] else "")
        + (f"; {left:,} of {len(tried):,} not tried yet: call it again" if left else "")
    )


def _findings(stage: _Stage, tried: Sequence[Task], folder: Path) -> list[dict[str, Any]]:
    """One for each (point, kind), or pair of them: the first passing, as a file that replays; how many are like it."""
    from harness.explore.finding import save, slug
    from harness.explore.sweep import run_single
    from harness.loading import digest

    sweep, log = stage.sweep, stage.log
    groups: dict[str, list[Task]] = {}
    for one in tried:
        outcome = log.outcomes.get(one.name)
        if outcome is not None and outcome.violated:
            groups.setdefault(one.group, []).append(one)
    found = []
    for name, members in groups.items():
        _, result = run_single(sweep.scenario, members[0], sweep.seed)
        violated = log.outcomes[members[0].name].violated
        file = ""
        if result is not None and result.violated:
            violated = {one.name: one.detail for one in result.violated}
            saved = save(result, result.violated[0], folder / slug(name), digest=digest(sweep.scenario))
            file = str(saved.file)
        found.append(
            {
                "name": members[0].name,
                "invariants": list(violated),
                "detail": next(iter(violated.values())),
                "more": len(members) - 1,
                "file": file,
            }
        )
    return found


def _json(
    sweep: Sweep,
    tried: Sequence[Task],
    pairs: Sequence[Task],
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
        "pairs": len(pairs),
        "complete": complete,
        **counts,
        "findings": findings,
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
