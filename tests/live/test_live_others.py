"""Workers of others as real processes: each keeps its promises, and where its documentation warns, that is found.

Needs the extra ``adapters`` and redis-server; takes minutes, and so runs in nightly.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import invariants, runner
from harness.loading import load, scenario_files
from harness.result import Result
from harness.scenario import Scenario
from tests.requirements import module, require

ROOT = Path(__file__).resolve().parents[2]
OTHERS = {one.name: one for path in scenario_files(ROOT / "scenarios" / "live" / "others") for one in load(path)}


def others(name: str) -> Scenario:
    """The scenario of that name; skips the test where a library of it, or a redis-server, is not installed."""
    for library in (*OTHERS[name].needs, "toxiproxy"):
        module(library, "adapters")
    require("redis")
    return OTHERS[name]


def live(scenario: Scenario) -> Result:
    return runner.run(scenario, backend="live")


def broken(result: Result) -> set[str]:
    """The names of the invariants that are violated."""
    return {verdict.name for verdict in result.verdicts if verdict.status == "violated"}


def with_environ(scenario: Scenario, **environ: str) -> Scenario:
    """The same processes, told something else."""
    told = [dataclasses.replace(one, environ={**one.environ, **environ}) for one in scenario.processes]
    return dataclasses.replace(scenario, processes=told)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_it_runs_unmodified_and_passes(name: str) -> None:
    """Killed, told to stop and started again as the plan says: every invariant holds, nothing is left behind."""
    result = live(others(name))
    assert (result.verdict, result.reason, result.unstruck) == ("passed", "", [])
    assert result.messages is not None
    assert (result.messages.lost, result.messages.in_queue, result.messages.in_flight) == (0, 0, 0)
    assert result.messages.processed >= 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["celery-eta-on-sqs", "celery-eta-on-redis"])
def test_celery_runs_a_task_twice_whose_eta_is_beyond_the_visibility_timeout(name: str) -> None:
    """As its pages on SQS and Redis warn: the worker holds the task until then, and it is handed out meanwhile."""
    scenario = others(name)
    make = scenario.processes[0].target.__globals__["on_sqs" if "sqs" in name else "on_redis"]  # type: ignore[union-attr]
    result = live(with_environ(dataclasses.replace(make(name, 2), file=scenario.file), ETA="9"))
    assert broken(result) == {"effects-once"}
    assert result.messages is not None
    assert result.messages.duplicated > 0
    assert result.messages.lost == 0


@pytest.mark.slow
def test_celery_loses_the_task_of_a_killed_child_unless_it_is_told_to_reject_it() -> None:
    """As the guide to tasks says: late acknowledgement or not, what a killed child had in hand is acknowledged."""
    result = live(with_environ(others("celery-child-killed"), REJECT="no"))
    assert broken(result) == {"no-message-loss", "at-least-once"}
    assert result.messages is not None
    assert result.messages.lost == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["celery-on-redis-prefork", "celery-on-redis-solo", "celery-on-sqs-prefork"])
def test_a_celery_worker_that_is_told_to_stop_finishes_what_it_has_in_hand(name: str) -> None:
    """Warm shutdown: a task that was under way when SIGTERM came has its effect before the worker is gone."""
    result = live(others(name))
    assert result.verdict == "passed"
    finished = []
    for stopped in result.history.of("process.sigterm"):
        ended = next(
            event
            for event in result.history.of("process.exit", "process.crash")
            if event["process"] == stopped["process"] and event["t"] > stopped["t"]
        )
        assert ended["kind"] == "process.exit"
        finished += [
            event
            for event in result.history.of("effect")
            if event["actor"] == stopped["process"] and stopped["t"] < event["t"] < ended["t"]
        ]
    assert finished


@pytest.mark.parametrize("name", OTHERS)
def test_without_the_library_it_is_left_out_by_name(name: str) -> None:
    """A run that lacks the library says so and how to get it, and is no failure."""
    missing = dataclasses.replace(OTHERS[name], needs=(*OTHERS[name].needs, "a_library_that_nobody_has"))
    result = live(missing)
    assert result.verdict == "left out"
    assert "a_library_that_nobody_has" in result.reason
    assert "resilience-harness[adapters]" in result.reason


def test_without_a_redis_server_queues_in_redis_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """fakeredis's server tells nobody what happens in it."""
    monkeypatch.setattr(runner.shutil, "which", lambda name: None)
    result = live(dataclasses.replace(OTHERS["rq-worker"], needs=()))
    assert result.verdict == "left out"
    assert "apt install redis-server" in result.reason


@pytest.mark.parametrize("path", sorted({one.file or "" for one in OTHERS.values()}), ids=lambda path: Path(path).stem)
def test_its_file_loads_without_the_library(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue is listed and run on machines that have none of them."""
    scenarios = load(path)
    for library in {one for scenario in scenarios for one in scenario.needs}:
        for loaded in [one for one in sys.modules if one == library or one.startswith(f"{library}.")]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, library, None)
    assert [one.name for one in load(path)] == [one.name for one in scenarios]


def test_the_invariants_that_judge_them_are_the_ordinary_ones() -> None:
    """No scenario is let off an invariant that its kind of queue has by default, and each says that nothing is lost."""
    usual = {spec.name for spec in invariants.defaults()}
    for name, scenario in OTHERS.items():
        assert usual <= {spec.name for spec in scenario.invariants or ()}, name
        assert scenario.objectives.rpo == 0, name
        assert scenario.backends == ("live",), name


def test_the_page_names_every_scenario() -> None:
    """docs/works-with.md: each file stands in the live column."""
    page = (ROOT / "docs" / "works-with.md").read_text()
    for scenario in OTHERS.values():
        assert f"`{Path(scenario.file or '').relative_to(ROOT)}`" in page


def test_the_kinds_of_workers_are_all_there() -> None:
    """celery with both pools and dramatiq, on both brokers, and rq; each but for ETAs with SIGKILL or SIGTERM."""
    names = " ".join(OTHERS)
    for part in ("sqs-prefork", "sqs-solo", "redis-prefork", "redis-solo", "eta-on-sqs", "eta-on-redis"):
        assert f"celery-on-{part}" in names or f"celery-{part}" in names
    assert {"dramatiq-workers-on-redis", "dramatiq-workers-on-sqs", "rq-worker"} <= set(OTHERS)
    struck: dict[str, Any] = {name: {fault.kind for fault in one.plan} for name, one in OTHERS.items()}
    assert all(
        {"crash", "sigterm"} & kinds for name, kinds in struck.items() if "eta" not in name and "child" not in name
    )
