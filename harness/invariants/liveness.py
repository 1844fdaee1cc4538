"""Liveness: after the last fault and the last send, in a quiet period, everything comes to its end."""

from __future__ import annotations

from harness.invariants.base import Verdict
from harness.invariants.delivery import SHOWN, plural, some
from harness.invariants.ledger import DEAD_LETTER, SOURCE, Copy, LedgerInvariant

__all__ = ["NotStuck"]


class NotStuck(LedgerInvariant):
    """At the end of the quiet period no message waits or is in flight in a queue that somebody consumes.

    Consumed = the workload sends to it or a process received from it;
    dead-letter queues are where messages may rest.
    """

    name = "not-stuck"

    def conclude(self) -> Verdict:
        ledger = self.ledger
        if not ledger.sources():
            return self.inconclusive("no message was sent: give the workload messages")
        if not ledger.complete:
            return self.inconclusive(ledger.incomplete())
        stuck = [
            copy
            for copy in ledger.live_copies()
            if copy.role != DEAD_LETTER and (copy.role == SOURCE or copy.queue in ledger.consumed)
        ]
        if stuck:
            return self._stuck(stuck)
        return self.holds("every queue was empty at the end of the quiet period")

    def _stuck(self, stuck: list[Copy]) -> Verdict:
        ledger = self.ledger
        in_flight = sum(1 for copy in stuck if copy.received_n and copy.visible_at > ledger.end_t)
        queues = ", ".join(dict.fromkeys(copy.queue for copy in stuck))
        first = stuck[0]
        life = (
            f"delivered {plural(first.receives, 'time')}, last in event {first.received_n}"
            if first.received_n
            else "never delivered"
        )
        evidence: list[int] = []
        for copy in stuck[:SHOWN]:
            evidence += [copy.sent_n, copy.received_n]
        return self.violate(
            f"{plural(len(stuck))} stuck in {queues} at the end ({in_flight} in flight): "
            f'{some([copy.entry.key for copy in stuck])}. Message "{first.entry.key}" was {life}',
            *evidence,
            ledger.end_n,
        )
