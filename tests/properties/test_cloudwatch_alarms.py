"""Alarms of the simulated CloudWatch against a model that knows nothing of how they are built."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.sim.services.cloudwatch_evaluation import TREATMENTS, next_state
from tests.budget import examples
from tests.unit.sim.services.cloudwatch_desk import EPOCH, CloudWatchDesk

RANGE_EXTRA = 2
POINTS = st.sampled_from([True, False, None])


def by_definition(points: list[bool | None], n: int, m: int, treatment: str, state: str) -> str:
    """The user guide's text, sentence by sentence, by trying every way to fill what is missing."""
    real = [point for point in points if point is not None]
    if len(real) >= n:  # "evaluates the alarm state based on the most recent real data points"
        newest = real[:n]
        return "ALARM" if newest.count(True) >= m else "OK"
    missing = n - len(real)  # "fills in the missing data points with the result you specified"
    if treatment in ("breaching", "notBreaching"):
        filled = real + [treatment == "breaching"] * missing
        return "ALARM" if filled.count(True) >= m else "OK"
    if not real:
        return state if treatment == "ignore" else "INSUFFICIENT_DATA"
    # Whatever the missing ones were: if both ways of filling agree, there is nothing to decide.
    ways = {"ALARM" if (real + [way] * missing).count(True) >= m else "OK" for way in (True, False)}
    if len(ways) == 1:
        return ways.pop()
    if False in real:
        return "OK"
    ages = [age for age, point in enumerate(points, start=1) if point]
    if treatment == "ignore":
        return state
    return "ALARM" if max(ages) >= m else "OK"


@settings(max_examples=examples(400), deadline=None)
@given(data=st.data(), n=st.integers(1, 5), treatment=st.sampled_from(TREATMENTS))
def test_the_rule_is_the_user_guides(data: st.DataObject, n: int, treatment: Any) -> None:
    """For every range, N, M, treatment and state the rule gives what the text says."""
    m = data.draw(st.integers(1, n))
    points = data.draw(st.lists(POINTS, min_size=n + RANGE_EXTRA, max_size=n + RANGE_EXTRA))
    state: Any = data.draw(st.sampled_from(["OK", "ALARM", "INSUFFICIENT_DATA"]))
    assert next_state(points, n, m, treatment, state) == by_definition(points, n, m, treatment, state)


ALARMS = st.fixed_dictionaries(
    {
        "Period": st.sampled_from([60, 120, 300]),
        "EvaluationPeriods": st.integers(1, 3),
        "Threshold": st.integers(0, 6).map(float),
        "Statistic": st.sampled_from(["Sum", "Average", "Maximum", "Minimum", "SampleCount"]),
        "ComparisonOperator": st.sampled_from(["GreaterThanThreshold", "LessThanOrEqualToThreshold"]),
        "TreatMissingData": st.sampled_from(TREATMENTS),
    }
)
#: (seconds to wait, then the value to put and how many seconds ago it was), in order.
STEPS = st.lists(st.tuples(st.integers(1, 200), st.integers(0, 6), st.integers(0, 200)), max_size=12)


def _value(values: list[int], statistic: str) -> float:
    if statistic == "Average":
        return sum(values) / len(values)
    return float({"Sum": sum, "Maximum": max, "Minimum": min, "SampleCount": len}[statistic](values))  # type: ignore[operator]


@settings(max_examples=examples(150), deadline=None)
@given(alarm=ALARMS, steps=STEPS)
def test_an_alarm_in_time_is_what_brute_force_says(alarm: dict[str, Any], steps: list[tuple[int, int, int]]) -> None:
    """Put data at any times, late ones too: each minute the state is that of a list of all values ever sent."""
    desk = CloudWatchDesk()
    desk.alarm(**alarm)
    sent: list[tuple[int, int, int]] = []  # when it was put, for when, value
    base = int(desk.clock.us // 1_000_000)
    for wait, value, ago in steps:
        desk.pass_seconds(wait)
        now = int(desk.seconds)
        desk.put({"Value": float(value), "Timestamp": desk.now - timedelta(seconds=ago)})
        sent.append((now, now - ago, value))
    desk.pass_seconds(60 - desk.seconds % 60)
    state = "INSUFFICIENT_DATA"
    n, period = alarm["EvaluationPeriods"], alarm["Period"]
    for minute in range(60, int(desk.seconds) + 1, 60):
        points: list[bool | None] = []
        for place in range(n + RANGE_EXTRA):
            end = minute - place * period
            values = [
                value
                for put, at, value in sent
                # The evaluation of a minute comes before what is put at that very moment.
                if put < minute and end - period <= (base + at) // 60 * 60 - base < end
            ]
            if not values:
                points.append(None)
                continue
            found = _value(values, alarm["Statistic"])
            above = alarm["ComparisonOperator"] == "GreaterThanThreshold"
            points.append(found > alarm["Threshold"] if above else found <= alarm["Threshold"])
        state = by_definition(points, n, n, alarm["TreatMissingData"], state)
    assert desk.state == state


@settings(max_examples=examples(100), deadline=None)
@given(
    batches=st.lists(
        st.tuples(
            st.integers(0, 3_600), st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 4)), min_size=1, max_size=5)
        ),
        max_size=12,
    ),
    period=st.sampled_from([60, 120, 600]),
)
def test_statistics_are_those_of_a_list(batches: list[tuple[int, list[tuple[int, int]]]], period: int) -> None:
    """Whatever is put in which form, GetMetricStatistics gives what a plain list of all values gives."""
    desk = CloudWatchDesk()
    desk.pass_seconds(3_600)
    every: dict[int, list[int]] = {}
    for at, pairs in batches:
        values = dict(pairs)
        desk.put(
            {
                "Values": [float(value) for value in values],
                "Counts": [float(count) for count in values.values()],
                "Timestamp": EPOCH + timedelta(seconds=at),
            }
        )
        for value, count in values.items():
            every.setdefault(at // 60 * 60 // period * period, []).extend([value] * count)
    points = desk.statistics(
        "Sum", "SampleCount", "Minimum", "Maximum", StartTime=EPOCH, EndTime=EPOCH + timedelta(hours=2), Period=period
    )
    found = {
        round((point["Timestamp"] - EPOCH).total_seconds()): (
            point["Sum"],
            point["SampleCount"],
            point["Minimum"],
            point["Maximum"],
        )
        for point in points
    }
    assert found == {
        at: (float(sum(values)), float(len(values)), float(min(values)), float(max(values)))
        for at, values in every.items()
    }
