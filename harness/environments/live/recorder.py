"""Events of a live run: from this process as they happen, from the servers later, put in order at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from harness.environments.live.clock import LiveClock
from harness.redact import redact_name, redact_text

__all__ = ["LiveRecorder"]

_FREE_TEXT: Final = frozenset(("body", "error", "reason"))
_NAMES: Final = frozenset(("key", "name"))


class LiveRecorder:
    """A :class:`harness.sim.world.Recorder` that any thread may call."""

    def __init__(self, clock: LiveClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self.closed = False

    def __call__(self, kind: str, message: str | None = None, *, at: float | None = None, **fields: Any) -> int:
        """*at*: when it happened, by the machine's monotonic clock, where somebody else saw it."""
        current = self._clock.current
        actor = fields.pop("actor", None) or (current.name if current is not None else "-")
        event: dict[str, Any] = {
            "n": 0,
            "t": self._clock.seconds if at is None else max(0.0, at - self._clock.began),
            "actor": actor,
            "kind": kind,
        }
        if message is not None:
            event["message"] = message
        for name, value in fields.items():
            if isinstance(value, str):
                value = redact_text(value) if name in _FREE_TEXT else redact_name(value) if name in _NAMES else value
            event[name] = value
        with self._lock:
            if not self.closed:
                self._events.append(event)
            return len(self._events)

    def add(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Events of somebody else's, with their times already those of this run."""
        with self._lock:
            self._events += [dict(event) for event in events]

    def in_order(self) -> list[dict[str, Any]]:
        """All of them by time, numbered from 1; what is about a message has its key where any event told it."""
        with self._lock:
            events = sorted(self._events, key=lambda event: event["t"])  # stable: equal times stay as they came
        keys = {event["message"]: event["key"] for event in events if event["kind"] == "send" and event.get("key")}
        for number, event in enumerate(events, 1):
            event["n"] = number
            message = event.get("message")
            if message is not None and event.get("key") is None and message in keys:
                event["key"] = keys[message]
        return events
