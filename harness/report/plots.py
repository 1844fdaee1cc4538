"""Pictures over many runs: what a sweep survived, point by point, and how long recoveries took."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report.entries import Entry
from harness.report.palette import Theme
from harness.report.picture import for_page, token_theme
from harness.report.timeline import plain_matplotlib, saved
from harness.report.words import duration, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Cell", "heat_map", "plots_of", "read_sweep", "recovery_times"]

_RECOVERIES_MIN = 3
_ROWS_MAX = 60
_LOG_NAME = "sweep.jsonl"


class Cell:
    """One kind of fault at one point: how many of its runs were survived."""

    def __init__(self) -> None:
        self.tried = self.broken = 0

    @property
    def text(self) -> str:
        """``✓ 12`` or ``✗ 3 of 12``."""
        return f"✗ {self.broken} of {self.tried}" if self.broken else f"✓ {self.tried}"


def read_sweep(file: Path) -> tuple[str, dict[tuple[str, str], Cell]]:
    """The scenario of a ``sweep.jsonl`` and its cells by (point, kind). A line that was cut off is left out."""
    scenario = ""
    cells: dict[tuple[str, str], Cell] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines()):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if number == 0:
            scenario = str(found.get("scenario", ""))
            continue
        point, _, kind = str(found.get("name", "")).partition(" #")[0].rpartition(" ")
        if point and found.get("verdict") != "not struck":
            cell = cells.setdefault((point, kind), Cell())
            cell.tried += 1
            cell.broken += bool(found.get("violated"))
    return scenario, cells


def plots_of(entries: Sequence[Entry], places: Iterable[Path]) -> list[dict[str, str]]:
    """The plots of a report for its page: ``title``, ``words`` and an ``<svg>``."""
    found: list[dict[str, str]] = []
    for place in places:
        for file in sorted(place.rglob(_LOG_NAME)) if place.is_dir() else ():
            scenario, cells = read_sweep(file)
            if cells:
                broken = sum(cell.broken > 0 for cell in cells.values())
                words = f"{len(cells)} pairs of fault point and kind were tried; {broken} were not survived."
                found.append(
                    _plot(f"Sweep of {scenario}", words, heat_map(cells, token_theme()), f"sweep-{len(found)}-")
                )
    times = {str(entry["name"]): entry.get("recovery_seconds") for entry in entries}
    known = {name: float(seconds) for name, seconds in times.items() if seconds is not None}
    if len(known) >= _RECOVERIES_MIN:
        longest = max(known, key=lambda name: known[name])
        words = f"From the end of the last fault. The longest: {longest}, {duration(known[longest])}."
        found.append(_plot("How long recoveries took", words, recovery_times(known, token_theme()), "recoveries-"))
    return found


def _plot(title: str, words: str, figure: Figure, prefix: str) -> dict[str, str]:
    with plain_matplotlib(token_theme()):
        drawing = saved(figure, "svg").decode("utf-8")
    return {"title": title, "words": words, "svg": for_page(drawing, prefix)}


def heat_map(cells: dict[tuple[str, str], Cell], theme: Theme) -> Figure:
    """Fault point by kind: survived or not, as a colour, a hatch and a figure in each cell."""
    from matplotlib.patches import Rectangle

    points = sorted({point for point, _ in cells})[:_ROWS_MAX]
    kinds = sorted({kind for _, kind in cells})
    with plain_matplotlib(theme):
        figure, axes = _figure(max(7.0, 3.6 + 1.05 * len(kinds)), 1.3 + 0.26 * len(points), theme, left=3.2)
        for (point, kind), cell in cells.items():
            if point not in points:
                continue
            x, y = kinds.index(kind), points.index(point)
            face, hatch, edge, ink = theme.breaker["open" if cell.broken else "closed"]
            axes.add_patch(
                Rectangle((x - 0.47, y - 0.42), 0.94, 0.84, facecolor=face, edgecolor=edge, hatch=hatch, linewidth=0)
            )
            box = {"facecolor": face, "edgecolor": "none", "pad": 0.6}
            axes.text(x, y, cell.text, ha="center", va="center", fontsize=7.5, color=ink, bbox=box)
        axes.set_xlim(-0.5, len(kinds) - 0.5)
        axes.set_ylim(len(points) - 0.5, -0.5)
        axes.set_xticks(range(len(kinds)), kinds, rotation=30, ha="left")
        axes.set_yticks(range(len(points)), [shorten(point, 44) for point in points])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
    return figure


def recovery_times(times: dict[str, float], theme: Theme) -> Figure:
    """A bar a scenario, the longest first."""
    ranked = sorted(times.items(), key=lambda pair: (-pair[1], pair[0]))[:_ROWS_MAX]
    with plain_matplotlib(theme):
        figure, axes = _figure(11.0, 0.9 + 0.24 * len(ranked), theme, left=3.2)
        axes.barh(range(len(ranked)), [seconds for _, seconds in ranked], height=0.62, color=theme.recovery)
        for row, (_, seconds) in enumerate(ranked):
            axes.annotate(
                duration(seconds),
                (seconds, row),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=theme.ink,
            )
        axes.set_ylim(len(ranked) - 0.4, -0.6)
        axes.set_xlim(0, max(1e-9, max(seconds for _, seconds in ranked)) * 1.12)
        axes.set_yticks(range(len(ranked)), [shorten(name, 44) for name, _ in ranked])
        axes.set_xlabel("seconds")
        axes.tick_params(length=0)
    return figure


def _figure(width: float, height: float, theme: Theme, *, left: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure as NewFigure

    figure = NewFigure(figsize=(width, height), facecolor=theme.paper)
    bottom, top = 0.45, 0.75
    axes = figure.add_axes(
        (left / width, bottom / height, (width - left - 0.4) / width, max(0.1, (height - bottom - top) / height))
    )
    axes.set_facecolor(theme.panel)
    for spine in axes.spines.values():
        spine.set_color(theme.grid)
    return figure, axes
