"""``harness explain``: why a counterexample breaks its invariant, and its story as a sequence chart."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.replay import checked, file_of, is_history
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.explore.chart import Chart
    from harness.explore.counterexample import Counterexample

__all__ = ["command"]

_FORMATS = ("text", "mermaid", "json")


@click.command("explain")
@click.argument("file", metavar="FILE")
@click.option("--story", is_flag=True, help="The story alone, as a sequence chart on one screen.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="text", show_default=True, help="mermaid: with --story."
)
def command(file: str, story: bool, form: str) -> int:
    """Say why a counterexample.json (or the history.jsonl of a run that failed) breaks its invariant.

    It runs it again, each time with one thing less: a fault, the last message, a choice of the schedule. So it says
    which faults are needed, which run is the nearest that passes, where the two part, and what led from the fault to
    the violation. With --story it draws who sent what to whom, from the history alone where there is one.

    Exit code: 0 explained, 1 nothing breaks any more, 2 FILE or its scenario cannot be used, 3 a run ended as error.
    """
    from harness.cli.interrupts import catching

    if form == "mermaid" and not story:
        raise UsageError("is for a sequence chart", field="--format mermaid", remedy="Add --story")
    path = file_of(Path(file))
    with catching() as caught, redirect_stdout(sys.stderr):
        text, code = _story(path, form) if story else _explanation(path, form)
    if caught:
        raise KeyboardInterrupt
    click.echo(text, err=code != 0)
    return code


def _explanation(path: Path, form: str) -> tuple[str, int]:
    from harness.cli import FINDING, OK
    from harness.explore.explained import told
    from harness.explore.explanation import NotReproduced, explain

    try:
        explanation = explain(_counterexample(path))
    except NotReproduced as error:
        return str(error), FINDING
    return _json(explanation.to_json()) if form == "json" else told(explanation), OK


def _story(path: Path, form: str) -> tuple[str, int]:
    from harness.cli import FINDING, OK

    chart = _chart(path)
    if chart is None:
        return f"{path}: nothing breaks any more", FINDING
    if form == "json":
        return _json(chart.to_json()), OK
    return chart.mermaid() if form == "mermaid" else chart.text(), OK


def _chart(path: Path) -> Chart | None:
    """The chart of the first violation: from the history that is there, else from a new run."""
    from harness.explore.chart import draw
    from harness.explore.replay import replay

    found = _counterexample(path)
    history = found.load_history()
    if history is not None:
        return draw(history, found.violated[0].verdict())
    done = replay(found)
    return None if done.violation is None else draw(done.result.history, done.violation)


def _counterexample(path: Path) -> Counterexample:
    """What stands in *path*, or what the history there is once it is judged.

    Raises:
        UsageError: it cannot be read, or breaks nothing.
    """
    from harness.explore.counterexample import Counterexample as Counterexamples

    if not is_history(path):
        return Counterexamples.load(path)
    return _of_history(path)


def _of_history(path: Path) -> Counterexample:
    from harness.cli.judging import specs_of
    from harness.explore.counterexample import Counterexample as Counterexamples
    from harness.history import History
    from harness.invariants.judge import judge

    history = History.load(path)
    checked(history, str(path))
    specs, _ = specs_of(history, str(path))
    verdicts, _ = judge(specs, history.header, history)
    if not any(verdict.status == "violated" for verdict in verdicts):
        raise UsageError("breaks no invariant", file=str(path), remedy="Give a run that failed")
    workloads = history.header.get("workload") or ()
    found = Counterexamples.of(history, verdicts, messages=max((one["messages"] for one in workloads), default=None))
    return dataclasses.replace(found, history=path.name, file=path)


def _json(value: object) -> str:
    import orjson

    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
