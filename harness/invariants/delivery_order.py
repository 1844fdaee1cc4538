"""Delivery, continued: order within a message group, and messages of one batch that do not share their fate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.history import Event, Header
from harness.invariants.base import Verdict
from harness.invariants.delivery import plural
from harness.invariants.ledger import DEAD_LETTER, SOURCE, LedgerInvariant

__all__ = ["BatchIntegrity", "FifoOrder"]


@dataclass(slots=True)
class _Place:
    """A message in its group."""

    key: str
    sent_n: int


@dataclass(slots=True)
class _Group:
    waiting: dict[str, _Place] = field(default_factory=dict)  # not handled yet, in the order of sending
    late: dict[str, _Place] = field(default_factory=dict)  # acknowledged, and overtaken before an effect was seen
    last_key: str = ""
    last_n: int = 0
    last_sent_n: int = 0


class FifoOrder(LedgerInvariant):
    """Within a message group of a FIFO queue, messages take effect in the order in which they were sent.

    First effects count (without a declared effect, the first start of the
    handler). A message that was dead-lettered, quarantined or expired is
    overtaken rightly.
    """

    name = "fifo-order"

    def __init__(self) -> None:
        super().__init__()
        self._fifo: set[str] = set()
        self._groups: dict[tuple[str, str], _Group] = {}
        self._group_of: dict[str, _Group] = {}  # by key
        self._judged = 0

    def start(self, header: Header) -> None:
        super().start(header)
        queues = (header.get("system") or {}).get("queues") or ()
        self._fifo = {queue["name"] for queue in queues if queue.get("fifo")}

    def handlers(self) -> list[tuple[str | None, Callable[[Event], None]]]:
        return super().handlers() if self._fifo else []

    def on_send(self, event: Event) -> None:
        queue, group = event["queue"], event.get("group")
        if group is None or queue not in self._fifo or self.ledger.roles.get(queue) != SOURCE:
            return
        copy = self.ledger.copies.get(event["message"])
        if copy is None or copy.sent_n != event["n"] or copy.entry.key in self._group_of:
            return  # a duplicate, or one that was sent again after it had gone
        key = copy.entry.key
        place = self._groups.setdefault((queue, group), _Group())
        place.waiting[key] = _Place(key, event["n"])
        self._group_of[key] = place

    def on_effect(self, event: Event) -> None:
        if event["name"] in self.ledger.effect_names:
            self._handled(str(event["key"]), event["n"])

    def on_handler_start(self, event: Event) -> None:
        if not self.ledger.effect_names and event.get("key") is not None:
            self._handled(str(event["key"]), event["n"])

    def _handled(self, key: str, number: int) -> None:
        group = self._group_of.get(key)
        if group is None:
            return
        place = group.waiting.pop(key, None) or group.late.pop(key, None)
        if place is None:
            return
        self._judged += 1
        if place.sent_n < group.last_sent_n:
            self._overtaken(place, group.last_key, group.last_n, number)
        while group.waiting:
            earlier = next(iter(group.waiting.values()))
            if earlier.sent_n > place.sent_n:
                break
            entry = self.ledger.entries[earlier.key]
            if entry.live and not (entry.dead_n or entry.quarantine_n or entry.expired_n):
                self._overtaken(earlier, key, number, 0)
                break
            if not (entry.dead_n or entry.quarantine_n or entry.expired_n):
                group.late[earlier.key] = earlier  # acknowledged: its effect may still come, and is judged then
            del group.waiting[earlier.key]
        group.last_key, group.last_n = key, number
        group.last_sent_n = max(group.last_sent_n, place.sent_n)

    def _overtaken(self, place: _Place, by: str, by_n: int, number: int) -> None:
        self.violate(
            f'message "{by}" took effect before "{place.key}" of the same group, which was sent earlier',
            place.sent_n,
            self.ledger.entries[by].sent_n,
            by_n,
            number,
        )

    def conclude(self) -> Verdict:
        if not self._fifo:
            return self.inconclusive("no queue is a FIFO queue")
        if not self._group_of:
            return self.inconclusive("no message was sent to a FIFO queue that the workload sends to")
        if not self._judged:
            return self.inconclusive(self.ledger.declare_an_effect())
        return self.holds(f"{plural(self._judged)} in {plural(len(self._groups), 'group')}, each in its turn")


@dataclass(slots=True)
class _Delivery:
    """A message's latest delivery in a batch: what failed in the whole batch, and the failure of its own handler."""

    received_n: int
    batch: dict[str, int]  # keys of the batch whose handler failed -> the event that shows it
    failed_n: int = 0


class BatchIntegrity(LedgerInvariant):
    """A message ends by its own outcome, whatever became of the others of its batch.

    A batch = what one actor received at one instant from one queue. Violated
    where a message is acknowledged although its handler failed (and it is
    nowhere else: no effect, dead letter or quarantine), or where one is
    dead-lettered that no handler ever began, while another of its batch
    failed (whatever became of that one later). Needs a declared handler.
    """

    name = "batch-integrity"

    def __init__(self) -> None:
        super().__init__()
        self._deliveries: dict[str, _Delivery] = {}
        self._latest: Event | None = None
        self._batch: dict[str, int] | None = None  # what failed in the present batch; None: one message so far
        self._batches = 0
        self._handlers = False
        self._ever_begun: set[str] = set()
        self._suspects: list[tuple[str, int, int, int]] = []  # key, receive, failure, delete

    def on_receive(self, event: Event) -> None:
        latest, self._latest = self._latest, event
        if self._deliveries:
            self._deliveries.pop(str(event.get("key")), None)
        if latest is None or any(latest[name] != event[name] for name in ("t", "actor", "queue")):
            self._batch = None
            return
        if self.ledger.roles.get(event["queue"]) == DEAD_LETTER:
            return
        if self._batch is None:
            self._batches += 1
            self._batch = {}
            self._join(latest, self._batch)
        self._join(event, self._batch)

    def _join(self, event: Event, batch: dict[str, int]) -> None:
        """The message of *event* belongs to *batch*."""
        copy = self.ledger.copies.get(event["message"])
        if copy is not None:
            self._deliveries[copy.entry.key] = _Delivery(event["n"], batch)

    def on_handler_start(self, event: Event) -> None:
        self._handlers = True
        key = event.get("key")
        if key is not None:
            self._ever_begun.add(str(key))

    def on_handler_end(self, event: Event) -> None:
        key = str(event.get("key"))
        delivery = self._deliveries.get(key)
        if delivery is None:
            return
        delivery.failed_n = event["n"] if event.get("outcome") == "error" else 0
        # The batch remembers it when the message is delivered again, maybe alone.
        if delivery.failed_n:
            delivery.batch[key] = delivery.failed_n
        else:
            delivery.batch.pop(key, None)

    def on_delete(self, event: Event) -> None:
        key = event.get("key")
        if key is None or event.get("found") is False:
            return
        delivery = self._deliveries.get(str(key))
        if delivery is not None and delivery.failed_n:
            self._suspects.append((str(key), delivery.received_n, delivery.failed_n, event["n"]))

    def on_move(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is not None and copy.role == DEAD_LETTER:
            self._given_up(copy.entry.key, event["n"])

    def on_send(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is not None and copy.role == DEAD_LETTER and copy.sent_n == event["n"]:
            self._given_up(copy.entry.key, event["n"])

    def _given_up(self, key: str, number: int) -> None:
        """A message became a dead letter."""
        delivery = self._deliveries.get(key)
        if not self._handlers or delivery is None or key in self._ever_begun:
            return
        for other, failed_n in delivery.batch.items():
            if other != key:
                self.violate(
                    f'message "{key}" was dead-lettered though no handler ever began it: "{other}", which came in the '
                    "same batch, failed",
                    delivery.received_n,
                    failed_n,
                    number,
                )
                return

    def conclude(self) -> Verdict:
        if not self._batches:
            return self.inconclusive("no two messages were received by one call: let the consumer ask for up to ten")
        if not self._handlers:
            return self.inconclusive(
                'which message failed cannot be seen: declare the handler: handler="module:function"'
            )
        if not self.ledger.complete:
            return self.inconclusive(self.ledger.incomplete())
        for key, received, failed, deleted in self._suspects:
            entry = self.ledger.entries[key]
            if entry.lost or (not entry.live and entry.effects <= 0 and not (entry.dead_n or entry.quarantine_n)):
                return self.violate(
                    f'message "{key}" was acknowledged with the others of its batch although its handler had failed',
                    received,
                    failed,
                    deleted,
                )
        return self.holds(f"{plural(self._batches, 'batch', 'batches')}, each message by its own outcome")
