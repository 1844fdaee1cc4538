"""What the demo finds in the usual tutorial consumer."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.explore import demo, tutorial_consumer, tutorial_scenario
from harness.explore.counterexample import Counterexample
from harness.explore.demo import FAULTS_MAX, WANTED, Demo, draw, prepare, search
from harness.explore.replay import replay
from harness.faults.plan import Fault, FaultPlan
from harness.faults.points import validate
from harness.result import Result
from harness.runner import run
from harness.scenario import Scenario


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scenario]:
    """The demo's scenario, its consumer imported from a folder of its own."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield prepare(tmp_path)
    sys.modules.pop("tutorial_consumer", None)


@pytest.fixture
def found(scenario: Scenario) -> Demo:
    """What the demo finds without being told a seed."""
    return search(scenario, digest="d")


def test_both_are_found(found: Demo) -> None:
    """From seed 0 on a lost message and one handled twice are found, each under no fault that it does not need."""
    assert found.complete
    assert list(found.findings) == list(WANTED)
    for finding in found.findings.values():
        assert [verdict.name for verdict in finding.result.violated].count(finding.invariant) == 1
        assert 1 <= len(finding.plan) <= FAULTS_MAX
        assert len(str(finding.story).splitlines()) <= 10


def test_no_fault_too_many(found: Demo, scenario: Scenario) -> None:
    """Without any one of its faults a finding is none."""
    for finding in found.findings.values():
        for fault in finding.plan:
            fewer = FaultPlan(one for one in finding.plan if one is not fault)
            again = run(scenario, faults=fewer, seed=finding.result.seed)
            assert finding.invariant not in {verdict.name for verdict in again.violated}


def test_the_stories_say_what_a_newcomer_needs(found: Demo) -> None:
    """Who sent what to whom, what was lost, what the consumer then believed, and why it came twice."""
    lost, twice = (str(finding.story) for finding in found.findings.values())
    for part in (
        "the workload sent message 8 to orders",
        "worker.1 received it from orders",
        "worker.1's call to payments had no effect: the connection broke; worker.1 saw ConnectionError",
        "worker.1 deleted it from orders as if it had been handled, but nothing had been done for it",
        "because:  worker.1's call to payments had no effect: the connection broke, and worker.1 deleted the message",
    ):
        assert part in lost
    for part in (
        "worker.1 called POST payments/charges for it, which took effect\n",
        "worker.1's DeleteMessage was lost on its way and had no effect; 60 s later worker.1 saw ReadTimeoutError",
        "worker.2 received it from orders, since nobody had deleted it within 15 s (2nd delivery)",
        "worker.2 called POST payments/charges for it, which took effect for the 2nd time",
        "worker.2 did not know what worker.1 had done",
    ):
        assert part in twice


def test_the_same_seed_finds_the_same(found: Demo, scenario: Scenario) -> None:
    """A demo is a function of its seed: the same findings by the same bytes."""
    again = search(scenario, digest="d")
    assert (again.tried, again.runs) == (found.tried, found.runs)
    for name, finding in found.findings.items():
        assert again.findings[name].plan == finding.plan
        assert again.findings[name].result.history.to_bytes() == finding.result.history.to_bytes()
    assert found.picture is not None
    assert again.picture is not None
    assert again.picture.history.to_bytes() == found.picture.history.to_bytes()


def test_the_picture_shows_both(found: Demo) -> None:
    """One run in which a message is lost and another is handled twice."""
    assert found.picture is not None
    assert {verdict.name for verdict in found.picture.violated} == set(WANTED)
    assert (found.picture.messages.lost, found.picture.messages.duplicated) == (1, 1)


@pytest.mark.slow
def test_every_first_seed_finds_both(scenario: Scenario) -> None:
    """Whatever seed somebody gives, both are found after few plans."""
    for seed in (1, 7, 8, 42, 1_000_000):
        assert search(scenario, seed, tries=40).complete


def test_an_end_without_findings(scenario: Scenario) -> None:
    """A consumer that nothing breaks ends the search with nothing, after as many plans as were allowed."""
    heard: list[int] = []

    def told(tried: int, result: Result) -> None:
        heard.append(tried)

    import dataclasses

    quiet = dataclasses.replace(scenario, invariants=[])
    ended = search(quiet, tries=3, told=told)
    assert (ended.complete, ended.findings, ended.picture, ended.tried) == (False, {}, None, 3)
    assert heard == [1, 2, 3]


def test_plans_are_small_and_possible(scenario: Scenario) -> None:
    """Each plan that may be drawn has at most three faults and fits the scenario; all of the menu is drawn."""
    seen = set()
    for seed in range(300):
        plan = draw(seed)
        assert 1 <= len(plan) <= FAULTS_MAX
        validate(plan, scenario)
        seen |= {(fault.target, fault.kind, fault.side) for fault in plan}
    assert seen == {(target, kind, side) for target, kind, side, _ in demo._MENU}


def test_saved_findings_replay(found: Demo, tmp_path: Path) -> None:
    """What is written can be moved as a whole and replays byte for byte, and says what it broke first."""
    elsewhere = tmp_path / "moved"
    elsewhere.mkdir()
    prepare(elsewhere)
    for name, finding in found.findings.items():
        saved = finding.save(elsewhere / WANTED[name])
        assert saved.violated[0].name == name
        assert (elsewhere / WANTED[name] / "story.txt").read_text() == f"{finding.story}\n"
        again = replay(Counterexample.load(elsewhere / WANTED[name]))
        assert again.outcome == "reproduced"


def test_the_consumer_is_what_tutorials_show() -> None:
    """Plain boto3 that knows nothing of the harness, deletes in finally, remembers ids in a dict, in under 50 lines."""
    source = inspect.getsource(tutorial_consumer)
    assert "harness" not in source
    assert "finally:\n                sqs.delete_message(" in source
    assert 'message["MessageId"] not in processed' in source
    assert len(source.splitlines()) < 50
    assert tutorial_scenario.scenario.plan == FaultPlan()


def test_without_faults_it_works(scenario: Scenario) -> None:
    """On a good day the tutorial consumer is right: every order is charged once."""
    result = run(scenario, faults=FaultPlan())
    assert result.verdict == "passed"
    assert (result.messages.processed, result.messages.lost, result.messages.duplicated) == (20, 0, 0)


def test_a_restarted_worker_remembers_nothing(scenario: Scenario) -> None:
    """Each process has a dict of its own, and a restart begins with an empty one: the second charge happens."""
    crash = Fault("aws.sqs.DeleteMessage", "crash", side="before", nth=3, restart_after=5)
    history = run(scenario, faults=[crash]).history
    assert len(history.of("effect")) == 21
