"""What a timeline shows, taken from a history: rates, backlog, breaker states, fault windows, marks.

Pure and streaming: one pass over the events, memory in proportion to the
messages and the marks, not to the events. Nothing here draws.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.history import Event, Header

__all__ = [
    "VIOLATED",
    "BreakerBand",
    "FaultLane",
    "Mark",
    "QueueLevels",
    "Rates",
    "Series",
    "Span",
    "fault_lanes",
    "nice_width",
    "read_series",
]

_NICE_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
_RATE_BINS = 240
_LEVEL_BINS = 480
_FEW = 4  # messages in a bin, while the load lasts

#: The row of the events that show a violation.
VIOLATED = "evidence"
_PROOF_ROWS_MAX = 4  # more broken invariants than this share one row

#: Events that stand as a mark on the picture: kind -> the row they are drawn in.
MARK_ROWS = {
    "process.crash": "crash",
    "process.sigterm": "SIGTERM",
    "process.pause": "pause",
    "quarantine": "quarantined",
    "expire": "expired",
    "message.lost": "message lost",
    "clock.jump": "clock jump",
    "effect.lost": "effect lost",
    "lambda.throttled": "throttled",
    "lambda.filtered": "filtered",
}


@dataclass(frozen=True, slots=True)
class Span:
    """From *start* to *end*, in seconds since the start of the run."""

    start: float
    end: float
    state: str = ""


@dataclass(slots=True)
class FaultLane:
    """One fault: its window, if it has one, and when it struck."""

    index: int
    target: str
    kind: str
    side: str
    window: Span | None
    probability: float = 1.0
    strikes: list[float] = field(default_factory=list)

    @property
    def layer(self) -> str:
        return self.target.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment, or from *t* to *until*."""

    row: str
    t: float
    label: str = ""
    until: float | None = None


@dataclass(slots=True)
class BreakerBand:
    """The states of one breaker, from the first event about it to the end."""

    name: str
    spans: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class Rates:
    """Counts per bin of *width* seconds; ``per_second`` divides."""

    width: float
    counts: list[int]

    def per_second(self) -> list[float]:
        return [count / self.width for count in self.counts]

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(slots=True)
class Series:
    """Everything that a timeline shows. Times in seconds since the start of the run."""

    end: float
    load_end: float | None
    quiet: float | None
    sent: Rates
    processed: Rates
    failed: Rates
    processed_label: str
    level_width: float
    backlog: list[float]  # these three: means over level_width seconds
    in_flight: list[float]
    dead_letters: list[float]
    faults: list[FaultLane]
    breakers: list[BreakerBand]
    marks: list[Mark]
    faults_over: float | None  # the last strike, end of a window, restart or resumption: recovery is counted from here

    def mark_rows(self) -> dict[str, list[Mark]]:
        """Marks by row, rows in the order of their first mark, evidence of violations last.

        Where a few invariants are broken, each has a row of its own.
        """
        rows: dict[str, list[Mark]] = {}
        for mark in self.marks:
            rows.setdefault(mark.row, []).append(mark)
        proofs = rows.pop(VIOLATED, [])
        names = list(dict.fromkeys(mark.label for mark in proofs))
        if 1 < len(names) <= _PROOF_ROWS_MAX:
            for name in names:
                rows[f"{VIOLATED}: {name}"] = [replace(mark, label="") for mark in proofs if mark.label == name]
        elif proofs:
            rows[VIOLATED] = proofs
        return rows


def nice_width(seconds: float, bins: int) -> float:
    """The smallest round bin width, in seconds, that needs at most *bins* bins for *seconds*."""
    for width in _NICE_S:
        if seconds <= width * bins:
            return width
    return 3600.0 * max(1, -(-int(seconds) // (3600 * bins)))


class _Bins:
    def __init__(self, width: float, end: float) -> None:
        self.width = width
        self.last = max(0, int(end / width - 1e-9))
        self.counts = [0] * (self.last + 1)

    def index(self, t: float) -> int:
        return min(self.last, max(0, int(t / self.width + 1e-9)))

    def add(self, t: float) -> None:
        self.counts[self.index(t)] += 1

    def rates(self) -> Rates:
        return Rates(self.width, self.counts)


class _Level:
    """A count that goes up and down; its mean over each bin, weighted by time."""

    def __init__(self, width: float, end: float) -> None:
        self._width = width
        self._end = end
        self._sums = [0.0] * (max(0, int(end / width - 1e-9)) + 1)
        self._t = 0.0
        self.value = 0

    def change(self, t: float, by: int) -> None:
        self._advance(min(t, self._end))
        self.value += by

    def _advance(self, t: float) -> None:
        width, sums, value = self._width, self._sums, self.value
        at = self._t
        self._t = t
        if not value:
            return
        first, last = int(at / width), min(int(t / width), len(sums) - 1)
        for index in range(min(first, last), last + 1):
            sums[index] += value * max(0.0, min(t, (index + 1) * width) - max(at, index * width))

    def close(self) -> list[float]:
        self._advance(self._end)
        lengths = [min(self._width, self._end - index * self._width) for index in range(len(self._sums))]
        return [total / length if length > 0 else 0.0 for total, length in zip(self._sums, lengths, strict=True)]


class QueueLevels:
    """Follows each message: waiting, in flight, or in a dead-letter queue."""

    def __init__(self, dead: frozenset[str], width: float, end: float) -> None:
        self.dead = dead
        self.waiting = _Level(width, end)
        self.flight = _Level(width, end)
        self.dead_letters = _Level(width, end)
        self._queue: dict[str, str] = {}
        self._until: dict[str, float] = {}  # in flight: visible again at
        self._expiry: list[tuple[float, str]] = []

    def step(self, event: Event) -> None:
        t = event["t"]
        self._return_due(t)
        kind = event["kind"]
        message = event.get("message")
        if kind == "send" and message is not None:
            self._put(t, message, event["queue"])
        elif kind == "receive" and message in self._queue:
            until = event.get("visible_at", t)
            self._take(t, message, math.inf if until is None else until)
        elif kind == "visibility" and message in self._until:
            self._until[message] = event.get("visible_at", t)
            heapq.heappush(self._expiry, (self._until[message], message))
            self._return_due(t)
        elif kind == "move" and message is not None:
            self._drop(t, message)
            self._put(t, message, event["to"])
        elif (kind == "delete" and event.get("found", True)) or kind in ("expire", "message.lost"):
            self._drop(t, message)
        elif kind in ("purge", "queue.delete"):
            for gone in event.get("messages", ()):
                self._drop(t, gone)

    def _return_due(self, now: float) -> None:
        while self._expiry and self._expiry[0][0] <= now:
            at, message = heapq.heappop(self._expiry)
            if self._until.get(message) == at:
                del self._until[message]
                if self._queue[message] not in self.dead:
                    self.flight.change(at, -1)
                    self.waiting.change(at, +1)

    def _put(self, t: float, message: str, queue: str) -> None:
        if message in self._queue:
            return
        self._queue[message] = queue
        (self.dead_letters if queue in self.dead else self.waiting).change(t, +1)

    def _take(self, t: float, message: str, until: float) -> None:
        if message not in self._until and self._queue[message] not in self.dead:
            self.waiting.change(t, -1)
            self.flight.change(t, +1)
        self._until[message] = until
        heapq.heappush(self._expiry, (until, message))

    def _drop(self, t: float, message: str | None) -> None:
        if message is None or message not in self._queue:
            return
        queue = self._queue.pop(message)
        in_flight = self._until.pop(message, None) is not None
        if queue in self.dead:
            self.dead_letters.change(t, -1)
        else:
            (self.flight if in_flight else self.waiting).change(t, -1)

    def close(self, end: float) -> tuple[list[float], list[float], list[float]]:
        self._return_due(end)
        return self.waiting.close(), self.flight.close(), self.dead_letters.close()


class _Breakers:
    def __init__(self) -> None:
        self._open: dict[str, tuple[float, str]] = {}
        self._bands: dict[str, BreakerBand] = {}
        self._owner: dict[str, str] = {}  # breaker -> the process in which it lives

    def process_gone(self, t: float, process: str) -> None:
        """What lived in *process* is gone with it."""
        for name in [name for name, owner in self._owner.items() if owner == process and name in self._open]:
            start, state = self._open.pop(name)
            self._bands[name].spans.append(Span(start, t, state))

    def step(self, event: Event) -> None:
        name = str(event.get("breaker", "breaker"))
        self._owner[name] = str(event["actor"]).partition("/")[0]
        if event["kind"] == "breaker.transition":
            before, after = str(event["from"]), str(event["to"])
            start, state = self._open.get(name, (0.0, before))
            self._band(name).spans.append(Span(start, event["t"], state))
            self._open[name] = (event["t"], after)
        elif name not in self._open:
            self._band(name)
            self._open[name] = (event["t"], str(event.get("state", "closed")))

    def _band(self, name: str) -> BreakerBand:
        return self._bands.setdefault(name, BreakerBand(name))

    def close(self, end: float) -> list[BreakerBand]:
        for name, (start, state) in self._open.items():
            self._bands[name].spans.append(Span(start, end, state))
        return [_merged(band) for band in self._bands.values()]


def _merged(band: BreakerBand) -> BreakerBand:
    """Neighbouring spans of one state as one (several processes may report one breaker)."""
    spans: list[Span] = []
    for span in band.spans:
        if spans and spans[-1].state == span.state:
            spans[-1] = Span(spans[-1].start, span.end, span.state)
        elif span.end > span.start:
            spans.append(span)
    return BreakerBand(band.name, spans)


def read_series(
    header: Header,
    events: Iterable[Event],
    *,
    end: float | None = None,
    evidence: Mapping[str, Collection[int]] | None = None,
) -> Series:
    """Fold *events* into what a timeline shows.

    *end* is the length of the run in seconds; without it the events are
    walked twice to find the last one. *evidence* maps the name of each broken
    invariant to the numbers of the events that show it: they become marks.
    """
    if end is None:
        events = events if isinstance(events, list) else list(events)
        end = events[-1]["t"] if events else 0.0
    end = max(float(end), 0.001)
    reader = _Reader(header, end)
    shown: dict[int, str] = {}
    for name, numbers in (evidence or {}).items():
        for n in numbers:
            shown[n] = f"{shown[n]}, {name}" if n in shown else name
    for event in events:
        reader.step(event)
        if shown and event["n"] in shown:
            reader.violation(event["t"], shown[event["n"]])
    return reader.close()


class _Reader:
    def __init__(self, header: Header, end: float) -> None:
        system: Mapping[str, Any] = header.get("system") or {}
        self._end = end
        self._header = header
        self._sources = frozenset(system.get("sources") or ())
        dead = frozenset(system.get("dead_letter_queues") or ())
        self._has_effects = bool(system.get("effects"))
        width = _rate_width(header, end)
        self._sent, self._failed = _Bins(width, end), _Bins(width, end)
        self._effects, self._deletes = _Bins(width, end), _Bins(width, end)
        self._effects_seen = 0
        self._level_width = nice_width(end, _LEVEL_BINS)
        self._queues = QueueLevels(dead, self._level_width, end)
        self._breakers = _Breakers()
        self._marks: list[Mark] = []
        self._down: dict[str, int] = {}  # process -> its crash in _marks, until it runs again
        self._quiet: float | None = None
        self._faults = fault_lanes(header, end)
        self._faults_over: float | None = None

    def step(self, event: Event) -> None:
        kind = event["kind"]
        t = event["t"]
        self._queues.step(event)
        if kind == "send":
            queue = event["queue"]
            if queue in self._queues.dead:
                self._marks.append(Mark("dead letter", t))
            elif queue in self._sources or not self._sources:
                self._sent.add(t)
        elif kind == "effect":
            self._effects_seen += 1
            self._effects.add(t)
        elif kind == "delete":
            if event.get("found", True) and event.get("queue") not in self._queues.dead:
                self._deletes.add(t)
        elif kind == "call.failed" or (
            kind in ("handler.end", "lambda.answer") and event.get("outcome") not in ("ok", "success", "partial")
        ):
            self._failed.add(t)
        elif kind == "move" and event["to"] in self._queues.dead:
            self._marks.append(Mark("dead letter", t))
        elif kind.startswith("fault."):
            self._fault(event)
        elif kind.startswith("breaker."):
            self._breakers.step(event)
        elif kind == "run.quiet":
            self._quiet = t
        elif kind == "process.resume":
            self._faults_over = t
        elif kind == "process.start":
            self._restart(event)
        elif kind in MARK_ROWS:
            if kind == "process.crash":
                self._down[str(event.get("process"))] = len(self._marks)
                self._breakers.process_gone(t, str(event.get("process")))
            self._marks.append(_mark(event))
        elif kind == "process.exit":
            self._breakers.process_gone(t, str(event.get("process")))

    def violation(self, t: float, name: str) -> None:
        self._marks.append(Mark(VIOLATED, t, name))

    def _restart(self, event: Event) -> None:
        crashed = self._down.pop(str(event.get("process")), None)
        if crashed is not None:
            self._marks[crashed] = replace(self._marks[crashed], until=event["t"])
        if event.get("incarnation", 1) > 1:
            self._faults_over = event["t"]

    def _fault(self, event: Event) -> None:
        lane = self._faults.get(event.get("fault", -1))
        if event["kind"] != "fault.start":
            self._faults_over = event["t"]
        if lane is None:
            target = str(event.get("target") or event.get("point") or "fault")
            index = int(event.get("fault", -1))
            lane = self._faults[index] = FaultLane(index, target, str(event.get("fault_kind", "")), "", None)
        if event["kind"] == "fault.strike":
            lane.strikes.append(event["t"])

    def close(self) -> Series:
        backlog, in_flight, dead = self._queues.close(self._end)
        effects = self._has_effects or self._effects_seen > 0
        load_end = self._header.get("duration")
        lanes = [self._faults[index] for index in sorted(self._faults)]
        return Series(
            end=self._end,
            load_end=float(load_end) if isinstance(load_end, (int, float)) else None,
            quiet=self._quiet,
            sent=self._sent.rates(),
            processed=(self._effects if effects else self._deletes).rates(),
            failed=self._failed.rates(),
            processed_label="processed" if effects else "acknowledged",
            level_width=self._level_width,
            backlog=backlog,
            in_flight=in_flight,
            dead_letters=dead,
            faults=lanes,
            breakers=self._breakers.close(self._end),
            marks=self._marks,
            faults_over=self._faults_over,
        )


def _workloads(header: Header) -> list[Mapping[str, Any]]:
    found = header.get("workload") or ()
    return [found] if isinstance(found, Mapping) else [one for one in found if isinstance(one, Mapping)]


def _rate_width(header: Header, end: float) -> float:
    """Bins so wide that each holds a few messages: a rate of single messages is a comb, not a curve."""
    least = end / _RATE_BINS
    for one in _workloads(header):
        messages = int(one.get("messages") or 0)
        per_second = one.get("per_second")
        if messages and per_second:
            least = max(least, min(_FEW, messages) / float(per_second))
    return nice_width(min(least, end / 8), 1)


def fault_lanes(header: Header, end: float) -> dict[int, FaultLane]:
    """The plan's faults by index, each with its window where it has one, within a run of *end* seconds."""
    plan: Mapping[str, Any] = header.get("plan") or {}
    lanes: dict[int, FaultLane] = {}
    for index, fault in enumerate(plan.get("faults") or ()):
        start, stop = fault.get("start"), fault.get("end")
        window = None
        at_once = fault["target"].startswith("process") and fault["kind"] != "slow-start"  # strikes once, at its start
        if fault.get("nth") is None and not at_once and (start is not None or stop is not None):
            window = Span(min(start or 0.0, end), min(end if stop is None else stop, end))
        side, probability = fault.get("side", "before"), float(fault.get("probability", 1.0))
        lanes[index] = FaultLane(index, fault["target"], fault["kind"], side, window, probability)
    return lanes


def _mark(event: Event) -> Mark:
    row = MARK_ROWS[event["kind"]]
    label = str(event.get("process") or event.get("key") or event.get("function") or "")
    until = event.get("until") if row == "pause" else None
    if row == "clock jump" and "seconds" in event:
        label = f"{label} {event['seconds']:+g} s".strip()
    return Mark(row, event["t"], label, until)
