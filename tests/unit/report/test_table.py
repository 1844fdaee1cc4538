"""The terminal shows verdicts, reasons and commands, with and without a terminal."""

from __future__ import annotations

import io

from rich.console import Console

from harness.report.console import progress
from harness.report.table import print_report
from tests.unit.report.entries import entry, one_of_each


def _shown(entries: list[dict[str, object]], width: int = 120) -> str:
    stream = io.StringIO()
    print_report(Console(file=stream, width=width), entries, report="reports/latest/index.html")
    return stream.getvalue()


def test_verdicts_reasons_and_commands_are_shown() -> None:
    """Each run that did not pass is explained with its command; the sum and the report's place close the output."""
    text = _shown(one_of_each())
    for expected in (
        "✓ passed",
        "✗ failed",
        "no-message-loss: 1 of 20 lost: key 3",
        "again: harness run lossy --seed 7",
        "deadlock",
        "never struck: redis.*: refused",
        "5 scenarios: 1 error, 1 failed, 1 inconclusive, 1 left out, 1 passed",
        "report: reports/latest/index.html",
    ):
        assert expected in text
    assert "again: harness run calm" not in text


def test_missed_objectives_and_weakened_invariants_are_told() -> None:
    """A run may pass and yet miss a promise, or have been judged in a weaker form: both are said."""
    missed = {"objective": "rto", "promised": "within 2 min", "happened": "after 3 min", "met": False}
    met = {**missed, "objective": "rpo", "met": True}
    weak = {"invariant": "effects-once", "to": "at least once", "why": "Redis lost writes"}
    text = _shown([entry("calm", objectives=[missed, met], weakened=[weak])])
    assert "calm: rto missed: promised within 2 min, happened after 3 min" in text
    assert "rpo missed" not in text
    assert "calm: effects-once weakened by the plan's faults: at least once" in text


def test_a_narrow_terminal_keeps_verdict_name_and_losses() -> None:
    """At 80 columns the scenario's name and the counts that matter are still there."""
    text = _shown(one_of_each(), width=80)
    assert "elsewhere" in text
    assert "lost" in text
    assert "simulated" not in text


def test_square_brackets_are_text() -> None:
    """What looks like rich's markup in a name or detail is shown as it is."""
    text = _shown([entry("[red]x", "error", reason="[bold]boom[/bold]")])
    assert "[red]x" in text
    assert "[bold]boom[/bold]" in text


def test_progress_without_a_terminal_is_one_line_a_scenario() -> None:
    """In CI each verdict is one countable line."""
    stream = io.StringIO()
    with progress(Console(file=stream, width=200), 5) as shown:
        for one in one_of_each():
            shown.began(one["name"])
            shown.ended(one)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[1].startswith("[2/5] ✗ failed")


def test_progress_in_a_terminal_leaves_nothing_behind() -> None:
    """The bar names what runs and is wiped at the end."""
    stream = io.StringIO()
    with progress(Console(file=stream, force_terminal=True, width=100), 2) as shown:
        shown.began("calm")
        shown.ended(entry())
    assert "calm" in stream.getvalue()
    assert stream.getvalue().rstrip().endswith("\x1b[2K")
