"""Figures and facts as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["clock", "duration", "fault_in_words", "integer", "plural", "shorten"]


def integer(value: int) -> str:
    """1234567 as ``1,234,567``."""
    return f"{value:,}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 message``, ``2 messages``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """Seconds as ``0.25 s``, ``31.5 s``, ``2 min 5 s``, ``1 h 2 min``; ``–`` for ``None``."""
    if seconds is None:
        return "–"
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 10:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + " s"
    if seconds < 119.95:
        return f"{seconds:.1f}".rstrip("0").rstrip(".") + " s"
    whole = round(seconds)
    if whole < 7200:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def clock(seconds: float) -> str:
    """A moment of a run: ``1:05``, ``1:02:03``."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def shorten(text: str, limit: int) -> str:
    """*text* in at most *limit* characters; its middle gives way to an ellipsis."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def fault_in_words(fault: Mapping[str, Any]) -> str:
    """One fault of a plan's JSON as a sentence; target and kind where this harness does not know it."""
    from harness.errors import PlanError
    from harness.faults.plan import Fault

    try:
        return str(Fault.from_json(fault))
    except PlanError:
        return f"{fault.get('target', '?')}: {fault.get('kind', '?')}"
