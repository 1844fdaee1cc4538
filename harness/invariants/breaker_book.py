"""What a history says of each circuit breaker: its limits, its state, the results since, and its changes.

A breaker belongs to a process; two processes may each have a ``payments``.
One whose state processes share in a store is a single one, and outlives them.

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
from harness.invariants.breaker_counts import Result, SharedCount, WindowCount

__all__ = ["Breaker", "BreakerBook", "BreakerInvariant", "Change", "Result"]

#: Reasons of changes that a person or a test made by hand; no rule judges those.
_BY_HAND = re.compile(r"forced|isolated|disabled|enabled|set to|manual|reset|by hand", re.IGNORECASE)


@dataclass(slots=True)
class Change:
    """A change of state.

    ``generation`` is the one that it ended; ``failures`` the failures in a
    row that led to it (within that generation), ``results`` everything that
    ended at the same instant. ``at``: when by the clock of the store, where
    processes share the state. ``allowed``: whether the window was reason to
    open. ``explained``: whether a shared state had results of its own.
    """

    n: int
    t: float
    before: str
    after: str
    generation: int | None
    by_hand: bool
    at: float | None = None
    allowed: bool = True
    explained: bool = False
    failures: list[Result] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def belongs(self, result: Result) -> bool:
        """Whether *result* is one of the generation that this change ended."""
        if result.generation is None or self.generation is None:
            return result.state == self.before
        return result.generation == self.generation


@dataclass(slots=True)
class Breaker:
    """One breaker of one process, or one that processes share. Limits are ``None`` where nothing says them."""

    name: str
    process: str
    created_n: int = 0
    failure_threshold: int | None = None
    recovery_timeout: float | None = None
    half_open_permits: int | None = None
    success_threshold: int | None = None
    mode: str | None = None
    permit_seconds: float | None = None
    store: str | None = None
    began: str = "closed"  # the state in which it was made
    state: str = "closed"
    disabled: bool = False  # by hand: nothing is judged
    since_t: float = 0.0
    since_n: int = 0
    generation: int | None = None
    known: bool = False  # whether its state was seen, and not only assumed
    begins: bool = False  # whether the history tells when calls begin
    failures: list[Result] = field(default_factory=list)  # in a row, while closed
    instant: list[Result] = field(default_factory=list)  # results of the latest instant
    instant_t: float = -1.0
    change: Change | None = None
    together: list[Change] = field(default_factory=list)  # that change, and others of its instant
    window: WindowCount | None = None
    shared: SharedCount | None = None
    resulted: bool = False  # whether the present state of a shared one has had results

    @property
    def title(self) -> str:
        if self.shared is not None:
            return f'breaker "{self.name}", shared in {self.store},'
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
            "breaker.store": self._on_store,
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
        breaker.began = breaker.state = _state(event.get("state")) or "closed"
        if WindowCount.known(event):
            breaker.window = WindowCount(event)
        if event.get("shared"):
            breaker.shared = SharedCount()
            breaker.store, breaker.permit_seconds = event.get("store"), event.get("permit_seconds")

    def _on_limits(self, event: Event) -> None:
        breaker = self.of(event)
        breaker.failure_threshold = event["failure_threshold"]
        breaker.recovery_timeout = event["recovery_timeout"]

    def _on_process_start(self, event: Event) -> None:
        """A process that begins (again) has no breakers of its predecessor."""
        process = event.get("process") or event["actor"]
        for breaker in self.breakers.values():
            if breaker.shared is not None:
                # What its predecessor told last may not have been counted.
                breaker.shared.lose(str(process), available=False)
                breaker.shared.lose(str(process), available=True)
        for key in [key for key, breaker in self.breakers.items() if key[0] == process and breaker.shared is None]:
            del self.breakers[key]

    def _on_store(self, event: Event) -> None:
        breaker = self.of(event)
        if breaker.shared is not None:
            breaker.shared.lose(event["actor"].partition("/")[0], available=bool(event["available"]))

    def _on_begin(self, event: Event) -> None:
        breaker = self.of(event)
        breaker.begins = True
        if breaker.shared is not None:
            breaker.shared.confirm(event["actor"], event["n"])

    def _on_call(self, event: Event) -> None:
        breaker = self.of(event)
        if breaker.shared is not None:
            breaker.shared.confirm(event["actor"], event["n"])
        if event["outcome"] == "rejected":
            return
        transient = event.get("transient")
        permanent = None if transient is None else not transient
        result = Result(
            event["n"],
            event["t"],
            event["outcome"],
            _state(event.get("state")),
            event.get("generation"),
            permanent,
            bool(event.get("slow")),
        )
        if permanent and not self.permanent_n:
            self.permanent_n = result.n
        breaker.at(result.t).append(result)
        for change in reversed(breaker.together):
            if change.t == result.t and change.belongs(result):
                if result.outcome == "failure" and change.before == "closed":
                    change.failures.append(result)
                return
        if _older(result, breaker):
            return
        breaker.resulted = True
        if breaker.state == "closed" and not breaker.disabled and result.outcome in ("failure", "success"):
            self._count(breaker, event["actor"], result)

    def _count(self, breaker: Breaker, actor: str, result: Result) -> None:
        """A result that a closed breaker counts."""
        if breaker.window is not None:
            breaker.window.add(result)
        if breaker.shared is not None:
            breaker.shared.tell(actor, result)
            breaker.failures = breaker.shared.possible
        elif result.outcome == "failure":
            breaker.failures.append(result)
        else:
            breaker.failures = []

    def _on_transition(self, event: Event) -> None:
        breaker = self.of(event)
        before = _state(event.get("from")) or breaker.state
        reason = str(event.get("reason") or "")
        if breaker.shared is not None:
            # Only now: what the same actor told before its change is the cause of it.
            breaker.failures = breaker.shared.possible
        breaker.change = Change(
            event["n"],
            event["t"],
            before,
            _state(event.get("to")),
            breaker.generation,
            bool(_BY_HAND.search(reason)),
            event.get("at"),
            breaker.window is None or breaker.window.allows(event["t"]),
            breaker.shared is not None and breaker.resulted,
            breaker.failures,
            breaker.at(event["t"]),
        )
        if breaker.together and breaker.together[0].t != event["t"]:
            breaker.together = []
        breaker.together.append(breaker.change)
        if breaker.change.generation is None and event.get("generation") is not None:
            breaker.change.generation = event["generation"] - 1
        breaker.failures = []
        breaker.resulted = False
        breaker.disabled = reason.startswith("disabled")
        if breaker.shared is not None:
            breaker.shared.clear()
        if breaker.window is not None:
            breaker.window.clear()
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
