"""Amplification: how much work an outage makes out of one message."""

from __future__ import annotations

from collections import deque

from harness.history import Event
from harness.invariants.base import Verdict
from harness.invariants.ledger import DEAD_LETTER, OTHER, LedgerInvariant

__all__ = ["AmplificationBounded"]

#: Asking an empty or failing queue for messages is a poll; no message pays for it.
_POLLS = frozenset({"aws.sqs.ReceiveMessage"})


class AmplificationBounded(LedgerInvariant):
    """Deliveries and failing calls together are at most *at_most* for each delivered message.

    1.0 = each message was delivered once and no call failed. Every
    redelivery (also one that comes after the delete) and every failing call
    adds to it, those of polling (ReceiveMessage) and of dead-letter queues
    excepted.
    """

    name = "amplification-bounded"

    def __init__(self, at_most: float = 4.0) -> None:
        super().__init__()
        self._at_most = at_most
        self._failed = 0
        self._deliveries = 0
        self._messages: set[str] = set()
        self._repeated: deque[int] = deque(maxlen=5)

    def on_receive(self, event: Event) -> None:
        copy = self.ledger.copies.get(event["message"])
        if copy is not None:
            role, key = copy.role, copy.entry.key
        else:
            # The ledger keeps nothing of a message that was handled and acknowledged, and SQS may deliver it again.
            role, key = self.ledger.roles.get(event["queue"], OTHER), str(event.get("key") or event["message"])
        if role == DEAD_LETTER:
            return
        self._deliveries += 1
        if key in self._messages:
            self._repeated.append(event["n"])
        else:
            self._messages.add(key)

    def on_call_failed(self, event: Event) -> None:
        if event["point"].partition("@")[0] not in _POLLS:
            self._failed += 1
            self._repeated.append(event["n"])

    def conclude(self) -> Verdict:
        if not self._messages:
            return self.inconclusive("no message was delivered: give the scenario a consumer and a workload")
        factor = (self._deliveries + self._failed) / len(self._messages)
        told = f"{self._deliveries} deliveries and {self._failed} failing calls for {len(self._messages)} messages"
        if factor > self._at_most:
            return self.violate(f"{told}: {factor:.2f} for each; at most {self._at_most:g} allowed", *self._repeated)
        return self.holds(f"{told}: {factor:.2f} for each")
