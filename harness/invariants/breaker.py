"""Circuit breakers: what their states promise, judged from ``breaker.*`` events of any library.

Each rule is inconclusive where no breaker was seen, or where the history
lacks the limit or the event that the rule is about; it says which.

Where processes share a breaker's state in a store, each learns of it a little
later. What a process tells of a state that others know to be over was let in
before, and is no offence.
"""

from __future__ import annotations

import math

from harness.history import Event, Header
from harness.invariants.base import Verdict
from harness.invariants.breaker_book import Breaker, BreakerInvariant, Change
from harness.invariants.breaker_counts import LIVE_TOLERANCE_S, TOLERANCE_S, Result

__all__ = [
    "BreakerGenerations",
    "BreakerHalfOpenPermits",
    "BreakerIgnoresPermanent",
    "BreakerOpens",
    "BreakerStaysOpen",
    "BreakerTransitions",
]

#: Faults after which a store does not know what it has confirmed.
STORE_LOSSES = frozenset({"flushed", "failover"})

#: For so long an answer from before the loss can be under way, in seconds.
ANSWER_S = 5.0

_LEGAL = {("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed")}


class BreakerTransitions(BreakerInvariant):
    """Only legal changes: closed to open, open to half open, half open to open or closed, each from the state it is in.

    Changes that somebody made by hand (forced, isolated, disabled, set) are free.
    """

    name = "breaker-transitions"

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[tuple[str, str, int], str] = {}
        self._changes = 0

    def on_breaker_transition(self, event: Event) -> None:
        breaker = self.book.of(event)
        change = breaker.change
        assert change is not None, "the book has seen the change"
        key = (breaker.process, breaker.name, breaker.created_n)
        state = self._states.get(key, breaker.began if breaker.created_n else change.before)
        self._states[key] = change.after
        self._changes += 1
        if change.by_hand:
            return
        if change.before != state:
            self.violate(
                f"{breaker.title} went from {change.before} to {change.after}, but it was {state}",
                breaker.created_n,
                change.n,
            )
        elif (change.before, change.after) not in _LEGAL:
            self.violate(f"{breaker.title} went from {change.before} straight to {change.after}", change.n)

    def conclude(self) -> Verdict:
        if self.unobserved():
            return self.inconclusive(self.unobserved())
        if not self._changes:
            return self.inconclusive("no breaker changed its state: add a fault on what it guards")
        return self.holds(f"{self._changes} changes of state, all legal")


class BreakerOpens(BreakerInvariant):
    """A closed breaker opens at its threshold: not before so many failures in a row, and then before the next call.

    With a window: not before its rate of failures (or of slow calls) is
    reached, and then before the next call. Only calls that began in the
    present closed state count. *losses_excused*: what a shared breaker's store
    has lost need not count.
    """

    name = "breaker-opens"

    def __init__(self, losses_excused: bool = False) -> None:
        super().__init__()
        self._losses_excused = losses_excused
        self._lost_t = -math.inf  # when a store last lost data
        self._judged = 0
        self._unknown: dict[str, str] = {}  # title -> what is not known

    def _judgeable(self, breaker: Breaker) -> bool:
        """Whether it is known when *breaker* has to open."""
        if breaker.mode in (None, "consecutive"):
            if breaker.failure_threshold is None:
                self._unknown[breaker.title] = "the threshold"
            return breaker.failure_threshold is not None
        if breaker.window is None:
            self._unknown[breaker.title] = "the rate in a window that opens"
        elif breaker.shared is not None:
            self._unknown[breaker.title] = "the order of calls in the window"
        return breaker.window is not None and breaker.shared is None

    def settled(self, breaker: Breaker, change: Change) -> None:
        if change.before != "closed" or change.after != "open" or not self._judgeable(breaker):
            return
        self._judged += 1
        evidence = (*(failure.n for failure in change.failures), change.n)
        if breaker.window is not None:
            if not change.allowed:
                self.violate(f"{breaker.title} opened below the limits of its window", *evidence)
            return
        threshold = breaker.failure_threshold or 0
        if len(change.failures) < threshold:
            self.violate(
                f"{breaker.title} opened after {len(change.failures)} failures in a row; its threshold is {threshold}",
                *evidence,
            )

    def on_fault_strike(self, event: Event) -> None:
        if self._losses_excused and event.get("fault_kind") in STORE_LOSSES:
            self._lost_t = event["t"]

    def on_breaker_begin(self, event: Event) -> None:
        super().on_breaker_begin(event)
        self._still_closed(event, began=True)

    def on_breaker_call(self, event: Event) -> None:
        super().on_breaker_call(event)
        if event["outcome"] == "rejected":
            return
        breaker = self.book.of(event)
        if breaker.begins or len(breaker.failures) < 2:
            return
        self._still_closed(event, began=False)

    def _still_closed(self, event: Event, *, began: bool) -> None:
        """A call was let in (or, where only ends are known, one that came after ended) while the breaker is closed."""
        breaker = self.book.of(event)
        if breaker.state != "closed":
            return
        if breaker.mode not in (None, "consecutive"):
            due = breaker.window.due if breaker.window is not None and breaker.shared is None else None
            if due is not None and due.t < event["t"]:
                text = f"{breaker.title} had reached the limits of its window and let another call through"
                self.violate(text, due.n, event["n"])
            return
        threshold = breaker.failure_threshold
        failures = breaker.failures
        if breaker.shared is not None:
            sure = [] if breaker.shared.doubtful else breaker.shared.sure
            failures = [failure for failure in sure if failure.t > self._lost_t + ANSWER_S]
        if threshold is None or len(failures) < threshold + (not began):
            return
        if failures[threshold - 1].t >= event["t"]:
            return
        self.violate(
            f"{breaker.title} had {threshold} failures in a row, its threshold, and let another call through",
            *(failure.n for failure in failures[:threshold]),
            event["n"],
        )

    def conclude(self) -> Verdict:
        self._settle(None)
        if self.violation is not None:
            return self.violation
        if self.unobserved():
            return self.inconclusive(self.unobserved())
        if self._judged:
            return self.holds(f"{self._judged} openings, each at the threshold")
        if self._unknown:
            lacking = [f"{what} of {title} is not known" for title, what in sorted(self._unknown.items())]
            return self.inconclusive("; ".join(lacking))
        return self.inconclusive("no breaker came to its threshold: add a fault on what it guards, long enough to open")


class BreakerStaysOpen(BreakerInvariant):
    """An open breaker lets nothing through until its recovery timeout has passed."""

    name = "breaker-stays-open"

    def __init__(self) -> None:
        super().__init__()
        self._opened: dict[tuple[str, str], Change] = {}
        self._judged = 0
        self._unknown: set[str] = set()
        self._tolerance = TOLERANCE_S

    def start(self, header: Header) -> None:
        super().start(header)
        self._tolerance = LIVE_TOLERANCE_S if header.get("backend") == "live" else TOLERANCE_S

    def on_breaker_transition(self, event: Event) -> None:
        breaker = self.book.of(event)
        change = breaker.change
        assert change is not None, "the book has seen the change"
        key = (breaker.process, breaker.name)
        opened = self._opened.pop(key, None)
        if change.after == "open":
            self._opened[key] = change
        if opened is None or change.by_hand or change.before != "open":
            return
        timeout = breaker.recovery_timeout
        if timeout is None:
            self._unknown.add(breaker.title)
            return
        self._judged += 1
        lasted = change.t - opened.t
        if change.at is not None and opened.at is not None:
            lasted = change.at - opened.at  # whoever tells of a shared state may have learned of it late
        if lasted < timeout - self._tolerance:
            self.violate(
                f"{breaker.title} was open for {lasted:.3f} s; its recovery timeout is {timeout:g} s",
                opened.n,
                change.n,
            )

    def on_breaker_created(self, event: Event) -> None:
        breaker = self.book.of(event)
        self._opened.pop((breaker.process, breaker.name), None)

    def on_breaker_begin(self, event: Event) -> None:
        breaker = self.book.of(event)
        opened = self._opened.get((breaker.process, breaker.name))
        timeout = breaker.recovery_timeout
        if opened is None or timeout is None or breaker.state != "open" or breaker.since_t >= event["t"]:
            return
        if _let_in_before(breaker, event):
            return
        if event["t"] < opened.t + timeout - self._tolerance:
            self.violate(
                f"{breaker.title} let a call through {event['t'] - opened.t:.3f} s after it opened; "
                f"its recovery timeout is {timeout:g} s",
                opened.n,
                event["n"],
            )

    def on_breaker_call(self, event: Event) -> None:
        if event["outcome"] == "rejected":
            self._judged += 1 if self._opened else 0

    def conclude(self) -> Verdict:
        if self.unobserved():
            return self.inconclusive(self.unobserved())
        if self._judged:
            return self.holds("open breakers stayed open for their recovery timeout")
        if self._unknown:
            return self.inconclusive(f"the recovery timeout of {', '.join(sorted(self._unknown))} is not known")
        return self.inconclusive("no breaker opened and was called again: add a fault on what it guards")


class BreakerHalfOpenPermits(BreakerInvariant):
    """A half-open breaker has at most its permitted number of probes under way at once.

    A probe through a breaker that processes share counts for half of the time
    for which it keeps its permit: what becomes of it after that, or of its
    process, nobody need know. *losses_excused*: nor one that the breaker's
    store has lost.
    """

    name = "breaker-half-open-permits"

    def __init__(self, losses_excused: bool = False) -> None:
        super().__init__()
        self._losses_excused = losses_excused
        self._lost_t = -math.inf
        self._probes: dict[tuple[str, str], dict[object, tuple[int, float]]] = {}  # breaker -> call -> its begin
        self._judged = 0
        self._blind: set[str] = set()

    def on_breaker_begin(self, event: Event) -> None:
        breaker = self.book.of(event)
        if breaker.state != "half_open" or _let_in_before(breaker, event):
            return
        permits = breaker.half_open_permits
        if permits is None:
            self._blind.add(f"the number of permits of {breaker.title} is not known")
            return
        self._judged += 1
        if breaker.shared is not None and event["t"] <= self._lost_t + ANSWER_S:
            return
        probes = self._probes.setdefault((breaker.process, breaker.name), {})
        probes[_call(event)] = (event["n"], event["t"])
        if breaker.permit_seconds is not None:
            for call, (_, began) in list(probes.items()):
                if began + breaker.permit_seconds / 2 < event["t"]:
                    del probes[call]
        if len(probes) > permits:
            self.violate(
                f"{breaker.title} let {len(probes)} probes through at once; {permits} permitted",
                breaker.since_n,
                *(number for number, _ in probes.values()),
            )

    def on_breaker_call(self, event: Event) -> None:
        if event["outcome"] == "rejected":
            return
        breaker = self.book.of(event)
        if breaker.state == "half_open" and not breaker.begins:
            self._blind.add(f"the history does not tell when calls through {breaker.title} begin")
        probes = self._probes.get((breaker.process, breaker.name))
        if probes:
            probes.pop(_call(event), None)

    def on_breaker_created(self, event: Event) -> None:
        breaker = self.book.of(event)
        self._probes.pop((breaker.process, breaker.name), None)

    on_breaker_transition = on_breaker_created

    def on_fault_strike(self, event: Event) -> None:
        if self._losses_excused and event.get("fault_kind") in STORE_LOSSES:
            self._lost_t = event["t"]
            for place, breaker in self.book.breakers.items():
                if breaker.shared is not None:
                    self._probes.pop(place, None)

    def conclude(self) -> Verdict:
        if self.unobserved():
            return self.inconclusive(self.unobserved())
        if self._judged:
            return self.holds(f"{self._judged} probes, never more at once than permitted")
        if self._blind:
            return self.inconclusive("; ".join(sorted(self._blind)))
        return self.inconclusive("no breaker was half open: let the fault end before the run does")


def _let_in_before(breaker: Breaker, event: Event) -> bool:
    """Whether a call through a shared breaker was let in by a state that others know to be over."""
    if breaker.shared is None or breaker.generation is None:
        return False
    return (event.get("generation") or 0) < breaker.generation


def _call(event: Event) -> object:
    """What joins the begin and the end of a call: its number, else the actor that makes it."""
    number = event.get("call")
    return number if number else event["actor"]


class BreakerGenerations(BreakerInvariant):
    """The result of a call that began in an earlier state of its breaker changes nothing.

    Violated where a state changes at the very instant of such a late result
    and no result of the present state explains it. Judged where a call ended
    later than the change that ended its state: at the same instant it may be
    what caused it.
    """

    name = "breaker-generations"

    def __init__(self) -> None:
        super().__init__()
        self._late = 0
        self._blind = False
        #: Of each breaker: when it last changed, and the generation that was in force before that instant.
        self._before: dict[tuple[str, str], tuple[float, int | None]] = {}

    def on_breaker_transition(self, event: Event) -> None:
        super().on_breaker_transition(event)
        breaker = self.book.of(event)
        assert breaker.change is not None, "the book has seen the change"
        key = (breaker.process, breaker.name)
        if key not in self._before or self._before[key][0] != event["t"]:
            self._before[key] = (event["t"], breaker.change.generation)

    def on_breaker_call(self, event: Event) -> None:
        super().on_breaker_call(event)
        if event["outcome"] == "rejected":
            return
        generation = event.get("generation")
        if generation is None:
            self._blind = True
            return
        breaker = self.book.of(event)
        now = breaker.generation
        changed_t, before = self._before.get((breaker.process, breaker.name), (-math.inf, None))
        if changed_t == event["t"]:
            now = before  # a listener may tell of the change first: its very cause is not late
        if now is not None and generation < now:
            self._late += 1

    def settled(self, breaker: Breaker, change: Change) -> None:
        if change.before == "open" or change.generation is None:
            return  # time alone ends the open state
        present = change.generation
        late = [result for result in change.results if result.generation is not None and result.generation < present]
        own = [result for result in change.results if change.belongs(result)]
        if late and not own and not change.explained:
            first: Result = late[0]
            self.violate(
                f"{breaker.title} went from {change.before} to {change.after} on the {first.outcome} of a call that "
                f"had begun {present - (first.generation or 0)} states earlier",
                first.n,
                change.n,
            )

    def conclude(self) -> Verdict:
        self._settle(None)
        if self.violation is not None:
            return self.violation
        if self.unobserved():
            return self.inconclusive(self.unobserved())
        if self._late:
            return self.holds(f"{self._late} late results changed nothing")
        if self._blind:
            return self.inconclusive("the history does not tell in which state of the breaker a call began")
        return self.inconclusive("no call outlived a change of its breaker's state: let calls overlap (two workers)")


class BreakerIgnoresPermanent(BreakerInvariant):
    """Permanent errors (a bad message, a refused request) do not open a breaker."""

    name = "breaker-ignores-permanent"

    def settled(self, breaker: Breaker, change: Change) -> None:
        if change.after != "open":
            return
        if change.before == "closed":
            causes = change.failures
            needed = breaker.failure_threshold or 1
        else:
            causes = [one for one in change.results if change.belongs(one) and one.outcome == "failure"]
            needed = 1
        permanent = [cause.n for cause in causes if cause.permanent]
        if permanent and len(causes) - len(permanent) < needed:
            self.violate(
                f"{breaker.title} opened on permanent errors: {len(permanent)} of the {len(causes)} failures that "
                "led to it say that the request was bad, not that the service is down",
                *permanent,
                change.n,
            )

    def conclude(self) -> Verdict:
        self._settle(None)
        if self.violation is not None:
            return self.violation
        if self.unobserved():
            return self.inconclusive(self.unobserved())
        if not self.book.permanent_n:
            return self.inconclusive(
                'no call through a breaker ended in a permanent error: add Fault("handler", "permanent", nth=3)'
            )
        return self.holds("permanent errors opened no breaker")
