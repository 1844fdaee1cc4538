"""What a command shows in the terminal: progress while it runs, then a table of verdicts and what to look at."""

from __future__ import annotations

from collections.abc import Sequence
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


def verdict_table(entries: Sequence[Entry]) -> Table:
    """One row a scenario: verdict, messages, recovery, time."""
    from rich import box
    from rich.table import Table as NewTable
    from rich.text import Text

    table = NewTable(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("verdict", no_wrap=True)
    table.add_column("scenario", overflow="fold")
    for name in ("sent", "processed", "dead", "lost", "twice", "recovery", "simulated", "took"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in entries:
        messages = entry.get("messages") or {}
        dead = _total(messages, "dead_lettered", "quarantined")
        table.add_row(
            verdict_text(entry["verdict"]),
            Text(str(entry["name"])),
            *(_count(messages.get(name)) for name in ("sent", "processed")),
            _count(dead),
            _count(messages.get("lost"), alarm=True),
            _count(messages.get("duplicated")),
            duration(entry.get("recovery_seconds")),
            duration(entry.get("simulated_seconds")),
            duration(entry.get("wall_seconds")),
        )
    return table


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
        console.print(verdict_table(entries))
    for entry in entries:
        if entry["verdict"] != "passed":
            _explain(console, entry)
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
    for one in judged(entry, "violated")[:1]:
        for event in (one.get("events") or ())[:5]:
            console.print(Text(f"    {event['n']:>7} {event['text']}", style="dim"), soft_wrap=True)
    if entry.get("command") and entry["verdict"] != "left out":
        console.print(Text(f"    again: {entry['command']}"), soft_wrap=True)
