"""Judges one run: hands each event to the invariants that want it, and collects their verdicts.

The books (:class:`~harness.invariants.ledger.Ledger`) are kept once for all
of them. Nothing that goes wrong in a checker can turn into a pass: it is
inconclusive then, with the error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from harness.history import KINDS, Event, Header
from harness.invariants.base import Book, BookInvariant, Invariant, Spec, Verdict
from harness.invariants.ledger import Ledger
from harness.invariants.messages import MessageCounts, count
from harness.invariants.recovery import Recovery, recovery_of
from harness.objectives import Objectives

__all__ = ["Judge", "judge"]

Handler = Callable[[Event], None]


class Judge:
    """The judgement of one run.

    ``step(event)`` for each event; ``violated`` turns true at the first
    violation, so that a search may stop there; ``finish()`` gives the
    verdicts, one for each spec but for the optional ones that had nothing to
    judge (``left_out`` says why).
    """

    def __init__(self, specs: Sequence[Spec], header: Header) -> None:
        self.violated = False
        self.ledger = Ledger(header)
        self._left_out: list[Verdict] = []
        self._header = header
        self._broken: dict[int, BaseException] = {}  # by the checker's place
        self._books_broken = False
        self._verdicts: list[Verdict] | None = None
        self._books: dict[type[Book], Book] = {Ledger: self.ledger}
        self._table: dict[str, list[Handler]] = {kind: [handler] for kind, handler in self.ledger.handlers().items()}
        self._specs, asleep = _layout(tuple(specs))
        self._checkers: list[Invariant | None] = [None] * len(self._specs)
        self._asleep = dict(asleep)  # place of a spec that has nothing to judge so far -> what it waits for
        for place, spec in enumerate(self._specs):
            if place not in asleep:
                self._begin(place, spec)
        for kind in frozenset[str]().union(*asleep.values()):
            self._table.setdefault(kind, []).append(self._awaken)

    def _awaken(self, event: Event) -> None:
        """The first event of a kind that somebody waited for: make the checkers and let them see it."""
        kind = event["kind"]
        for place, wakers in list(self._asleep.items()):
            if kind in wakers:
                del self._asleep[place]
                self._begin(place, self._specs[place])
        # Not removed: step() is going through this very list, and goes on with what was added to it.
        handlers = self._table[kind]
        handlers[handlers.index(self._awaken)] = _nothing

    def _begin(self, place: int, spec: Spec) -> None:
        """Make and start the checker of *spec*, and put it into the table."""
        try:
            checker = spec.checker()
            if isinstance(checker, BookInvariant):
                checker.bind(self._book(checker.book_type))
            checker.alarm = self._alarm
            checker.start(self._header)
            wanted = checker.handlers()
        except Exception as error:
            self._broken[place] = error
            return
        self._checkers[place] = checker
        table = self._table
        for kind, handler in wanted:
            if kind is None:
                for each in KINDS:
                    table.setdefault(each, []).append(handler)
            elif kind in table:
                table[kind].append(handler)
            else:
                table[kind] = [handler]

    def _book(self, kind: type[Book]) -> Book:
        """The one book of this kind, whose handlers come before those of its readers."""
        book = self._books.get(kind)
        if book is None:
            book = self._books[kind] = kind(self._header)
            for event_kind, handler in book.handlers().items():
                self._table.setdefault(event_kind, []).append(handler)
        return book

    def _alarm(self) -> None:
        self.violated = True

    def step(self, event: Event) -> None:
        """One event of the run, in order."""
        handlers = self._table.get(event["kind"])
        if handlers is not None:
            try:
                for handler in handlers:
                    handler(event)
            except Exception as error:
                self._continue_after(handler, error, event)

    def _continue_after(self, handler: Handler, error: Exception, event: Event) -> None:
        """*handler* failed on *event*: it is out; the handlers after it still see the event."""
        handlers = self._table[event["kind"]]
        rest = handlers[handlers.index(handler) + 1 :]
        self._dismiss(handler, error)
        for other in rest:
            if other in handlers:
                try:
                    other(event)
                except Exception as further:
                    self._dismiss(other, further)

    def _dismiss(self, handler: Handler, error: Exception) -> None:
        """Take the owner of *handler* out of the table and remember why."""
        owner = getattr(handler, "__self__", None)
        self._books_broken = self._books_broken or owner is self.ledger
        out = [owner]
        for place, checker in enumerate(self._checkers):
            reads_it = isinstance(checker, BookInvariant) and checker.book is owner
            if checker is not None and (checker is owner or reads_it):
                self._broken.setdefault(place, error)
                out.append(checker)
        for handlers in self._table.values():
            handlers[:] = [one for one in handlers if not any(getattr(one, "__self__", None) is each for each in out)]

    def finish(self) -> list[Verdict]:
        """The verdicts, in the order of the specs. May be called again: the same verdicts."""
        if self._verdicts is None:
            self._verdicts = []
            for place, spec in enumerate(self._specs):
                if place in self._asleep:
                    continue
                verdict = self._conclude(place, spec, self._checkers[place])
                if spec.optional and verdict.status == "inconclusive" and place not in self._broken:
                    self._left_out.append(verdict)
                else:
                    self._verdicts.append(verdict)
                    self.violated = self.violated or verdict.status == "violated"
        return list(self._verdicts)

    @property
    def left_out(self) -> list[Verdict]:
        """The optional invariants that had nothing to judge, each with the reason."""
        asleep = [self._specs[place].name for place in self._asleep]
        nothing = "nothing of the kind happened in this run"
        return [*self._left_out, *(Verdict(name, "inconclusive", nothing) for name in asleep)]

    def _conclude(self, place: int, spec: Spec, checker: Invariant | None) -> Verdict:
        """One verdict; what a checker found before it failed still counts."""
        if checker is not None and checker.violation is not None:
            return checker.violation
        if place not in self._broken and checker is not None:
            try:
                return checker.finish()
            except Exception as error:
                self._broken[place] = error
        error_found = self._broken[place]
        text = f"its checker failed: {type(error_found).__name__}: {error_found}"
        return Verdict(spec.name, "inconclusive", text)

    def messages(self) -> MessageCounts:
        """What became of the messages, in numbers; all ``None`` where the books could not be kept."""
        return MessageCounts() if self._books_broken else count(self.ledger)

    def recovery(self) -> Recovery:
        """How the run came back after its faults."""
        return recovery_of(self.ledger)

    def objectives(self) -> list[dict[str, Any]]:
        """The header's objectives: promised, happened, met."""
        promised = Objectives.from_mapping(self._header.get("objectives") or {})
        if not promised:
            return []
        recovery, messages = self.recovery(), self.messages()
        outcomes = promised.judge(
            recovery_seconds=recovery.seconds,
            backlog_seconds=recovery.backlog_seconds,
            lost=messages.lost,
            duplicated=messages.duplicated,
            faulted=recovery.faulted,
        )
        return [outcome.to_json() for outcome in outcomes]


def _nothing(event: Event) -> None:
    """Stands where a waker stood."""


@functools.lru_cache(maxsize=64)
def _layout(specs: tuple[Spec, ...]) -> tuple[tuple[Spec, ...], dict[int, frozenset[str]]]:
    """Each spec once, and which of them wait for what kinds of event before they are worth a checker.

    An optional spec gives way to one of the same name that the scenario names itself.
    """
    named = {spec.name for spec in specs if not spec.optional}
    kept = tuple(spec for spec in dict.fromkeys(specs) if not (spec.optional and spec.name in named))
    asleep: dict[int, frozenset[str]] = {}
    for place, spec in enumerate(kept):
        kinds: frozenset[str] = getattr(spec.factory, "awakened_by", frozenset())
        if spec.optional and kinds and not spec.parameters:
            asleep[place] = kinds
    return kept, asleep


def judge(specs: Sequence[Spec], header: Header, events: Iterable[Event]) -> tuple[list[Verdict], Judge]:
    """Judge a finished history at once."""
    one = Judge(specs, header)
    for event in events:
        one.step(event)
    return one.finish(), one
