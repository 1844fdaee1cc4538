"""The timeline picture of a run: what was done to the system, what it did, and when it was well again.

From top to bottom, on one time axis: the faults (bars for windows, ticks for
strikes; windows shade everything below), the recovery, messages sent and
processed per second, failures per second, backlog and in-flight, the
breakers' states, and marks for crashes, dead letters and the like.

Only :class:`matplotlib.figure.Figure` objects are used, never pyplot; the
same history gives the same bytes under one version of matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

from harness.history import Event, Header
from harness.report.curves import paint_failures, paint_levels, paint_rates
from harness.report.frame import (
    AXES_IN,
    BOTTOM_IN,
    GAP_IN,
    HEADER_IN,
    LANE_IN,
    LEFT_IN,
    MARGIN_IN,
    TOP_IN,
    WIDTH_IN,
    Caption,
    recovered_at,
)
from harness.report.lanes import breaker_rows, grouped, paint_breakers, paint_faults, paint_marks
from harness.report.palette import LIGHT, VERDICT_SIGNS, Theme
from harness.report.series import Series, Span, read_series
from harness.report.words import clock, duration, integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Caption", "figure", "plain_matplotlib", "render", "saved"]

_DPI = 110
_LANES = ("faults", "breakers", "marks")


def render(
    header: Header,
    events: Iterable[Event],
    caption: Caption | None = None,
    *,
    theme: Theme = LIGHT,
    format: str = "png",
) -> bytes:
    """Draw a history; returns the file's bytes (``png`` or ``svg``)."""
    if caption is None:
        caption = Caption(title=str(header.get("scenario", "run")))
    with plain_matplotlib(theme):
        drawn = figure(read_series(header, events, evidence=caption.evidence), caption, theme=theme)
        return saved(drawn, format)


def saved(drawn: Figure, format: str) -> bytes:
    """A figure's file without date or version; call it within :func:`plain_matplotlib`."""
    buffer = BytesIO()
    metadata = {"Software": None} if format == "png" else {"Date": None, "Creator": None}
    drawn.savefig(buffer, format=format, dpi=_DPI, metadata=metadata)
    return buffer.getvalue()


@contextmanager
def plain_matplotlib(theme: Theme) -> Iterator[None]:
    """matplotlib as shipped, whatever the user's matplotlibrc says; put back afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.size": 8.5,
                "hatch.linewidth": 0.7,
                "axes.linewidth": 0.6,
                "svg.hashsalt": "harness",
                "svg.fonttype": "none",
                "text.color": theme.ink,
                "axes.labelcolor": theme.ink,
                "xtick.color": theme.soft,
                "ytick.color": theme.soft,
            }
        )
        yield


def figure(series: Series, caption: Caption, *, theme: Theme = LIGHT) -> Figure:
    """The picture as a Figure, for those who want to add to it."""
    from matplotlib.figure import Figure as NewFigure

    panels = _panels(series, caption)
    height = (
        TOP_IN
        + BOTTOM_IN
        + sum(tall for _, tall in panels)
        + HEADER_IN * sum(name in _LANES for name, _ in panels)
        + GAP_IN * (len(panels) - 1)
    )
    drawn = NewFigure(figsize=(WIDTH_IN, height), facecolor=theme.paper)
    titles(drawn, height, caption, series, theme)
    y = height - TOP_IN
    axes: list[Axes] = []
    for name, tall in panels:
        y -= tall + (HEADER_IN if name in _LANES else 0)
        box = (
            LEFT_IN / WIDTH_IN,
            y / height,
            AXES_IN / WIDTH_IN,
            tall / height,
        )
        y -= GAP_IN
        ax = drawn.add_axes(box, facecolor=theme.panel)
        ax.set_xlim(0, series.end)
        _PAINTERS[name](ax, series, caption, theme)
        _backdrop(ax, series, caption, theme, shade=name != "faults")
        axes.append(ax)
    _time_axis(axes, series, caption, theme)
    return drawn


def _panels(series: Series, caption: Caption) -> list[tuple[str, float]]:
    panels: list[tuple[str, float]] = []
    lanes = len(grouped(series.faults))
    if lanes:
        recovery = recovered_at(series, caption) is not None
        panels.append(("faults", LANE_IN * (lanes + recovery) + 0.1))
    panels += [("rates", 1.75), ("failures", 0.85), ("levels", 1.4)]
    if series.breakers:
        panels.append(("breakers", 0.27 * len(breaker_rows(series)) + 0.06))
    rows = series.mark_rows()
    if rows:
        panels.append(("marks", LANE_IN * len(rows) + 0.1))
    return panels


# --- titles and axes


def titles(drawn: Figure, height: float, caption: Caption, series: Series, theme: Theme) -> None:
    x = MARGIN_IN / WIDTH_IN
    title = drawn.text(
        x, 1 - 0.17 / height, caption.title, fontsize=15, fontweight="bold", va="top", parse_math=False, color=theme.ink
    )
    if caption.verdict:
        sign = VERDICT_SIGNS.get(caption.verdict, "")
        width_in = title.get_window_extent().width / drawn.dpi
        drawn.text(
            x + (width_in + 0.2) / WIDTH_IN,
            1 - 0.2 / height,
            f"{sign} {caption.verdict}",
            fontsize=12.5,
            fontweight="bold",
            va="top",
            color=theme.verdicts.get(caption.verdict, theme.ink),
        )
    facts = _facts(caption, series)
    drawn.text(x, 1 - 0.52 / height, facts, fontsize=9, va="top", color=theme.soft, parse_math=False)


def _facts(caption: Caption, series: Series) -> str:
    parts: list[str] = []
    if caption.messages is not None:
        names = ("sent", "processed", "dead_lettered", "quarantined", "expired", "lost", "duplicated")
        for name in names:
            value = caption.messages.get(name)
            if value or (value == 0 and name in ("sent", "processed", "lost")):
                parts.append(f"{integer(value)} {name.replace('_', '-')}")
    else:
        parts += [f"{integer(series.sent.total)} sent", f"{integer(series.processed.total)} {series.processed_label}"]
    recovered = caption.recovery_seconds
    if recovered is not None:
        parts.append(f"recovered in {duration(recovered)}")
    if caption.details:
        parts.append(caption.details)
    return "  ·  ".join(parts)


def _time_axis(axes: Sequence[Axes], series: Series, caption: Caption, theme: Theme) -> None:
    step = next((s for s in _TICKS_S if series.end / s <= 13), _TICKS_S[-1])
    ticks = [n * step for n in range(int(series.end / step + 1e-9) + 1)]
    for ax in axes:
        ax.set_xticks(ticks)
        ax.set_xticklabels([])
        ax.tick_params(length=0, labelsize=8)
    minutes = series.end > 150
    last = axes[-1]
    last.tick_params(axis="x", length=3, color=theme.soft)
    last.set_xticklabels([clock(t) if minutes else f"{t:g}" for t in ticks])
    unit = ("h:mm:ss" if series.end >= 3600 else "m:ss") if minutes else "s"
    last.set_xlabel(f"{caption.time_label} ({unit})", color=theme.soft, fontsize=8.5, labelpad=4)


_TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


def _backdrop(ax: Axes, series: Series, caption: Caption, theme: Theme, *, shade: bool) -> None:
    """Fault windows as shading, the end of the load and the recovery as lines, a quiet frame."""
    ax.set_axisbelow(True)
    ax.grid(axis="x", color=theme.grid, linewidth=0.6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(theme.grid)
    if shade:
        for span in _shaded(series):
            ax.axvspan(span.start, span.end, color=theme.fault, alpha=theme.shade_alpha, linewidth=0, zorder=0.4)
    if series.quiet is not None and series.quiet < series.end:
        ax.axvline(series.quiet, color=theme.soft, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1.2)
    recovered = recovered_at(series, caption)
    if recovered is not None:
        ax.axvline(recovered, color=theme.sent, linewidth=1.0, linestyle=(0, (5, 2)), zorder=1.3)


def _shaded(series: Series) -> list[Span]:
    """The windows, joined where they overlap; not those that last most of the run: a background says nothing."""
    windows = sorted((lane.window for lane in series.faults if lane.window), key=lambda span: (span.start, span.end))
    joined: list[Span] = []
    for window in windows:
        if window.end - window.start > 0.6 * series.end:
            continue
        if joined and window.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, window.end))
        elif window.end > window.start:
            joined.append(window)
    return joined


_PAINTERS: dict[str, Callable[[Axes, Series, Caption, Theme], None]] = {
    "faults": paint_faults,
    "rates": paint_rates,
    "failures": paint_failures,
    "levels": paint_levels,
    "breakers": paint_breakers,
    "marks": paint_marks,
}
