"""What alarms ought to know: errors by the minute, and the depth of queues, from a history's own events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

from harness.history import Event

__all__ = ["MINUTE_S", "Depths", "Errors", "Named", "minute_of"]

MINUTE_S = 60

#: Dimensions, sorted.
Named: TypeAlias = tuple[tuple[str, str], ...]


def minute_of(t: float) -> int:
    """The whole minute in which *t* is, in seconds since the start."""
    return int(t) // MINUTE_S * MINUTE_S


class Errors:
    """Errors by the minute: of one metric under one set of dimensions each, or all that handlers ended with."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str, Named], dict[int, float]] = {}
        self.of_handlers: dict[int, float] = defaultdict(float)

    def handler_failed(self, event: Event) -> None:
        self.of_handlers[minute_of(event["t"])] += 1

    def counted(self, event: Event) -> None:
        key = (event.get("namespace") or "", event["metric"], tuple(sorted((event.get("dimensions") or {}).items())))
        minutes = self._counted.setdefault(key, defaultdict(float))
        minutes[minute_of(event["t"])] += event["value"]

    def of(self, namespace: str, metric: str, dimensions: Named, *, exact: bool) -> Mapping[int, float] | None:
        """What a metric should hold by the minute; ``None`` if the history cannot tell.

        *exact*: only what was counted under these very dimensions, as
        CloudWatch sees it; else everything that has them among its own.
        """
        found: dict[int, float] = defaultdict(float)
        known = False
        for (place, name, own), minutes in self._counted.items():
            if (place, name) != (namespace, metric):
                continue
            known = True
            if own == dimensions if exact else set(dimensions) <= set(own):
                for minute, value in minutes.items():
                    found[minute] += value
        return found if known or exact else None


class Depths:
    """How many messages of each queue are visible: where they are, and until when they are hidden."""

    def __init__(self) -> None:
        self._queues: dict[str, dict[str, float]] = {}  # queue -> message -> when it is visible (again)

    def step(self, event: Event) -> None:
        """One event about a message or a queue."""
        kind, message, t = event["kind"], event.get("message") or "", event["t"]
        here = self._queues.setdefault(event["queue"], {})
        if kind == "send":
            here[message] = t + (event.get("delay") or 0.0)
        elif kind in ("receive", "visibility"):
            if message in here:
                here[message] = event["visible_at"]
        elif kind == "move":
            here.pop(message, None)
            self._queues.setdefault(event["to"], {})[message] = t
        elif kind == "delete":
            if event.get("found") is not False:
                here.pop(message, None)
        elif kind == "expire":
            here.pop(message, None)
        else:  # purge, queue.delete
            for each in event.get("messages") or ():
                here.pop(each, None)

    def visible(self, queue: str, t: float) -> int:
        """How many messages of *queue* are visible at *t*, which is now."""
        return sum(1 for visible_at in self._queues.get(queue, {}).values() if visible_at <= t)
