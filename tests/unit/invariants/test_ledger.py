"""The books: where messages are, and the counts drawn from them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.invariants.ledger import DEAD_LETTER, OTHER, SOURCE, Ledger
from harness.invariants.messages import MessageCounts
from tests.histories import HistoryBuilder


def books(h: HistoryBuilder) -> Ledger:
    ledger = Ledger(h.header)
    for event in h.events:
        ledger.step(event)
    return ledger


def test_roles_come_from_the_header() -> None:
    """Sources, dead-letter queues (named by a queue or by themselves) and all others."""
    h = HistoryBuilder(system={"dead_letter_queues": []})
    h.send("m1", key="1")
    h.send("x1", queue="audit", origin="process")
    ledger = books(h)
    assert ledger.roles == {"orders": SOURCE, "orders-dlq": DEAD_LETTER, "audit": OTHER}


def test_without_sources_the_workload_shows_them() -> None:
    """A header that names no source queues: those that the workload sends to."""
    h = HistoryBuilder(system={"sources": [], "queues": [], "dead_letter_queues": []})
    h.send("m1", key="1")
    assert books(h).roles == {"orders": SOURCE}


def test_a_fifo_duplicate_is_no_second_message() -> None:
    """A send that is answered with an earlier message's id adds nothing."""
    h = HistoryBuilder(fifo=True)
    h.send("m1", key="1", group="g")
    h.send("m1", key="1", group="g")
    assert books(h).entries["1"].live == 1


def test_a_handled_message_leaves_no_copy_behind() -> None:
    """Of a message that was handled and acknowledged only its key's entry is kept."""
    h = HistoryBuilder()
    for number in range(100):
        h.send(f"m{number}", key=str(number))
        h.handled(f"m{number}", str(number))
    ledger = books(h)
    assert not ledger.copies
    assert len(ledger.entries) == 100


def test_a_late_ghost_of_a_deleted_message_changes_nothing() -> None:
    """A standard queue may deliver a deleted message once more; it is not back in the queue."""
    h = HistoryBuilder()
    h.send("m1", key="1")
    h.handled("m1", "1")
    h.receive("m1")
    h.delete("m1")
    assert books(h).backlog == 0


def test_a_move_back_is_a_new_place() -> None:
    """From source to dead-letter queue and back: the backlog follows."""
    h = HistoryBuilder()
    h.send("m1", key="1")
    h.move("m1")
    assert (books(h).backlog, books(h).entries["1"].dead) == (0, 1)
    h.move("m1", queue=h.dlq, to=h.queue)
    assert (books(h).backlog, books(h).entries["1"].dead) == (1, 0)


def test_quarantine_by_id_by_key_and_released() -> None:
    """A quarantine may name the message's id, its key in the field, or its key in place of the id."""
    h = HistoryBuilder()
    for number in "123":
        h.send(f"m{number}", key=number)
    h.quarantine("m1")
    h.quarantine("?", key="2")
    h.quarantine("3")
    h.add("release", "m1")
    entries = books(h).entries
    assert [entries[key].quarantined for key in "123"] == [0, 1, 1]


def test_counts() -> None:
    """Each count of a run that has one of everything."""
    h = HistoryBuilder()
    for number in range(9):
        h.send(f"m{number}", key=str(number))
        h.receive(f"m{number}")
    h.effect("0")
    h.delete("m0")
    h.effect("1")
    h.effect("1")
    h.delete("m1")
    h.move("m2")
    h.quarantine("m3")
    h.delete("m3")
    h.expire("m4")
    h.delete("m5")
    h.add("visibility", "m6", queue=h.queue, handle="x", visible_at=10_000)
    h.send("delayed", key="later", delay=900)
    assert h.judged([]).messages() == MessageCounts(
        sent=10,
        processed=2,
        dead_lettered=1,
        quarantined=1,
        in_queue=3,
        in_flight=1,
        expired=1,
        lost=1,
        duplicated=1,
    )


def test_counts_without_an_effect() -> None:
    """What only effects can show is unknown without them, the rest is counted."""
    h = HistoryBuilder(effects=())
    h.send("m1", key="1")
    h.receive("m1")
    h.delete("m1")
    counts = h.judged([]).messages().to_json()
    assert (counts["processed"], counts["lost"], counts["duplicated"]) == (None, None, None)
    assert (counts["sent"], counts["in_queue"]) == (1, 0)
    assert list(counts) == [
        "sent",
        "processed",
        "dead_lettered",
        "quarantined",
        "in_queue",
        "in_flight",
        "expired",
        "lost",
        "duplicated",
    ]


@pytest.mark.parametrize("kind", ["purge", "queue.delete"])
def test_messages_that_go_together(kind: str) -> None:
    """A purge or the deletion of a queue takes every message that it names."""
    h = HistoryBuilder()
    for number in "12":
        h.send(f"m{number}", key=number)
    h.add(kind, queue=h.queue, messages=["m1", "unknown"])
    ledger = books(h)
    assert (ledger.entries["1"].live, ledger.entries["2"].live, ledger.backlog) == (0, 1, 1)


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "receive", "message": "?", "queue": "orders", "visible_at": 1.0},
        {"kind": "delete", "message": "?", "queue": "orders", "found": True},
        {"kind": "visibility", "message": "?", "queue": "orders", "visible_at": 1.0},
        {"kind": "move", "message": "?", "queue": "orders", "to": "orders-dlq"},
        {"kind": "expire", "message": "?", "queue": "orders"},
        {"kind": "effect.lost", "name": "charged", "key": "?"},
        {"kind": "quarantine", "message": "?"},
        {"kind": "release", "message": "?"},
    ],
)
def test_events_about_nothing_known_are_borne(event: dict[str, Any]) -> None:
    """A history may begin in the middle: events about unknown messages change nothing."""
    ledger = Ledger(HistoryBuilder().header)
    ledger.step({"n": 1, "t": 0.0, "actor": "worker", **event})
    assert (ledger.entries, ledger.copies, ledger.backlog) == ({}, {}, 0)
