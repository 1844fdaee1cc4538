"""Schedules: what PCT chooses, and that the kernel's record of it is a tape that gives the same run."""

from __future__ import annotations

import dataclasses
from random import Random

import pytest

from harness.explore.minimise import Candidate, carry_out
from harness.explore.schedules import PLAIN, RANDOM, Priorities, Schedule, draw
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


def test_it_is_made_as_it_is_read() -> None:
    """Nobody can look ahead: what runs is known when it is to be decided."""
    tape = Priorities(Random(0), frozenset())
    with pytest.raises(TypeError, match="slices"):
        tape[0:2]
    with pytest.raises(TypeError, match="beforehand"):
        iter(tape)
    assert tape[0] >= 0  # outside a run there are no actors to choose among
