"""Schedules: what PCT chooses, and that the kernel's record of it is a tape that gives the same run."""

from __future__ import annotations

import dataclasses
from collections import Counter
from random import Random

import pytest

from harness import runner
from harness.explore.minimise import Candidate, carry_out
from harness.explore.schedules import PLAIN, RANDOM, Priorities, Profile, Schedule, Walk, draw
from harness.faults.plan import FaultPlan
from tests.unit.explore.searched import careful, made

_RACING = made(careful, 6, count=4)


def _run(schedule: Schedule):  # type: ignore[no-untyped-def]
    return carry_out(_RACING, Candidate(FaultPlan(), schedule=schedule))


@pytest.mark.parametrize("changes", [(), (1, 3)])
def test_pct_is_recorded_and_replays(changes: tuple[int, ...]) -> None:
    """The recorded choices, given as a tape, make the same history; the same seed makes it again."""
    schedule = Schedule("pct", seed=5, changes=changes)
    result = _run(schedule)
    assert len(result.schedule) > 3
    assert any(result.schedule)
    again = _run(Schedule("tape", tape=tuple(result.schedule)))
    assert again.history.to_bytes() == result.history.to_bytes() == _run(schedule).history.to_bytes()


def test_a_change_point_changes_what_runs() -> None:
    """The one that would run falls behind the others; before the point nothing differs."""
    without, with_one = (_run(Schedule("pct", seed=5, changes=changes)).schedule for changes in ((), (2,)))
    assert list(without[:2]) == list(with_one[:2])
    assert without[2] != with_one[2]


def test_plain_is_first_come_first_served() -> None:
    """An empty tape chooses the first each time."""
    assert not any(_run(PLAIN).schedule)
    assert any(_run(RANDOM).schedule)


def test_the_portfolio() -> None:
    """Each kind comes; change points lie where decisions are; the same generator draws the same."""
    drawn = [draw(Random(n), 20) for n in range(200)]
    assert {one.kind for one in drawn} == {"random", "pct", "tape"}
    assert all(0 <= change < 20 for one in drawn for change in one.changes)
    assert max(len(one.changes) for one in drawn) == 3
    assert drawn == [draw(Random(n), 20) for n in range(200)]
    assert dataclasses.replace(drawn[0]) == drawn[0]


def _counts() -> tuple[tuple[str, int], ...]:
    profile = Profile()
    runner.run(_RACING, faults=FaultPlan(), options=runner.Options(tape=profile))
    return profile.counts


def test_a_profile_counts_whose_turn_it_was() -> None:
    """By name, as many as there were choices among actors; the run is first come first served."""
    plain = _run(PLAIN)
    counts = _counts()
    assert {name for name, _ in counts} <= {f"worker.{n}" for n in range(1, 5)} | {"workload", "faults", "-"}
    assert 0 < sum(number for _, number in counts) <= len(plain.schedule)


def test_surw_is_recorded_and_replays() -> None:
    """The recorded choices, given as a tape, make the same history; the same seed makes it again."""
    schedule = Schedule("surw", seed=3, counts=_counts())
    result = _run(schedule)
    assert any(result.schedule)
    again = _run(Schedule("tape", tape=tuple(result.schedule)))
    assert again.history.to_bytes() == result.history.to_bytes() == _run(schedule).history.to_bytes()


@dataclasses.dataclass
class _Actor:
    name: str


def test_surw_makes_interleavings_equally_likely() -> None:
    """One actor of one step beside one of three: it comes in each of the four places about as often as in another.

    With equal chances at each choice it would come first in half of the runs.
    """
    places: Counter[int] = Counter()
    for seed in range(4_000):
        walk = Walk(Random(seed), {"short": 1, "long": 3})
        waiting = [_Actor("short"), _Actor("long")]
        left = {"short": 1, "long": 3}
        for place in range(4):
            chosen = waiting[walk.choice(place, waiting)] if len(waiting) > 1 else waiting[0]
            left[chosen.name] -= 1
            if chosen.name == "short":
                places[place] += 1
            waiting = [actor for actor in waiting if left[actor.name]]
    assert sum(places.values()) == 4_000
    assert all(800 < places[place] < 1_200 for place in range(4)), places


def test_surw_of_two_processes() -> None:
    """With three processes some runs walk two of them alone: the third is taken as it comes."""
    counts = {"a": 1, "b": 1, "c/Thread-1": 1}
    chosen = [Walk(Random(seed), counts)._of_interest for seed in range(40)]
    assert None in chosen
    assert {frozenset({"a", "b"}), frozenset({"a", "c"}), frozenset({"b", "c"})} <= set(chosen)
    waiting = [_Actor("a"), _Actor("b"), _Actor("c/Thread-1")]
    walk = next(walk for seed in range(40) if (walk := Walk(Random(seed), counts))._of_interest)
    assert {walk.choice(n, waiting) for n in range(60)} == {0, 1, 2}


def test_surw_needs_counts() -> None:
    """It is in the portfolio where a run has been counted, and only there."""
    drawn = {draw(Random(n), 20, (("a", 1), ("b", 2))).kind for n in range(200)}
    assert drawn == {"random", "pct", "surw", "tape"}


def test_it_is_made_as_it_is_read() -> None:
    """Nobody can look ahead: what runs is known when it is to be decided."""
    tape = Priorities(Random(0), frozenset())
    with pytest.raises(TypeError, match="slices"):
        tape[0:2]
    with pytest.raises(TypeError, match="beforehand"):
        iter(tape)
    assert tape[0] >= 0  # outside a run there are no actors to choose among
