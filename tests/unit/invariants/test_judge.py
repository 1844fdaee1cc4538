"""The judge: dispatch, early stop, crashes of checkers, what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from harness import invariants
from harness.history import Event, Header
from harness.invariants.base import Book, BookInvariant, Invariant, Spec, Verdict, join, make_spec
from harness.invariants.judge import Judge, judge
from harness.invariants.ledger import Ledger
from harness.invariants.messages import MessageCounts
from tests.histories import HistoryBuilder


class CountsSends(Invariant):
    """Holds if it saw what it asked for."""

    name = "counts-sends"

    def __init__(self, limit: int = 10) -> None:
        super().__init__()
        self.limit = limit
        self.seen: list[int] = []

    def on_send(self, event: Event) -> None:
        self.seen.append(event["n"])
        if len(self.seen) > self.limit:
            self.violate("too many", *self.seen)

    def conclude(self) -> Verdict:
        return self.holds(f"{len(self.seen)} seen") if self.seen else self.inconclusive("no send")


class SeesAll(Invariant):
    """Overrides step: sees every kind of event."""

    name = "sees-all"

    def __init__(self) -> None:
        super().__init__()
        self.kinds_seen: list[str] = []

    def step(self, event: Event) -> None:
        self.kinds_seen.append(event["kind"])

    def conclude(self) -> Verdict:
        return self.holds(" ".join(self.kinds_seen))


class Crashes(Invariant):
    """Fails where it is told to."""

    name = "crashes"

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        if where == "init":
            raise RuntimeError("boom")

    def start(self, header: Header) -> None:
        if self.where == "start":
            raise RuntimeError("boom")

    def on_send(self, event: Event) -> None:
        if self.where == "violate, then step":
            self.violate("found before it failed", event["n"])
        if "step" in self.where:
            raise RuntimeError("boom")

    def conclude(self) -> Verdict:
        if self.where == "conclude":
            raise RuntimeError("boom")
        return self.holds("unharmed")


def sends(number: int) -> HistoryBuilder:
    h = HistoryBuilder()
    for index in range(number):
        h.send(f"m{index}", key=str(index))
    return h


@pytest.mark.parametrize(
    ("statuses", "joined"),
    [
        (["holds", "inconclusive", "violated"], "violated"),
        (["holds", "inconclusive"], "inconclusive"),
        (["holds"], "holds"),
        ([], "inconclusive"),
    ],
)
def test_join(statuses: list[Any], joined: str) -> None:
    """Violated beats inconclusive beats holds, and nothing judged is no pass."""
    assert join([Verdict("x", status, "") for status in statuses]) == joined


def test_only_wanted_kinds_are_handed_on() -> None:
    """A checker sees the kinds of its on_ methods, one that overrides step sees all."""
    verdicts = sends(2).judged([make_spec(CountsSends), make_spec(SeesAll)]).finish()
    assert [verdict.detail for verdict in verdicts] == ["2 seen", "send send run.end"]
    assert CountsSends.kinds == {"send"}
    assert SeesAll.kinds is None


def test_early_stop_flag() -> None:
    """The flag rises with the event that violates, not before and not only at the end."""
    h = sends(3)
    one = Judge([make_spec(CountsSends, limit=2)], h.header)
    flags = []
    for event in h.events:
        one.step(event)
        flags.append(one.violated)
    assert flags == [False, False, True]
    assert one.finish()[0].evidence == (1, 2, 3)


def test_a_violation_found_at_the_end_raises_the_flag_too() -> None:
    """What shows only at the end is a violation like any other."""
    h = HistoryBuilder()
    h.send("m1", key="1")
    one = h.judged([invariants.not_stuck()])
    assert not one.violated
    one.finish()
    assert one.violated


def test_finish_twice() -> None:
    """Asking again gives the same verdicts."""
    one = sends(1).judged([make_spec(CountsSends)])
    assert one.finish() == one.finish()


@pytest.mark.parametrize("where", ["init", "start", "step", "conclude"])
def test_a_checker_that_fails_is_inconclusive(where: str) -> None:
    """Wherever a checker fails, its verdict is inconclusive with the error, and the others go on."""
    for optional in (False, True):
        spec = Spec(Crashes, (("where", where),), optional)
        verdicts = sends(2).judged([spec, make_spec(CountsSends)]).finish()
        assert verdicts[0] == Verdict("crashes", "inconclusive", "its checker failed: RuntimeError: boom")
        assert verdicts[1].detail == "2 seen"


def test_a_violation_before_the_failure_counts() -> None:
    """A checker that has found a violation may fail afterwards: the violation stands."""
    spec = Spec(Crashes, (("where", "violate, then step"),))
    verdict = sends(2).judge(spec)
    assert (verdict.status, verdict.evidence) == ("violated", (1,))


def test_books_that_fail_take_their_readers_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the books cannot be kept, what reads them is inconclusive and the counts are unknown."""

    def broken(self: Ledger, event: Event) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(Ledger, "_on_send", broken)
    one = sends(1).judged([invariants.no_message_loss(), make_spec(CountsSends)])
    verdicts = one.finish()
    assert [verdict.status for verdict in verdicts] == ["inconclusive", "holds"]
    assert one.messages() == MessageCounts()


class Pages(Book):
    """Counts the books made."""

    made = 0

    def __init__(self, header: Header) -> None:
        super().__init__(header)
        Pages.made += 1
        self.sends = 0

    def handlers(self) -> dict[str, Any]:
        return {"send": self._on_send}

    def _on_send(self, event: Event) -> None:
        self.sends += 1


class ReadsPages(BookInvariant[Pages]):
    """Sees the book as it is after the event."""

    name = "reads-pages"
    book_type = Pages

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label
        self.seen: list[int] = []

    def on_send(self, event: Event) -> None:
        self.seen.append(self.book.sends)

    def conclude(self) -> Verdict:
        return self.holds(str(self.seen))


def test_one_book_for_all_its_readers() -> None:
    """Readers share one book, which has seen an event before they do."""
    Pages.made = 0
    verdicts = sends(2).judged([make_spec(ReadsPages, label="a"), make_spec(ReadsPages, label="b")]).finish()
    assert [verdict.detail for verdict in verdicts] == ["[1, 2]", "[1, 2]"]
    assert Pages.made == 1


def test_a_reader_alone_keeps_its_own_book() -> None:
    """Without a judge a reader keeps a book of its own."""
    h = sends(2)
    one = ReadsPages("alone")
    one.start(h.header)
    for event in h.events:
        one.step(event)
    assert one.finish().detail == "[1, 2]"


def test_a_named_invariant_takes_the_place_of_the_optional_one() -> None:
    """Naming a default makes it count, with its parameters, and once."""
    specs = [*invariants.defaults(), invariants.attempts_bounded(2), invariants.no_message_loss()]
    names = [verdict.name for verdict in sends(1).judged(specs).finish()]
    assert names.count("attempts-bounded") == 1
    assert names.count("no-message-loss") == 1


def test_the_same_invariant_with_two_bounds_is_judged_twice() -> None:
    """Two named bounds are two specs."""
    verdicts = sends(3).judged([make_spec(CountsSends, limit=2), make_spec(CountsSends, limit=5)]).finish()
    assert [verdict.status for verdict in verdicts] == ["violated", "holds"]


def test_optional_checkers_wake_with_the_first_event_of_their_kind() -> None:
    """A default that waits for breakers misses nothing of the first one, whatever event begins it."""
    h = HistoryBuilder()
    h.add("breaker.transition", breaker="payments", **{"from": "open"}, to="closed", generation=2, reason="")
    one = h.judged(invariants.defaults())
    violated = [verdict.name for verdict in one.finish() if verdict.status == "violated"]
    assert violated == ["breaker-transitions"]
    assert "breaker-transitions" not in [verdict.name for verdict in one.left_out]
    assert "attempts-bounded" in [verdict.name for verdict in one.left_out]


def test_a_named_checker_beside_sleeping_ones_sees_each_event_once() -> None:
    """Waking the defaults of a family does not hand an event twice to those that were awake."""
    h = HistoryBuilder()
    h.breaker()
    h.call(1, "success")
    for specs in (
        [make_spec(SeesAll), invariants.breaker_opens().where_observed()],
        [invariants.breaker_opens().where_observed(), make_spec(SeesAll)],
    ):
        details = [verdict.detail for verdict in h.judged(specs).finish()]
        assert "breaker.created breaker.begin breaker.call run.end" in details


def test_judging_a_finished_history() -> None:
    """A whole history at once gives the same verdicts and the judge."""
    h = sends(1)
    h.end()
    verdicts, one = judge([make_spec(CountsSends)], h.header, h.events)
    assert verdicts == one.finish()
    assert one.messages().sent == 1


def test_an_unknown_handler_name_is_refused() -> None:
    """A misspelt on_ method would never be called: it is refused when the class is made."""
    with pytest.raises(TypeError, match="on_sned"):
        type("Misspelt", (Invariant,), {"on_sned": lambda self, event: None})


def test_evidence_is_ordered_bounded_and_without_zeros() -> None:
    """Evidence names each event once, in order, at most twelve of them."""
    one = CountsSends()
    verdict = one.violate("x", 5, 0, 3, 3, *range(20, 60))
    assert verdict.evidence == (3, 5, *range(20, 30))


def test_objectives_of_the_header() -> None:
    """Promised, happened and met come from the header and the books."""
    h = HistoryBuilder(objectives={"rto": 5.0, "rpo": 0, "duplicates": 0, "backlog": None})
    h.send("m1", key="1")
    h.window(1, 2)
    h.handled("m1", "1")
    outcomes = h.judged([]).objectives()
    assert [(one["objective"], one["met"]) for one in outcomes] == [("rto", True), ("rpo", True), ("duplicates", True)]
    assert sends(1).judged([]).objectives() == []
