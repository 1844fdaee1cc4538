"""One rule of SQS: what it says, who says so, and the case that tries it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.fidelity.sources import DATES

if TYPE_CHECKING:
    from harness.fidelity.bench import Bench

__all__ = ["Case", "Row", "Source", "case", "documented", "peer", "recorded", "registered", "rule"]

Case: TypeAlias = "Callable[[Bench], None]"


@dataclass(frozen=True, slots=True)
class Source:
    """Who says that AWS does so.

    ``recorded``: a test suite that was run on AWS and kept the answer;
    ``documented``: AWS's API reference or developer guide; ``peer``: another
    implementation does so, and no recording shows it.
    """

    kind: Literal["recorded", "documented", "peer"]
    where: str
    #: When it was recorded on AWS, and by whom; empty: not yet.
    date: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether AWS itself was seen to do so."""
        return bool(self.date)

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}"


def recorded(test: str, *, by: Literal["LocalStack", "moto"] = "LocalStack") -> Source:
    """Recorded on AWS by a test (without ``test_``) of another project, whose day is not always kept."""
    day = DATES.get(test, "day not kept") if by == "LocalStack" else "by Aug 2026"
    return Source("recorded", f"{by}, {test}", f"{day} ({by})")


def documented(page: str) -> Source:
    """Said by AWS's documentation, recorded by nobody."""
    return Source("documented", page)


def peer(name: str) -> Source:
    """Done by another implementation, recorded by nobody."""
    return Source("peer", name)


@dataclass(frozen=True, slots=True)
class Row:
    """One rule of the table. ``number`` and ``id`` never change once published, and are never used again."""

    number: int
    id: str
    rule: str
    source: Source
    #: The case; ``None``: it cannot be tried on a server, ``tested`` says by which test of the service it is proven.
    run: Case | None
    #: How long the case has to wait on a real clock, in seconds.
    seconds: float
    #: What it tries is HTTP itself, so that a server is needed.
    http: bool
    tested: str

    @property
    def family(self) -> str:
        """The heading under which the rule stands."""
        return _FAMILIES[self.number // 100]


_FAMILIES = {
    1: "Queues and attributes",
    2: "Sending",
    3: "Batches",
    4: "Receiving",
    5: "Visibility and receipt handles",
    6: "FIFO: sending and deduplication",
    7: "FIFO: order and delivery",
    8: "Dead letters and redrive",
    9: "The wire",
}

_rows: dict[int, Row] = {}


def registered() -> tuple[Row, ...]:
    """Every rule of the modules imported so far, by number."""
    return tuple(row for _, row in sorted(_rows.items()))


def _register(row: Row) -> None:
    known = [other for other in _rows.values() if row.number == other.number or row.id == other.id]
    if known:
        raise ValueError(f"rule {row.number} {row.id}: number or id are those of {known[0].number} {known[0].id}")
    _rows[row.number] = row


def case(
    number: int, id: str, text: str, source: Source, *, seconds: float = 0, http: bool = False
) -> Callable[[Case], Case]:
    """The decorated function tries this rule: it returns where the server does so, and raises ``Differs`` where not."""

    def register(function: Case) -> Case:
        _register(Row(number, id, text, source, function, seconds, http, ""))
        return function

    return register


def rule(number: int, id: str, text: str, source: Source, *, tested: str) -> None:
    """A rule that no case can try on a server; *tested*: the test of the service that proves it (path::name)."""
    _register(Row(number, id, text, source, None, 0, False, tested))
