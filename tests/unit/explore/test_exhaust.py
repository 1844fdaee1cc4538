"""Every schedule with at most k deviations: each once, the plain ones first, and "exhausted" only where it is."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from harness import Process, Scenario, Workload, effects, runner
from harness.errors import ScenarioError
from harness.explore.counterexample import Counterexample
from harness.explore.exhaust import exhaust, run_schedule
from harness.points import always, effect
from harness.sim import world

_order: list[tuple[object, str]] = []


def _noting(env: Any) -> None:
    """Who does it when is the schedule's matter alone."""
    _order.append((world.current(), env.process))
    effect("done", env.process)


def _third_first(env: Any) -> None:
    """Breaks only where the third process is the first."""
    _order.append((world.current(), env.process))
    first = next(process for run, process in _order if run is world.current())
    always(first != "worker.3", "the third is not the first")


def _backwards(env: Any) -> None:
    """Breaks only where the processes come in the order 3, 2, 1: two choices that are not the first."""
    _order.append((world.current(), env.process))
    mine = [process for run, process in _order if run is world.current()]
    always(mine != ["worker.3", "worker.2", "worker.1"], "not backwards")


@pytest.fixture(autouse=True)
def _forget() -> None:
    _order.clear()


def _scenario(worker: Any, count: int = 3) -> Scenario:
    return Scenario(
        name="small",
        processes=[Process("worker", worker, count=count)],
        workload=Workload(to="orders", messages=0),
        effects=effects.point("done"),
        duration=1,
    )


def test_each_schedule_once() -> None:
    """Three that start at once can come in six orders: all are run, none twice."""
    report = exhaust(_scenario(_noting), deviations=3)
    plain = run_schedule(_scenario(_noting), (0, ()))
    assert report.decisions == len(plain.among)
    assert report.tried[0] == 1
    assert report.exhausted
    orders: dict[int, list[str]] = {}
    for run, process in _order:
        orders.setdefault(id(run), []).append(process)
    assert {tuple(dict.fromkeys(order)) for order in orders.values()} == {
        order for order in product(("worker.1", "worker.2", "worker.3"), repeat=3) if len(set(order)) == 3
    }


def test_the_numbers_are_those_of_counting() -> None:
    """With choices among three and then two: one plain, three with one deviation, two with two."""
    assert run_schedule(_scenario(_third_first), (0, ())).among == (3, 2)
    report = exhaust(_scenario(_third_first), deviations=2)
    assert report.tried == (1, 3, 2)
    assert exhaust(_scenario(_third_first), deviations=1).tried == (1, 3)
    assert exhaust(_scenario(_third_first), deviations=0).tried == (1,)


def test_what_breaks_is_found_with_the_fewest_deviations(tmp_path: Path) -> None:
    """One deviation is enough for the one, two for the other; fewer find nothing and say that they are exhausted."""
    runner.install()
    for worker, needed in ((_third_first, 1), (_backwards, 2)):
        before = exhaust(_scenario(worker), deviations=needed - 1)
        assert before.exhausted
        assert before.findings == ()
        report = exhaust(_scenario(worker), deviations=needed, out=tmp_path / worker.__name__)
        assert report.exhausted
        (finding,) = report.findings
        assert sum(1 for choice in finding.candidate.schedule.tape if choice) == needed
        assert finding.file is not None
        assert any(Counterexample.load(finding.file).schedule)
        assert report.broke[finding.invariant] >= 1


def test_what_was_not_run_is_not_exhausted() -> None:
    """A limit of runs or of time: what was done is counted, and it is said that some are left."""
    report = exhaust(_scenario(_noting), deviations=2, examples=2)
    assert (report.total, report.exhausted) == (2, False)
    assert not exhaust(_scenario(_noting), deviations=2, max_seconds=1e-9).exhausted
    whole = exhaust(_scenario(_third_first), deviations=2)
    assert exhaust(_scenario(_third_first), deviations=2, examples=whole.total).exhausted
    told = whole.to_json()
    assert (told["schedules"], told["exhausted"], told["tried"], told["by_deviations"]) == (
        "exhaustive",
        True,
        6,
        [1, 3, 2],
    )


def test_ctrl_c_keeps_what_it_has() -> None:
    """Interrupted after the second run: two are counted, and nothing is claimed."""

    def progress(tried: int, words: str) -> None:
        if tried == 2:
            raise KeyboardInterrupt

    report = exhaust(_scenario(_noting), deviations=2, progress=progress)
    assert (report.total, report.interrupted, report.exhausted) == (2, True, False)


def test_fewer_than_none() -> None:
    """A negative number is refused."""
    with pytest.raises(ScenarioError, match=r"deviations: is -1\. Give 0 or more"):
        exhaust(_scenario(_noting), deviations=-1)
