"""Delivery: what goes in must come out, once where that was promised, in order where that was promised.

*Source messages* are those of the workload and those sent into a queue that
the workload sends to; a message is known by its key. *Handled* means that a
declared effect was seen for the key; without a declared effect the
invariants that need one are inconclusive and say which line to add.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.errors import ScenarioError
from harness.history import Event
from harness.invariants.base import Verdict
from harness.invariants.excuse import KINDS as EXCUSING
from harness.invariants.excuse import STANDING, Excuses, Standstills, process_of
from harness.invariants.ledger import SOURCE, Duplicate, Entry, LedgerInvariant

__all__ = ["AtLeastOnce", "DuplicatesBounded", "EffectsOnce", "NoMessageLoss"]

#: So many messages are named in a detail and shown in the evidence.
SHOWN = 3


def some(keys: Sequence[str]) -> str:
    """A few keys for a sentence: ``"7"``, ``"7", "9" and 4 more``."""
    shown = ", ".join(f'"{key}"' for key in keys[:SHOWN])
    return shown if len(keys) <= SHOWN else f"{shown} and {len(keys) - SHOWN} more"


def plural(number: int, one: str = "message", many: str = "") -> str:
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def whole(value: int | None, field: str, *, least: int) -> None:
    """Refuse a bound that is no whole number of *least* or more (``None`` is none given).

    Raises:
        ScenarioError: it is not.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= least):
        return
    raise ScenarioError(f"is {value!r}", field=field, remedy=f"Give a whole number, {least} or more")


class ExcusingInvariant(LedgerInvariant):
    """A delivery invariant that the fault model may weaken with excuses.

    *excused*: labels of events that excuse. *standstills*: so does a pause in
    which the message was delivered to another worker.
    """

    def __init__(self, excused: Sequence[str] = (), standstills: bool = False) -> None:
        super().__init__()
        self.excuses = Excuses(excused)
        self.standstills = Standstills() if standstills else None
        #: Who has to see which kinds for the excuses' sake, before the invariant judges by them.
        self.listening: list[tuple[str, Callable[[Event], None]]] = []
        if self.excuses:
            self.listening += [(kind, self.excuses.note) for kind in EXCUSING]
        if self.standstills is not None:
            self.listening += [*((kind, self.standstills.note) for kind in STANDING), ("receive", self._delivered)]

    def handlers(self) -> list[tuple[str | None, Callable[[Event], None]]]:
        return [*self.listening, *super().handlers()]

    def _delivered(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is not None and self.standstills is not None:
            self.standstills.delivered(copy.entry.key, event["n"])

    def excused(self, one: Duplicate) -> bool:
        """Whether something between the two effects, at the process of one of them, makes the second unavoidable."""
        processes = (process_of(one.first_by), process_of(one.second_by))
        if self.standstills is not None and self.standstills.excuse(one.key, one.began, one.second, processes):
            return True
        if not self.excuses:
            return False
        # An effect that no process did (a dependency, at its own time) was asked for after the first delivery.
        asked = one.first if processes[0] is not None else min(one.first, one.began or one.first)
        return self.excuses.between(asked, one.second, one.key, processes)

    def _feed(self, event: Event) -> None:
        super()._feed(event)
        for kind, listen in self.listening:
            if kind == event["kind"]:
                listen(event)


def _no_key_fits(invariant: LedgerInvariant) -> str:
    """Why effects and messages cannot be matched, where not one effect fits a message; "" where one does."""
    strangers = [entry.key for entry in invariant.ledger.entries.values() if entry.effects and not entry.sent_n]
    handled = any(entry.effects for entry in invariant.ledger.entries.values() if entry.sent_n)
    if handled or not strangers:
        return ""
    sent = [entry.key for entry in invariant.ledger.sources()]
    return (
        f"effects were seen for {some(strangers)}, which is the key of no message (messages have {some(sent)}): "
        "make the workload's key= and the effect's key the same"
    )


class NoMessageLoss(LedgerInvariant):
    """No source message vanishes: each ends handled, dead-lettered, quarantined, expired, or still in a queue.

    Lost = every copy was deleted or purged (not expired) and the effect was
    not seen by the end of the run; an effect that comes after the delete is
    no loss. An effect that its store lost again (``effect.lost``) counts as
    not seen, unless *undone_excused* (the fault model sets it where the store
    is one that loses writes under the plan).
    """

    name = "no-message-loss"

    def __init__(self, undone_excused: bool = False) -> None:
        super().__init__()
        self._undone_excused = undone_excused

    def conclude(self) -> Verdict:
        ledger = self.ledger
        gone = [entry for entry in ledger.sources() if entry.lost]
        if self._undone_excused:
            gone = [entry for entry in gone if not entry.undone_n]
        sent = len(ledger.sources())
        if not sent:
            return self.inconclusive("no message was sent, so none could be lost: give the workload messages")
        if not ledger.effect_names:
            if not gone and ledger.complete:
                return self.holds(f"{plural(sent)}: none left the queues for nowhere")
            return self.inconclusive(ledger.declare_an_effect(), *(gone[0].gone_n for _ in gone[:1]))
        if not ledger.complete:
            return self.inconclusive(ledger.incomplete())
        if not gone:
            return self._balance(sent)
        return self._lost(gone)

    def _balance(self, sent: int) -> Verdict:
        """Nothing was lost by the events; the queues themselves must agree."""
        ledger = self.ledger
        held: dict[str, int] = {}
        for copy in ledger.live_copies():
            held[copy.queue] = held.get(copy.queue, 0) + 1
        for queue, figures in ledger.inventory.items():
            there = sum(figures.get(part, 0) for part in ("visible", "in_flight", "delayed"))
            if there < held.get(queue, 0):
                return self.inconclusive(
                    f"the books do not balance: by the events {plural(held[queue])} should be in {queue}, the queue "
                    f"holds {there}; the history lacks events",
                    ledger.end_n,
                )
        handled = sum(1 for entry in ledger.sources() if entry.effects > 0)
        return self.holds(f"{plural(sent)} sent, {handled} handled, none lost")

    def _lost(self, gone: list[Entry]) -> Verdict:
        ledger = self.ledger
        mismatch = _no_key_fits(self)
        if mismatch:
            return self.inconclusive(mismatch)
        anonymous = [copy for copy in ledger.live_copies() if copy.role != SOURCE and not copy.entry.source]
        if len(anonymous) >= len(gone):
            queue = anonymous[0].queue
            return self.inconclusive(
                f"{plural(len(gone))} ({some([entry.key for entry in gone])}) left the queues without an effect, and "
                f"{plural(len(anonymous))} in {queue} cannot be told apart: keep the original body or message id in "
                "what you send there",
                gone[0].gone_n,
                anonymous[0].sent_n,
            )
        names = " or ".join(f'"{name}"' for name in sorted(ledger.effect_names))
        evidence: list[int] = []
        for entry in gone[:SHOWN]:
            evidence += [entry.sent_n, entry.received_n, entry.gone_n, entry.undone_n]
        first = gone[0]
        how = f"{first.how} (event {first.gone_n})"
        if first.undone_n and first.effect_n:
            missing = f"its effect (event {first.effect_n}) was undone by its store (event {first.undone_n})"
        else:
            missing = f"the effect {names} was never seen for it"
        return self.violate(
            f'{plural(len(gone))} lost: {some([entry.key for entry in gone])}. Message "{first.key}" was {how} '
            f"and {missing}",
            *evidence,
        )


class AtLeastOnce(LedgerInvariant):
    """Every source message takes effect at least once by the end of the run, unless it was given up on record.

    On record = it is dead-lettered or quarantined, its retention ran out, or
    a filter of a Lambda function does not let it through.
    Stronger than no-message-loss: a message that is still queued, or was
    never delivered, counts too.
    """

    name = "at-least-once"

    def conclude(self) -> Verdict:
        ledger = self.ledger
        sources = ledger.sources()
        if not sources:
            return self.inconclusive("no message was sent: give the workload messages")
        if not ledger.effect_names:
            return self.inconclusive(ledger.declare_an_effect())
        if not ledger.complete:
            return self.inconclusive(ledger.incomplete())
        missing = [
            entry
            for entry in sources
            if entry.effects <= 0
            and not (entry.undone_n or entry.dead or entry.quarantined or entry.expired_n or entry.filtered_n)
        ]
        if not missing:
            return self.holds(f"each of {plural(len(sources))} took effect at least once or was given up on record")
        mismatch = _no_key_fits(self)
        if mismatch:
            return self.inconclusive(mismatch)
        received = {copy.entry.key: copy.received_n for copy in ledger.copies.values() if copy.received_n}
        evidence: list[int] = []
        for entry in missing[:SHOWN]:
            evidence += [entry.sent_n, received.get(entry.key, 0), entry.gone_n]
        first = missing[0]
        if not received.get(first.key) and not first.received_n:
            what = "was never delivered"
        elif first.live:
            what = "is still in the queue"
        else:
            what = f"was {first.how}"
        return self.violate(
            f"{plural(len(missing))} took no effect: {some([entry.key for entry in missing])}. "
            f'Message "{first.key}" {what}, without an effect',
            *evidence,
        )


class EffectsOnce(ExcusingInvariant):
    """No declared effect happens twice for one key.

    An effect that its store lost does not count. *excused*: labels of events
    that, between the two effects, make the second one unavoidable.
    *standstills*: so does a pause of one of the two workers in which the
    message was delivered to another.
    """

    name = "effects-once"

    def __init__(self, excused: Sequence[str] = (), standstills: bool = False) -> None:
        super().__init__(excused, standstills)
        self._seen = 0
        self._forgiven = 0

    def on_effect(self, event: Event) -> None:
        duplicates = self.ledger.duplicates
        while self._seen < len(duplicates):
            one = duplicates[self._seen]
            self._seen += 1
            if self.excused(one):
                self._forgiven += 1
            elif self.violation is None:
                self.violate(
                    f'the effect "{one.name}" happened twice for message "{one.key}": events {one.first} and '
                    f"{one.second}",
                    self.ledger.entries[one.key].sent_n,
                    one.first,
                    one.second,
                )

    def conclude(self) -> Verdict:
        if not self.ledger.effect_names:
            return self.inconclusive(self.ledger.declare_an_effect())
        handled = sum(1 for entry in self.ledger.entries.values() if entry.effects > 0)
        if not handled:
            return self.inconclusive("no effect was seen at all: check that the effect's name is the declared one")
        forgiven = f", {plural(self._forgiven, 'repetition')} excused by a fault" if self._forgiven else ""
        return self.holds(f"{plural(handled)} handled, no effect twice{forgiven}")


class DuplicatesBounded(ExcusingInvariant):
    """Effects beyond the first stay within a bound.

    Without *at_most*: no key has more effects than deliveries, so every
    repetition has a redelivery that explains it. With *at_most*: so many
    second and later effects in the whole run, over all keys.
    """

    name = "duplicates-bounded"

    def __init__(self, at_most: int | None = None, excused: Sequence[str] = (), standstills: bool = False) -> None:
        super().__init__(excused, standstills)
        self._at_most = at_most
        self._seen = 0
        self._counted: list[int] = []
        self._deliveries: dict[str, int] = {}
        self._begun: dict[str, int] = {}  # effects by key

    def on_receive(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        key = copy.entry.key if copy is not None else event.get("key")  # a standard queue may deliver what was deleted
        if key is not None:
            self._deliveries[str(key)] = self._deliveries.get(str(key), 0) + 1

    def on_effect(self, event: Event) -> None:
        duplicates = self.ledger.duplicates
        while self._seen < len(duplicates):
            one = duplicates[self._seen]
            self._seen += 1
            if self.excused(one):
                continue
            key = one.key
            self._begun[key] = self._begun.get(key, 1) + 1
            if self._at_most is None:
                self._judge_key(key, one.first, one.second)
                continue
            self._counted += [one.first, one.second]
            if len(self._counted) // 2 == self._at_most + 1:
                self.violate(
                    f"{plural(self._at_most + 1, 'effect')} beyond the first of their messages, "
                    f'{self._at_most} allowed; the last for "{key}"',
                    *self._counted[-8:],
                )

    def _judge_key(self, key: str, first: int, second: int) -> None:
        deliveries = self._deliveries.get(key, 0)
        if self._begun[key] > deliveries:
            self.violate(
                f'message "{key}" was delivered {plural(deliveries, "time")} and took effect '
                f"{self._begun[key]} times: one delivery did it twice",
                self.ledger.entries[key].sent_n,
                first,
                second,
            )

    def conclude(self) -> Verdict:
        if not self.ledger.effect_names:
            return self.inconclusive(self.ledger.declare_an_effect())
        if not any(entry.effects > 0 for entry in self.ledger.entries.values()):
            return self.inconclusive("no effect was seen at all: check that the effect's name is the declared one")
        number = len(self.ledger.duplicates)
        bound = "each with a delivery of its own" if self._at_most is None else f"{self._at_most} allowed"
        return self.holds(f"{plural(number, 'effect')} beyond the first, {bound}")
