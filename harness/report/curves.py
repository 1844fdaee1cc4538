"""Panels of curves: messages per second, failures per second, messages in queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.report.frame import LEFT_IN, MARGIN_IN, Caption, key, title
from harness.report.palette import Theme
from harness.report.series import Series
from harness.report.words import duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["paint_failures", "paint_levels", "paint_rates"]

_CEILING = 4  # times the highest rate sent: higher peaks of processing are cut and named


def _edges(width: float, count: int, end: float) -> list[float]:
    return [min(n * width, end) for n in range(count + 1)]


def _count_axis(ax: Axes, top: float, bins: int = 4) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ax.set_ylim(0, max(top, 1e-9) * 1.12)
    ax.yaxis.set_major_locator(MaxNLocator(bins, steps=[1, 2, 2.5, 5, 10], min_n_ticks=2))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _steps(ax: Axes, values: Sequence[float], edges: Sequence[float], colour: str, **style: Any) -> Any:
    """A step line that does not fall to zero at its ends."""
    from matplotlib.lines import Line2D

    style = {"linewidth": 1.4, "zorder": 2.2, **style}
    ax.stairs(values, edges, baseline=None, color=colour, **style)
    shown = {name: value for name, value in style.items() if name in ("linewidth", "linestyle", "label")}
    return Line2D([], [], color=colour, **shown)


def _filled(ax: Axes, values: Sequence[float], edges: Sequence[float], colour: str, alpha: float) -> None:
    ax.stairs(values, edges, fill=True, color=colour, alpha=alpha, linewidth=0, zorder=1.5)


def paint_rates(ax: Axes, series: Series, caption: Caption, theme: Theme) -> None:
    sent, done = series.sent.per_second(), series.processed.per_second()
    edges = _edges(series.sent.width, len(sent), series.end)
    _filled(ax, done, edges, theme.processed, 0.28)
    handles = [
        _steps(ax, done, edges, theme.processed, label=series.processed_label),
        _steps(ax, sent, edges, theme.sent, linestyle=(0, (4, 1.4)), label="sent", zorder=2.4),
    ]
    top = max(*sent, *done, 0.0) or 1.0
    ceiling = _CEILING * max(sent, default=0.0)
    if 0 < ceiling < top:
        _cut_peaks(ax, done, edges, ceiling, theme)
        top = ceiling
    _count_axis(ax, top)
    title(ax, "Messages per second", theme)
    key(ax, handles, above=False)
    _bin_note(ax, series.sent.width, theme)
    if series.quiet is not None and series.quiet < series.end:
        early = series.quiet < 0.85 * series.end
        ax.annotate(
            "load and faults over",
            (series.quiet, 1),
            xycoords=("data", "axes fraction"),
            xytext=(4 if early else -4, 0),
            textcoords="offset points",
            ha="left" if early else "right",
            fontsize=7.8,
            color=theme.soft,
            va="top",
            bbox={"facecolor": theme.panel, "edgecolor": "none", "pad": 0.6},
        )


def _cut_peaks(ax: Axes, rate: Sequence[float], edges: Sequence[float], ceiling: float, theme: Theme) -> None:
    """Name the peaks that go through the top: a backlog caught up in seconds would flatten everything else."""
    peaks: list[tuple[float, float]] = []  # middle of the bin, rate; neighbours are one peak
    for index, value in enumerate(rate):
        if value <= ceiling:
            continue
        middle = (edges[index] + edges[index + 1]) / 2
        if peaks and middle - peaks[-1][0] < 0.06 * edges[-1]:
            peaks[-1] = max(peaks[-1], (middle, value), key=lambda peak: peak[1])
        else:
            peaks.append((middle, value))
    for middle, value in peaks:
        ax.annotate(
            f"▲ {value:,.0f}",
            (middle, ceiling * 1.12),
            xytext=(7 if middle < 0.9 * edges[-1] else -7, -2),
            textcoords="offset points",
            ha="left" if middle < 0.9 * edges[-1] else "right",
            va="top",
            fontsize=8,
            fontweight="bold",
            color=theme.processed,
        )


def _bin_note(ax: Axes, width: float, theme: Theme) -> None:
    if width == 1:
        return
    ax.annotate(
        f"means over {duration(width)}",
        (0, 0),
        xycoords="axes fraction",
        xytext=((MARGIN_IN - LEFT_IN) * 72, 1),
        textcoords="offset points",
        ha="left",
        va="bottom",
        fontsize=7.8,
        color=theme.soft,
        annotation_clip=False,
    )


def paint_failures(ax: Axes, series: Series, caption: Caption, theme: Theme) -> None:
    from matplotlib.patches import Patch

    rate = series.failed.per_second()
    edges = _edges(series.failed.width, len(rate), series.end)
    look: dict[str, Any] = {"facecolor": theme.failed, "edgecolor": theme.panel, "hatch": "////", "linewidth": 0}
    ax.stairs(rate, edges, fill=True, zorder=1.5, **look)
    _steps(ax, rate, edges, theme.failed, linewidth=1.1)
    _count_axis(ax, max(rate, default=0.0) or 1.0, bins=2)
    title(ax, "Failures per second", theme)
    key(ax, [Patch(label="calls and handlers", **look)], above=False)


def paint_levels(ax: Axes, series: Series, caption: Caption, theme: Theme) -> None:
    edges = _edges(series.level_width, len(series.backlog), series.end)
    _filled(ax, series.backlog, edges, theme.backlog, 0.5)
    handles = [
        _steps(ax, series.backlog, edges, theme.backlog, label="waiting (backlog)"),
        _steps(ax, series.in_flight, edges, theme.in_flight, linestyle=(0, (2, 1)), label="in flight", zorder=2.3),
    ]
    if any(series.dead_letters):
        dash = (0, (6, 1.5, 1, 1.5))
        handles.append(
            _steps(ax, series.dead_letters, edges, theme.dead, linestyle=dash, label="dead letters", zorder=2.4)
        )
    _count_axis(ax, max(*series.backlog, *series.in_flight, *series.dead_letters) or 1.0)
    title(ax, "Messages in queues", theme)
    key(ax, handles, above=False)
