"""What became of the messages of a run, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.invariants.ledger import OTHER, SOURCE, Ledger

__all__ = ["MessageCounts", "count"]


@dataclass(frozen=True, slots=True)
class MessageCounts:
    """The ``messages`` of a result. Each counts keys of source messages, but for ``in_queue`` and ``in_flight``.

    A key can stand in several (handled and still in the queue: it will come
    again). ``None``: could not be judged (no effect is declared, or the
    history does not say).

    Attributes:
        sent: keys that were accepted by a source queue.
        processed: keys whose effect was seen.
        dead_lettered: keys that are in a dead-letter queue at the end.
        quarantined: keys that are in quarantine at the end.
        in_queue: messages that wait in a queue other than a dead-letter queue.
        in_flight: messages that were delivered and are neither acknowledged nor visible again.
        expired: keys without an effect whose retention ran out.
        lost: keys of which every copy is gone and no effect was seen.
        duplicated: keys with more than one effect.
    """

    sent: int | None = None
    processed: int | None = None
    dead_lettered: int | None = None
    quarantined: int | None = None
    in_queue: int | None = None
    in_flight: int | None = None
    expired: int | None = None
    lost: int | None = None
    duplicated: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def count(ledger: Ledger) -> MessageCounts:
    """The counts of a run, from its books."""
    judged = bool(ledger.effect_names)
    sent = processed = dead = quarantined = expired = lost = 0
    for entry in ledger.entries.values():
        if not entry.source:
            continue
        sent += 1
        handled = entry.effects > 0
        processed += handled
        dead += entry.dead > 0
        quarantined += entry.quarantined > 0
        if not handled and not entry.live:
            if entry.quarantined or entry.filtered_n:
                continue
            if entry.expired_n:
                expired += 1
            else:
                lost += 1
    in_queue = in_flight = 0
    for copy in ledger.live_copies(SOURCE, OTHER):
        if copy.received_n and copy.visible_at > ledger.end_t:
            in_flight += 1
        else:
            in_queue += 1
    sources = ledger.entries
    twice = {one.key for one in ledger.duplicates}
    duplicated = [key for key in twice if sources[key].source and sources[key].effects > 1]
    return MessageCounts(
        sent=sent,
        processed=processed if judged else None,
        dead_lettered=dead,
        quarantined=quarantined,
        in_queue=in_queue,
        in_flight=in_flight,
        expired=expired,
        lost=lost if judged else None,
        duplicated=len(duplicated) if judged else None,
    )
