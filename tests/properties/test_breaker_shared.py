"""Breakers of three processes on one store are one breaker: the same model, whoever makes a call and ends it."""

from __future__ import annotations

import time
from unittest import mock

import fakeredis
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import consumes, initialize, invariant, multiple, rule

from harness.resilience import CircuitBreaker, CircuitBreakerOpenException, RedisBreakerStore
from harness.resilience import _breaker_shared as shared
from harness.resilience._breaker_script import keys_of
from tests.budget import examples
from tests.properties.test_breaker import ERRORS, BreakerMachine, Model, Running
from tests.unit.resilience.clocks import Clock


class SharedMachine(BreakerMachine):
    """Each rule acts through the breaker of some process; the store has what the model has."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(1_900_000_000.0)
        # The store's clock; and nobody refuses by what was true a moment ago, of which the model knows nothing.
        self.patches = [mock.patch.object(time, "time", self.clock), mock.patch.object(shared, "_TRUST", 0.0)]
        for patch in self.patches:
            patch.start()

    def teardown(self) -> None:
        for patch in self.patches:
            patch.stop()

    @initialize(
        threshold=st.integers(1, 3),
        timeout=st.sampled_from([0, 10, 60]),
        permits=st.integers(1, 3),
        needed=st.integers(1, 3),
        growth=st.sampled_from([1, 2]),
        listening=st.just(False),
    )
    def begin(self, threshold: int, timeout: int, permits: int, needed: int, growth: int, listening: bool) -> None:
        self.model = Model(threshold, timeout, permits, needed, growth)
        self.numbers = 0
        self.redis = fakeredis.FakeRedis()
        self.breakers = [
            CircuitBreaker(
                threshold,
                timeout,
                permits=permits,
                success_threshold=needed,
                recovery_growth=growth,
                name="payments",
                store=RedisBreakerStore(self.redis),
                permit_seconds=1e6,
                clock=self.clock,
            )
            for _ in range(3)
        ]
        self.breaker = self.breakers[0]

    @rule(target=BreakerMachine.calls)
    def start(self) -> object:
        self.numbers += 1
        admitted = self.model.admit(self.numbers, self.clock.now)
        guard = self.breaker.guard()
        if admitted:
            guard.__enter__()
            return Running(guard, self.numbers, self.model.generation)
        with pytest.raises(CircuitBreakerOpenException) as caught:
            guard.__enter__()
        if self.model.state == "open":
            left = self.model.opened_at + self.model.open_for() - self.clock.now
            assert caught.value.retry_after == pytest.approx(left, abs=1e-3)
        return multiple()

    @rule(call=consumes(BreakerMachine.calls), outcome=st.sampled_from(list(ERRORS)))
    def end(self, call: Running, outcome: str) -> None:
        super().end(call, outcome)

    @rule(number=st.integers(0, 2))
    def another_process(self, number: int) -> None:
        self.breaker = self.breakers[number]

    @invariant()
    def the_same_as_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        keys = keys_of("breaker:", "payments")
        state, generation = (value and value.decode() for value in self.redis.hmget(keys[0], "state", "generation"))
        assert (state or "closed", int(generation or 1)) == (self.model.state, self.model.generation)
        assert self.redis.zcard(keys[1]) == len(self.model.probes)
        if self.model.state == "closed":
            assert self.redis.zcard(keys[3]) == self.model.failures

    @invariant()
    def events_tell_the_same_story(self) -> None:
        """Nobody listens here."""


TestSharedMachine = SharedMachine.TestCase
TestSharedMachine.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
