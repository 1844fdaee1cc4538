"""Panels of lanes: faults and the recovery, breakers, and marks of single events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.report.frame import Caption, bar, key, lane_labels, recovered_at, thinned, title
from harness.report.palette import MARKERS, Theme
from harness.report.series import VIOLATED, BreakerBand, FaultLane, Mark, Series, Span
from harness.report.words import duration, integer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["breaker_rows", "grouped", "paint_breakers", "paint_faults", "paint_marks"]

MAX_BREAKERS = 6
_MAX_LANES = 10


@dataclass(slots=True)
class Group:
    label: str
    lanes: list[FaultLane]

    @property
    def strikes(self) -> list[float]:
        return sorted(t for lane in self.lanes for t in lane.strikes)


def grouped(faults: Sequence[FaultLane]) -> list[Group]:
    """Faults of one target, kind and side share a row; too many rows end in one for the rest."""
    groups: dict[tuple[str, str, str], Group] = {}
    for lane in faults:
        side = f" ({lane.side})" if lane.side not in ("", "before") else ""
        key = (lane.target, lane.kind, lane.side)
        groups.setdefault(key, Group(f"{lane.target}  {lane.kind}{side}", [])).lanes.append(lane)
    rows = list(groups.values())
    if len(rows) > _MAX_LANES:
        rest = [lane for group in rows[_MAX_LANES - 1 :] for lane in group.lanes]
        rows = [*rows[: _MAX_LANES - 1], Group(f"{len(groups) - _MAX_LANES + 1} more kinds of fault", rest)]
    return rows


def paint_faults(ax: Axes, series: Series, caption: Caption, theme: Theme) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    groups = grouped(series.faults)
    labels = []
    handles: dict[str, Any] = {}
    for row, group in enumerate(groups):
        for lane in group.lanes:
            if lane.window is None:
                continue
            sure = lane.probability >= 1.0
            name = "fault window" if sure else "window, strikes now and then"
            face, hatch, edge = (theme.fault, "", theme.panel) if sure else (theme.panel, "////", theme.fault)
            bar(ax, lane.window, row, 0.62, face, hatch, edge)
            handles.setdefault(name, Patch(facecolor=face, hatch=hatch, edgecolor=edge, label=name))
        strikes = group.strikes
        shown = thinned(strikes, series.end)
        ax.vlines(shown, row - 0.31, row + 0.31, color=theme.ink, linewidth=0.9, zorder=3)
        if 0 < len(shown) <= 12:
            ax.plot(shown, [row - 0.31] * len(shown), "v", color=theme.ink, markersize=4.5, zorder=3.1, clip_on=False)
        labels.append(f"{group.label}  ×{integer(len(strikes))}" if strikes else f"{group.label}  never struck")
    tick = Line2D([], [], color=theme.ink, marker="|", markersize=8, linestyle="none", label="strike")
    handles["strike"] = tick
    if recovered_at(series, caption) is not None:
        labels.append("recovery")
        handles["recovery"] = paint_recovery(ax, len(groups), series, caption, theme)
    lane_labels(ax, labels, theme)
    title(ax, "Faults", theme, above=True)
    key(ax, list(handles.values()), above=True)


def paint_recovery(ax: Axes, row: int, series: Series, caption: Caption, theme: Theme) -> Any:
    from matplotlib.lines import Line2D

    recovered = recovered_at(series, caption)
    if recovered is None or series.faults_over is None:  # the caller asked already
        raise ValueError("no recovery to draw")
    bar(ax, Span(series.faults_over, recovered), row, 0.5, theme.recovery, "----", theme.sent)
    right = recovered < 0.9 * series.end
    ax.annotate(
        duration(caption.recovery_seconds),
        (recovered if right else series.faults_over, row),
        xytext=(5 if right else -5, 0),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        fontweight="bold",
        fontsize=8.5,
        color=theme.ink,
    )
    return Line2D([], [], color=theme.sent, linewidth=1.0, linestyle=(0, (5, 2)), label="recovered")


def breaker_rows(series: Series) -> list[BreakerBand]:
    """The breakers that changed their state, a row each; those that never did share one, as do too many."""
    moving = [band for band in series.breakers if len({span.state for span in band.spans}) > 1]
    still = [band for band in series.breakers if band not in moving and band.spans]
    rows, rest = moving[:MAX_BREAKERS], len(moving) - MAX_BREAKERS
    if rest > 0:
        rows[-1] = replace(rows[-1], name=f"{rows[-1].name} (+{rest} more)")
    if len(still) > 1 and len({band.spans[0].state for band in still}) == 1:
        state = still[0].spans[0].state
        whole = Span(min(b.spans[0].start for b in still), max(b.spans[-1].end for b in still), state)
        still = [BreakerBand(f"{len(still)} {'others' if moving else 'breakers'}, always {state}", [whole])]
    return [*rows, *still[:MAX_BREAKERS]]


def paint_breakers(ax: Axes, series: Series, caption: Caption, theme: Theme) -> None:
    from matplotlib.patches import Patch

    shown = breaker_rows(series)
    least = series.end * 0.003
    states: dict[str, Any] = {}
    for row, band in enumerate(shown):
        for span in band.spans:
            name = span.state.replace("_", "-")
            face, hatch, edge, ink = theme.breaker.get(name, (theme.grid, "", theme.soft, theme.ink))
            states.setdefault(name, Patch(facecolor=face, hatch=hatch, edgecolor=edge, label=name))
            narrow = span.end - span.start < least
            wide = Span(max(0, span.end - least), span.end) if narrow else span
            bar(ax, wide, row, 0.78, face, hatch, edge, above=int(narrow))
            if (span.end - span.start) / series.end > 0.0075 * (len(name) + 1.5):
                box = {"facecolor": face, "edgecolor": "none", "pad": 0.8}
                middle = (span.start + span.end) / 2
                ax.text(middle, row, name, ha="center", va="center", fontsize=8, color=ink, zorder=4, bbox=box)
    lane_labels(ax, [band.name for band in shown], theme)
    title(ax, "Breaker" if len(series.breakers) == 1 else "Breakers", theme, above=True)
    order = [name for name in ("closed", "open", "half-open") if name in states]
    key(ax, [states[name] for name in [*order, *(n for n in states if n not in order)]], above=True)


def paint_marks(ax: Axes, series: Series, caption: Caption, theme: Theme) -> None:
    from matplotlib.patches import Patch

    labels = []
    handles: list[Any] = []
    for row, (name, marks) in enumerate(series.mark_rows().items()):
        kind = name.partition(": ")[0]
        marker, size = MARKERS.get(kind, ("o", 6.0))
        for mark in marks:
            if mark.until is not None and mark.until > mark.t:
                look: dict[str, Any] = {"facecolor": theme.panel, "hatch": "||||", "edgecolor": theme.soft}
                bar(ax, Span(mark.t, mark.until), row, 0.42, theme.panel, "||||", theme.soft)
                handles = [Patch(label="not running", **look)]
        shown = thinned([mark.t for mark in marks], series.end, 220)
        colour = theme.failed if kind in ("crash", "effect lost", "expired", VIOLATED) else theme.ink
        ax.plot(
            shown,
            [row] * len(shown),
            linestyle="none",
            marker=marker,
            markersize=size,
            color=colour,
            markeredgecolor=theme.panel,
            markeredgewidth=0.6,
            zorder=3,
            clip_on=False,
        )
        _mark_labels(ax, marks, row, series, theme)
        labels.append(f"{name}  ×{integer(len(marks))}")
    lane_labels(ax, labels, theme)
    title(ax, "Events", theme, above=True)
    if handles:
        key(ax, handles, above=True)


def _mark_labels(ax: Axes, marks: Sequence[Mark], row: int, series: Series, theme: Theme) -> None:
    """Names beside marks that are few and have room; one name for neighbours that share it."""
    if len(marks) > 12:
        return
    for index, mark in enumerate(marks):
        start = max(mark.t, mark.until or mark.t)
        after = marks[index + 1] if index + 1 < len(marks) else None
        if after is not None and after.label == mark.label and (after.t - start) / series.end < 0.05:
            continue
        room = ((after.t if after else series.end) - start) / series.end * 150  # characters that fit, about
        if not mark.label or (after is not None and room <= len(mark.label) + 3):
            continue
        inside = after is not None or room > len(mark.label) + 2
        ax.annotate(
            mark.label,
            (start if inside else mark.t, row),
            xytext=(8 if inside else -8, 0),
            textcoords="offset points",
            ha="left" if inside else "right",
            va="center",
            fontsize=7.8,
            color=theme.soft,
            parse_math=False,
        )
