"""The oracle: what was deleted and never took effect is lost; without an effect nobody can tell."""

from __future__ import annotations

import dataclasses

import pytest

from harness import effects, runner
from harness.errors import Inconclusive
from harness.faults.plan import Fault
from harness.invariants.exceptions import exception_for
from harness.scenario import Process, Queue, Scenario, Workload

BASE = Scenario(
    name="bring-your-own",
    queues=[Queue("orders", visibility_timeout=30)],
    processes=[Process("worker", "tests.systems.byo:careful", environ={"QUEUE_URL": "{queue:orders}"})],
    workload=Workload(to="orders", messages=20, per_second=5, body=lambda n: {"order_id": n}, key="$.order_id"),
    effects=effects.point("charged"),
)
HASTY = dataclasses.replace(
    BASE,
    processes=[Process("worker", "tests.systems.byo:hasty", environ={"QUEUE_URL": "{queue:orders}"})],
    faults=[Fault("point.deleted", "crash", nth=4, restart_after=5)],
)


def test_delete_before_work_and_a_crash_between_loses_the_message() -> None:
    """The verdict is failed by no-message-loss, and the evidence holds the delete of a message without an effect."""
    result = runner.run(HASTY)
    assert result.verdict == "failed"
    verdict = next(one for one in result.verdicts if one.name == "no-message-loss")
    assert verdict.status == "violated"
    events = {event["n"]: event for event in result.history}
    deleted = [events[n] for n in verdict.evidence if events[n]["kind"] == "delete"]
    assert len(deleted) == 1
    lost = deleted[0]["key"]
    assert not [event for event in result.history.of("effect") if event["key"] == lost]
    assert f'"{lost}"' in verdict.detail
    assert result.messages.lost == 1
    with pytest.raises(exception_for("no-message-loss"), match="no-message-loss"):
        result.raise_for_violation()


def test_work_before_delete_and_the_same_crash_loses_nothing() -> None:
    """The careful consumer under the same crash passes: the message comes back and is handled again."""
    careful = dataclasses.replace(BASE, faults=[Fault("point.charged", "crash", nth=4, restart_after=5)])
    result = runner.run(careful)
    assert result.verdict == "passed"
    assert result.messages.lost == 0
    assert result.messages.duplicated == 1


def test_without_a_declared_effect_it_is_inconclusive_with_the_line_to_add() -> None:
    """Nobody said what handled means: neither passed nor failed, and the verdict says what to write."""
    result = runner.run(dataclasses.replace(HASTY, effects=()))
    assert result.verdict == "inconclusive"
    detail = next(one.detail for one in result.verdicts if one.name == "no-message-loss")
    assert "effects=" in detail
    with pytest.raises(Inconclusive, match="effects="):
        result.raise_for_verdict()


def test_a_plan_that_never_strikes_is_inconclusive() -> None:
    """A fault at a passing that never comes has tested nothing."""
    result = runner.run(dataclasses.replace(BASE, faults=[Fault("point.charged", "crash", nth=500)]))
    assert result.verdict == "inconclusive"
    assert len(result.unstruck) == 1


def test_nothing_sent_is_inconclusive() -> None:
    """A run without a message cannot say that none was lost."""
    empty = dataclasses.replace(BASE, workload=Workload(to="orders", messages=0, key="$.order_id"), duration=10)
    assert runner.run(empty).verdict == "inconclusive"
