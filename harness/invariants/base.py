"""What an invariant is: a fold over a history that ends in a verdict with evidence.

Three things, kept apart:

* a :class:`Spec` is a value: which invariant, with which parameters. A
  scenario holds specs; they compare, hash and print, and can be used for any
  number of runs;
* an :class:`Invariant` is one judgement of one run, made by ``spec.checker()``:
  ``start(header)``, then ``step(event)`` for each event, then ``finish()``;
* a :class:`Verdict` is what it says: *holds*, *violated* or *inconclusive*,
  a sentence, and the numbers of the events that show it.

To write one, subclass :class:`Invariant`, name it, and write one ``on_<kind>``
method for each kind of event that it wants (``on_breaker_call`` receives
``breaker.call``), or override ``step`` to see everything; then ``conclude()``.
Nothing to judge is *inconclusive* with the remedy, never a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, cast

from harness.history import KINDS, Event, Header
from harness.invariants.rests_on import RULES

__all__ = ["Book", "BookInvariant", "Invariant", "Spec", "Status", "Verdict", "join", "make_spec"]

Status: TypeAlias = Literal["holds", "violated", "inconclusive"]

_METHODS: Mapping[str, str] = {"on_" + kind.replace(".", "_"): kind for kind in KINDS}

#: At most so many events are shown as evidence; the detail gives the count.
EVIDENCE_MAX = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one invariant over one run."""

    name: str
    status: Status
    detail: str
    evidence: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """One entry of a result's ``invariants``."""
        return {"name": self.name, "verdict": self.status, "detail": self.detail, "evidence": list(self.evidence)}


def join(verdicts: list[Verdict]) -> Status:
    """The verdict of all together: violated beats inconclusive beats holds; of none, inconclusive."""
    statuses = {verdict.status for verdict in verdicts}
    if "violated" in statuses:
        return "violated"
    if "inconclusive" in statuses or not statuses:
        return "inconclusive"
    return "holds"


class Invariant:
    """One judgement of one run. Subclasses are made by :meth:`Spec.checker`, once for each run."""

    #: The published name, with hyphens.
    name: ClassVar[str] = ""
    #: The rules of SQS that a verdict rests on, by their ids in ``docs/sqs-fidelity.md``; for invariants that are not
    #: in :data:`harness.invariants.rests_on.RULES`.
    rests_on: ClassVar[tuple[str, ...]] = ()
    #: The kinds of event wanted; ``None``: all. Filled in from the ``on_`` methods.
    kinds: ClassVar[frozenset[str] | None] = frozenset()
    #: Kinds of event before the first of which there is nothing to judge (empty: from the start). An optional
    #: invariant without parameters is made only then.
    awakened_by: ClassVar[frozenset[str]] = frozenset()
    _methods: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        methods = []
        for attribute in dir(cls):
            if not attribute.startswith("on_"):
                continue
            kind = _METHODS.get(attribute)
            if kind is None:
                raise TypeError(
                    f"{cls.__name__}.{attribute}: no kind of event has that name (see harness.history.KINDS)"
                )
            methods.append((kind, attribute))
        cls._methods = tuple(methods)
        if cls.step is Invariant.step:
            cls.kinds = frozenset(kind for kind, _ in methods)
        elif "kinds" not in cls.__dict__:
            cls.kinds = None

    def __init__(self) -> None:
        self.violation: Verdict | None = None
        #: Called once, at the first violation.
        self.alarm: Callable[[], None] | None = None

    def handlers(self) -> list[tuple[str | None, Callable[[Event], None]]]:
        """What to call for which kind of event (``None``: for every kind)."""
        if type(self).step is Invariant.step:
            return [(kind, getattr(self, method)) for kind, method in self._methods]
        kinds = self.kinds
        return [(None, self.step)] if kinds is None else [(kind, self.step) for kind in sorted(kinds)]

    def start(self, header: Header) -> None:
        """A run begins."""

    def step(self, event: Event) -> None:
        """One event of the run, in order."""
        self._feed(event)
        kind = event["kind"]
        for wanted, method in self._methods:
            if wanted == kind:
                getattr(self, method)(event)

    def _feed(self, event: Event) -> None:
        """What must see the event before the ``on_`` methods do."""

    def finish(self) -> Verdict:
        """The run is over: the verdict."""
        if self.violation is None:
            verdict = self.conclude()
            if verdict.status != "violated":
                return verdict
            self.violation = verdict
        return self.violation

    def conclude(self) -> Verdict:
        """The verdict where no step found a violation."""
        raise NotImplementedError(f"{type(self).__name__} must say what it concludes")

    def violate(self, detail: str, *evidence: int) -> Verdict:
        """The run breaks this invariant, as the events of these numbers show. The first violation counts."""
        verdict = Verdict(self.name, "violated", detail, _numbers(evidence))
        if self.violation is None:
            self.violation = verdict
            if self.alarm is not None:
                self.alarm()
        return verdict

    def holds(self, detail: str) -> Verdict:
        return Verdict(self.name, "holds", detail)

    def inconclusive(self, detail: str, *evidence: int) -> Verdict:
        return Verdict(self.name, "inconclusive", detail, _numbers(evidence))


class Book:
    """What several invariants of a family need to know of a run, kept once for all of them."""

    def __init__(self, header: Header) -> None:
        """Begin a run."""

    def handlers(self) -> Mapping[str, Callable[[Event], None]]:
        """What to call for which kind of event."""
        return {}

    def step(self, event: Event) -> None:
        """One event of the run, in order."""
        handler = self.handlers().get(event["kind"])
        if handler is not None:
            handler(event)


B = TypeVar("B", bound=Book)


class BookInvariant(Invariant, Generic[B]):
    """An invariant that reads a book instead of keeping everything itself.

    A judge binds one book to all invariants that want it; used alone, the
    invariant keeps one of its own. Either way the book has seen an event
    before the ``on_`` methods do.
    """

    book_type: ClassVar[type[Book]] = Book

    #: The book; there from :meth:`bind` or :meth:`start` on.
    book: B

    def __init__(self) -> None:
        super().__init__()
        self._own = False

    def bind(self, book: B) -> None:
        """Use this book, which somebody else keeps."""
        self.book = book

    def start(self, header: Header) -> None:
        if not hasattr(self, "book"):
            self.bind(cast("B", self.book_type(header)))
            self._own = True

    def _feed(self, event: Event) -> None:
        if self._own:
            self.book.step(event)


def _numbers(evidence: tuple[int, ...]) -> tuple[int, ...]:
    """Event numbers in order, each once, without the zeros that stand for "no such event"."""
    return tuple(sorted({number for number in evidence if number}))[:EVIDENCE_MAX]


@dataclass(frozen=True, slots=True)
class Spec:
    """Which invariant is to be judged, with which parameters: a value.

    ``optional``: the verdict is left out of the result where the run gave
    nothing to judge (no breaker was made, no FIFO queue is there). An
    invariant that a scenario names itself is inconclusive then.
    """

    factory: Callable[..., Invariant]
    parameters: tuple[tuple[str, Any], ...] = ()
    optional: bool = False

    @property
    def name(self) -> str:
        """The published name, with hyphens."""
        name: str = getattr(self.factory, "name", "") or getattr(self.factory, "__name__", "invariant")
        return name

    @property
    def rests_on(self) -> tuple[str, ...]:
        """The rules of SQS that its verdict rests on, by their ids in ``docs/sqs-fidelity.md``."""
        own: tuple[str, ...] = getattr(self.factory, "rests_on", ())
        return own or RULES.get(self.name, ())

    def checker(self) -> Invariant:
        """A fresh judgement for one run."""
        return self.factory(**dict(self.parameters))

    def with_parameters(self, **changes: Any) -> Spec:
        """The same invariant with other parameters."""
        return replace(self, parameters=tuple(sorted({**dict(self.parameters), **changes}.items())))

    def where_observed(self) -> Spec:
        """The same invariant, left out where a run gives nothing to judge."""
        return replace(self, optional=True)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a history's header."""
        return {"name": self.name, "parameters": dict(self.parameters), "optional": self.optional}

    def __str__(self) -> str:
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.parameters)})"


def make_spec(factory: Callable[..., Invariant], **parameters: Any) -> Spec:
    """A spec of *factory*; parameters that are ``None`` are left at the factory's own default."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return Spec(factory, tuple(sorted(given.items())))
