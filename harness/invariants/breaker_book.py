"""What a history says of each circuit breaker: its limits, its state, the results since, and its changes.

A breaker belongs to a process; two processes may each have a ``payments``.

*The same instant.* A listener may tell of a change of state before or after
the result that caused it, and several calls may end at one instant. So
nothing is concluded from the order of events that carry the same time: a
:class:`Change` goes on collecting results until time has moved on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.history import Event, Header
from harness.invariants.base import Book, BookInvariant

__all__ = ["Breaker", "BreakerBook", "BreakerInvariant", "Change", "Result"]

#: Reasons of changes that a person or a test made by hand; no rule judges those.
_BY_HAND = re.compile(r"forced|isolated|disabled|enabled|set to|manual|reset|by hand", re.IGNORECASE)


@dataclass(slots=True)
class Result:
    """How a call that was let in ended. ``permanent``: true, false, or ``None`` where it is not known."""

    n: int
    t: float
    outcome: str
    state: str
    generation: int | None
    permanent: bool | None


@dataclass(slots=True)
class Change:
    """A change of state.

    ``generation`` is the one that it ended; ``failures`` the failures in a
    row that led to it (within that generation), ``results`` everything that
    ended at the same instant.
    """

    n: int
    t: float
    before: str
    after: str
    generation: int | None
    by_hand: bool
    failures: list[Result] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def belongs(self, result: Result) -> bool:
        """Whether *result* is one of the generation that this change ended."""
        if result.generation is None or self.generation is None:
            return result.state == self.before
        return result.generation == self.generation


@dataclass(slots=True)
class Breaker:
    """One breaker of one process, as the history has it so far. Limits are ``None`` where nothing says them."""

    name: str
    process: str
    created_n: int = 0
    failure_threshold: int | None = None
    recovery_timeout: float | None = None
    half_open_permits: int | None = None
    success_threshold: int | None = None
    mode: str | None = None
    state: str = "closed"
    since_t: float = 0.0
    since_n: int = 0
    generation: int | None = None
    known: bool = False  # whether its state was seen, and not only assumed
    begins: bool = False  # whether the history tells when calls begin
    failures: list[Result] = field(default_factory=list)  # in a row, while closed
    instant: list[Result] = field(default_factory=list)  # results of the latest instant
    instant_t: float = -1.0
    change: Change | None = None

    @property
    def title(self) -> str:
        return f'breaker "{self.name}" of {self.process}'

    def at(self, t: float) -> list[Result]:
        """The results of the instant *t*, to which those of the same instant that are still to come are added."""
        if self.instant_t != t:
            self.instant_t = t
            self.instant = []
        return self.instant


def _owner(event: Event) -> str:
    """The process whose breaker *event* is about: the actor's, unless processes share one and it says whose."""
    return str(event.get("owner") or event["actor"].partition("/")[0])


def _state(value: object) -> str:
    return str(value or "").lower().replace("-", "_")


class BreakerBook(Book):
    """Follows every breaker of a run."""

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        self.breakers: dict[tuple[str, str], Breaker] = {}
        self.seen = 0  # breakers that were seen at all
        self.permanent_n = 0  # the first call that ended in a permanent error
        self._table: dict[str, Callable[[Event], None]] = {
            "breaker.created": self._on_created,
            "breaker.limits": self._on_limits,
            "breaker.begin": self._on_begin,
            "breaker.call": self._on_call,
            "breaker.transition": self._on_transition,
            "process.start": self._on_process_start,
        }

    def handlers(self) -> Mapping[str, Callable[[Event], None]]:
        return self._table

    def of(self, event: Event) -> Breaker:
        """The breaker that *event* is about."""
        process = _owner(event)
        key = (process, event["breaker"])
        breaker = self.breakers.get(key)
        if breaker is None:
            self.seen += 1
            breaker = self.breakers[key] = Breaker(str(event["breaker"]), process)
        return breaker

    def _on_created(self, event: Event) -> None:
        process = _owner(event)
        self.breakers.pop((process, event["breaker"]), None)
        breaker = self.of(event)
        breaker.created_n = event["n"]
        breaker.known = True
        for name in ("failure_threshold", "recovery_timeout", "half_open_permits", "success_threshold", "mode"):
            setattr(breaker, name, event.get(name))

    def _on_limits(self, event: Event) -> None:
        breaker = self.of(event)
        breaker.failure_threshold = event["failure_threshold"]
        breaker.recovery_timeout = event["recovery_timeout"]

    def _on_process_start(self, event: Event) -> None:
        """A process that begins (again) has no breakers of its predecessor."""
        process = event.get("process") or event["actor"]
        for key in [key for key in self.breakers if key[0] == process]:
            del self.breakers[key]

    def _on_begin(self, event: Event) -> None:
        self.of(event).begins = True

    def _on_call(self, event: Event) -> None:
        if event["outcome"] == "rejected":
            return
        breaker = self.of(event)
        transient = event.get("transient")
        permanent = None if transient is None else not transient
        result = Result(
            event["n"], event["t"], event["outcome"], _state(event.get("state")), event.get("generation"), permanent
        )
        if permanent and not self.permanent_n:
            self.permanent_n = result.n
        breaker.at(result.t).append(result)
        change = breaker.change
        if change is not None and change.t == result.t and change.belongs(result):
            if result.outcome == "failure" and change.before == "closed":
                change.failures.append(result)
            return
        if breaker.state != "closed" or _older(result, breaker):
            return
        if result.outcome == "failure":
            breaker.failures.append(result)
        elif result.outcome == "success":
            breaker.failures = []

    def _on_transition(self, event: Event) -> None:
        breaker = self.of(event)
        before = _state(event.get("from")) or breaker.state
        breaker.change = Change(
            event["n"],
            event["t"],
            before,
            _state(event.get("to")),
            breaker.generation,
            bool(_BY_HAND.search(str(event.get("reason") or ""))),
            breaker.failures,
            breaker.at(event["t"]),
        )
        if breaker.change.generation is None and event.get("generation") is not None:
            breaker.change.generation = event["generation"] - 1
        breaker.failures = []
        breaker.state = breaker.change.after
        breaker.since_t = event["t"]
        breaker.since_n = event["n"]
        breaker.generation = event.get("generation")
        breaker.known = True


def _older(result: Result, breaker: Breaker) -> bool:
    """Whether *result* is one of a call that began in an earlier state of *breaker*."""
    if result.generation is None or breaker.generation is None:
        return result.state != breaker.state
    return result.generation < breaker.generation


class BreakerInvariant(BookInvariant[BreakerBook]):
    """A rule about breakers. :meth:`settled` is called for each change once its instant is over."""

    book_type = BreakerBook
    awakened_by = frozenset({"breaker.created", "breaker.begin", "breaker.call", "breaker.transition"})

    def __init__(self) -> None:
        super().__init__()
        self._open: list[tuple[Breaker, Change]] = []

    def on_breaker_transition(self, event: Event) -> None:
        self._settle(event["t"])
        breaker = self.book.of(event)
        assert breaker.change is not None, "the book has seen the change"
        self._open.append((breaker, breaker.change))

    def on_breaker_call(self, event: Event) -> None:
        if self._open:
            self._settle(event["t"])

    def on_breaker_begin(self, event: Event) -> None:
        if self._open:
            self._settle(event["t"])

    def _settle(self, now: float | None) -> None:
        while self._open and (now is None or self._open[0][1].t < now):
            breaker, change = self._open.pop(0)
            if not change.by_hand:
                self.settled(breaker, change)

    def settled(self, breaker: Breaker, change: Change) -> None:
        """A change that was not made by hand, with everything that happened at its instant."""

    def unobserved(self) -> str:
        """Why nothing can be judged where no breaker was seen; "" where one was."""
        if self.book.seen:
            return ""
        return (
            "no circuit breaker was observed: use one that harness.observe knows (ours, pybreaker), "
            "or leave this invariant out"
        )
