"""Made small: fewest faults, plainest faults, fewest messages, plainest schedule; the best so far whatever happens."""

from __future__ import annotations

import pytest

from harness.explore.minimise import Candidate, _plainer, _trimmed, carry_out, limited, minimise
from harness.explore.schedules import Schedule
from harness.faults.plan import Fault, FaultPlan
from tests.unit.explore.searched import careful, hasty, made

_LOSES = Fault("aws.sqs.DeleteMessage", "crash", side="after", nth=5, restart_after=30)
_NOISE = (
    Fault("aws.sqs.ReceiveMessage", "throttled", start=0, end=5, probability=0.5),
    Fault("aws.sqs.ReceiveMessage", "timeout", side="after", nth=3),
)
_BIG = Candidate(FaultPlan([_NOISE[0], _LOSES, _NOISE[1]]), seed=3)


def test_a_loss_is_made_small() -> None:
    """Three faults, six messages, a random schedule: one plain fault at the first passing, one message."""
    scenario = made(hasty)
    small = minimise(scenario, _BIG, "no-message-loss", max_seconds=600)
    assert small is not None
    assert small.finished
    assert small.candidate.plan == FaultPlan([_LOSES.replace(nth=1, restart_after=5)])
    assert small.candidate.messages == 1
    assert small.candidate.schedule == Schedule("tape")
    assert [one.name for one in small.result.violated if one.name == "no-message-loss"]
    assert carry_out(scenario, small.candidate).history.to_bytes() == small.result.history.to_bytes()
    assert small.runs < 60


def test_nothing_is_made_of_a_run_that_breaks_nothing() -> None:
    """What does not fail is no finding."""
    assert minimise(made(careful), _BIG, "no-message-loss") is None


def test_the_best_so_far_is_kept() -> None:
    """When the runs are spent, what was reached fails still."""
    small = minimise(made(hasty), _BIG, "no-message-loss", max_runs=4)
    assert small is not None
    assert not small.finished
    assert small.runs == 4
    assert small.result.violated


def test_ctrl_c_keeps_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interruption in the middle loses nothing."""
    runs = []

    def interrupted(*arguments):  # type: ignore[no-untyped-def]
        runs.append(arguments)
        if len(runs) > 5:
            raise KeyboardInterrupt
        return carry_out(*arguments)

    monkeypatch.setattr("harness.explore.minimise.carry_out", interrupted)
    small = minimise(made(hasty), _BIG, "no-message-loss")
    assert small is not None
    assert small.interrupted
    assert not small.finished


def test_messages_that_are_needed_stay() -> None:
    """A size at which the clean scenario breaks too is not taken."""
    small = minimise(made(hasty), _BIG, "no-message-loss", size_ok=lambda messages: messages >= 4)
    assert small is not None
    assert small.candidate.messages == 4


def test_plainer_faults_are_plainer() -> None:
    """A passing before a window, a shorter window, certainty, the kind's own parameters; a plain one has none."""
    window = Fault("dependency.pay", "slow", start=3.5, end=33.5, probability=0.5, seconds=40)
    found = list(_plainer(window))
    assert Fault("dependency.pay", "slow", nth=1, seconds=40) == found[0]
    assert window.replace(probability=1.0) in found
    assert window.replace(end=4.5) in found
    assert window.replace(start=0.0, end=30.0) in found
    assert window.replace(seconds=10) in found
    assert list(_plainer(Fault("dependency.pay", "slow", nth=1))) == []
    assert [one.nth for one in _plainer(Fault("dependency.pay", "reset", nth=9))] == [1, 4, 8]
    assert all(one.nth is None for one in _plainer(Fault("process.worker", "crash", start=4.5)))


def test_sizes_and_tapes() -> None:
    """Each workload is cut; zeros at the end of a tape mean nothing."""
    scenario = made(careful, 6)
    assert limited(scenario, None) is scenario
    assert [one.messages for one in limited(scenario, 2).workloads] == [2]
    assert [one.messages for one in limited(scenario, 9).workloads] == [6]
    assert _trimmed([0, 2, 0, 0]) == (0, 2)
    assert _trimmed([0, 0]) == ()
