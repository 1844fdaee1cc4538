"""``harness replay``: a saved history or counterexample run again, and compared."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import json_option, output_file, write_file
from harness.errors import HistoryError, PlanError, UsageError

if TYPE_CHECKING:
    from harness.explore.difference import Difference
    from harness.faults.plan import FaultPlan
    from harness.history import Event, History
    from harness.result import Result
    from harness.scenario import Scenario

__all__ = ["checked", "command", "file_of", "is_history"]


@click.command("replay")
@click.argument("file", metavar="FILE")
@json_option
@click.option("--changed", is_flag=True, help="Replay although the scenario's file has changed since.")
@click.option("--at", type=click.IntRange(1), metavar="N", help="Stop in the actor that makes event N: its stack.")
@click.option("--pdb", is_flag=True, help="With --at: open pdb there, while virtual time stands still.")
def command(file: str, json: str | None, changed: bool, at: int | None, pdb: bool) -> int:
    """Run a saved history (history.jsonl) or a counterexample.json again: same scenario, seed, plan and schedule.

    A history is reproduced if the bytes are the same; a counterexample if the run breaks the same invariant, and the
    output says whether its history is the same too. FILE may also be the folder that holds it.

    With --at N the run is left where it makes event N: the actor's frames, with source and locals (redacted, cut).
    With --pdb as well, pdb opens in them; `continue` lets the run go on to its end.

    Exit code: 0 reproduced, 1 not reproduced, 2 FILE or its scenario cannot be used, 3 the run ended as error.
    """
    output_file(json, "--json")
    from harness import runner
    from harness.cli import OK
    from harness.cli.interrupts import catching
    from harness.explore.standstill import Prompt, stopping_at

    if pdb and at is None:
        raise UsageError("is for one event", field="--pdb", remedy="Say which, with --at N")
    if pdb and json == "-":
        raise UsageError("does not go with --pdb, which speaks there too", field="--json -", remedy="Give a file")
    path = file_of(Path(file))
    runner.install()
    if at is not None and not pdb:
        return _stand(path, at, changed, json)
    prompt = Prompt()
    stop = None if at is None else stopping_at(at, prompt)
    with catching() as caught, nullcontext() if pdb else redirect_stdout(sys.stderr):
        told = _history(path, stop) if is_history(path) else _counterexample(path, changed, stop)
    if prompt.left:
        click.echo(f"{told['name']}: left at event {at}")
        return OK
    if caught:
        raise KeyboardInterrupt
    if json is not None:
        import orjson

        write_file(json, orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    _say(told, err=json == "-")
    return _exit_code(told)


def _stand(path: Path, at: int, changed: bool, json: str | None) -> int:
    """Show where the run stands at event *at*.

    Raises:
        UsageError: the run has no such event.
    """
    from harness.cli import OK
    from harness.cli.interrupts import catching
    from harness.explore.standstill import Lookout, stopping_at

    lookout = Lookout()
    with catching() as caught, redirect_stdout(sys.stderr):
        stop = stopping_at(at, lookout)
        told = _history(path, stop) if is_history(path) else _counterexample(path, changed, stop)
    if caught:
        raise KeyboardInterrupt
    if lookout.seen is None:
        raise UsageError(
            f"is {at}, and the run has {told['events']} events", field="--at", remedy="Give the number of one of them"
        )
    if json is not None:
        import orjson

        write_file(json, orjson.dumps(lookout.seen.to_json(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    click.echo(str(lookout.seen), err=json == "-")
    return OK


def _exit_code(told: Mapping[str, Any]) -> int:
    from harness.cli import ERROR, FINDING, OK, UNSURE

    if told["reproduced"]:
        return OK
    return {"error": ERROR, "left out": UNSURE}.get(told["verdict"], FINDING)


def file_of(path: Path) -> Path:
    """The counterexample in a folder, else its history.

    Raises:
        UsageError: nothing is there.
    """
    if not path.is_dir():
        return path
    for name in ("counterexample.json", "history.jsonl"):
        if (path / name).is_file():
            return path / name
    raise UsageError(
        "has neither a counterexample.json nor a history.jsonl", file=str(path), remedy="Give the path of the file"
    )


def is_history(path: Path) -> bool:
    """Told by the first line, whatever the file is called; by the name where that says nothing."""
    import orjson

    try:
        with path.open("rb") as file:
            header = orjson.loads(file.readline())
    except (OSError, ValueError):
        return path.suffix != ".json"
    return "schema" in header if isinstance(header, dict) else path.suffix != ".json"


def _say(told: Mapping[str, Any], *, err: bool) -> None:
    """What differs from the environment of then first; then the outcome and why."""
    for line in told["changed"]:
        click.echo(f"note: {line}", err=err)
    click.echo(f"{told['name']}: {told['outcome']} (verdict: {told['verdict']}, seed {told['seed']})", err=err)
    if told["reason"]:
        click.echo(f"  {told['reason']}", err=err)
    if told["difference"]:
        click.echo(f"  {told['difference']}", err=err)
    if told["cause"]:
        click.echo(f"  likely cause: {told['cause']}", err=err)
    for line in told["story"] or told["violated"]:
        click.echo(f"  {line}", err=err)


def _counterexample(path: Path, changed: bool, witness: Callable[[Event], None] | None) -> dict[str, Any]:
    from harness.explore.replay import replay

    done = replay(path, changed=changed, witness=witness)
    told = _told(done.result, done.outcome, done.reproduced, done.difference, done.changed)
    story = done.story
    if story is not None:
        told["story"] = [f"{story.invariant}:", *str(story).splitlines()]
    return told


def _history(path: Path, witness: Callable[[Event], None] | None) -> dict[str, Any]:
    from harness import runner
    from harness.explore.difference import first_difference
    from harness.history import History as Histories

    before = Histories.load(path)
    plan = checked(before, str(path))
    header = before.header
    result = runner.run(
        _scenario_of(before, path),
        faults=plan,
        seed=header["seed"],
        backend=header["backend"],
        options=runner.Options(witness=witness),
    )
    difference = first_difference(before, result.history)
    outcome = "reproduced, byte for byte"
    if difference is not None:
        outcome = f"not reproduced (first difference at event {difference.number})"
    return _told(result, outcome, difference is None, difference, _changed(before, result))


def checked(history: History, file: str) -> FaultPlan:
    """The plan of a history whose header says everything that a replay needs.

    Raises:
        HistoryError: something is missing or of the wrong kind.
        PlanError: the plan is none that this harness knows.
    """
    from harness.faults.plan import FaultPlan as Plans

    header = history.header
    for field, kind in (("scenario", str), ("seed", int), ("backend", str), ("plan", dict)):
        value = header.get(field)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise HistoryError(
                "is missing" if value is None else f"is {value!r}",
                file=file,
                field=f"line 1, {field}",
                remedy="The file was edited",
            )
    try:
        return Plans.from_json(header["plan"])
    except PlanError as error:
        where = f"line 1, plan.{error.field}" if error.field else "line 1, plan"
        raise PlanError(error.message, file=file, field=where, remedy=error.remedy) from None


def _scenario_of(history: History, file: Path) -> Scenario:
    """The scenario that a history's header names: in its file, else among the settings' and the catalogue's."""
    from harness import config
    from harness.cli.selection import select
    from harness.explore.locate import find, make_importable

    name, named = history.header["scenario"], str(history.header.get("file") or "")
    path = find(named, file) if named else None
    if path is None:
        return select([name], config.load())[0].scenario
    make_importable(named, path)
    return select([f"{path}::{name}"], config.load())[0].scenario


def _changed(before: History, result: Result) -> list[str]:
    """What is not as it was when the history was written, one sentence each."""

    def versions(header: Any) -> dict[str, str]:
        return {"python": (header.get("environment") or {}).get("python", ""), **(header.get("versions") or {})}

    then, now = versions(before.header), versions(result.history.header)
    return [
        f"{name} was {then.get(name) or 'not there'} and is {now.get(name) or 'not there'}"
        for name in sorted({*then, *now})
        if then.get(name, "") != now.get(name, "")
    ]


def _told(
    result: Result, outcome: str, reproduced: bool, difference: Difference | None, changed: Any
) -> dict[str, Any]:
    from harness.explore.difference import likely_cause

    cause = ""
    if difference is not None and not changed:
        cause = f"the code has changed since; else {likely_cause(difference)}"
    return {
        "name": result.scenario,
        "outcome": outcome,
        "reproduced": reproduced,
        "verdict": result.verdict,
        "seed": result.seed,
        "events": len(result.history),
        "first_difference": None if difference is None else difference.number,
        "difference": "" if difference is None else str(difference),
        "cause": cause,
        "changed": list(changed),
        "violated": [f"{one.name}: {one.detail}" for one in result.violated],
        "story": [],
        "reason": result.reason,
    }
