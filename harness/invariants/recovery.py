"""Recovery: how long after the last fault the system was itself again, and whether it was at all.

Facts first (:class:`Recovery`, the recovery time of a result), then the
invariants that put bounds on them.

*The last fault's end* is the last moment at which a window closed, a fault
struck, a paused process ran on, or a killed one was started again.

*Recovered* is the moment from which nothing is left of the outage: every
message that was in a source queue at that end has left the source queues
(acknowledged, dead-lettered or expired), and, if one of them was
acknowledged without an effect so far, a first effect has been seen since.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from harness.errors import ScenarioError
from harness.history import Event, Header, History
from harness.invariants.base import Verdict
from harness.invariants.ledger import SOURCE, Ledger, LedgerInvariant

__all__ = [
    "BacklogDrains",
    "NotMetastable",
    "RecoversWithin",
    "Recovery",
    "ThroughputReturns",
    "recovery_of",
    "recovery_seconds",
]

_NO_FAULT = "no fault struck, so there was nothing to recover from: give the scenario a fault with an end"


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


class RecoversWithin(LedgerInvariant):
    """After the last fault's end the first success comes within *seconds*.

    A success is a declared effect, or, where none is declared, a source
    message acknowledged. Where all that was queued at that end could only be
    put aside (a dead letter, a quarantine), having done so is one. Judged
    where there was something to do: a message was queued at that end or was
    sent after it.
    """

    name = "recovers-within"

    def __init__(self, seconds: float = 60.0) -> None:
        super().__init__()
        self._seconds = seconds
        self._work_t: float | None = None
        self._work_n = 0
        self._success_t: float | None = None
        self._as_of = 0  # the last fault's end that the fields above are about

    def _renew(self, t: float) -> None:
        """Forget what came before the last fault's end; work that was left there begins to count then."""
        ledger = self.ledger
        if self._as_of != ledger.fault_n:
            self._as_of = ledger.fault_n
            self._work_t = ledger.fault_t if ledger.pending_at_end else None
            self._work_n = ledger.fault_n
            self._success_t = None

    def on_send(self, event: Event) -> None:
        self._renew(event["t"])
        if self._work_t is None and self.ledger.roles.get(event["queue"]) == SOURCE:
            self._work_t = event["t"]
            self._work_n = event["n"]

    def on_effect(self, event: Event) -> None:
        self._renew(event["t"])
        if self._success_t is None and event["name"] in self.ledger.effect_names:
            self._success_t = event["t"]

    def on_delete(self, event: Event) -> None:
        self._renew(event["t"])
        counts = not self.ledger.effect_names and event.get("found") is not False
        if counts and self._success_t is None and self.ledger.roles.get(event["queue"]) == SOURCE:
            self._success_t = event["t"]

    def conclude(self) -> Verdict:
        ledger = self.ledger
        if not ledger.faulted:
            return self.inconclusive(_NO_FAULT)
        self._renew(ledger.end_t)
        if self._work_t is None:
            return self.inconclusive("nothing was left to do after the last fault: let the workload go on for longer")
        begins = max(self._work_t, ledger.fault_t)
        success, shown = self._success_t, ledger.effect_after_n
        if success is None and ledger.pending_at_end and not ledger.effect_due:
            success, shown = ledger.drained_t, ledger.drained_n
        if success is not None:
            took = _span(begins, success)
            if took <= self._seconds:
                return self.holds(f"the first success came {took:.3f} s after the last fault")
            return self.violate(
                f"the first success came {took:.3f} s after the last fault; {self._seconds:g} s allowed",
                ledger.fault_n,
                shown,
            )
        if ledger.ended and _span(begins, ledger.end_t) >= self._seconds:
            return self.violate(
                f"no success came in the {ledger.end_t - begins:.1f} s after the last fault; "
                f"{self._seconds:g} s allowed",
                ledger.fault_n,
                self._work_n,
                ledger.end_n,
            )
        return self.inconclusive(f"the run ended before the {self._seconds:g} s after the last fault were over")


class BacklogDrains(LedgerInvariant):
    """What was queued at the last fault's end has left the source queues within *seconds* after it."""

    name = "backlog-drains"

    def __init__(self, seconds: float = 300.0) -> None:
        super().__init__()
        self._seconds = seconds

    def conclude(self) -> Verdict:
        ledger = self.ledger
        if not ledger.faulted:
            return self.inconclusive(_NO_FAULT)
        if not ledger.pending_at_end:
            return self.inconclusive("no message was queued when the last fault ended: make it last longer")
        backlog = ledger.pending_at_end
        if ledger.drained_t is not None:
            took = _span(ledger.fault_t, ledger.drained_t)
            if took <= self._seconds:
                return self.holds(f"a backlog of {backlog} drained in {took:.3f} s")
            return self.violate(
                f"a backlog of {backlog} took {took:.3f} s to drain; {self._seconds:g} s allowed",
                ledger.fault_n,
                ledger.drained_n,
            )
        if ledger.ended and _span(ledger.fault_t, ledger.end_t) >= self._seconds:
            return self.violate(
                f"{ledger.pending} of a backlog of {backlog} were still queued {ledger.end_t - ledger.fault_t:.1f} s "
                f"after the last fault; {self._seconds:g} s allowed",
                ledger.fault_n,
                ledger.end_n,
            )
        return self.inconclusive(f"the run ended before the {self._seconds:g} s after the last fault were over")


class _Rates(LedgerInvariant):
    """Successes before the first fault, and what they make of those that come later."""

    #: Below so many successes before the first fault a rate says nothing.
    SUCCESSES_MIN = 10

    def __init__(self) -> None:
        super().__init__()
        self._before = 0
        self._first_fault_t: float | None = None
        self._first_success_t: float | None = None

    def start(self, header: Header) -> None:
        super().start(header)
        self._by_effect = bool(self.ledger.effect_names)

    def on_fault_start(self, event: Event) -> None:
        if self._first_fault_t is None:
            self._first_fault_t = event["t"]

    def on_fault_strike(self, event: Event) -> None:
        self.on_fault_start(event)

    def on_effect(self, event: Event) -> None:
        if self._by_effect and event["name"] in self.ledger.effect_names:
            self._success(event["t"])

    def on_delete(self, event: Event) -> None:
        found = event.get("found") is not False
        if not self._by_effect and found and self.ledger.roles.get(event["queue"]) == SOURCE:
            self._success(event["t"])

    def _success(self, t: float) -> None:
        if self._first_fault_t is not None:
            self.succeeded(t)
            return
        self._before += 1
        if self._first_success_t is None:
            self._first_success_t = t

    def succeeded(self, t: float) -> None:
        """A success after the first fault began."""
        raise NotImplementedError

    def rate_before(self) -> float | None:
        """Successes a second before the first fault; ``None`` where there were too few to say."""
        if self._first_fault_t is None or self._first_success_t is None or self._before < self.SUCCESSES_MIN:
            return None
        seconds = self._first_fault_t - self._first_success_t
        return self._before / seconds if seconds > 0 else None

    def unjudgeable(self) -> str:
        """Why rates cannot be compared; "" if they can."""
        ledger = self.ledger
        if self._first_fault_t is None or not ledger.faulted:
            return _NO_FAULT
        if self.rate_before() is None:
            return (
                f"only {self._before} successes before the first fault, too few for a rate (at least "
                f"{self.SUCCESSES_MIN}): begin the fault later"
            )
        if not ledger.ended:
            return ledger.incomplete()
        return ""


def _us(seconds: float) -> int:
    """Whole microseconds: what a history's times are, and what compares exactly."""
    return round(seconds * 1_000_000)


def _enough(number: float, wanted: float) -> bool:
    """Whether *number* is *wanted* or more, where *wanted* is a product that may be off in its last place."""
    return number >= wanted * (1 - 1e-12)


class ThroughputReturns(_Rates):
    """Within *within* seconds of the last fault's end the rate of successes is back to what it was before the first.

    "Back" = at least *share* of it, over some *window* seconds (or *within*,
    if that is less) of that time, wherever they begin. The rate before is the
    mean from the first success to the first fault. A system that has nothing
    left to do has returned too: what was queued at the last fault's end has
    left the source queues within that time, and they are empty at the end of
    the run.
    """

    name = "throughput-returns"

    def __init__(self, share: float = 0.9, within: float = 120.0, window: float = 5.0) -> None:
        super().__init__()
        self._share = share
        self._within = within
        self._window = min(window, within)
        self._recent: deque[int] = deque()  # successes of the latest window, in microseconds
        self._best = 0  # of all windows since the last fault's end
        self._as_of = 0  # the last fault's end that the fields above are about

    def _renew(self) -> None:
        if self._as_of != self.ledger.fault_n:
            self._as_of = self.ledger.fault_n
            self._recent.clear()
            self._best = 0

    def succeeded(self, t: float) -> None:
        self._renew()
        now, start = _us(t), _us(self.ledger.fault_t)
        if not start <= now <= start + _us(self._within):
            return
        recent = self._recent
        recent.append(now)
        while now - recent[0] >= _us(self._window):
            recent.popleft()
        self._best = max(self._best, len(recent))

    def conclude(self) -> Verdict:
        reason = self.unjudgeable()
        if reason:
            return self.inconclusive(reason)
        self._renew()
        ledger = self.ledger
        before = self.rate_before() or 0.0
        best = self._best / self._window
        if _enough(best, self._share * before):
            return self.holds(f"{best:.1f} successes a second after the last fault, {before:.1f} before the first")
        took = None if ledger.drained_t is None else _span(ledger.fault_t, ledger.drained_t)
        if took is not None and took <= self._within and not ledger.backlog:
            return self.holds(f"nothing was left to do {took:.1f} s after the last fault")
        if _span(ledger.fault_t, ledger.end_t) < self._within:
            return self.inconclusive(f"the run ended before the {self._within:g} s after the last fault were over")
        return self.violate(
            f"at best {best:.1f} successes a second in the {self._within:g} s after the last fault; {before:.1f} "
            f"before the first, {self._share:.0%} of it promised",
            ledger.fault_n,
            ledger.end_n,
        )


class NotMetastable(_Rates):
    """Once the trigger is gone the system does not stay down.

    Metastable = at the end of the run at least ten messages wait in source
    queues, and in the last *window* seconds fewer succeeded than *share* of
    what there was to do (those that succeeded then, and those that wait), and
    than *share* of what the rate before the first fault would have done. The
    run must go on for that long after the last fault's end; where fewer
    messages wait there is nothing to compare, and it holds.
    """

    name = "not-metastable"

    def __init__(self, share: float = 0.5, window: float = 30.0) -> None:
        super().__init__()
        self._share = share
        self._window = window
        self._received_n = 0
        self._recent: deque[int] = deque()  # successes of the last window, in microseconds

    def on_receive(self, event: Event) -> None:
        self._received_n = event["n"]

    def succeeded(self, t: float) -> None:
        self._recent.append(_us(t))
        self._forget(t)

    def _forget(self, t: float) -> None:
        """Keep what came less than a window before *t*."""
        recent, start = self._recent, _us(t) - _us(self._window)
        while recent and recent[0] <= start:
            recent.popleft()

    def conclude(self) -> Verdict:
        ledger = self.ledger
        if self._first_fault_t is None or not ledger.faulted:
            return self.inconclusive(_NO_FAULT)
        if not ledger.ended:
            return self.inconclusive(ledger.incomplete())
        if ledger.backlog < self.SUCCESSES_MIN:
            return self.holds(f"{ledger.backlog} messages waited at the end, no more")
        reason = self.unjudgeable()
        if reason:
            return self.inconclusive(reason)
        if _us(ledger.end_t) - _us(ledger.fault_t) < _us(self._window):
            return self.inconclusive(f"the run ended less than {self._window:g} s after the last fault")
        before = self.rate_before() or 0.0
        self._forget(ledger.end_t)
        late = len(self._recent)
        rate = late / self._window
        if _enough(late, self._share * min(before * self._window, late + ledger.backlog)):
            return self.holds(f"{rate:.1f} successes a second at the end, {before:.1f} before the first fault")
        return self.violate(
            f"the last fault ended {ledger.end_t - ledger.fault_t:.0f} s before the run did, and still "
            f"{ledger.backlog} messages wait: {rate:.2f} successes a second at the end, {before:.1f} before the fault",
            ledger.fault_n,
            self._received_n,
            ledger.end_n,
        )


def bound(value: float | None, field: str, *, share: bool = False) -> None:
    """Refuse a bound that is none.

    Raises:
        ScenarioError: it is no number above 0, or, for a share, above 1.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is None or (number and 0 < value <= (1 if share else float("inf"))):
        return
    remedy = "Give a share above 0 and at most 1" if share else "Give a number above 0"
    raise ScenarioError(f"is {value!r}", field=field, remedy=remedy)
