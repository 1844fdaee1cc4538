"""The circuit breaker against a reference model, with calls that overlap in every way."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from harness.resilience import CircuitBreaker, CircuitBreakerOpenException, CircuitState, PermanentError
from harness.resilience.breaker import BreakerEvent, CallBegan, CallEnded, Guard, StateChanged
from tests.budget import examples
from tests.unit.resilience.clocks import Clock


@dataclass
class Model:
    """The rules, written as plainly as possible: no locks, no listeners, no short way through."""

    threshold: int
    timeout: float
    permits: int
    successes_needed: int
    growth: float
    state: str = "closed"
    generation: int = 1
    failures: int = 0
    good_probes: int = 0
    probes: set[int] = field(default_factory=set)
    opened_at: float = 0.0
    lost: int = 0  # half-open states that failed in a row

    def open_for(self) -> float:
        return float(self.timeout * self.growth**self.lost)

    def admit(self, call: int, now: float) -> bool:
        if self.state == "open" and now - self.opened_at >= self.open_for():
            self.turn("half_open", now)
        if self.state == "open" or (self.state == "half_open" and len(self.probes) >= self.permits):
            return False
        if self.state == "half_open":
            self.probes.add(call)
        return True

    def turn(self, state: str, now: float) -> None:
        self.state = state
        self.generation += 1
        self.probes.clear()
        self.good_probes = 0
        if state == "open":
            self.opened_at = now
        if state == "closed":
            self.failures = self.lost = 0

    def ended(self, call: int, generation: int, outcome: str, now: float) -> None:
        if generation != self.generation:
            return
        if self.state == "half_open":
            self.probes.remove(call)
            if outcome == "failure":
                self.lost += 1
                self.turn("open", now)
            elif outcome == "success":
                self.good_probes += 1
                if self.good_probes == self.successes_needed:
                    self.turn("closed", now)
        elif outcome == "success":
            self.failures = 0
        elif outcome == "failure":
            self.failures += 1
            if self.failures == self.threshold:
                self.turn("open", now)


@dataclass
class Running:
    """A call that is under way, in the breaker and in the model."""

    guard: Guard
    number: int
    generation: int


ERRORS = {"success": None, "failure": ConnectionError(), "ignored": PermanentError(), "interrupt": KeyboardInterrupt()}


class BreakerMachine(RuleBasedStateMachine):
    """Calls begin and end in any order; time passes; the breaker does what the model does."""

    calls = Bundle("calls")

    @initialize(
        threshold=st.integers(1, 3),
        timeout=st.sampled_from([0, 10, 60]),
        permits=st.integers(1, 3),
        needed=st.integers(1, 3),
        growth=st.sampled_from([1, 2]),
        listening=st.booleans(),
    )
    def begin(self, threshold: int, timeout: int, permits: int, needed: int, growth: int, listening: bool) -> None:
        self.clock = Clock(0.0)
        self.model = Model(threshold, timeout, permits, needed, growth)
        self.numbers = 0
        self.events: list[BreakerEvent] = []
        self.listening = listening
        self.breaker = CircuitBreaker(
            threshold,
            timeout,
            permits=permits,
            success_threshold=needed,
            recovery_growth=growth,
            listeners=[self.events.append] if listening else [],
            clock=self.clock,
        )

    @rule(target=calls)
    def start(self) -> object:
        self.numbers += 1
        number = self.numbers
        admitted = self.model.admit(number, self.clock.now)
        guard = self.breaker.guard()
        if not admitted:
            with pytest.raises(CircuitBreakerOpenException) as caught:
                guard.__enter__()
            if self.model.state == "open":
                left = self.model.opened_at + self.model.open_for() - self.clock.now
                assert left > 0
                assert caught.value.retry_after == left
            return multiple()
        guard.__enter__()
        return Running(guard, number, self.model.generation)

    @rule(call=consumes(calls), outcome=st.sampled_from(list(ERRORS)))
    def end(self, call: Running, outcome: str) -> None:
        error = ERRORS[outcome]
        self.model.ended(call.number, call.generation, "ignored" if outcome == "interrupt" else outcome, self.clock.now)
        call.guard.__exit__(type(error) if error else None, error, None)

    @rule(outcome=st.sampled_from(list(ERRORS)))
    def whole_call(self, outcome: str) -> None:
        """The short way through, where nothing overlaps."""
        self.numbers += 1
        admitted = self.model.admit(self.numbers, self.clock.now)
        generation = self.model.generation
        error = ERRORS[outcome]

        def function() -> None:
            if error is not None:
                raise error

        expected: type[BaseException] | None = type(error) if error is not None else None
        if not admitted:
            expected = CircuitBreakerOpenException
        with pytest.raises(expected) if expected is not None else nullcontext():
            self.breaker.call(function)
        if not admitted:
            return
        self.model.ended(self.numbers, generation, "ignored" if outcome == "interrupt" else outcome, self.clock.now)

    @rule(seconds=st.sampled_from([1, 9, 10, 60, 240]))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(to=st.sampled_from(["open", "closed"]))
    def force(self, to: str) -> None:
        if to == "open":
            self.breaker.force_open()
        else:
            self.breaker.force_close()
        if self.model.state != to:
            self.model.turn(to, self.clock.now)
        elif to == "open":
            self.model.opened_at = self.clock.now
        else:
            self.model.failures = self.model.lost = 0

    @invariant()
    def the_same_as_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        metrics = self.breaker.metrics()
        assert self.breaker.state is CircuitState(self.model.state)
        assert (metrics.generation, metrics.probes) == (self.model.generation, len(self.model.probes))
        if self.model.state == "closed":
            assert self.breaker.failure_count == self.model.failures
        assert metrics.probes <= self.breaker.permits

    @invariant()
    def events_tell_the_same_story(self) -> None:
        """From the events alone one gets the state, the generation and the probes under way."""
        if not getattr(self, "listening", False):
            return
        state, generation = "closed", 1
        running: dict[int, int] = {}
        for event in self.events:
            if isinstance(event, StateChanged):
                assert event.before.value == state
                assert event.generation == generation + 1
                state, generation = event.after.value, event.generation
            elif isinstance(event, CallBegan):
                assert (event.state.value, event.generation) == (state, generation)
                assert state != "open"
                running[event.call] = event.generation
            elif isinstance(event, CallEnded) and event.outcome != "rejected":
                assert running.pop(event.call) == event.generation
        assert (state, generation) == (self.model.state, self.model.generation)
        if state == "half_open":
            assert sum(1 for began in running.values() if began == generation) == len(self.model.probes)


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=examples(200), stateful_step_count=40, deadline=None)
