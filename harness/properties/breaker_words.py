"""Breaker examples in words: ``after 5 failures and 60 s, ...``."""

from __future__ import annotations

from collections.abc import Sequence

from harness.properties.breaker_case import Call, Case, Round

__all__ = ["after", "evidence", "seconds"]

_LINES_MAX = 24
_NOUNS = {
    "success": ("success", "successes"),
    "failure": ("failure", "failures"),
    "ignored": ("ignored exception", "ignored exceptions"),
    "interrupt": ("call ended by KeyboardInterrupt", "calls ended by KeyboardInterrupt"),
    "cancelled": ("cancelled call", "cancelled calls"),
    "nested": ("success with another call inside", "successes with another call inside"),
}


def seconds(number: float) -> str:
    """Seconds for people: ``60.0 s``, and to the millisecond where that matters."""
    return f"{number:.1f} s" if abs(number - round(number, 1)) < 1e-9 else f"{number:.3f} s"


def evidence(lines: Sequence[str]) -> list[str]:
    """The lines that fit; a long beginning is left out, since the decision stands at the end."""
    if len(lines) <= _LINES_MAX:
        return list(lines)
    return [f"... ({len(lines) - _LINES_MAX} lines before)", *lines[-_LINES_MAX:]]


def after(case: Case, until: int, *, opening: bool = False) -> str:
    """What came before round *until*, with a comma; with *opening* also that round's own wait and jump."""
    parts: list[str] = []
    for one in case.rounds[:until]:
        parts += _before(one)
        parts += _calls(one)
    if opening and until < len(case.rounds):
        parts += _before(case.rounds[until])
    if not parts:
        return "at the start, "
    text = ", ".join(parts[:-1])
    return f"after {text} and {parts[-1]}, " if text else f"after {parts[0]}, "


def _before(one: Round) -> list[str]:
    parts = [seconds(one.wait)] if one.wait else []
    if one.jump:
        parts.append(f"a jump of the wall clock by {one.jump:+g} s")
    return parts


def _calls(one: Round) -> list[str]:
    counts: dict[Call, int] = {}
    for call in one.calls:
        counts[call] = counts.get(call, 0) + one.times
    parts = []
    for call, count in counts.items():
        text = f"{count} {_NOUNS[call.outcome][count > 1]}"
        if call.seconds:
            text += f" that {'took' if one.awaited else 'takes' if count == 1 else 'take'} {seconds(call.seconds)}"
        parts.append(text)
    if len(one.calls) > 1 and parts:
        parts[-1] += " together"
    return parts
