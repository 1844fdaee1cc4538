"""What a run has covered: which fault struck where, and in which state the system was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

__all__ = ["Feature", "State", "features"]

#: (point with its side, kind, abstract state).
Feature: TypeAlias = tuple[str, str, str]


class State:
    """The abstract state of a system, kept event by event.

    It is the receive count of the last delivery, the attempt of the last
    retry, the state of the last breaker that changed, and the backlog (none,
    one, many): what was sent and not acknowledged, moved or expired.
    """

    def __init__(self) -> None:
        self._receives = 0
        self._attempt = 0
        self._breaker = "-"
        self._backlog = 0

    def step(self, event: Mapping[str, Any]) -> None:
        """Take one more event in."""
        kind = event["kind"]
        if kind == "send":
            self._backlog += 1
        elif kind == "receive":
            self._receives = event["receive_count"]
        elif kind == "delete":
            self._backlog -= bool(event["found"])
        elif kind in ("message.lost", "expire"):
            self._backlog -= 1
        elif kind == "retry.attempt":
            self._attempt = event["attempt"]
        elif kind == "retry.end":
            self._attempt = 0
        elif kind == "breaker.transition":
            self._breaker = event["to"]

    def __str__(self) -> str:
        return (
            f"receives {_few(self._receives)}, attempt {_few(self._attempt)}, breaker {self._breaker}, "
            f"backlog {_some(self._backlog)}"
        )


def features(events: Iterable[Mapping[str, Any]]) -> list[Feature]:
    """Fault point x kind x abstract state of every strike, each once, in order of appearance."""
    state = State()
    found: dict[Feature, None] = {}
    for event in events:
        if event["kind"] == "fault.strike":
            found[event["point"], event["fault_kind"], str(state)] = None
        else:
            state.step(event)
    return list(found)


def _few(number: int) -> str:
    return str(number) if number < 3 else "3+"


def _some(number: int) -> str:
    return "none" if number <= 0 else "one" if number == 1 else "many"
