"""What a command shows in the terminal: progress while it runs, then a table of verdicts and what to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.report.entries import Entry, judged, one_line, sign, summary
from harness.report.words import duration, integer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["print_report", "verdict_table"]

_STYLES = {
    "passed": "green",
    "failed": "bold red",
    "error": "bold red",
    "inconclusive": "yellow",
    "flaky": "yellow",
    "left out": "dim",
}


def verdict_text(verdict: str) -> Any:
    """The verdict with its sign, in its colour."""
    from rich.text import Text

    return Text(f"{sign(verdict)} {verdict}", style=_STYLES.get(verdict, ""))


def verdict_table(entries: Sequence[Entry], *, width: int = 120) -> Table:
    """One row a scenario: verdict, messages, recovery, time. A narrow terminal gets fewer columns."""
    from rich import box
    from rich.table import Table as NewTable
    from rich.text import Text

    columns = [(name, show) for name, least, show in _COLUMNS if width >= least]
    table = NewTable(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("verdict", no_wrap=True)
    table.add_column("scenario", overflow="fold", min_width=16)
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for entry in entries:
        shown = [show(entry) for _, show in columns]
        table.add_row(verdict_text(entry["verdict"]), Text(str(entry["name"])), *shown)
    return table


def _messages(*names: str, alarm: bool = False) -> Callable[[Entry], Any]:
    return lambda entry: _count(_total(entry.get("messages") or {}, *names), alarm=alarm)


def _time(name: str) -> Callable[[Entry], str]:
    return lambda entry: duration(entry.get(name))


_NOTES_MAX = 3
_NOTE_LINES_MAX = 8
_REASON_LINES_MAX = 25  # of an error: what happened, and stacks; the report has them whole

#: Column, the width of the terminal from which on it is shown, and what stands in it.
_COLUMNS: tuple[tuple[str, int, Callable[[Entry], Any]], ...] = (
    ("sent", 0, _messages("sent")),
    ("processed", 0, _messages("processed")),
    ("dead", 100, _messages("dead_lettered", "quarantined")),
    ("lost", 0, _messages("lost", alarm=True)),
    ("twice", 0, _messages("duplicated")),
    ("recovery", 90, _time("recovery_seconds")),
    ("simulated", 110, _time("simulated_seconds")),
    ("took", 110, _time("wall_seconds")),
)


def _total(messages: Any, *names: str) -> int | None:
    values = [messages.get(name) for name in names]
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _count(value: int | None, *, alarm: bool = False) -> Any:
    from rich.text import Text

    if value is None:
        return Text("–", style="dim")
    return Text(integer(value), style="bold red" if alarm and value else "")


def print_report(console: Console, entries: Sequence[Entry], *, report: str | None = None) -> None:
    """The table, then each run that did not pass with its reason and command, then the sum."""
    from rich.text import Text

    if entries:
        console.print(verdict_table(entries, width=console.width))
    for entry in entries:
        if entry["verdict"] != "passed":
            _explain(console, entry)
    for entry in entries:
        _notes(console, entry)
    console.print(Text(summary(entries), style="bold"))
    if report:
        console.print(Text(f"report: {report}"), soft_wrap=True)


def _explain(console: Console, entry: Entry) -> None:
    from rich.text import Text

    line = verdict_text(entry["verdict"])
    line.append(f"  {entry['name']}", style="bold")
    console.print(line)
    reasons = [one_line(entry)]
    if entry["verdict"] == "failed":
        reasons = [f"{one['name']}: {one['detail']}" for one in judged(entry, "violated")]
    for reason in reasons:
        console.print(Text(f"    {reason}"), soft_wrap=True)
    if entry["verdict"] == "error":
        for line in str(entry.get("reason", "")).splitlines()[1:_REASON_LINES_MAX]:
            console.print(Text(f"    {line}", style="dim"), soft_wrap=True)
    for note in (entry.get("notes") or ())[:_NOTES_MAX]:
        # A traceback says at its end what it is about.
        for line in str(note).strip().splitlines()[-_NOTE_LINES_MAX:]:
            console.print(Text(f"    {line}", style="dim"), soft_wrap=True)
    for one in judged(entry, "violated")[:1]:
        for event in (one.get("events") or ())[:5]:
            console.print(Text(f"    {event['n']:>7} {event['text']}", style="dim"), soft_wrap=True)
    if entry.get("command") and entry["verdict"] != "left out":
        console.print(Text(f"    again: {entry['command']}"), soft_wrap=True)


def _notes(console: Console, entry: Entry) -> None:
    """What a verdict does not say: objectives that were missed, invariants that were judged in a weaker form."""
    from rich.text import Text

    for one in entry.get("objectives") or ():
        if one.get("met") is False:
            text = f"{entry['name']}: {one['objective']} missed: promised {one['promised']}, happened {one['happened']}"
            console.print(Text(text, style="yellow"), soft_wrap=True)
    for one in entry.get("weakened") or ():
        text = f"{entry['name']}: {one['invariant']} weakened by the plan's faults: {one['to']}"
        console.print(Text(text, style="dim"), soft_wrap=True)
