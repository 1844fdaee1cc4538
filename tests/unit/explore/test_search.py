"""Search: planted defects are found and made small, right systems are not accused, the same seed finds the same."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import Process, Queue, Scenario, Workload, effects, invariants, runner
from harness.errors import ScenarioError, UsageError
from harness.explore.counterexample import Counterexample
from harness.explore.minimise import Candidate, minimise
from harness.explore.outcome import Outcome, try_candidate
from harness.explore.replay import replay
from harness.explore.search import Search, carry_on, search
from harness.explore.search_report import SearchReport
from harness.faults.plan import Fault, FaultPlan
from tests.budget import examples
from tests.systems import broken
from tests.unit.explore.searched import careful, hasty, made


def _breaker(worker: Any) -> Scenario:
    return Scenario(
        name="breaker",
        queues=[Queue("orders", visibility_timeout=30, dead_letter="orders-dlq", max_receives=50)],
        processes=[Process("worker", worker)],
        workload=Workload(to="orders", messages=4, per_second=2, body=lambda n: {"order_id": n}, key="$.order_id"),
        effects=effects.http("POST {http:payments}/charges", key="$.order_id"),
        invariants=[invariants.breaker_half_open_permits(), invariants.breaker_generations()],
    )


def _found(report: SearchReport, invariant: str) -> Any:
    found = [one for one in report.findings if one.invariant == invariant]
    assert found, [one.name for one in report.findings]
    return min(found, key=lambda one: (len(one.candidate.plan), one.messages))


def _facts(report: SearchReport) -> list[tuple[str, Candidate, int]]:
    return [(one.name, one.candidate, one.tried) for one in report.findings]


def test_a_loss_is_found_small_and_replays(tmp_path: Path) -> None:
    """Deleted before the work: one fault, one message, as files that give the same history byte for byte."""
    scenario = made(hasty)
    report = harness.search(scenario, examples=40, kinds={"crash", "throttled"}, out=tmp_path)
    found = _found(report, "no-message-loss")
    assert (len(found.candidate.plan), found.messages, found.kinds) == (1, 1, ("crash",))
    assert found.candidate.plan[0].target == "aws.sqs.DeleteMessage"
    assert found.file.parent.name == "no-message-loss-by-crash"
    assert {path.name for path in found.file.parent.iterdir()} >= {"counterexample.json", "history.jsonl", "story.txt"}
    assert list(found.file.parent.glob("test_*.py"))
    again = replay(found.file, scenario=scenario)
    assert again.outcome == "reproduced"
    assert Counterexample.load(found.file).messages == 1
    assert report.bound is None
    assert json.loads(json.dumps(report.to_json()))["findings"][0]["faults"] == 1


def test_a_defect_of_a_breaker_is_found() -> None:
    """Unlimited probes: found under slow and failing dependencies, with few faults and messages."""
    scenario = _breaker(broken.lets_everybody_in_at_half_open)
    report = search(scenario, examples=60, kinds={"slow", "status"}, max_faults=2, first=True)
    found = _found(report, "breaker-half-open-permits")
    assert len(found.candidate.plan) <= 2
    assert found.messages <= 3
    assert report.complete
    assert report.tried == found.tried


def test_a_right_consumer_is_not_accused() -> None:
    """No finding, no error, faults that struck, and a bound on what remains."""
    report = search(made(careful), examples=examples(400))
    assert report.findings == ()
    assert report.errors == {}
    assert report.struck > report.tried * 0.7
    assert report.reached > 20
    assert report.bound == pytest.approx(3 / report.clean)
    assert 0 < report.clean < report.tried


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_right_consumer_is_not_accused_in_ten_thousand(seed: int) -> None:
    """Ten searches of 10,000 with different seeds find nothing in a right component."""
    report = search(made(careful, 4), examples=10_000, seed=seed)
    assert (report.findings, report.errors) == ((), {})


def test_the_same_seed_finds_the_same() -> None:
    """Findings, coverage and counts; another seed draws other plans."""
    scenario = made(hasty, 3)
    first, second = (search(scenario, examples=25, seed=4, kinds={"crash", "pause"}) for _ in range(2))
    assert _facts(first) == _facts(second)
    assert first.findings
    assert first.coverage == second.coverage
    assert Search(scenario, seed=5).candidates(9) != Search(scenario, seed=4).candidates(9)


def test_several_findings_stay_apart() -> None:
    """Each (invariant, kinds) is one finding; what a smaller plan explains is none."""
    report = search(made(hasty), examples=40, kinds={"crash", "sigterm"})
    assert {"no-message-loss by crash", "no-message-loss by sigterm"} <= {one.name for one in report.findings}
    assert len({one.name for one in report.findings}) == len(report.findings)
    assert all(len(one.candidate.plan) == 1 for one in report.findings)


def test_what_breaks_without_a_fault_is_found_at_once() -> None:
    """The first run has no fault."""

    def nobody() -> None:
        return

    report = search(made(nobody, 2), examples=1, kinds={"slow-start"})
    assert {one.name for one in report.findings} >= {"at-least-once by no fault"}
    assert report.struck == 0


def test_a_small_workload_that_breaks_by_itself_is_no_finding() -> None:
    """An invariant that needs the whole workload is not accused where it was cut."""
    scenario = dataclasses.replace(made(careful), invariants=[*invariants.defaults()])
    work = Search(scenario, kinds={"throttled"})
    work._clean_sizes = dict.fromkeys((1, 2, 3, 5), frozenset({"at-least-once"}))
    assert {one.messages for one in work.candidates(40)} == {None}


def test_the_worst_plan_is_driven_up() -> None:
    """More attempts than any single plan of the first round makes, with the plan that made them."""
    report = search(made(careful, 3), examples=40, kinds={"timeout", "unavailable"}, maximise="attempts")
    worst = report.worst
    assert worst is not None
    assert worst.figure >= 2
    assert try_candidate(made(careful, 3), worst.candidate, "attempts").figure == worst.figure
    assert report.to_json()["worst"]["measure"] == "attempts"


def test_time_that_is_over_and_ctrl_c_keep_what_there_is() -> None:
    """It ends early, says so, and has counted what was tried."""
    scenario = made(careful, 1)
    report = search(scenario, examples=500, max_seconds=1e-9)
    assert (report.tried, report.complete, report.interrupted) == (1, False, False)

    def interrupted(candidates: Sequence[Candidate]) -> Generator[Outcome, None, None]:
        yield try_candidate(scenario, candidates[0])
        raise KeyboardInterrupt

    report = carry_on(Search(scenario), interrupted, examples=10, max_seconds=None)
    assert (report.tried, report.complete, report.interrupted) == (1, False, True)


def test_making_small_ends_with_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found at the end is not made small for longer than a second beyond it."""
    limits = []

    def bounded(*arguments: Any, max_seconds: float, **more: Any) -> Any:
        limits.append(max_seconds)
        return minimise(*arguments, max_seconds=max_seconds, **more)

    def nobody() -> None:
        return

    monkeypatch.setattr("harness.explore.search.minimise", bounded)
    assert search(made(nobody, 2), max_seconds=1e-9, kinds={"slow-start"}).findings
    assert limits[0] == 1.0
    assert search(made(nobody, 2), examples=1, kinds={"slow-start"}).findings
    assert limits[-1] == 20.0


def test_plans_that_do_not_fit_are_counted() -> None:
    """What the scenario refuses is an error with its reason, no survival."""
    outcome = try_candidate(made(careful), Candidate(FaultPlan([Fault("redis.GET", "crash", nth=1)]), messages=-1))
    assert outcome.verdict == "refused"
    assert "messages" in outcome.reason


def test_wrong_arguments() -> None:
    """Each with its remedy."""
    with pytest.raises(ScenarioError, match="Choose from recovery_seconds"):
        search(made(careful), maximise="speed")
    with pytest.raises(ScenarioError, match="1 or more"):
        search(made(careful), max_faults=0)
    with pytest.raises(UsageError, match="one process"):
        search(made(careful), jobs=2)


def test_a_candidate_is_all_that_a_run_takes() -> None:
    """The seed, schedule and size of a candidate are all that it takes to run it again."""
    work = Search(made(careful))
    for candidate in work.candidates(6):
        first, second = (try_candidate(work.scenario, candidate) for _ in range(2))
        assert first == second
    assert runner.run(work.scenario).verdict == "passed"
