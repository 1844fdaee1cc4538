"""What led from a fault to a violation: the chain of events, each with how the one before brought it about.

Events hang together in a few ways that a history shows: an actor does one
thing after the other; it is woken by what another one did (``cause``); a
message is delivered because it was sent, or came back; a process is started
again because it was killed; a breaker refuses because others' calls had
failed. The chain is the shortest way back, by these, from the evidence to the
strike of each fault.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Final, TypeAlias

from harness.explore.plot import Plot, process_of
from harness.history import Event, History

__all__ = ["LINKS_MAX", "Link", "chain"]

LINKS_MAX: Final = 12

#: (number of the event before, how it led to this one, cost): what an actor merely did next costs most.
Edge: TypeAlias = tuple[int, str, int]

_THEN = 3
_STRUCK: Final = frozenset({"process.crash", "process.pause", "process.sigterm", "clock.jump", "clock.drift"})
_LOSSES: Final = frozenset({"message.lost", "effect.lost"})


@dataclass(frozen=True)
class Link:
    """One event of a chain.

    Attributes:
        after: the number of the event that brought it about; ``None`` for the first of a chain.
        how: in which way: ``then``, ``woke``, ``sent``, ``came back``, ``moved``, ``killed``, ``started again``, ...
    """

    event: Event
    after: int | None
    how: str

    def to_json(self, text: str) -> dict[str, Any]:
        """This link with its sentence, as JSON values."""
        event = self.event
        return {
            "n": event["n"],
            "t": event["t"],
            "actor": event["actor"],
            "kind": event["kind"],
            "after": self.after,
            "how": self.how,
            "text": text,
        }


def chain(history: History, plot: Plot, origins: Collection[int], target: int) -> tuple[Link, ...]:
    """The events that lead from *origins* (numbers of strikes) to event *target*, in the order of time.

    Of each fault the strike that is nearest to *target* is the beginning of
    a way; ways that meet go on as one. Without *origins* the chain begins at
    the first event of the plot. Empty if no way leads to *target*.
    """
    ways = _ways(_edges(history, plot, target), target)
    starts = _starts(history, origins, ways) or [event["n"] for event in plot.events if event["n"] in ways][:1]
    told = {event["n"] for event in plot.events}
    links: dict[int, Link] = {}
    for start in starts:
        after = None
        for number, how in _steps(ways, start, target, told):
            known = links.get(number)
            if known is None or known.after is None:
                links[number] = Link(history.events[number - 1], after, how)
            after = number
    return _bounded([links[number] for number in sorted(links)])


def _steps(ways: Mapping[int, _Way], start: int, target: int, told: Collection[int]) -> list[tuple[int, str]]:
    """The events from *start* to *target*, each with how it came about.

    What the same actor did meanwhile for others is passed over.
    """
    steps = [(start, "")]
    while steps[-1][0] != target:
        way = ways[steps[-1][0]]
        steps.append((way.following, way.how))
    kept = []
    for index, (number, how) in enumerate(steps):
        inside = 0 < index < len(steps) - 1
        if not (inside and how == "then" and steps[index + 1][1] == "then" and number not in told):
            kept.append((number, how))
    return kept


def _starts(history: History, origins: Collection[int], ways: Mapping[int, _Way]) -> list[int]:
    """Of each fault the strike with the shortest way, the latest of equals."""
    best: dict[Any, tuple[int, int]] = {}
    for number in origins:
        if number in ways:
            fault, rank = history.events[number - 1].get("fault"), (ways[number].cost, -number)
            best[fault] = min(rank, best.get(fault, rank))
    return sorted(-negative for _, negative in best.values())


@dataclass(frozen=True)
class _Way:
    """From one event towards the target: the next event, how it comes about, and what the whole way costs."""

    following: int
    how: str
    cost: int


def _ways(edges: Mapping[int, list[Edge]], target: int) -> dict[int, _Way]:
    """The shortest way to *target* from each event from which one leads (Dijkstra, backwards)."""
    found: dict[int, _Way] = {}
    heap: list[tuple[int, int, int, str]] = [(0, -target, target, "")]
    while heap:
        cost, negative, following, how = heappop(heap)
        number = -negative
        if number in found:
            continue
        found[number] = _Way(following, how, cost)
        for earlier, way, price in edges.get(number, ()):
            if earlier not in found:
                heappush(heap, (cost + price, -earlier, number, way))
    return found


def _edges(history: History, plot: Plot, target: int) -> dict[int, list[Edge]]:
    """What each event up to *target* came from."""
    found: dict[int, list[Edge]] = {}
    trace = _Trace()
    for event in history.events[:target]:
        edges = list(trace.before(event))
        if edges:
            found[event["n"]] = edges
        trace.take(event)
    for number, edge in _of_message(plot):
        if number <= target:
            found.setdefault(number, []).append(edge)
    return found


class _Trace:
    """What has happened so far, as far as later events can come from it."""

    def __init__(self) -> None:
        self._actors: dict[str, int] = {}  # the last event of each
        self._latest: dict[str, int] = {}  # the last event of any actor of each process
        self._processes: dict[str, tuple[int, str]] = {}  # the last start or end of each, and what it was
        self._breakers: dict[str, int] = {}  # the last transition of each
        self._failures: dict[str, int] = {}  # the last failure through each
        self._strike: Event | None = None

    def before(self, event: Event) -> Iterator[Edge]:
        kind, actor = event["kind"], event["actor"]
        cause = event.get("cause")
        if cause is not None:
            yield cause, "woke", 1
        if actor in self._actors and actor not in ("faults", "-"):
            yield self._actors[actor], "then", _THEN
        elif actor not in self._actors and process_of(actor) in self._processes:
            yield self._processes[process_of(actor)][0], "ran", 2
        strike = self._strike
        if strike is not None and strike["t"] == event["t"]:
            if kind in _STRUCK:
                yield strike["n"], "did", 1
            elif kind in _LOSSES:
                yield strike["n"], "lost it", 1
        if kind == "process.exit" and event.get("process") in self._latest:
            yield self._latest[event["process"]], "ended it", 1
        if kind == "process.start" and event.get("process") in self._processes:
            number, what = self._processes[event["process"]]
            yield number, "started again" if what != "process.start" else "then", 1
        yield from self._of_breaker(event)

    def _of_breaker(self, event: Event) -> Iterator[Edge]:
        name = event.get("breaker")
        if name is None:
            return
        if event["kind"] == "breaker.transition" and name in self._failures:
            yield self._failures[name], "tripped it", 1
        elif event["kind"] in ("breaker.call", "breaker.begin") and name in self._breakers:
            yield self._breakers[name], "decided it", 1

    def take(self, event: Event) -> None:
        kind, number = event["kind"], event["n"]
        self._actors[event["actor"]] = self._latest[process_of(event["actor"])] = number
        if kind == "fault.strike":
            self._strike = event
        elif kind in ("process.start", "process.crash", "process.exit", "process.pause", "process.sigterm"):
            self._processes[event["process"]] = (number, kind)
        elif kind == "breaker.transition":
            self._breakers[event["breaker"]] = number
        elif kind == "breaker.call" and event.get("outcome") == "failure":
            self._failures[event["breaker"]] = number


def _of_message(plot: Plot) -> Iterator[tuple[int, Edge]]:
    """How the events of the message come from each other."""
    last: dict[str, int] = {}  # by process: its last event about the message
    latest = sent = None
    for event in plot.events:
        kind, number = event["kind"], event["n"]
        process = event.get("process") or process_of(event["actor"])
        if kind == "receive" and latest is not None:
            again = event.get("receive_count", 1) > 1 or latest != sent
            yield number, (latest, "came back" if again else "sent", 1)
        elif kind == "move" and latest is not None:
            yield number, (latest, "moved", 1)
        elif kind in ("message.lost", "expire") and latest is not None:
            yield number, (latest, "gone", 2)
        elif process in last:
            yield number, (last[process], "then", 2)
        if kind == "send":
            sent = number
        last[process] = latest = number


def _bounded(links: list[Link]) -> tuple[Link, ...]:
    """At most ``LINKS_MAX`` links: the beginning, and more of the end."""
    if len(links) <= LINKS_MAX:
        return tuple(links)
    first = LINKS_MAX // 3
    return (*links[:first], *links[len(links) - (LINKS_MAX - first) :])
