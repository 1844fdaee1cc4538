"""Figures of a run that a search can drive up, to find the worst plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from harness.result import Result

__all__ = ["MEASURES", "measure"]


def measure(name: str, result: Result) -> float:
    """The figure called *name* of a run; 0 where the run has none."""
    return round(MEASURES[name](result), 6)


def _recovery_seconds(result: Result) -> float:
    """Seconds from the end of the last fault until recovered; to the end of the run where it never was."""
    if result.recovery_seconds is not None:
        return result.recovery_seconds
    strikes = result.history.of("fault.strike")
    return float(result.history.events[-1]["t"] - strikes[-1]["t"]) if strikes else 0.0


def _duplicates(result: Result) -> float:
    """Effects beyond the first, over all keys."""
    seen: set[tuple[object, object]] = set()
    more = 0
    for event in result.history.of("effect"):
        which = (event["name"], event.get("key"))
        more += which in seen
        seen.add(which)
    return float(more)


def _backlog(result: Result) -> float:
    """The most messages that were sent and neither acknowledged nor gone, at any time."""
    now = most = 0
    for event in result.history:
        kind = event["kind"]
        if kind == "send":
            now += 1
            most = max(most, now)
        elif kind == "delete":
            now -= bool(event["found"])
        elif kind in ("message.lost", "expire"):
            now -= 1
    return float(most)


def _attempts(result: Result) -> float:
    """The most attempts at one thing: of a retry policy, or deliveries of one message."""
    retries = max((event["attempt"] for event in result.history.of("retry.attempt")), default=0)
    return float(max(retries, max((event["receive_count"] for event in result.history.of("receive")), default=0)))


def _amplification(result: Result) -> float:
    """Calls of the dependencies for each message; of the handler where there are no dependencies."""
    sent = result.messages.sent or 0
    for layer in ("dependency.", "handler.", "aws."):
        calls = sum(
            counts["passed"]
            for name, counts in result.faults.items()
            if name.startswith(layer) and name.endswith(".before")
        )
        if calls:
            return calls / sent if sent else 0.0
    return 0.0


MEASURES: Final[Mapping[str, Callable[[Result], float]]] = {
    "recovery_seconds": _recovery_seconds,
    "duplicates": _duplicates,
    "backlog": _backlog,
    "attempts": _attempts,
    "amplification": _amplification,
}
