"""What the commands that explore one scenario share: which one, which kinds of fault, how far they have come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.config import Config
    from harness.scenario import Scenario

__all__ = ["kinds_named", "one_scenario", "progress"]


def one_scenario(name: str, found: Config, what: str) -> Scenario:
    """The scenario that *name* means. *what* is done to it, for the error.

    Raises:
        UsageError: it names none, or several.
    """
    from harness.cli.selection import select

    selected = select([name], found)
    if len(selected) != 1:
        raise UsageError(f"names {len(selected)} scenarios", field=name, remedy=f"{what} one at a time")
    return selected[0].scenario


def kinds_named(text: str | None) -> frozenset[str] | None:
    """The kinds of ``--kinds``; None: all.

    Raises:
        UsageError: one is none; names the nearest.
    """
    if text is None:
        return None
    from harness.config import nearest
    from harness.faults.kinds import all_kinds

    known = [kind.name for kind in all_kinds()]
    for one in text.split(","):
        if one not in known:
            raise UsageError(f"{one!r} is no kind of fault", field="--kinds", remedy=nearest(one, known))
    return frozenset(text.split(","))


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """A bar where there is a terminal: called with how many are done and a few words."""
    from harness.report.console import make_console

    console = make_console(stderr=True)
    if not console.is_terminal:
        yield lambda done, told: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(30), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task(what, total=total, told="")
        yield lambda done, told: bar.update(task, completed=done, told=told, refresh=True)
