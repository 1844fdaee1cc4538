"""The builder behind the fixture ``sim`` makes the scenario that was said, and runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from harness import Fault
from harness.errors import Inconclusive, PlanError, ScenarioError
from harness.invariants.exceptions import exception_for
from harness.points import effect
from harness.sim_fixture import Sim


def _consume(skip: int | None = None) -> None:
    import boto3

    sqs = boto3.client("sqs")
    url = os.environ["QUEUE_URL"]
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages", []):
            number = json.loads(message["Body"])["order_id"]
            if number != skip:
                effect("charged", number)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _lossy() -> None:
    _consume(skip=2)


def _built(sim: Sim, target: object = _consume) -> Sim:
    orders = sim.queue("orders", dead_letter="orders-dlq", max_receives=3)
    sim.process("worker", target, environ={"QUEUE_URL": "{queue:orders}"})  # type: ignore[arg-type]  # a function
    sim.effects.point("charged")
    sim.send(orders, [{"order_id": n} for n in range(4)], key="$.order_id")
    return sim


def test_the_scenario_is_what_was_said() -> None:
    """Queues with their dead-letter queue, processes, effects, workload and faults, in the scenario's own terms."""
    sim = _built(Sim("test_x[a b]", faults=[Fault("aws.sqs.DeleteMessage", "throttled", nth=1)]))
    sim.inject("aws.sqs.ReceiveMessage", "timeout", side="after", nth=2)
    sim.set(handler=_consume, duration=9)
    scenario = sim.scenario()
    assert scenario.name == "test_x-a-b"
    assert [queue.name for queue in scenario.queues] == ["orders", "orders-dlq"]
    assert [fault.target for fault in scenario.plan] == ["aws.sqs.DeleteMessage", "aws.sqs.ReceiveMessage"]
    assert [one.messages for one in scenario.workloads] == [4]
    assert [one.name for one in scenario.effects] == ["charged"]
    assert scenario.ends == 9


def test_a_run_is_repeatable() -> None:
    """Two runs of one builder, and one of another with the same seed, have the same history; another seed has not."""
    sim = _built(Sim(seed=3))
    first = sim.run().history.to_bytes()
    assert sim.run().history.to_bytes() == first
    assert _built(Sim(seed=3)).run().history.to_bytes() == first
    assert _built(Sim(seed=4)).run().history.to_bytes() != first


def test_a_violation_raises_its_own_exception_with_the_command() -> None:
    """The invariant's class, its evidence, and the command of the test."""
    sim = _built(Sim(command="pytest x --chaos-seed 0"), _lossy)
    with pytest.raises(exception_for("no-message-loss"), match="again: pytest x --chaos-seed 0") as caught:
        sim.run()
    assert caught.value.evidence
    assert sim.result is not None


def test_without_judging_nothing_is_raised() -> None:
    """judge=False gives the result as it is."""
    result = _built(Sim(), _lossy).run(judge=False)
    assert (result.verdict, result.messages.lost) == ("failed", 1)


def test_a_fault_that_never_struck_is_inconclusive() -> None:
    """A test whose fault did nothing has tested nothing."""
    sim = _built(Sim())
    sim.inject("aws.sqs.DeleteMessage", "throttled", nth=99)
    with pytest.raises(Inconclusive, match="never struck"):
        sim.run()


def test_the_history_is_saved_where_it_was_said(tmp_path: Path) -> None:
    """After a run the history can be left for the reader; before one there is nothing to save."""
    sim = _built(Sim("t", seed=5, out=tmp_path / "deep"))
    assert sim.save() is None
    sim.run()
    path = sim.save()
    assert path == tmp_path / "deep" / "t.seed-5.history.jsonl"
    assert path.is_file()


def test_mistakes_are_told_with_the_line_to_add() -> None:
    """No process, no message, a queue twice, an unknown field or kind: each is named with its remedy."""
    sim = Sim()
    with pytest.raises(ScenarioError, match=r"Add: sim\.process"):
        sim.run()
    sim.process("worker", _consume)
    with pytest.raises(ScenarioError, match=r"Add: sim\.send"):
        sim.run()
    sim.queue("orders")
    with pytest.raises(ScenarioError, match="declared already"):
        sim.queue("orders")
    with pytest.raises(ScenarioError, match="Did you mean handler"):
        sim.set(handlr=_consume)
    with pytest.raises(PlanError, match="gremlins"):
        sim.inject("aws.sqs.DeleteMessage", "gremlins")
