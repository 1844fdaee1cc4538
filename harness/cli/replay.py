"""``harness replay``: a saved history or counterexample run again, and compared."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import json_option, output_file, write_file
from harness.errors import HistoryError

if TYPE_CHECKING:
    from harness.explore.difference import Difference
    from harness.history import History
    from harness.result import Result
    from harness.scenario import Scenario

__all__ = ["command"]


@click.command("replay")
@click.argument("file", metavar="FILE")
@json_option
def command(file: str, json: str | None) -> int:
    """Run a saved history (history.jsonl) or a counterexample.json again: same scenario, seed, plan and schedule.

    A history is reproduced if the bytes are the same; a counterexample if the run breaks the same invariant, and the
    output says whether its history is the same too.

    Exit code: 0 reproduced, 1 not reproduced.
    """
    output_file(json, "--json")
    from harness import runner
    from harness.cli.interrupts import catching

    runner.install()
    path = Path(file)
    with catching() as caught, redirect_stdout(sys.stderr):
        told = _counterexample(path) if _is_counterexample(path) else _history(path)
    if caught:
        raise KeyboardInterrupt
    if json is not None:
        import orjson

        write_file(json, orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    _say(told, err=json == "-")
    return 0 if told["reproduced"] else 1


def _is_counterexample(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".json"


def _say(told: dict[str, Any], *, err: bool) -> None:
    click.echo(f"{told['name']}: {told['outcome']} (verdict: {told['verdict']}, seed {told['seed']})", err=err)
    for line in (*told["changed"], *told["violated"]):
        click.echo(f"  {line}", err=err)
    if told["cause"]:
        click.echo(f"  likely cause: {told['cause']}", err=err)


def _counterexample(path: Path) -> dict[str, Any]:
    from harness.explore.replay import replay

    done = replay(path)
    return _told(done.result, done.outcome, done.reproduced, done.difference, done.changed)


def _history(path: Path) -> dict[str, Any]:
    from harness import runner
    from harness.explore.difference import first_difference
    from harness.faults.plan import FaultPlan
    from harness.history import History as Histories

    before = Histories.load(path)
    scenario = _scenario_of(before, str(path))
    header = before.header
    result = runner.run(
        scenario, faults=FaultPlan.from_json(header["plan"]), seed=header["seed"], backend=header["backend"]
    )
    difference = first_difference(before, result.history)
    outcome = "reproduced, byte for byte" if difference is None else f"not reproduced ({difference})"
    return _told(result, outcome, difference is None, difference, _changed(before, result))


def _scenario_of(history: History, file: str) -> Scenario:
    """The scenario that a history's header names: in its file, else among the settings' and the catalogue's."""
    from harness import config
    from harness.cli.selection import select

    header = history.header
    for field, kind in (("scenario", str), ("seed", int), ("backend", str), ("plan", dict)):
        if not isinstance(header.get(field), kind):
            raise HistoryError("is missing", file=file, field=f"line 1, {field}", remedy="The file was edited")
    named = header.get("file")
    argument = f"{named}::{header['scenario']}" if named and Path(named).is_file() else header["scenario"]
    return select([argument], config.load())[0].scenario


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

    return {
        "name": result.scenario,
        "outcome": outcome,
        "reproduced": reproduced,
        "verdict": result.verdict,
        "seed": result.seed,
        "first_difference": None if difference is None else difference.number,
        "cause": ""
        if difference is None or changed
        else f"the code has changed since; else {likely_cause(difference)}",
        "changed": list(changed),
        "violated": [f"{one.name}: {one.detail}" for one in result.violated],
    }
