"""How an alarm's state follows from its data points."""

from __future__ import annotations

from typing import Any

import pytest

from harness.sim.services.cloudwatch_evaluation import TREATMENTS, next_state

KEPT = "kept"
#: AWS's two tables: the range oldest first, datapoints to alarm, and the state for missing, ignore, breaching,
#: notBreaching.
TABLES: list[tuple[str, int, tuple[str, str, str, str]]] = [
    ("0-X-X", 3, ("OK", "OK", "OK", "OK")),
    ("0----", 3, ("OK", "OK", "OK", "OK")),
    ("-----", 3, ("INSUFFICIENT_DATA", KEPT, "ALARM", "OK")),
    ("0XX-X", 3, ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("--X--", 3, ("ALARM", KEPT, "ALARM", "OK")),
    ("0-X-X", 2, ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("00X0X", 2, ("ALARM", "ALARM", "ALARM", "ALARM")),
    ("0-X--", 2, ("OK", "OK", "ALARM", "OK")),
    ("----0", 2, ("OK", "OK", "ALARM", "OK")),
    ("---X-", 2, ("ALARM", KEPT, "ALARM", "OK")),
]


def points(text: str) -> list[bool | None]:
    """A range as AWS's tables write it, newest first."""
    return [{"0": False, "X": True, "-": None}[letter] for letter in reversed(text)]


@pytest.mark.parametrize("state", ["OK", "ALARM", "INSUFFICIENT_DATA"])
@pytest.mark.parametrize(("text", "to_alarm", "expected"), TABLES)
def test_the_tables_of_the_user_guide(text: str, to_alarm: int, expected: tuple[str, ...], state: Any) -> None:
    """Every row of AWS's two tables on missing data, with 3 evaluation periods and a range of 5, from every state."""
    order = ("missing", "ignore", "breaching", "notBreaching")
    found = tuple(next_state(points(text), 3, to_alarm, treatment, state) for treatment in order)  # type: ignore[arg-type]
    assert found == tuple(state if one == KEPT else one for one in expected)


@pytest.mark.parametrize("text", ["----X", "---X-"])
def test_one_recent_breaching_point_is_no_alarm_yet(text: str) -> None:
    """A premature alarm waits until the lone breaching data point is as old as the datapoints to alarm."""
    assert next_state(points(text), 3, 3, "missing", "OK") == "OK"
    assert next_state(points(text), 3, 3, "ignore", "ALARM") == "ALARM"


def test_enough_real_points_leave_nothing_to_the_treatment_of_missing_data() -> None:
    """With as many real data points in the range as evaluation periods, old ones decide and all treatments agree."""
    for treatment in TREATMENTS:
        assert next_state(points("XX--"), 2, 2, treatment, "OK") == "ALARM"
        assert next_state(points("00--"), 2, 2, treatment, "ALARM") == "OK"
