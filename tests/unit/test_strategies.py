"""The public strategies: plans that fit, workloads, schedules, and a property of a system in four lines."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

import harness
from harness.errors import ScenarioError
from harness.faults.model import open_ended
from harness.faults.plan import FaultPlan
from harness.faults.points import validate
from harness.invariants.exceptions import exception_for
from harness.runner import Options
from harness.strategies import fault_plans, schedules, workloads
from tests.budget import examples
from tests.unit.explore.searched import careful, hasty, made

_SCENARIO = made(careful, 4)
_QUICK = settings(deadline=None, max_examples=examples(100), suppress_health_check=list(HealthCheck))
_SMALLEST = settings(database=None, deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))


@_QUICK
@given(fault_plans(_SCENARIO, max_faults=3))
def test_plans_fit(plan: FaultPlan) -> None:
    """Each is small enough, taken by the scenario, and has an end."""
    assert len(plan) <= 3
    validate(plan, _SCENARIO)
    assert not any(open_ended(fault.to_json()) for fault in plan if fault.kind != "hang")


@_QUICK
@given(fault_plans(_SCENARIO), workloads(_SCENARIO), schedules())
def test_a_right_consumer(plan: FaultPlan, workload: tuple[harness.Workload, ...], tape: list[int]) -> None:
    """Whatever is drawn, nothing breaks: plans, workloads and schedules go together."""
    scenario = dataclasses.replace(_SCENARIO, workload=workload)
    result = harness.run(scenario, faults=plan, options=Options(tape=tape))
    result.raise_for_violation()
    assert result.verdict != "error"


def test_a_defect_is_found_and_shrunk() -> None:
    """Deleted before the work: Hypothesis ends with one fault at the first passing."""
    scenario = made(hasty, 3)

    @settings(deadline=None, max_examples=30, database=None, derandomize=True)
    @given(fault_plans(scenario, kinds=["crash"], targets=["aws.sqs.DeleteMessage"]))
    def system(plan: FaultPlan) -> None:
        seen.append(plan)
        harness.run(scenario, faults=plan).raise_for_violation()

    seen: list[FaultPlan] = []
    with pytest.raises(exception_for("no-message-loss")):
        system()
    last = seen[-1]
    assert [(one.target, one.side, one.nth) for one in last] == [("aws.sqs.DeleteMessage", "after", 1)]


def test_beyond_draws_faults_without_an_end() -> None:
    """Under those safety alone is judged."""
    plans = fault_plans(_SCENARIO, kinds=["timeout"], beyond=True)
    plan = find(plans, lambda one: any(open_ended(fault.to_json()) for fault in one), settings=_SMALLEST)
    assert any(fault.end is None and fault.nth is None for fault in plan)


def test_what_the_smallest_are() -> None:
    """No fault, one message each, first come first served."""
    assert find(fault_plans(_SCENARIO, kinds=["throttled"]), lambda _: True, settings=_SMALLEST) == FaultPlan()
    assert [one.messages for one in find(workloads(_SCENARIO), lambda _: True, settings=_SMALLEST)] == [1]
    assert find(schedules(4), lambda _: True, settings=_SMALLEST) == []


def test_wrong_arguments() -> None:
    """What is no scenario, and a number that is none, are refused where they are given; a kind when it is drawn."""
    with pytest.raises(ScenarioError, match=r"harness\.Scenario"):
        fault_plans("orders")  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match="max_faults"):
        fault_plans(_SCENARIO, max_faults=-1)
    with pytest.raises(ScenarioError, match="no kind of fault"):
        find(fault_plans(_SCENARIO, kinds=["tiemout"]), lambda _: True, settings=_SMALLEST)
    assert isinstance(fault_plans(_SCENARIO) | st.none(), st.SearchStrategy)
