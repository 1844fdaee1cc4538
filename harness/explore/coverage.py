"""What a run has covered: which fault struck where, and in which state the system was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

__all__ = ["Feature", "features"]

#: (point with its side, kind, abstract state).
Feature: TypeAlias = tuple[str, str, str]


def features(events: Iterable[Mapping[str, Any]]) -> list[Feature]:
    """Fault point x kind x abstract state of every strike, each once, in order of appearance.

    The state: the receive count of the last delivery, the attempt of the last
    retry, the state of the last breaker that changed, and the backlog (none,
    one, many): what was sent and not acknowledged, moved or expired.
    """
    receives = 0
    attempt = 0
    breaker = "-"
    backlog = 0
    found: dict[Feature, None] = {}
    for event in events:
        kind = event["kind"]
        if kind == "send":
            backlog += 1
        elif kind == "receive":
            receives = event["receive_count"]
        elif kind == "delete":
            backlog -= bool(event["found"])
        elif kind in ("message.lost", "expire"):
            backlog -= 1
        elif kind == "retry.attempt":
            attempt = event["attempt"]
        elif kind == "retry.end":
            attempt = 0
        elif kind == "breaker.transition":
            breaker = event["to"]
        elif kind == "fault.strike":
            state = f"receives {_few(receives)}, attempt {_few(attempt)}, breaker {breaker}, backlog {_some(backlog)}"
            found[event["point"], event["fault_kind"], state] = None
    return list(found)


def _few(number: int) -> str:
    return str(number) if number < 3 else "3+"


def _some(number: int) -> str:
    return "none" if number <= 0 else "one" if number == 1 else "many"
