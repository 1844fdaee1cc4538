"""The part of a shared breaker that asks its store, and lives without it while it cannot be reached."""

from __future__ import annotations

import math
import os
import uuid
from itertools import count
from typing import TYPE_CHECKING, cast

from harness.resilience._breaker_events import (
    WATCHERS,
    CallBegan,
    CallEnded,
    CircuitState,
    Mode,
    Outcome,
    StateChanged,
    StoreChanged,
)
from harness.resilience._breaker_ticket import Ticket
from harness.resilience._listeners import logger
from harness.resilience.breaker_store import BreakerStore, Known, Limits, Question, View
from harness.resilience.windows import CountWindow, TimeWindow

if TYPE_CHECKING:
    from harness.resilience._breaker_state import BreakerState

__all__ = ["SharedPart"]

_OPEN, _HALF_OPEN = CircuitState.OPEN, CircuitState.HALF_OPEN

#: Seconds for which an open breaker refuses calls without asking whether somebody closed it meanwhile.
_TRUST = 1.0


class SharedPart:
    """Between one breaker and its store.

    While the store answers, the breaker's own fields mirror its last answer.
    While it does not, the breaker's own machine goes on from there: it is
    *alone*, for an episode that has a number.
    """

    def __init__(
        self, breaker: BreakerState, store: BreakerStore, name: str, *, permit_seconds: float, pause: float
    ) -> None:
        window = breaker._window
        if window is not None and type(window) not in (CountWindow, TimeWindow):
            raise ValueError(f"a shared breaker's window is a CountWindow or a TimeWindow, not {window!r}")
        self.store = store
        self.permit_seconds = permit_seconds
        self._breaker = breaker
        self._name = name
        self._window = cast("CountWindow | TimeWindow | None", window)
        self._pause = pause
        self._me = uuid.uuid4().hex  # of this object, in the process
        self._process = os.getpid()
        self._numbers = count(1)
        self._alone_until: float | None = None  # when to ask again; None: the store answers
        self._episode = 0
        self._highest = 0  # generation of its own
        self._asked_at = -math.inf
        # The store's last answer.
        self._epoch = ""
        self._epoch_at = -math.inf  # when it was learned
        self._began = CircuitState.CLOSED
        self._state = CircuitState.CLOSED
        self._generation = 0
        self._mode: Mode = "normal"
        self._open_for = 0.0
        self._open_until = 0.0
        self._reopened = 0

    @property
    def alone(self) -> bool:
        return self._alone_until is not None

    @property
    def epoch(self) -> str:
        return self._epoch

    @property
    def began(self) -> CircuitState:
        """The state in which the present epoch began."""
        return self._began

    def current(self, ticket: Ticket) -> bool:
        """Whether a call that was let in without the store belongs to the time without it that lasts."""
        return self._alone_until is not None and ticket.episode == self._episode

    def stamp(self, ticket: Ticket) -> None:
        """Note that *ticket* is given without the store. Under the lock."""
        ticket.episode = self._episode

    # Calls

    def admit(self) -> Ticket | None:
        """Let a call in, or raise what refuses it; ``None``: the store cannot be asked, the breaker decides alone."""
        breaker = self._breaker
        while True:
            asked = breaker._now()
            with breaker._lock:
                if self._alone_until is not None:
                    if asked < self._alone_until:
                        return None
                    self._alone_until = asked + self._pause  # one call asks; nobody else waits for it meanwhile
                refused = self._still_open(asked)
                known = self._known(asked)
            if refused:
                self._reject(asked)
            call = self._call_name()
            early = known.state is _OPEN and known.left > 0
            view = self._ask(Question("admit", self._limits(), known, call=call, early=early))
            if view is None:
                return None
            now = breaker._now()
            # Who slept over the answer has lost the permit to somebody else, or would soon.
            lapsed = view.yes and view.state is _HALF_OPEN and now - asked >= self.permit_seconds / 2
            ticket = None
            with breaker._lock:
                self._asked_at = asked
                self._learn(view, asked, now)
                if view.yes and not lapsed:
                    ticket = Ticket(
                        view.state, view.generation, next(breaker._numbers), now, call=call, epoch=view.epoch
                    )
                    if breaker._listeners or WATCHERS:
                        began = CallBegan(breaker._self, ticket.number, view.state, view.generation, shared=view.epoch)
                        breaker._outbox.append(began)
            breaker._deliver()
            if ticket is not None:
                return ticket
            if not lapsed:
                self._reject(now, view)

    def finish(
        self, ticket: Ticket, outcome: Outcome, *, slow: bool, error: BaseException | None, ended: CallEnded
    ) -> None:
        """A call that the store let in has ended. It is told first: what it changes is told after it, by whomever."""
        breaker = self._breaker
        with breaker._lock:
            breaker._count_outcome(outcome, slow)
            if breaker._listeners or WATCHERS:
                breaker._outbox.append(ended)
            asked = breaker._now()
            unheard = self._alone_until is not None  # told so before: nobody takes it for counted
            idle = ticket.state is CircuitState.CLOSED and (outcome == "ignored" or self._mode == "disabled")
            known = self._known(asked)
        breaker._deliver()
        if unheard or idle or outcome == "rejected":
            return
        view = self._ask(
            Question(
                "report",
                self._limits(),
                known,
                call=ticket.call,
                epoch=ticket.epoch,
                generation=ticket.generation,
                outcome=outcome,
                slow=slow,
                error=type(error).__name__ if error is not None else "",
            )
        )
        if view is None:
            return
        with breaker._lock:
            breaker._counts["stale"] += not view.yes
            self._learn(view, asked, breaker._now())
        breaker._deliver()

    def force(self, state: CircuitState, mode: Mode, reason: str) -> bool:
        """Decide for all processes; ``False``: the store cannot be reached."""
        breaker = self._breaker
        with breaker._lock:
            asked = breaker._now()
            known = self._known(asked)
        view = self._ask(Question("force", self._limits(), known, state=state, mode=mode, reason=reason))
        if view is None:
            return False
        with breaker._lock:
            self._learn(view, asked, breaker._now())
        breaker._deliver()
        return True

    def _call_name(self) -> str:
        """A name that no other call has, in this process or another: a forked child is another."""
        if os.getpid() != self._process:
            self._me, self._process = uuid.uuid4().hex, os.getpid()
        return f"{self._me}:{next(self._numbers)}"

    def _limits(self) -> Limits:
        breaker = self._breaker
        return Limits(
            failure_threshold=breaker.failure_threshold,
            recovery_timeout=breaker.recovery_timeout,
            recovery_growth=breaker.recovery_growth,
            recovery_timeout_max=breaker.recovery_timeout_max,
            permits=breaker.permits,
            permit_seconds=self.permit_seconds,
            success_threshold=breaker.success_threshold,
            half_open_timeout=breaker.half_open_timeout,
            window=self._window,
        )

    def _known(self, now: float) -> Known:
        left = max(0.0, self._open_until - now) if self._state is _OPEN else 0.0
        return Known(self._epoch, self._state, self._generation, self._mode, self._open_for, left, self._reopened)

    def _still_open(self, now: float) -> bool:
        """Whether a call can be refused without asking: it is open by the clock here, and was so a moment ago."""
        if self._alone_until is not None or self._state is not _OPEN or now - self._asked_at >= _TRUST:
            return False
        return self._mode != "normal" or now < self._open_until

    def _reject(self, now: float, view: View | None = None) -> None:
        """Refuse a call, as *view* or the last answer says.

        Raises:
            CircuitBreakerOpenException: always.
        """
        breaker = self._breaker
        with breaker._lock:
            state = view.state if view is not None else self._state
            generation = view.generation if view is not None else self._generation
            epoch = view.epoch if view is not None else self._epoch
            breaker._counts["rejected"] += 1
            wait = breaker._wait(now) if state is _OPEN else None
            if breaker._listeners or WATCHERS:
                refusal = CallEnded(breaker._self, 0, "rejected", state, generation, None, None, 0.0, shared=epoch)
                breaker._outbox.append(refusal)
        breaker._deliver()
        raise breaker._refusal(state, wait)

    # The store, and life without it

    def _ask(self, question: Question) -> View | None:
        try:
            return self.store.ask(self._name, question)
        except Exception as error:  # whatever a client raises: a shared breaker must not fail more than its own
            self._lose(error)
            return None

    def _lose(self, error: Exception) -> None:
        breaker = self._breaker
        with breaker._lock:
            first = self._alone_until is None
            self._alone_until = breaker._now() + self._pause
            if first:
                self._episode += 1
                # Above those of every earlier time alone, so that its late results are none of this one.
                breaker._generation = self._highest = max(self._highest, breaker._generation) + 1
                breaker._probes = breaker._probe_successes = breaker._failures = 0
                if breaker._tally is not None:
                    breaker._tally.clear()
                self._tell(False, error)
        if first:
            logger.error("circuit breaker %r goes on without its store %s: %s", self._name, self.store.name, error)
        breaker._deliver()

    def _learn(self, view: View, asked: float, now: float) -> None:
        """Take over what the store said to a question of *asked*. Under the lock."""
        breaker = self._breaker
        newer = view.epoch != self._epoch
        if asked < self._epoch_at if newer else view.generation < self._generation:
            return  # an answer that others have overtaken
        if self._alone_until is not None:
            self._alone_until = None
            self._highest = max(self._highest, breaker._generation)
            logger.warning("circuit breaker %r has its store %s again", self._name, self.store.name)
            self._tell(True, None)
        if newer:
            self._epoch, self._began, self._generation, self._epoch_at = view.epoch, view.began, 1, now
        for change in view.changes:
            if change.generation > self._generation:
                breaker._counts["opened"] += change.after is _OPEN and change.before is not _OPEN
                if breaker._listeners or WATCHERS:
                    facts = (change.before, change.after, change.generation, change.reason)
                    breaker._outbox.append(StateChanged(breaker._self, *facts, shared=view.epoch, at=change.at))
        if newer or view.generation > self._generation:
            breaker._changed_at = now
        self._state = breaker._state = view.state
        self._generation = breaker._generation = view.generation
        self._mode = breaker._mode = view.mode
        self._reopened = breaker._failed_recoveries = view.reopened
        breaker._failures = view.failures
        breaker._probes = breaker._probe_successes = 0
        if view.left is not None:
            self._open_until = now + view.left
            self._open_for = view.open_for
            whole = breaker._open_seconds()
            breaker._changed_at = self._open_until - whole if math.isfinite(whole) else now

    def _tell(self, available: bool, error: Exception | None) -> None:
        breaker = self._breaker
        if breaker._listeners or WATCHERS:
            event = StoreChanged(breaker._self, self.store.name, available, breaker._state, error, self._epoch)
            breaker._outbox.append(event)
