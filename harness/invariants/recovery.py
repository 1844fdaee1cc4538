"""Recovery: how long after the last fault the system was itself again, and whether it was at all.

*The last fault's end* is the last moment at which a window closed, a fault
struck, a paused process ran on, or a killed one was started again.

*Recovered* is the moment from which nothing is left of the outage: every
message that was in a source queue at that end has left the source queues
(acknowledged, dead-lettered or expired), and, if one of them was
acknowledged without an effect so far, a first effect has been seen since.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.history import History
from harness.invariants.ledger import Ledger

__all__ = ["Recovery", "recovery_of", "recovery_seconds"]


@dataclass(frozen=True, slots=True)
class Recovery:
    """How a run came back. Times in seconds since the start of the run.

    Attributes:
        faulted: whether any fault struck or any window closed; without one there is nothing to recover from.
        fault_end: the last fault's end.
        pending: source messages that were in their queues then.
        drained: when the last of them had left the source queues; ``None``: not by the end of the run.
        first_effect: the first effect after the last fault's end; ``None``: none was seen.
        recovered: when both had happened; ``None``: not by the end of the run, or without a fault.
    """

    faulted: bool = False
    fault_end: float | None = None
    pending: int = 0
    drained: float | None = None
    first_effect: float | None = None
    recovered: float | None = None

    @property
    def seconds(self) -> float | None:
        """From the last fault's end until recovered; ``None`` without a fault, or if it did not recover."""
        return None if self.recovered is None or self.fault_end is None else _span(self.fault_end, self.recovered)

    @property
    def backlog_seconds(self) -> float | None:
        """From the last fault's end until what was queued then had left the source queues."""
        return None if self.drained is None or self.fault_end is None else _span(self.fault_end, self.drained)


def _span(start: float, end: float) -> float:
    """Whole microseconds, as the history has them."""
    return round(max(0.0, end - start), 6)


def recovery_of(ledger: Ledger) -> Recovery:
    """How the run came back, from its books."""
    if not ledger.faulted:
        return Recovery()
    drained, effect = ledger.drained_t, ledger.effect_after_t
    recovered = drained
    if drained is not None and ledger.effect_due and ledger.effect_names:
        recovered = None if effect is None else max(drained, effect)
    return Recovery(True, ledger.fault_t, ledger.pending_at_end, drained, effect, recovered)


def recovery_seconds(history: History) -> float | None:
    """The recovery time of a finished history, in seconds (see :class:`Recovery`)."""
    ledger = Ledger(history.header)
    for event in history:
        ledger.step(event)
    return recovery_of(ledger).seconds
