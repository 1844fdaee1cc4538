"""Figures and facts as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """One fault of a plan's JSON as a sentence part: what, where, when."""
    parameters: Mapping[str, Any] = fault.get("parameters") or {}
    text = f"{fault.get('target', '?')}: {fault.get('kind', '?')}"
    if parameters:
        text += " (" + ", ".join(f"{name} {_value(value)}" for name, value in sorted(parameters.items())) + ")"
    if fault.get("side", "before") != "before":
        text += f", {fault['side']} the effect" if fault["side"] == "after" else f", {fault['side']}"
    start, end, nth = fault.get("start"), fault.get("end"), fault.get("nth")
    if nth is not None:
        text += f", at passing {nth}"
    if start is not None and end is not None:
        text += f", from {clock(start)} to {clock(end)}"
    elif start is not None:
        text += f", from {clock(start)} on"
    elif end is not None:
        text += f", until {clock(end)}"
    probability = fault.get("probability", 1.0)
    if probability != 1.0:
        text += f", {probability:.0%} of the time" if probability >= 0.01 else f", with probability {probability:g}"
    return text


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ", ".join(str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
