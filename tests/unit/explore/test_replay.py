"""Replaying counterexamples: the same history again, or what has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError, InvariantViolated, ScenarioError
from harness.explore.counterexample import Counterexample
from harness.explore.replay import replay, scenario_of
from harness.faults.plan import FaultPlan
from harness.loading import digest, load
from harness.runner import run

SCENARIO = '''
"""A consumer that deletes first and is killed before it works."""
import json
import os
from harness import Fault, Process, Queue, Scenario, Workload, effects
from harness.points import effect, point


def main():
    import boto3
    sqs = boto3.client("sqs", region_name="us-east-1")
    url = os.environ["QUEUE_URL"]
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            point("before-work")
            effect("charged", json.loads(message["Body"])["n"])


scenario = Scenario(
    name="deletes-first",
    queues=[Queue("orders")],
    processes=[Process("worker", main, environ={"QUEUE_URL": "{queue:orders}"})],
    workload=Workload(to="orders", messages=5, key="$.n"),
    effects=effects.point("charged"),
    faults=[Fault("point.before-work", "crash", nth=2)],
)
'''


@pytest.fixture
def found(tmp_path: Path) -> Counterexample:
    """A counterexample with its scenario's file beside it."""
    path = tmp_path / "scenario.py"
    path.write_text(SCENARIO)
    [scenario] = load(path)
    result = run(scenario, seed=3)
    made = Counterexample.of(result.history, result.verdicts, schedule=result.schedule, digest=digest(scenario))
    return made.save(tmp_path / "found", result.history)


def test_the_same_history_again(found: Counterexample) -> None:
    """A replay in the same environment gives the same events, byte for byte, and raises the violation."""
    assert found.file is not None
    again = replay(found.file)
    assert (again.outcome, again.difference, again.changed) == ("reproduced", None, ())
    assert str(again) == "deletes-first: reproduced"
    with pytest.raises(InvariantViolated, match="no-message-loss"):
        again.raise_for_violation()


def test_a_mended_scenario_does_not_reproduce(found: Counterexample) -> None:
    """Without the defect the replay says so, and that the file has changed."""
    [scenario] = load(Path(found.scenario_file or ""))
    Path(found.scenario_file or "").write_text(SCENARIO.replace('point("before-work")', 'point("before")'))
    again = replay(found)
    assert again.outcome == "not reproduced"
    assert f"the scenario's file {found.scenario_file} has changed since" in again.changed
    again.raise_for_violation()
    assert scenario.name == found.scenario


def test_another_history_and_other_versions(found: Counterexample) -> None:
    """The same violation by other events is told with the first difference, and versions that differ are named."""
    import dataclasses

    other = dataclasses.replace(found, seed=4, versions={**found.versions, "botocore": "1.0"})
    again = replay(other)
    assert again.outcome.startswith("reproduced with a different history (first difference at ")
    assert any(line.startswith("botocore was 1.0 and is ") for line in again.changed)


def test_fewer_messages(found: Counterexample) -> None:
    """The number of messages of a counterexample is the number that is sent."""
    import dataclasses

    again = replay(dataclasses.replace(found, messages=1))
    assert again.result.messages.sent == 1


def test_a_plan_of_nothing(found: Counterexample) -> None:
    """The counterexample's plan is in force, not the scenario's."""
    import dataclasses

    assert replay(dataclasses.replace(found, plan=FaultPlan())).outcome == "not reproduced"


def test_scenarios_that_cannot_be_found(found: Counterexample, tmp_path: Path) -> None:
    """A scenario without a file, with another name, or gone, is refused with what to do."""
    import dataclasses

    with pytest.raises(ScenarioError, match="Hand the scenario in"):
        scenario_of(dataclasses.replace(found, scenario_file=None))
    with pytest.raises(ScenarioError, match=r"has no scenario 'other'\. It has deletes-first"):
        scenario_of(dataclasses.replace(found, scenario="other"))
    with pytest.raises(ScenarioError, match=r"scenario\.file: is 'nowhere\.py', which is not there\. Put it back"):
        scenario_of(dataclasses.replace(found, scenario_file="nowhere.py"))
    # A path relative to a folder above the counterexample is found from there.
    assert scenario_of(dataclasses.replace(found, scenario_file="scenario.py")).name == "deletes-first"


def test_the_pytest_file_shows_it_again(found: Counterexample) -> None:
    """The written test fails with the violation."""
    assert found.file is not None
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(found.file.parent)],
        capture_output=True,
        text=True,
        cwd=found.file.parent,
        timeout=120,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "NoMessageLossViolated: no-message-loss: 1 message lost" in ran.stdout


def test_its_own_violation_is_raised_with_its_story(found: Counterexample) -> None:
    """Of several broken invariants the counterexample's own is raised, with the command and the story."""
    again = replay(found)
    assert again.story is not None
    with pytest.raises(InvariantViolated) as caught:
        again.raise_for_violation()
    assert caught.value.invariant == "no-message-loss"
    assert caught.value.command == f"harness replay {found.file}"
    assert caught.value.__notes__ == [f"\n{again.story}"]
    assert "worker was killed at before-work" in str(again.story)


def test_another_violation_fails_too(found: Counterexample) -> None:
    """A run that breaks something else is not the finding, and still no success of its test."""
    import dataclasses

    other = dataclasses.replace(found, violated=(dataclasses.replace(found.violated[0], name="effects-once"),))
    again = replay(other)
    assert (again.outcome, again.violation, again.story) == ("not reproduced", None, None)
    with pytest.raises(InvariantViolated, match="no-message-loss"):
        again.raise_for_violation()


def test_a_scenario_that_cannot_run_does_not_pass(found: Counterexample) -> None:
    """A test of a counterexample whose needs are not installed says so and does not pass."""
    import dataclasses

    needy = dataclasses.replace(scenario_of(found), needs=("no_such_module",))
    with pytest.raises(HarnessError, match="was left out: it needs no_such_module"):
        replay(found, scenario=needy).raise_for_violation()


def test_a_change_can_be_refused(found: Counterexample) -> None:
    """With changed=False a scenario of another digest is refused before anything is run."""
    path = Path(found.scenario_file or "")
    path.write_text(SCENARIO + "\n")
    with pytest.raises(ScenarioError, match="has changed since the counterexample was found"):
        replay(found, changed=False)
    assert replay(found).outcome == "reproduced"


def test_a_history_that_is_gone(found: Counterexample) -> None:
    """Without the history the verdicts are compared, and that is said."""
    assert found.file is not None
    (found.file.parent / "history.jsonl").unlink()
    again = replay(found)
    assert again.outcome == "reproduced"
    assert again.changed == ("the history history.jsonl is not there: the verdicts alone are compared",)
