"""Objectives: durations, bad input, promised beside happened."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.objectives import Objectives, duration_text, parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2m", 120),
        ("90s", 90),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("1 h 30 min", 5400),
        ("2d", 172_800),
        ("7", 7),
        (0, 0),
        (3.5, 3.5),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    """Numbers are seconds; texts carry their units, also several."""
    assert parse_duration(value, field="x") == seconds


@pytest.mark.parametrize(
    "value", ["", "soon", "2x", "-1s", "m", "1m2", -1, float("nan"), float("inf"), True, None, [1]]
)
def test_no_durations(value: object) -> None:
    """What is no duration is refused with its field and how to write one."""
    with pytest.raises(ScenarioError, match="'90s'") as caught:
        parse_duration(value, field="objectives.rto")
    assert caught.value.field == "objectives.rto"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.85, "850 ms"),
        (12.5, "12.5 s"),
        (60, "1 min"),
        (90, "90 s"),
        (120, "2 min"),
        (5400, "1 h 30 min"),
        (3661, "1 h 1 min 1 s"),
    ],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    """Seconds are written as people say them."""
    assert duration_text(seconds) == text


def test_values() -> None:
    """Objectives are values; durations are kept in seconds; nothing promised is false."""
    assert Objectives(rto="2m") == Objectives(rto=120)
    assert Objectives(rto="2m", rpo=0).to_json() == {"rto": 120.0, "rpo": 0, "duplicates": None, "backlog": None}
    assert not Objectives()
    assert Objectives(rpo=0)
    assert Objectives.from_mapping(Objectives(rto=5, backlog="1m").to_json()) == Objectives(rto=5, backlog=60)


@pytest.mark.parametrize(
    ("values", "field", "remedy"),
    [
        ({"rto": "soon"}, "objectives.rto", "'90s'"),
        ({"rpo": "2m"}, "objectives.rpo", "whole number"),
        ({"rpo": -1}, "objectives.rpo", "whole number"),
        ({"duplicates": True}, "objectives.duplicates", "whole number"),
        ({"rtoo": 1}, "objectives.rtoo", "Did you mean rto?"),
        ({"colour": 1}, "objectives.colour", "Choose from"),
        ([1], "objectives", "Give a table"),
    ],
)
def test_bad_configuration(values: Any, field: str, remedy: str) -> None:
    """Each mistake in a configuration names file, field and remedy."""
    with pytest.raises(ScenarioError) as caught:
        Objectives.from_mapping(values, file="harness.toml")
    assert (caught.value.file, caught.value.field) == ("harness.toml", field)
    assert remedy in str(caught.value)


def test_bad_argument() -> None:
    """The constructor names the field too."""
    with pytest.raises(ScenarioError, match=r"objectives\.backlog"):
        Objectives(backlog="never")


def outcome(objectives: Objectives, **happened: Any) -> tuple[str, str, bool | None]:
    facts = {"recovery_seconds": None, "backlog_seconds": None, "lost": None, "duplicated": None, **happened}
    (one,) = objectives.judge(**facts)
    return one.promised, one.happened, one.met


def test_met_and_not_met() -> None:
    """Each promise stands beside what happened."""
    assert outcome(Objectives(rto="2m"), recovery_seconds=30.0) == ("within 2 min", "after 30 s", True)
    assert outcome(Objectives(rto="2m"), recovery_seconds=121.0) == ("within 2 min", "after 2 min 1 s", False)
    assert outcome(Objectives(rto="2m")) == ("within 2 min", "not by the end of the run", False)
    assert outcome(Objectives(backlog="10m"), backlog_seconds=600.0) == ("within 10 min", "after 10 min", True)
    assert outcome(Objectives(rpo=0), lost=0) == ("none lost", "none lost", True)
    assert outcome(Objectives(rpo=1), lost=2) == ("at most 1 lost", "2 lost", False)
    assert outcome(Objectives(duplicates=0), duplicated=3) == ("none handled twice", "3 handled twice", False)


def test_not_judged() -> None:
    """Without an effect, or without a fault, met is neither true nor false, and the reason stands there."""
    assert outcome(Objectives(rpo=0))[1:] == ("could not be judged: no effect is declared", None)
    assert outcome(Objectives(rto=1), faulted=False)[2] is None


def test_nothing_promised() -> None:
    """Only what was promised is judged."""
    assert Objectives().judge(recovery_seconds=1.0, backlog_seconds=1.0, lost=0, duplicated=0) == []
