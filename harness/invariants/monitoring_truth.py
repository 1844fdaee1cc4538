"""What alarms ought to know: errors by the minute, and the depth of queues, from a history's own events."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

from harness.history import Event

__all__ = ["EXTRA_PERIODS", "MINUTE_S", "Depths", "Errors", "Named", "Strikes", "minute_of"]

MINUTE_S = 60

#: By how many periods CloudWatch looks further back than it needs, for the case that data is missing: "Configuring how
#: CloudWatch alarms treat missing data", Amazon CloudWatch user guide.
EXTRA_PERIODS = 2

#: Dimensions, sorted.
Named: TypeAlias = tuple[tuple[str, str], ...]


def minute_of(t: float) -> int:
    """The whole minute in which *t* is, in seconds since the start."""
    return int(t) // MINUTE_S * MINUTE_S


class Errors:
    """Errors by the minute: of one metric under one set of dimensions each, or all that handlers ended with."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str, Named], dict[int, float]] = {}
        self._samples: dict[tuple[str, str, Named], dict[int, float]] = {}
        self.of_handlers: dict[int, float] = defaultdict(float)

    def handler_failed(self, event: Event) -> None:
        self.of_handlers[minute_of(event["t"])] += 1

    def counted(self, event: Event) -> None:
        key = (event.get("namespace") or "", event["metric"], tuple(sorted((event.get("dimensions") or {}).items())))
        for book, number in ((self._counted, event["value"]), (self._samples, event.get("samples") or 0)):
            book.setdefault(key, defaultdict(float))[minute_of(event["t"])] += number

    def of(self, namespace: str, metric: str, dimensions: Named) -> Mapping[int, float] | None:
        """What a metric should hold by the minute: all that was counted with these dimensions among its own.

        ``None`` if nothing was counted under the metric's name.
        """
        found: dict[int, float] = defaultdict(float)
        known = False
        for (place, name, own), minutes in self._counted.items():
            if (place, name) != (namespace, metric):
                continue
            known = True
            if set(dimensions) <= set(own):
                for minute, value in minutes.items():
                    found[minute] += value
        return found if known else None

    def told(self, namespace: str, metric: str, dimensions: Named, *, samples: bool) -> Mapping[int, float]:
        """What was counted under these very dimensions, as CloudWatch sees it; *samples*: in how many values."""
        return (self._samples if samples else self._counted).get((namespace, metric, dimensions), {})


class Strikes:
    """When faults struck, as far as it matters to whole minutes and stretches that begin with one."""

    def __init__(self) -> None:
        self._first: dict[int, float] = {}  # minute -> the first strike in it

    def add(self, t: float) -> None:
        self._first.setdefault(minute_of(t), t)

    def between(self, minute: int, end: float) -> bool:
        """Whether a fault struck from the beginning of *minute* to *end*, which counts."""
        return any(self._first.get(each, math.inf) <= end for each in range(minute, minute_of(end) + 1, MINUTE_S))


class Depths:
    """How many messages of each queue are visible: where they are, and until when they are hidden."""

    def __init__(self) -> None:
        self._queues: dict[str, dict[str, float]] = {}  # queue -> message -> when it is visible (again)
        self._samples: dict[str, dict[int, int]] = {}  # queue -> minute -> how many were visible at its end
        self._minute = 0

    def step(self, event: Event) -> None:
        """One event about a message or a queue."""
        self.wind(event["t"])
        kind, message, t = event["kind"], event.get("message") or "", event["t"]
        here = self._queues.setdefault(event["queue"], {})
        if kind == "send":
            here[message] = t + (event.get("delay") or 0.0)
        elif kind in ("receive", "visibility"):
            if message in here:
                visible_at = event.get("visible_at")
                here[message] = math.inf if visible_at is None else visible_at
        elif kind == "move":
            here.pop(message, None)
            self._queues.setdefault(event["to"], {})[message] = t
        elif kind == "delete":
            if event.get("found") is not False:
                here.pop(message, None)
        elif kind == "expire":
            here.pop(message, None)
        else:  # purge, queue.create, queue.delete
            for each in event.get("messages") or ():
                here.pop(each, None)

    def wind(self, t: float) -> None:
        """Note how deep each queue is at each whole minute up to *t*, before anything happens at it."""
        while self._minute + MINUTE_S <= t:
            begin, self._minute = self._minute, self._minute + MINUTE_S
            for queue, messages in self._queues.items():
                visible = sum(visible_at <= self._minute for visible_at in messages.values())
                self._samples.setdefault(queue, {})[begin] = visible

    def __contains__(self, queue: str) -> bool:
        """Whether anything happened in a queue."""
        return queue in self._queues

    def of(self, queue: str) -> Mapping[int, float]:
        """How many messages of *queue* were visible at the end of each minute."""
        samples = self._samples.get(queue, {})
        return {minute: samples.get(minute, 0) for minute in range(0, self._minute, MINUTE_S)}
