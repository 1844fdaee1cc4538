"""The level of degradation under any health: it follows, it does not flap, and its measures are exactly its own."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from harness.resilience.degradation import (
    LEVELS,
    MEASURES,
    DegradationEvent,
    Hysteresis,
    LevelChanged,
    MeasureChanged,
    ServiceDegradationManager,
)
from tests.unit.resilience.sqs_fake import Clock

LIMITS = (10.0, 20.0, 30.0, 40.0)

#: Stretches of health: a value, and for how many looks it stays.
health = st.lists(st.tuples(st.sampled_from([0, 8.5, 11, 17, 21, 25, 31, 35, 41, 99]), st.integers(1, 30)), max_size=12)
rules = st.builds(
    Hysteresis,
    rise_seconds=st.sampled_from([0.0, 5.0, 10.0, 20.0]),
    fall_seconds=st.sampled_from([0.0, 10.0, 30.0, 60.0]),
    dwell_seconds=st.sampled_from([0.0, 15.0, 30.0]),
    recovery_share=st.sampled_from([0.5, 0.8, 1.0]),
    growth=st.sampled_from([1.0, 2.0]),
    fall_seconds_max=st.sampled_from([60.0, 300.0]),
)


class Watched:
    """A manager whose health is one number, looked at every five seconds."""

    def __init__(self, rule: Hysteresis) -> None:
        self.clock = Clock()
        self.value: float = 0.0
        self.changes: list[tuple[float, int, int]] = []
        self.active: list[str] = []
        self.manager = ServiceDegradationManager(
            gauges={"strain": lambda: self.value},
            thresholds={"strain": LIMITS, "error_rate": None, "queue_depth": None, "processing_latency": None},
            hysteresis=rule,
            clock=self.clock,
            listeners=[self.told],
        )

    def told(self, event: DegradationEvent) -> None:
        if isinstance(event, LevelChanged):
            self.changes.append((self.clock.now, LEVELS.index(event.before), LEVELS.index(event.after)))
        elif isinstance(event, MeasureChanged):
            if event.active:
                if event.measure not in self.active:
                    # Applied on top of those before it, never in the middle.
                    assert self.active == list(MEASURES[: MEASURES.index(event.measure)])
                    self.active.append(event.measure)
            else:
                assert self.active.pop() == event.measure, "lifted in reverse order"

    @property
    def rank(self) -> int:
        return LEVELS.index(self.manager.current_level)

    def look(self, value: float, times: int) -> None:
        self.value = value
        for _ in range(times):
            self.clock.advance(5)
            self.manager.tick()
            assert self.manager.active_measures == MEASURES[: self.rank] == tuple(self.active)


def asked(value: float) -> int:
    return sum(value > limit for limit in LIMITS)


@given(rules, health)
def test_changes_are_never_to_and_fro(rule: Hysteresis, stretches: list[tuple[float, int]]) -> None:
    """Down goes one level at a time; a change the other way comes after the dwell; measures are those of the level."""
    watched = Watched(rule)
    for value, times in stretches:
        watched.look(value, times)
    for _, before, after in watched.changes:
        assert after > before or after == before - 1
    for (earlier, first, second), (later, third, fourth) in itertools.pairwise(watched.changes):
        assert second == third
        if (second > first) != (fourth > third):
            assert later - earlier >= rule.dwell_seconds


@given(rules, health, st.sampled_from([0, 5, 15, 25, 35, 45]))
def test_it_comes_to_rest_where_the_health_is(rule: Hysteresis, before: list[tuple[float, int]], value: float) -> None:
    """Under a health that stays, the level comes to what it asks for, or to what the margin keeps, and stays."""
    watched = Watched(rule)
    for past, times in before:
        watched.look(past, times)
    needed = rule.dwell_seconds + rule.rise_seconds + 4 * (max(rule.fall_seconds, rule.fall_seconds_max) + 10)
    watched.look(value, int(needed / 5) + 2)
    settled = watched.rank
    assert asked(value) <= settled <= max(asked(value), asked(value / rule.recovery_share))
    watched.look(value, 100)
    assert watched.rank == settled


@given(rules, health)
def test_the_level_is_never_higher_than_any_health_asked(rule: Hysteresis, stretches: list[tuple[float, int]]) -> None:
    """No level without a health that asked for it for as long as the rule says."""
    watched = Watched(rule)
    highest = 0
    for value, times in stretches:
        watched.look(value, times)
        highest = max(highest, asked(value))
        assert watched.rank <= highest
