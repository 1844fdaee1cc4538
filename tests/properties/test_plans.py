"""Plans of every kind survive JSON, pickling and replacing."""

from __future__ import annotations

import json
import pickle

from hypothesis import given
from hypothesis import strategies as st

from harness.faults.kinds import Kind, all_kinds
from harness.faults.plan import Fault, FaultPlan

TARGETS = {
    "workload": ["workload", "workload.orders"],
    "handler": ["handler"],
    "aws": ["aws", "aws.sqs.*", "aws.sqs.DeleteMessage", "aws.dynamodb.PutItem"],
    "sqs": ["aws", "aws.sqs.*"],
    "redis": ["redis", "redis.*", "redis.INCR"],
    "dependency": ["dependency.payments"],
    "network": ["network.sqs", "network.*"],
    "process": ["process.worker", "process.*"],
    "clock": ["clock.worker"],
}
SECONDS = st.one_of(st.integers(0, 10_000), st.floats(0, 10_000, allow_nan=False))


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    """Any fault that can be made."""
    kind: Kind = draw(st.sampled_from(all_kinds()))
    start = draw(st.none() | SECONDS)
    length = draw(st.none() | st.floats(0.001, 1000))
    side = draw(st.sampled_from(kind.sides))
    if kind.layer in ("process", "clock", "workload"):
        side = "before"
    nth = None if kind.name == "slow-start" else draw(st.none() | st.integers(1, 100))
    parameters = {}
    for parameter in kind.parameters:
        if parameter.type == "keys" and draw(st.booleans()):
            parameters["keys"] = draw(st.lists(st.text() | st.integers(), min_size=1, max_size=4))
        elif parameter.type in ("seconds", "positive") and draw(st.booleans()):
            parameters[parameter.name] = draw(st.floats(0.001, 1000) | st.integers(1, 1000))
    return Fault(
        draw(st.sampled_from(TARGETS[kind.layer])),
        kind.name,
        side=side,
        start=start,
        end=None if length is None else (start or 0) + length,
        nth=nth,
        probability=draw(st.floats(0, 1)),
        **parameters,
    )


PLANS = st.lists(faults(), max_size=5).map(FaultPlan)


@given(PLANS)
def test_json_and_back(plan: FaultPlan) -> None:
    """A plan read back from its JSON text is the same plan, with the same hash, words and JSON."""
    text = json.dumps(plan.to_json())
    again = FaultPlan.from_json(json.loads(text))
    assert again == plan
    assert hash(again) == hash(plan)
    assert str(again) == str(plan)
    assert json.dumps(again.to_json()) == text


@given(PLANS)
def test_pickle_and_back(plan: FaultPlan) -> None:
    """A plan sent to another process is the same plan."""
    assert pickle.loads(pickle.dumps(plan)) == plan


@given(PLANS)
def test_words(plan: FaultPlan) -> None:
    """Every fault can be told: one line each, nothing left unfilled."""
    lines = str(plan).splitlines()
    if all("keys" not in fault.parameters for fault in plan):  # keys are texts of the user's, any characters
        assert len(lines) == max(1, len(plan))
        assert not any("{" in line for line in lines)


@given(faults())
def test_replacing_nothing_changes_nothing(fault: Fault) -> None:
    """replace() without changes gives an equal fault, and each field given as it is too."""
    assert fault.replace() == fault
    assert fault.replace(target=fault.target, kind=fault.kind, start=fault.start) == fault
    assert (fault.replace(probability=0.125) == fault) == (fault.probability == 0.125)
