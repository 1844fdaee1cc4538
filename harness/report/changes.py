"""Two reports side by side: newly failing, newly passing, recovery times and duplicates with their change.

Figures in virtual time are exact, so that any change is one. Wall-clock
figures (a live run's) vary by themselves: they count as changed only where
both sides have at least five runs and their ranges do not overlap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError
from harness.report.entries import Entry
from harness.report.words import duration

__all__ = ["FIGURES", "LIVE_RUNS_MIN", "Change", "Changes", "Limit", "changes", "parse_limit"]

LIVE_RUNS_MIN = 5

#: Figure -> how to read it from an entry. All in virtual time on the simulated backends.
FIGURES = ("recovery", "duplicates", "lost", "late", "dead-lettered", "simulated")
_COUNTS = {"duplicates": "duplicated", "lost": "lost", "dead-lettered": "dead_lettered"}
_SECONDS = frozenset({"recovery", "simulated"})
_BAD = frozenset({"failed", "error", "flaky", "inconclusive"})
_LIMIT = re.compile(r"(?P<figure>[a-z-]+)=\+?(?P<number>\d+(?:\.\d+)?)(?P<percent>%?)\Z")


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of one scenario, before and now; ``None`` where a side has none."""

    scenario: str
    figure: str
    before: float | None
    now: float | None
    virtual: bool = True
    note: str = ""

    @property
    def by(self) -> float | None:
        return None if self.before is None or self.now is None else self.now - self.before

    @property
    def percent(self) -> float | None:
        """The change relative to before; ``None`` where before is 0 or unknown."""
        return None if self.by is None or not self.before else 100 * self.by / self.before

    def __str__(self) -> str:
        shown = [_shown(self.figure, value) for value in (self.before, self.now)]
        percent = "" if self.percent is None else f" ({self.percent:+.0f} %)"
        return f"{self.scenario}: {self.figure} {shown[0]} → {shown[1]}{percent}"

    def to_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "figure": self.figure,
            "before": self.before,
            "now": self.now,
            "change": self.by,
            "percent": self.percent,
            "virtual": self.virtual,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Limit:
    """``--fail-on recovery=+20%``: at most so much more than before."""

    figure: str
    number: float
    percent: bool
    text: str

    def broken_by(self, change: Change) -> bool:
        """Whether *change* goes past it. Wall-clock figures never do; what is measured no longer does."""
        if change.figure != self.figure or not change.virtual or change.before is None:
            return False
        if change.now is None:
            return self.figure == "recovery"  # it came back before and does not any more
        allowed = change.before * self.number / 100 if self.percent else self.number
        return change.now - change.before > allowed + 1e-9


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different, in the order of names."""

    newly_failing: Sequence[tuple[str, str, str]]  # scenario, verdict before, verdict now
    newly_passing: Sequence[tuple[str, str, str]]
    other_verdicts: Sequence[tuple[str, str, str]]
    appeared: Sequence[tuple[str, str]]
    gone: Sequence[tuple[str, str]]
    figures: Sequence[Change]
    unjudged: Sequence[str] = ()  # wall-clock figures that cannot be compared, and why

    @property
    def nothing(self) -> bool:
        """Whether both are the same."""
        return not (
            self.newly_failing
            or self.newly_passing
            or self.other_verdicts
            or self.appeared
            or self.gone
            or self.figures
        )

    def to_json(self) -> dict[str, Any]:
        def verdicts(rows: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
            return [{"name": name, "before": before, "now": now} for name, before, now in rows]

        return {
            "newly_failing": verdicts(self.newly_failing),
            "newly_passing": verdicts(self.newly_passing),
            "other_verdicts": verdicts(self.other_verdicts),
            "appeared": [{"name": name, "now": verdict} for name, verdict in self.appeared],
            "gone": [{"name": name, "before": verdict} for name, verdict in self.gone],
            "figures": [one.to_json() for one in self.figures],
            "not_compared": list(self.unjudged),
        }


def parse_limit(text: str) -> Limit:
    """A limit from ``recovery=+20%``, ``duplicates=+0`` or ``recovery=+1.5`` (seconds).

    Raises:
        UsageError: it is none; names the figures.
    """
    from harness.config import nearest

    match = _LIMIT.match(text.strip())
    if match is None:
        raise UsageError(
            f"{text!r} is no limit", field="--fail-on", remedy="Write it as recovery=+20% or duplicates=+0"
        )
    if match["figure"] not in FIGURES:
        raise UsageError(
            f"{match['figure']!r} is no figure", field="--fail-on", remedy=nearest(match["figure"], list(FIGURES))
        )
    return Limit(match["figure"], float(match["number"]), bool(match["percent"]), text.strip())


def changes(before: Sequence[Entry], now: Sequence[Entry]) -> Changes:
    """Compare two sets of runs. A scenario that stands several times in one is compared by its worst verdict."""
    old, new = _by_name(before), _by_name(now)
    failing: list[tuple[str, str, str]] = []
    passing: list[tuple[str, str, str]] = []
    other: list[tuple[str, str, str]] = []
    figures: list[Change] = []
    unjudged: list[str] = []
    for name in sorted(old.keys() & new.keys()):
        was, is_ = _worst(old[name]), _worst(new[name])
        if was != is_:
            row = (name, was, is_)
            into = failing if _worse(was, is_) else passing if is_ == "passed" else other
            into.append(row)
        found, reason = _figures(name, old[name], new[name])
        figures += found
        unjudged += [reason] if reason else []
    return Changes(
        newly_failing=failing,
        newly_passing=passing,
        other_verdicts=other,
        appeared=[(name, _worst(new[name])) for name in sorted(new.keys() - old.keys())],
        gone=[(name, _worst(old[name])) for name in sorted(old.keys() - new.keys())],
        figures=figures,
        unjudged=unjudged,
    )


def _by_name(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(str(entry["name"]), []).append(entry)
    return found


def _worst(entries: Sequence[Entry]) -> str:
    from harness.report.entries import ORDER

    found = {str(entry["verdict"]) for entry in entries}
    return next((verdict for verdict in ORDER if verdict in found), sorted(found)[0])


def _worse(was: str, is_: str) -> bool:
    return (is_ in ("failed", "error") and was not in ("failed", "error")) or (is_ in _BAD and was == "passed")


def _figures(name: str, old: Sequence[Entry], new: Sequence[Entry]) -> tuple[list[Change], str]:
    live = any(entry.get("backend") == "live" for entry in (*old, *new))
    if live:
        return _wall_clock(name, old, new)
    found = []
    for figure in FIGURES:
        before, now = _figure(old[0], figure), _figure(new[0], figure)
        if before != now and not (figure == "late" and None in (before, now)):  # an older report has no such figure
            found.append(Change(name, figure, before, now))
    return found, ""


def _wall_clock(name: str, old: Sequence[Entry], new: Sequence[Entry]) -> tuple[list[Change], str]:
    if min(len(old), len(new)) < LIVE_RUNS_MIN:
        return [], (
            f"{name} ran live {len(old)} and {len(new)} times: wall-clock figures are compared from "
            f"{LIVE_RUNS_MIN} runs on each side"
        )
    found = []
    for figure in FIGURES:
        before = sorted(value for entry in old if (value := _figure(entry, figure)) is not None)
        now = sorted(value for entry in new if (value := _figure(entry, figure)) is not None)
        if min(len(before), len(now)) < LIVE_RUNS_MIN or not (now[0] > before[-1] or before[0] > now[-1]):
            continue
        note = f"{len(before)} and {len(now)} runs whose ranges do not overlap"
        found.append(Change(name, figure, before[len(before) // 2], now[len(now) // 2], virtual=False, note=note))
    return found, ""


def _figure(entry: Entry, figure: str) -> float | None:
    messages: Mapping[str, Any] = entry.get("messages") or {}
    value: Any
    if figure == "recovery":
        value = entry.get("recovery_seconds")
    elif figure == "simulated":
        value = entry.get("simulated_seconds")
    elif figure == "late":
        value = (entry.get("outage") or {}).get("late")
    else:
        value = messages.get(_COUNTS[figure])
    return None if value is None else float(value)


def _shown(figure: str, value: float | None) -> str:
    if value is None:
        return "–"
    return duration(value) if figure in _SECONDS else f"{value:,.0f}"
