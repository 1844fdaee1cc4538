"""The parts that the panels of a timeline share: measures in inches, titles, keys, bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.palette import Theme
from harness.report.series import Series, Span
from harness.report.words import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Caption", "bar", "key", "lane_labels", "recovered_at", "thinned", "title"]

WIDTH_IN, LEFT_IN, RIGHT_IN, TOP_IN, BOTTOM_IN, GAP_IN = 13.0, 2.95, 0.3, 0.82, 0.62, 0.16
AXES_IN = WIDTH_IN - LEFT_IN - RIGHT_IN
MARGIN_IN = 0.18
LANE_IN = 0.235
HEADER_IN = 0.24  # the title line of a panel of lanes
_LABEL_CHARS = 46


@dataclass(frozen=True, slots=True)
class Caption:
    """The words on the picture. *messages* holds the counts of the run's result, as in its JSON."""

    title: str
    verdict: str = ""
    details: str = ""
    messages: Mapping[str, int | None] | None = None
    recovery_seconds: float | None = None
    time_label: str = "virtual time since the start"
    evidence: Mapping[str, Sequence[int]] | None = None


def recovered_at(series: Series, caption: Caption) -> float | None:
    if caption.recovery_seconds is None or series.faults_over is None:
        return None
    return min(series.end, series.faults_over + caption.recovery_seconds)


def title(ax: Axes, text: str, theme: Theme, *, above: bool = False) -> None:
    ax.annotate(
        text,
        (0, 1),
        xycoords="axes fraction",
        xytext=((MARGIN_IN - LEFT_IN) * 72, 4 if above else -1),
        textcoords="offset points",
        ha="left",
        va="bottom" if above else "top",
        fontweight="bold",
        fontsize=9.5,
        color=theme.ink,
        annotation_clip=False,
    )


def key(ax: Axes, handles: Sequence[Any], *, above: bool) -> None:
    """The legend: in one line above the lanes, or in the column at the left."""
    place: dict[str, Any] = {
        "bbox_to_anchor": (0, 1.0) if above else ((MARGIN_IN - LEFT_IN) / AXES_IN, 1.0),
        "loc": "lower left" if above else "upper left",
        "ncols": len(handles) if above else 1,
        "borderaxespad": 0.35 if above else 1.75,
    }
    ax.legend(
        handles=handles,
        frameon=False,
        fontsize=8.2,
        handlelength=2.2,
        handleheight=0.9,
        borderpad=0,
        labelspacing=0.4,
        columnspacing=1.6,
        **place,
    )


def lane_labels(ax: Axes, labels: Sequence[str], theme: Theme) -> None:
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.set_yticks([])
    for row, label in enumerate(labels):
        ax.annotate(
            shorten(label, _LABEL_CHARS),
            (0, row),
            xycoords=("axes fraction", "data"),
            xytext=(-8, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8.5,
            color=theme.ink,
            parse_math=False,
            annotation_clip=False,
        )


def bar(ax: Axes, span: Span, row: float, height: float, face: str, hatch: str, edge: str, *, above: int = 0) -> None:
    ax.broken_barh(
        [(span.start, span.end - span.start)],
        (row - height / 2, height),
        facecolor=face,
        edgecolor=edge,
        hatch=hatch,
        linewidth=0.6,
        zorder=2 + above,
    )


def thinned(moments: Sequence[float], end: float, cells: int = 900) -> list[float]:
    """At most one moment for each cell of the picture's width: nothing more can be seen."""
    seen: dict[int, float] = {}
    for t in moments:
        seen.setdefault(int(t / end * cells), t)
    return list(seen.values())
