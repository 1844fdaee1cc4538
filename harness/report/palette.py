"""Colours and hatches of the pictures: one meaning each, told apart by the colour-blind.

The hues are those of Okabe and Ito, *Color Universal Design* (2008). Colour
never stands alone: each role has a hatch, a dash or a marker of its own too.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DARK", "LIGHT", "MARKERS", "VERDICT_SIGNS", "Theme"]

BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILLION, PURPLE, YELLOW = "#D55E00", "#CC79A7", "#F0E442"


@dataclass(frozen=True, slots=True)
class Theme:
    """What changes between a light and a dark picture, and the colour of each role."""

    name: str
    paper: str
    panel: str
    ink: str
    soft: str
    grid: str
    sent: str
    processed: str
    failed: str
    backlog: str
    in_flight: str
    dead: str
    fault: str
    shade_alpha: float
    recovery: str
    verdicts: dict[str, str]
    breaker: dict[str, tuple[str, str, str, str]]  # state -> face, hatch, hatch colour, ink on it


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    panel="#ffffff",
    ink="#1a1a1a",
    soft="#5c5c5c",
    grid="#e3e3e3",
    sent=BLUE,
    processed=GREEN,
    failed=VERMILLION,
    backlog=ORANGE,
    in_flight=BLUE,
    dead="#1a1a1a",
    fault=PURPLE,
    shade_alpha=0.20,
    recovery=SKY,
    verdicts={
        "passed": "#00664b",
        "failed": "#a84300",
        "error": "#a84300",
        "inconclusive": "#7a5500",
        "flaky": "#7a5500",
        "left out": "#5c5c5c",
    },
    breaker={
        "closed": ("#cfe9df", "", "#cfe9df", "#123d30"),
        "half-open": (YELLOW, "////", "#8a8000", "#1a1a1a"),
        "open": (VERMILLION, "xxx", "#8f3f00", "#ffffff"),
    },
)

DARK = Theme(
    name="dark",
    paper="#16191d",
    panel="#1c2025",
    ink="#f0f0f0",
    soft="#a8adb4",
    grid="#343a42",
    sent=SKY,
    processed="#2fc79d",
    failed="#ff8a3d",
    backlog=ORANGE,
    in_flight=SKY,
    dead="#f0f0f0",
    fault=PURPLE,
    shade_alpha=0.22,
    recovery=SKY,
    verdicts={
        "passed": "#2fc79d",
        "failed": "#ff8a3d",
        "error": "#ff8a3d",
        "inconclusive": YELLOW,
        "flaky": YELLOW,
        "left out": "#a8adb4",
    },
    breaker={
        "closed": ("#1f4a3c", "", "#1f4a3c", "#cfe9df"),
        "half-open": (YELLOW, "////", "#8a8000", "#1a1a1a"),
        "open": (VERMILLION, "xxx", "#7a3500", "#ffffff"),
    },
)

#: Row of marks -> (matplotlib marker, size).
MARKERS: dict[str, tuple[str, float]] = {
    "crash": ("X", 8.0),
    "SIGTERM": ("^", 7.0),
    "pause": ("s", 6.0),
    "dead letter": ("v", 7.0),
    "quarantined": ("D", 5.5),
    "expired": ("P", 7.0),
    "clock jump": (">", 7.0),
    "effect lost": ("*", 9.0),
    "evidence": ("X", 8.5),
}

#: A sign before each verdict, so that it reads without colour.
VERDICT_SIGNS: dict[str, str] = {
    "passed": "✓",
    "failed": "✗",
    "error": "!",
    "inconclusive": "?",
    "flaky": "~",
    "left out": "–",
}
