"""Hypothesis strategies: fault plans, workloads and schedules of a scenario, to be combined with your own.

A property of a whole system in four lines::

    @settings(deadline=None)  # runs are in virtual time: what they take in reality says nothing
    @given(fault_plans(scenario))
    def test(plan):
        harness.run(scenario, faults=plan).raise_for_violation()

Each invariant raises a class of its own, so that Hypothesis keeps several
findings apart, shrinks each, and remembers them in its example database.
Everything is drawn before a run; nothing is ever drawn inside one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.explore.plans import LENGTHS, PROBABILITIES, FaultSpace, Possible
from harness.faults.plan import Fault, FaultPlan
from harness.scenario import Scenario, Workload

__all__ = ["fault_plans", "schedules", "workloads"]

_PASSINGS_MORE = 2  # passings beyond those of a clean run: faults make more of them
_CHOICES_MAX = 16  # a choice among more actors than this is taken modulo their number


def fault_plans(
    scenario: Scenario,
    kinds: Collection[str] | None = None,
    targets: Collection[str] | None = None,
    max_faults: int = 4,
    beyond: bool = False,
) -> st.SearchStrategy[FaultPlan]:
    """Plans of 0 to *max_faults* faults that can strike *scenario*.

    What can strike is what a clean run of it passes, which is run when the
    first plan is drawn. *kinds* (such as ``timeout``) and *targets* (patterns
    such as ``aws.sqs.*``) narrow it. Every fault has an end unless *beyond*
    is set: without one, safety alone is judged. A plan shrinks to fewer
    faults, to the first passings in the place of windows, and to the kinds'
    plainest parameters.

    Raises:
        ScenarioError: when the first plan is drawn: a kind is unknown, or nothing is left to strike.
    """
    _require_scenario(scenario)
    if isinstance(max_faults, bool) or not isinstance(max_faults, int) or max_faults < 0:
        raise ScenarioError(f"is {max_faults!r}", field="max_faults", remedy="Give a whole number, 0 or more")

    def made() -> st.SearchStrategy[FaultPlan]:
        space = FaultSpace.of(scenario, kinds=kinds, targets=targets, beyond=beyond)
        each = [_fault(one, space.ends, beyond) for one in space.possible]  # once: to make them anew costs more
        faults = st.integers(0, len(each) - 1).flatmap(each.__getitem__)
        return st.lists(faults, max_size=max_faults).map(FaultPlan)

    return st.deferred(made)


def _fault(one: Possible, ends: float, beyond: bool) -> st.SearchStrategy[Fault]:
    """The faults of one kind at one place, in the ways in which it can be given."""
    variant = st.integers(0, len(one.variants) - 1)
    start = st.integers(0, int(ends * 10)).map(lambda tenths: tenths / 10)
    length: st.SearchStrategy[float | None] = st.sampled_from(sorted(LENGTHS))
    if beyond:
        length = length | st.none()
    ways: dict[str, st.SearchStrategy[Fault]] = {
        "nth": st.builds(one.nth, st.integers(1, one.passed + _PASSINGS_MORE), variant),
        "window": st.builds(one.window, start, length, st.sampled_from(PROBABILITIES), variant),
        "moment": st.builds(one.moment, start, variant),
    }
    return st.one_of([ways[way] for way in one.ways])


def workloads(scenario: Scenario) -> st.SearchStrategy[tuple[Workload, ...]]:
    """The scenario's workloads with fewer messages each: ``dataclasses.replace(scenario, workload=drawn)``.

    From one message (none, where the workload has none) to as many as the scenario sends.
    """
    _require_scenario(scenario)
    return st.tuples(*(_fewer(one) for one in scenario.workloads))


def _fewer(work: Workload) -> st.SearchStrategy[Workload]:
    return st.integers(min(1, work.messages), work.messages).map(
        lambda number: dataclasses.replace(work, messages=number)
    )


def schedules(max_choices: int = 64) -> st.SearchStrategy[list[int]]:
    """Who runs next, as a list of choices for ``runner.Options(tape=...)``; after its end first come first served.

    Shrinks to the empty list, which is first come first served throughout.
    """
    return st.lists(st.integers(0, _CHOICES_MAX - 1), max_size=max_choices)


def _require_scenario(scenario: object) -> None:
    if not isinstance(scenario, Scenario):
        raise ScenarioError(f"was given {type(scenario).__name__}", remedy="Hand in a harness.Scenario")
