"""Progress of a command: a bar in a terminal, one line a scenario elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from harness.report.entries import Entry, sign
from harness.report.words import duration

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Progress", "make_console", "progress"]


def make_console(*, stderr: bool = False) -> Console:
    """A console for the terminal, or for a file or pipe, where lines may be long."""
    from rich.console import Console as NewConsole

    console = NewConsole(stderr=stderr, highlight=False)
    return console if console.is_terminal else NewConsole(stderr=stderr, highlight=False, width=140)


class Progress(Protocol):
    """Told what happens, as it happens."""

    def began(self, name: str) -> None:
        """The scenario *name* runs now."""
        ...

    def ended(self, entry: Entry) -> None:
        """A scenario has its verdict."""
        ...


class _Lines:
    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0

    def began(self, name: str) -> None:
        """Nothing: only results make lines."""

    def ended(self, entry: Entry) -> None:
        from rich.text import Text

        self._done += 1
        width = len(str(self._total))
        self._console.print(
            Text(
                f"[{self._done:>{width}}/{self._total}] {sign(entry['verdict'])} {entry['verdict']:<12} "
                f"{entry['name']}  {duration(entry.get('wall_seconds'))}"
            ),
            soft_wrap=True,
        )


@contextmanager
def progress(console: Console, total: int) -> Iterator[Progress]:
    """Show the progress of *total* scenarios on *console* while the block lasts."""
    if not console.is_terminal:
        yield _Lines(console, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    class _Bar:
        def __init__(self, bar: Bar, task: TaskID) -> None:
            self._bar, self._task = bar, task
            self._running: list[str] = []

        def began(self, name: str) -> None:
            self._running.append(name)
            self._show()

        def ended(self, entry: Entry) -> None:
            if entry["name"] in self._running:
                self._running.remove(entry["name"])
            self._bar.advance(self._task)
            self._show()

        def _show(self) -> None:
            self._bar.update(self._task, running=", ".join(self._running)[:60], refresh=True)

    columns = (BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[running]}"))
    # Drawn on each change only: a thread that draws would run beside the simulation.
    with Bar(*columns, console=console, transient=True, auto_refresh=False) as bar:
        yield _Bar(bar, bar.add_task("run", total=total, running=""))
