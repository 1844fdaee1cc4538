"""The engine against a plain reading of what a plan means."""

from __future__ import annotations

import fnmatch

from hypothesis import given
from hypothesis import strategies as st

from harness.faults.plan import Fault
from tests.unit.faults.run import OTHER, WORKER, Run

POINTS = ("aws.sqs.SendMessage", "aws.sqs.ReceiveMessage", "redis.GET", "redis.SET", "dependency.p")
TARGETS = ("aws.sqs.SendMessage", "aws.sqs.*", "aws.*", "redis.GET", "redis.*", "dependency.p")


@st.composite
def lost(draw: st.DrawFn) -> Fault:
    """A fault that loses requests or answers: all layers have the kind, and it changes nothing else."""
    start = draw(st.none() | st.integers(0, 20))
    length = draw(st.none() | st.integers(1, 20))
    return Fault(
        draw(st.sampled_from(TARGETS)),
        "timeout",
        side=draw(st.sampled_from(["before", "after"])),
        start=start,
        end=None if length is None else (start or 0) + length,
        nth=draw(st.none() | st.integers(1, 6)),
    )


PASSINGS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from(POINTS),
        st.sampled_from(["before", "after"]),
        st.sampled_from([WORKER, OTHER]),
    ),
    max_size=40,
)


@given(st.lists(lost(), max_size=4), PASSINGS)
def test_the_engine_strikes_what_the_plan_says(faults: list[Fault], passings: list[tuple]) -> None:  # type: ignore[type-arg]
    """Which fault strikes which passing is what target, side, window and n-th say, read one by one."""
    run = Run(*faults)
    seen = [0] * len(faults)
    now = 0
    struck: list[tuple[int, int]] = []
    for number, (wait, point, side, actor) in enumerate(passings):
        now += wait
        run.at(now)
        run.kernel.current = actor
        first = None
        for index, fault in enumerate(faults):
            if fault.side != side or not fnmatch.fnmatchcase(point, fault.target):
                continue
            seen[index] += 1
            open_now = (fault.start or 0) <= now and (fault.end is None or now < fault.end)
            if open_now and fault.nth in (None, seen[index]) and first is None:
                first = index
        verdict = run.passing(point, side)
        assert (verdict is not None) == (first is not None), (number, point, side, now)
        if first is not None:
            struck.append((now, first))
    assert [(event["t"], event["fault"]) for event in run.of("fault.strike")] == struck
    assert run.engine.strikes() == [sum(one == index for _, one in struck) for index in range(len(faults))]
    table = run.engine.table()
    assert sum(row["passed"] for row in table.values()) == len(passings)
    assert sum(row["struck"] for row in table.values()) == len(struck)


@given(st.lists(lost(), max_size=4), PASSINGS, st.floats(0.01, 0.99))
def test_the_same_seed_strikes_the_same(faults: list[Fault], passings: list[tuple], probability: float) -> None:  # type: ignore[type-arg]
    """Two engines with one plan and one seed record the same events."""
    plan = [fault.replace(probability=probability) for fault in faults]
    runs = [Run(*plan, seed=5), Run(*plan, seed=5)]
    for run in runs:
        now = 0
        for wait, point, side, actor in passings:
            now += wait
            run.at(now)
            run.kernel.current = actor
            run.passing(point, side)
    assert runs[0].events == runs[1].events
