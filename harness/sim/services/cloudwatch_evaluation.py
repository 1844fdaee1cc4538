"""How an alarm's state follows from its data points: CloudWatch's rule, as a function of values.

Source: "Configuring how CloudWatch alarms treat missing data" and "Avoiding
premature transitions to alarm state", Amazon CloudWatch user guide, whose two
tables are test cases. In short:

* CloudWatch looks at more periods than it needs (the *evaluation range*);
* are there as many real data points in it as evaluation periods, the newest
  of them decide, however old, and the treatment of missing data is not asked;
* else the missing ones are filled in by that treatment;
* where missing data is just missing, one old breaching data point with nothing
  after it that contradicts is enough (*premature alarm*).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

__all__ = ["COMPARISONS", "EXTRA_PERIODS", "STATES", "TREATMENTS", "State", "Treatment", "next_state"]

State: TypeAlias = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Treatment: TypeAlias = Literal["breaching", "notBreaching", "ignore", "missing"]

STATES: tuple[State, ...] = ("INSUFFICIENT_DATA", "ALARM", "OK")
TREATMENTS: tuple[Treatment, ...] = ("breaching", "notBreaching", "ignore", "missing")

#: By how many periods the evaluation range is longer than the evaluation periods. AWS says that it depends on
#: period and resolution, and gives one example: 5 for 3.
EXTRA_PERIODS = 2

COMPARISONS: Mapping[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}


def next_state(points: Sequence[bool | None], periods: int, to_alarm: int, treatment: Treatment, state: State) -> State:
    """The state that follows from *points* for an alarm that is in *state*.

    *points*: the evaluation range, newest first; ``True`` breaches, ``False``
    does not, ``None`` is missing. *periods*: the evaluation periods, the N of
    "M out of N"; *to_alarm*: the datapoints to alarm, the M.
    """
    real = [point for point in points if point is not None]
    if len(real) >= periods:
        return _counted(sum(real[:periods]), to_alarm)
    if not real:
        return _without_data(treatment, state)
    breaching = sum(real)
    if treatment == "breaching":
        return _counted(breaching + periods - len(real), to_alarm)
    if breaching >= to_alarm or treatment == "notBreaching":
        return _counted(breaching, to_alarm)
    if breaching < len(real):
        return "OK"
    if treatment == "ignore":
        return state
    # Nothing but breaching data points: is the oldest old enough? (If not, AWS says only that it is no alarm yet.)
    oldest = max(place for place, point in enumerate(points) if point is not None)
    return "ALARM" if oldest + 1 >= to_alarm else "OK"


def _counted(breaching: int, to_alarm: int) -> State:
    return "ALARM" if breaching >= to_alarm else "OK"


def _without_data(treatment: Treatment, state: State) -> State:
    if treatment == "breaching":
        return "ALARM"
    if treatment == "notBreaching":
        return "OK"
    return state if treatment == "ignore" else "INSUFFICIENT_DATA"
