"""Passings, one by one: who came by, with what in hand, in which state; watching changes nothing."""

from __future__ import annotations

from harness import runner
from harness.explore.passed import Watch
from harness.explore.space import passings
from harness.explore.sweep import watched
from harness.faults.plan import FaultPlan
from tests.unit.explore.test_sweep import careful, made


def test_every_passing_is_there_and_nothing_differs() -> None:
    """As many as the run's own table counts, and the same history as without anybody watching."""
    scenario = made(careful)
    result, found = watched(scenario, FaultPlan(), 0)
    counted: dict[tuple[str, str], int] = {}
    for one in found:
        counted[one.point, one.side] = counted.get((one.point, one.side), 0) + 1
        assert one.nth == counted[one.point, one.side]
    assert counted == passings(result.faults)
    assert result.history.to_bytes() == runner.run(scenario, faults=FaultPlan()).history.to_bytes()
    assert [one.after for one in found] == sorted(one.after for one in found)


def test_what_a_passing_touches() -> None:
    """A delete touches the message that its process holds; the way there belongs to the context."""
    _, found = watched(made(careful), FaultPlan(), 0)
    deletes = [one for one in found if (one.point, one.side) == ("aws.sqs.DeleteMessage", "before")]
    assert [one.touched for one in deletes] == [frozenset({f"message {n}"}) for n in range(3)]
    assert {one.process for one in deletes} == {"worker"}
    assert deletes[0].state == "receives 1, attempt 0, breaker -, backlog one"
    assert all(len(one.trail) == 3 for one in deletes)


def test_messages_are_let_go_and_breakers_named() -> None:
    """What was deleted is in nobody's hands any more; an event of the actor adds its key and its breaker."""
    watch = Watch()
    event = {"n": 1, "t": 0.0, "actor": "worker", "kind": "receive", "message": "m1", "key": "7", "receive_count": 1}
    watch.event(event)
    assert watch._held == {"worker": {"m1": "7"}}
    watch.event({**event, "kind": "delete", "found": True})
    assert watch._held == {"worker": {}}
    touched: set[str] = set()
    watch._latest["worker"] = touched
    watch.event({"n": 3, "t": 0.0, "actor": "worker", "kind": "breaker.call", "breaker": "payments"})
    assert touched == {"breaker payments"}
