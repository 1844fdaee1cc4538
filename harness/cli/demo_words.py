"""What ``harness demo`` shows in the terminal: its progress, the two stories, and what to type next."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from harness.explore.demo import Demo
    from harness.result import Result

__all__ = ["searching", "tell"]

_TITLES = {
    "no-message-loss": "It loses a message",
    "effects-once": "It handles a message twice",
}


@contextmanager
def searching(console: Console) -> Iterator[Callable[[int, Result], None]]:
    """In a terminal, say which plan is being tried while the block lasts; elsewhere say nothing."""
    if not console.is_terminal:
        yield lambda tried, result: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn

    # Drawn on each change only: a thread that draws would run beside the simulation.
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("looking for a plan of faults that breaks it", total=None)

        def told(tried: int, result: Result) -> None:
            broken = ", ".join(verdict.name for verdict in result.violated) or "nothing broken"
            bar.update(task, description=f"plan {tried} (seed {result.seed}): {broken}", refresh=True)

        yield told


def tell(console: Console, demo: Demo, made: Mapping[str, Any]) -> None:
    """Both stories, where everything was written, and what to type next."""
    from harness.explore.demo import CONSUMER, FAULTS_MAX
    from harness.report.words import plural

    folder = made["folder"]
    console.print()
    console.print("[bold]An SQS consumer as most tutorials show it[/], two of them, and twenty orders to charge.")
    _line(console, f"Read it: {folder}/{CONSUMER}")
    _line(
        console,
        f"Tried {plural(demo.tried, 'plan')} of at most {FAULTS_MAX} faults; then left out what was not needed "
        f"({plural(demo.runs, 'run')}).",
    )
    for finding in made["findings"]:
        _finding(console, finding)
    if not demo.complete:
        console.print()
        _line(console, "Not everything was found: try another --seed.", "yellow")
    console.print()
    if made["timeline"]:
        _line(console, f"Both in one picture: {made['timeline']}")
    _line(
        console,
        f"Mend {folder}/{CONSUMER}, then run `{_tool('pytest')} {folder}`: both tests pass when no order is lost and "
        "none is charged twice.",
    )


def _finding(console: Console, finding: Mapping[str, Any]) -> None:
    from rich.text import Text

    console.print()
    title = Text().append(f"✗ {_TITLES[finding['invariant']]}", style="bold red")
    console.print(title.append(f"  ({finding['invariant']}, seed {finding['seed']})"))
    for fault in finding["faults"] or ["none is needed"]:
        _line(console, f"  fault: {fault}", "yellow")
    story = finding["story"]
    for line in story["lines"]:
        clock, _, text = line.strip().partition("  ")
        _hanging(console, clock, text, "dim", "")
    for name, style in (("expected", "green"), ("seen", "red"), ("because", "bold")):
        _hanging(console, name, story[name], style, style)
    _line(console, f"  again: {_typed(finding['replay'])}", "cyan")
    _line(console, f"         {_typed(finding['pytest'])}", "cyan")


_LEFT = 10


def _hanging(console: Console, left: str, text: str, left_style: str, style: str) -> None:
    """A line with *left* in a column of its own; what does not fit goes on under the text."""
    from rich.text import Text

    lines = textwrap.wrap(text, max(30, console.width - _LEFT - 4)) or [""]
    for number, line in enumerate(lines):
        shown = Text().append(f"{left if number == 0 else '':>{_LEFT}}  ", style=left_style)
        console.print(shown.append(line, style=style), soft_wrap=True)


def _line(console: Console, text: str, style: str = "") -> None:
    """A line that is never broken, so that what it names can be copied."""
    from rich.text import Text

    console.print(Text(text, style=style), soft_wrap=True)


def _typed(command: str) -> str:
    name, _, rest = command.partition(" ")
    return f"{_tool(name)} {rest}"


def _tool(name: str) -> str:
    """How *name* of this interpreter's environment is typed: bare where that finds it, else with its path."""
    own = Path(sys.executable).parent / name
    found = shutil.which(name)
    if found is not None and (not own.exists() or os.path.samefile(found, own)):
        return name
    if not own.exists():
        return f"{_short(Path(sys.executable))} -m {name}"
    return _short(own)


def _short(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
