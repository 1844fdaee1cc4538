"""A dead letter that nobody ever tried: SQS counts receives, and a receive is no attempt."""

from __future__ import annotations

from harness.history import Event, Header
from harness.invariants.base import Verdict
from harness.invariants.delivery import plural
from harness.invariants.ledger import DEAD_LETTER, Copy, LedgerInvariant

__all__ = ["TriedBeforeDeadLettered"]


class TriedBeforeDeadLettered(LedgerInvariant):
    """SQS's redrive takes no source message to a dead-letter queue that no handler, and no Lambda function, was given.

    Each delivery counts towards max receives, also one that came to nothing:
    a batch that was throttled until its visibility timeout had passed, a
    message that waited in a consumer's buffer for too long. What a consumer
    puts aside itself it has looked at, and is not judged. Needs a declared
    handler or a Lambda function, in the scenario or anywhere in the run.
    """

    name = "tried-before-dead-lettered"
    #: SQS moves a message by its receive count alone.
    rests_on = ("moves-at-the-next-receive", "receive-count-goes-on")

    def __init__(self) -> None:
        super().__init__()
        self._tried: set[str] = set()  # keys
        self._declared = False
        self._moved = 0
        self._first_untried: tuple[str, tuple[int, ...]] | None = None

    def start(self, header: Header) -> None:
        super().start(header)
        self._declared = bool((header.get("system") or {}).get("handler"))

    def _seen(self) -> None:
        """Attempts can be seen in this history: what was moved before the first of them was not tried."""
        self._declared = True
        if self._first_untried is not None:
            detail, evidence = self._first_untried
            self.violate(detail, *evidence)

    def on_handler_start(self, event: Event) -> None:
        self._seen()
        if event.get("key") is not None:
            self._tried.add(str(event["key"]))

    def on_lambda_invoke(self, event: Event) -> None:
        self._seen()
        for message in event["messages"]:
            copy = self.ledger.copies.get(message)
            if copy is not None:
                self._tried.add(copy.entry.key)

    def on_lambda_throttled(self, event: Event) -> None:
        self._seen()

    def on_move(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is None or copy.role != DEAD_LETTER or not copy.entry.source:
            return
        self._moved += 1
        if copy.entry.key not in self._tried and self._first_untried is None:
            self._untried(copy, event)

    def _untried(self, copy: Copy, event: Event) -> None:
        detail = (
            f'message "{copy.entry.key}" went to {event["to"]} after '
            f"{plural(copy.receives, 'delivery', 'deliveries')}, and no handler ever began it"
        )
        self._first_untried = (detail, (copy.sent_n, copy.first_n, copy.received_n, event["n"]))
        if self._declared:
            self._seen()

    def conclude(self) -> Verdict:
        if not self._declared:
            return self.inconclusive(
                'whether a message was tried cannot be seen: declare the handler: handler="module:function"'
            )
        return self.holds(f"{plural(self._moved)} moved by SQS, each tried before")
