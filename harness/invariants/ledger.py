"""The books of a run: where every message is, and what became of its key.

One ledger serves all delivery invariants, the counts of the result and the
recovery time. It is a fold: constant work for each event, and nothing is kept
of a message that was handled and acknowledged but one small entry for its key.

*Identity.* A message is judged by its key in the workload; without a key, by
that of the message it carries on (``original``), else by its own id. All
copies of a key (sent again, moved, dead-lettered) share one :class:`Entry`.

*Effects.* The effects that count are those the scenario declares (their names
stand in the header); others are remembered only to say what could be declared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from harness.history import Event, Header
from harness.invariants.base import Book, BookInvariant

__all__ = ["DEAD_LETTER", "OTHER", "SOURCE", "Copy", "Duplicate", "Entry", "Ledger", "LedgerInvariant"]

#: What a queue is for.
OTHER, SOURCE, DEAD_LETTER = 0, 1, 2


class Entry:
    """What became of one key. Fields that end in ``_n`` are event numbers, 0 for none."""

    __slots__ = (
        "began_n",
        "dead",
        "dead_n",
        "effect_by",
        "effect_n",
        "effects",
        "expired_n",
        "filtered_n",
        "gone_n",
        "how",
        "key",
        "live",
        "quarantine_n",
        "quarantined",
        "received_n",
        "sent_n",
        "source",
        "undone_n",
    )

    def __init__(self, key: str, sent_n: int) -> None:
        self.key = key
        self.source = False  # sent by the workload, or once in a queue that the workload sends to
        self.live = 0  # copies that are in some queue, dead-letter queues included
        self.dead = 0  # copies that are in a dead-letter queue
        self.effects = 0  # declared effects seen, less those that their store lost
        self.quarantined = 0
        self.how = ""  # how the last copy went: deleted, purged, "queue deleted", expired
        self.sent_n = sent_n
        self.began_n = 0  # the first receive of any copy
        self.received_n = 0  # the last receive of the copy that went last
        self.effect_n = 0  # the first effect
        self.effect_by = ""  # the actor that did it
        self.undone_n = 0  # the last effect.lost
        self.gone_n = 0  # the last copy that went
        self.expired_n = 0
        self.filtered_n = 0  # a filter that the user wrote does not let it through
        self.dead_n = 0  # the last entry into a dead-letter queue
        self.quarantine_n = 0

    @property
    def lost(self) -> bool:
        """All copies are gone and nothing shows for it: no effect, quarantine, filter, or end of retention."""
        return not (self.live or self.effects > 0 or self.quarantined or self.expired_n or self.filtered_n)


class Duplicate(NamedTuple):
    """A second or later effect of one name for one key: the first one, this one, and the actors of both.

    *began* is the first delivery of the key: an effect in the outside world
    may happen after the one who asked for it has died.
    """

    key: str
    name: str
    first: int
    second: int
    first_by: str
    second_by: str
    began: int = 0


class Copy:
    """One message: a copy of its key in one queue."""

    __slots__ = (
        "entry",
        "first_n",
        "gone",
        "message",
        "queue",
        "received_n",
        "receives",
        "role",
        "sent_n",
        "visible_at",
    )

    def __init__(self, message: str, entry: Entry, queue: str, role: int, sent_n: int) -> None:
        self.message = message
        self.entry = entry
        self.queue = queue
        self.role = role
        self.sent_n = sent_n
        self.first_n = 0  # the first receive
        self.received_n = 0  # the last one
        self.receives = 0
        self.visible_at = 0.0  # seconds; later than the end of the run = in flight (or delayed)
        self.gone = False


class Ledger(Book):
    """The fold over everything that says where a message is or what became of it."""

    def __init__(self, header: Header) -> None:
        system = header.get("system") or {}
        queues = system.get("queues") or ()
        self.roles: dict[str, int] = {}
        for name in system.get("sources") or ():
            self.roles[name] = SOURCE
        for queue in queues:
            if queue.get("dead_letter"):
                self.roles[queue["dead_letter"]] = DEAD_LETTER
        for name in system.get("dead_letter_queues") or ():
            self.roles[name] = DEAD_LETTER
        self.sources_known = bool(system.get("sources"))
        declared = system.get("effects") or ()
        #: The names of the effects that count, empty where none is declared.
        self.effect_names: frozenset[str] = frozenset(effect["name"] for effect in declared)
        self.idempotent = bool(system.get("idempotent"))

        self.entries: dict[str, Entry] = {}
        self.copies: dict[str, Copy] = {}
        self.backlog = 0  # live copies in source queues
        self.consumed: set[str] = set()  # queues that a process received from
        self.deliveries = 0  # receives outside dead-letter queues
        self.undeclared_effects: dict[str, int] = {}  # name -> first event
        self.duplicates: list[Duplicate] = []
        self._several = len(self.effect_names) > 1
        #: (effect, key) -> how many, the first one, who did it
        self._by_name: dict[tuple[str, str], tuple[int, int, str]] = {}

        self._sources: list[Entry] | None = None
        self.ended = False
        self.end_reason = ""
        self.end_t = 0.0
        self.end_n = 0
        self.inventory: dict[str, dict[str, int]] = {}

        # Recovery: everything since the last end of a fault.
        self.fault_n = 0
        self.fault_t = 0.0
        self.faulted = False
        self.pending = 0  # source messages sent before that end, still in their queues
        self.pending_at_end = 0  # as it was at that end
        self.drained_t: float | None = None
        self.drained_n = 0
        self.effect_due = False  # one of them was acknowledged before any effect: an effect is still to come
        self.effect_after_t: float | None = None
        self.effect_after_n = 0

        self._table: dict[str, Callable[[Event], None]] = {
            "send": self._on_send,
            "receive": self._on_receive,
            "delete": self._on_delete,
            "visibility": self._on_visibility,
            "move": self._on_move,
            "message.lost": self._on_message_lost,
            "expire": self._on_expire,
            "purge": self._on_purge,
            "queue.delete": self._on_queue_delete,
            "effect": self._on_effect,
            "effect.lost": self._on_effect_lost,
            "quarantine": self._on_quarantine,
            "release": self._on_release,
            "lambda.filtered": self._on_filtered,
            "fault.end": self._on_fault_end,
            "fault.strike": self._on_fault_end,
            "process.start": self._on_process_start,
            "process.resume": self._on_fault_end,
            "run.end": self._on_end,
        }

    def handlers(self) -> dict[str, Callable[[Event], None]]:
        """What to call for which kind of event."""
        return self._table

    # -- where messages are

    def _on_send(self, event: Event) -> None:
        message = event["message"]
        copies = self.copies
        if message in copies:
            return  # a FIFO duplicate: accepted under the first one's id, not delivered
        number = event["n"]
        queue = event["queue"]
        role = self.roles.get(queue)
        if role is None:
            role = SOURCE if not self.sources_known and event.get("origin") == "workload" else OTHER
            self.roles[queue] = role
        key = event.get("key")
        if key is None:
            original = copies.get(event.get("original") or "")
            key = original.entry.key if original is not None else message
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = Entry(key, number)
        entry.live += 1
        copy = copies[message] = Copy(message, entry, queue, role, number)
        delay = event.get("delay")
        if delay:
            copy.visible_at = event["t"] + delay
        if role == SOURCE:
            entry.source = True
            self.backlog += 1
        else:
            if event.get("origin") == "workload":
                entry.source = True
            if role == DEAD_LETTER:
                entry.dead += 1
                entry.dead_n = number

    def _on_receive(self, event: Event) -> None:
        copy = self.copies.get(event["message"])
        if copy is None:
            return
        number = copy.received_n = event["n"]
        if not copy.receives:
            copy.first_n = number
            if not copy.entry.began_n:
                copy.entry.began_n = number
        copy.receives += 1
        if "visible_at" in event:
            visible_at = event["visible_at"]
            copy.visible_at = math.inf if visible_at is None else visible_at
        if copy.role != DEAD_LETTER:
            self.deliveries += 1
            self.consumed.add(copy.queue)

    def _on_visibility(self, event: Event) -> None:
        copy = self.copies.get(event["message"])
        if copy is not None and event.get("visible_at") is not None:
            copy.visible_at = event["visible_at"]

    def _on_delete(self, event: Event) -> None:
        if event.get("found") is False:
            return
        copy = self.copies.get(event["message"])
        if copy is not None and not copy.gone:
            self._leave(copy, event, "deleted")

    def _on_expire(self, event: Event) -> None:
        copy = self.copies.get(event["message"])
        if copy is not None and not copy.gone:
            copy.entry.expired_n = event["n"]
            self._leave(copy, event, "expired")

    def _on_message_lost(self, event: Event) -> None:
        copy = self.copies.get(event["message"])
        if copy is not None and not copy.gone:
            copy.entry.undone_n = event["n"]
            self._leave(copy, event, "lost by its server")

    def _on_purge(self, event: Event) -> None:
        for message in event.get("messages") or ():
            copy = self.copies.get(message)
            if copy is not None and not copy.gone:
                self._leave(copy, event, "purged")

    def _on_queue_delete(self, event: Event) -> None:
        for message in event.get("messages") or ():
            copy = self.copies.get(message)
            if copy is not None and not copy.gone:
                self._leave(copy, event, "deleted with its queue")

    def _leave(self, copy: Copy, event: Event, how: str) -> None:
        """*copy* is in no queue any more."""
        copy.gone = True
        entry = copy.entry
        entry.live -= 1
        entry.how = how
        entry.gone_n = event["n"]
        entry.received_n = copy.received_n
        if copy.role == SOURCE:
            if entry.effects <= 0 and how == "deleted" and not (entry.dead or entry.quarantined):
                self.effect_due = True
            self._drain(copy, event)
        elif copy.role == DEAD_LETTER:
            entry.dead -= 1
        if entry.effects > 0 and not entry.live:
            # Handled and acknowledged: the entry alone says so. Ids of the
            # others stay, because a dead letter may still refer to them.
            del self.copies[copy.message]

    def _drain(self, copy: Copy, event: Event) -> None:
        """*copy* left a source queue."""
        self.backlog -= 1
        if self.pending and copy.sent_n < self.fault_n:
            self.pending -= 1
            if not self.pending:
                self.drained_t = event["t"]
                self.drained_n = event["n"]

    def _on_move(self, event: Event) -> None:
        copy = self.copies.get(event["message"])
        if copy is None or copy.gone:
            return
        entry = copy.entry
        if copy.role == SOURCE:
            self._drain(copy, event)
        elif copy.role == DEAD_LETTER:
            entry.dead -= 1
        copy.queue = event["to"]
        copy.role = self.roles.get(copy.queue, OTHER)
        copy.visible_at = 0.0
        if copy.role == SOURCE:
            entry.source = True
            self.backlog += 1
            copy.sent_n = event["n"]
        elif copy.role == DEAD_LETTER:
            entry.dead += 1
            entry.dead_n = event["n"]

    # -- what became of them

    def _on_effect(self, event: Event) -> None:
        name = event["name"]
        number = event["n"]
        if name not in self.effect_names:
            self.undeclared_effects.setdefault(name, number)
            return
        key = event["key"]
        if type(key) is not str:
            key = str(key)
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = Entry(key, 0)
        entry.effects += 1
        if entry.effects == 1:
            entry.effect_n = number
            entry.effect_by = event["actor"]
        if self.effect_after_t is None:
            self.effect_after_t = event["t"]
            self.effect_after_n = number
        first, by = entry.effect_n, entry.effect_by
        if self._several:
            count, first, by = self._by_name.get((name, key), (0, number, event["actor"]))
            self._by_name[(name, key)] = (count + 1, first, by)
        if first != number:
            self.duplicates.append(Duplicate(key, name, first, number, by, event["actor"], entry.began_n))

    def _on_effect_lost(self, event: Event) -> None:
        name, key = event["name"], str(event["key"])
        entry = self.entries.get(key)
        if entry is None or name not in self.effect_names or not entry.effects:
            return
        entry.effects -= 1
        entry.undone_n = event["n"]
        if self._several:
            count, first, by = self._by_name.get((name, key), (0, 0, ""))
            if count > 1:
                self._by_name[(name, key)] = (count - 1, first, by)
            else:
                self._by_name.pop((name, key), None)

    def _entry_of(self, event: Event) -> Entry | None:
        key = event.get("key")
        if key is not None:
            return self.entries.get(str(key))
        message = event.get("message") or ""
        copy = self.copies.get(message)
        # Who gives a message a name of its own may give the key.
        return copy.entry if copy is not None else self.entries.get(message)

    def _on_quarantine(self, event: Event) -> None:
        entry = self._entry_of(event)
        if entry is not None:
            entry.quarantined += 1
            entry.quarantine_n = event["n"]

    def _on_release(self, event: Event) -> None:
        entry = self._entry_of(event)
        if entry is not None:
            entry.quarantined = 0

    def _on_filtered(self, event: Event) -> None:
        """A filter drops messages: as it was meant to, unless it cannot read them."""
        if not event.get("by_format"):
            for message in event["messages"]:
                copy = self.copies.get(message)
                if copy is not None:
                    copy.entry.filtered_n = event["n"]

    # -- when the faults were over

    def _on_fault_end(self, event: Event) -> None:
        """A fault struck or its window closed; what counts is the last such moment."""
        self.faulted = True
        self.fault_n = event["n"]
        self.fault_t = max(self.fault_t, event["t"], event.get("until") or 0.0)
        self.pending = self.pending_at_end = self.backlog
        self.drained_t = None if self.pending else self.fault_t
        self.drained_n = 0
        self.effect_due = False
        self.effect_after_t = None
        self.effect_after_n = 0

    def _on_process_start(self, event: Event) -> None:
        if event.get("incarnation", 1) > 1:
            self._on_fault_end(event)

    # -- the end

    def _on_end(self, event: Event) -> None:
        self.ended = True
        self._sources = None
        self.end_reason = event.get("reason") or ""
        self.end_t = event["t"]
        self.end_n = event["n"]
        self.inventory = event.get("queues") or {}

    @property
    def complete(self) -> bool:
        """Whether the run came to its own end, so that what is missing now will not come any more."""
        return self.ended and self.end_reason == "quiet"

    def incomplete(self) -> str:
        """Why the run cannot be judged as a whole (only where not :attr:`complete`)."""
        if not self.ended:
            return "the history has no run.end: it is cut off; judge one that was written to its end"
        return f"the run ended early ({self.end_reason or 'no reason given'}), so what is missing may still have come"

    def sources(self) -> list[Entry]:
        """The entries of source messages, in the order in which their keys were first seen."""
        if self._sources is None or not self.ended:
            self._sources = [entry for entry in self.entries.values() if entry.source]
        return self._sources

    def live_copies(self, *roles: int) -> list[Copy]:
        """Messages that are in a queue of one of these roles (all roles when none is given)."""
        return [copy for copy in self.copies.values() if not copy.gone and (not roles or copy.role in roles)]

    def declare_an_effect(self) -> str:
        """The line to add where no effect is declared."""
        seen = next(iter(self.undeclared_effects), None)
        if seen is not None:
            return f'no effect is declared, but "{seen}" was seen: add effects=effects.point("{seen}") to the scenario'
        return (
            "no effect is declared, so nothing shows that a message was handled: declare an effect: "
            'effects=effects.point("charged"), and call harness.points.effect("charged", key) where it happens'
        )


class LedgerInvariant(BookInvariant[Ledger]):
    """An invariant that reads the ledger."""

    book_type = Ledger

    #: The book by its own name.
    ledger: Ledger

    def bind(self, book: Ledger) -> None:
        self.book = self.ledger = book
