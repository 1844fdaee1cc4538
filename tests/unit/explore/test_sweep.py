"""Every single fault: all of them tried, what is not survived found as a file that replays, nothing accused wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest

import harness
from harness import Process, Queue, Scenario, Workload, effects, runner
from harness.errors import ScenarioError, UsageError
from harness.explore.behaviour import behaviour
from harness.explore.finding import save, slug
from harness.explore.space import Choice, choices, passings
from harness.explore.sweep import Outcome, Single, Sweep, outcome_of, run_single, summary
from harness.explore.sweep_log import SweepLog
from harness.faults.plan import FaultPlan
from harness.points import effect
from harness.resilience import ResilientConsumer, json_body


def careful(env):  # type: ignore[no-untyped-def]
    def handle(message):  # type: ignore[no-untyped-def]
        effect("done", json_body(message)["n"])

    ResilientConsumer(env.queue_url("orders"), handle, dlq_url=env.queue_url("orders-dlq")).run()


def hasty(env):  # type: ignore[no-untyped-def]
    sqs, url = boto3.client("sqs"), env.queue_url("orders")
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            effect("done", json.loads(message["Body"])["n"])


def made(worker, messages: int = 3) -> Scenario:  # type: ignore[no-untyped-def]
    return Scenario(
        name="swept",
        queues=[Queue("orders", visibility_timeout=10, dead_letter="orders-dlq", max_receives=5), Queue("orders-dlq")],
        processes=[Process("worker", worker)],
        workload=Workload(to="orders", messages=messages, per_second=2, body=lambda n: {"n": n}, key="$.n"),
        effects=effects.point("done"),
    )


def test_every_passing_of_every_point_is_tried() -> None:
    """As many faults as passings times kinds; each point and kind once before any comes a second time."""
    sweep = Sweep.of(made(careful))
    expected = sum(count * len(list(choices(point, side))) for (point, side), count in sweep.passed.items())
    assert len(sweep.singles) == expected > 100
    assert len(set(sweep.singles)) == expected
    firsts = {one.choice for one in sweep.singles if one.nth == 1}
    assert {one.choice for one in sweep.singles[: len(firsts)]} == firsts
    assert sweep.alone == ""


def test_a_right_consumer_survives_every_single_fault() -> None:
    """No false accusation: the first passing of every point and kind is survived, and struck."""
    sweep = Sweep.of(made(careful))
    outcomes = [run_single(sweep.scenario, one, 0)[0] for one in sweep.singles if one.nth == 1]
    counts = summary(outcomes)
    assert counts["survived"] == counts["tried"] == len(outcomes), [one for one in outcomes if not one.survived]
    assert 1 < counts["behaviours"] < len(outcomes)


def test_a_loss_is_found_and_replays(tmp_path: Path) -> None:
    """Deleted before the work: a crash after the delete loses the message, and the file shows it again."""
    sweep = Sweep.of(made(hasty))
    crash = Single(Choice("aws.sqs.DeleteMessage", "after", "crash"), 2)
    assert crash in sweep.singles
    outcome, result = run_single(sweep.scenario, crash, 0)
    assert result is not None
    assert "no-message-loss" in outcome.violated
    saved = save(result, result.violated[0], tmp_path / slug(outcome.name))
    assert saved.file is not None
    assert (saved.file.parent / "story.txt").read_text().strip()
    again = runner.run(sweep.scenario, faults=saved.plan, seed=saved.seed)
    assert again.history.to_bytes() == result.history.to_bytes()


def test_a_scenario_that_fails_by_itself_is_not_swept() -> None:
    """What a fault breaks cannot be told where everything is broken before."""

    def nobody() -> None:
        return

    with pytest.raises(ScenarioError, match="without any fault"):
        Sweep.of(made(nobody))


def test_behaviours() -> None:
    """Two runs that do the same after the strike are one behaviour, whatever their ids; another fault is another."""
    scenario = made(careful)
    same = [runner.run(scenario, faults=FaultPlan(), seed=seed).history for seed in (0, 0)]
    assert behaviour(same[0]) == behaviour(same[1])
    lost = runner.run(scenario, faults=FaultPlan([Choice("aws.sqs.DeleteMessage", "after", "timeout").fault(1)]))
    assert behaviour(lost.history) != behaviour(same[0])


def test_what_cannot_strike_is_not_tried() -> None:
    """Kinds of the clock, of bytes on a wire, of other operations are left out; handler kinds stay in the handler."""
    names = {one.kind for one in choices("aws.sqs.ReceiveMessage", "before")}
    assert {"throttled", "empty-receive", "crash", "pause"} <= names
    assert not names & {"jump", "partial-failure", "slow-start", "transient", "bandwidth"}
    assert {one.kind for one in choices("handler", "before")} >= {"transient", "permanent", "crash"}
    assert passings({"workload.orders": {"passed": 3, "struck": 0}, "handler.before": {"passed": 2, "struck": 0}}) == {
        ("handler", "before"): 2
    }


def test_a_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    """Outcomes are kept line by line; a line that was cut off and those of another scenario do not count."""
    path = tmp_path / "swept" / "sweep.jsonl"
    log = SweepLog(path, {"digest": "a"})
    log.add(Outcome("x #1", "passed", "b1"))
    log.add(Outcome("y #1", "failed", "b2", {"no-message-loss": "one"}))
    log.close()
    path.write_text(path.read_text() + '{"name": "z #1", "verd')
    again = SweepLog(path, {"digest": "a"})
    again.close()
    assert list(again.outcomes) == ["x #1", "y #1"]
    other = SweepLog(path, {"digest": "b"})
    other.close()
    assert other.outcomes == {}


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    """The file, the reason and the remedy in one message."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--out"):
        SweepLog(tmp_path / "file" / "sweep.jsonl", {})


def test_what_was_not_reached_is_no_survival() -> None:
    """A fault that never struck says nothing: it is counted apart."""
    scenario = made(careful)
    never = runner.run(scenario, faults=FaultPlan([Choice("aws.sqs.DeleteMessage", "after", "crash").fault(900)]))
    outcome = outcome_of("never", never)
    assert outcome.verdict == "not struck"
    assert not outcome.survived
    assert summary([outcome])["not_struck"] == 1


def test_the_public_function() -> None:
    """``harness.sweep``: an outcome for each single fault, those that broke something apart."""
    report = harness.sweep(made(hasty), kinds={"crash", "reorder"}, max_passing=1)
    assert {one.name for one in report.broken} == {"aws.sqs.DeleteMessage.after crash #1"}
    assert report.counts["tried"] == len(report.outcomes) > 3
    assert report.counts["broken"] == 1
