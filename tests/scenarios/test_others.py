"""Consumers that nobody here wrote: each passes its scenario unmodified, and what was found in them is found again.

Needs the extra ``adapters`` (.ci/nightly makes an environment for it). What docs/works-with.md says of a library is
held against a test of this file and against the installed version.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from harness import invariants, runner
from harness.faults.plan import Fault
from harness.loading import load, scenario_files
from harness.result import Result
from harness.scenario import Process, Scenario
from tests.requirements import module

ROOT = Path(__file__).resolve().parents[2]
OTHERS = {one.name: one for path in scenario_files(ROOT / "scenarios" / "others") for one in load(path)}


def others(name: str) -> Scenario:
    """The scenario of that name; skips the test where a library of it is not installed."""
    for library in OTHERS[name].needs:
        module(library, "adapters")
    return OTHERS[name]


def broken(result: Result) -> set[str]:
    """The names of the invariants that are violated."""
    return {verdict.name for verdict in result.verdicts if verdict.status == "violated"}


@pytest.mark.parametrize("name", OTHERS)
def test_it_runs_unmodified_and_passes(name: str) -> None:
    """Every fault strikes, every invariant holds, and a second run in the same process is the same byte for byte."""
    scenario = others(name)
    first, second = runner.run(scenario, seed=3), runner.run(scenario, seed=3)
    first.raise_for_verdict()
    assert first.verdict == "passed"
    assert first.unstruck == []
    assert first.messages.lost == 0
    assert first.history.to_bytes() == second.history.to_bytes()


@pytest.mark.parametrize("name", OTHERS)
def test_without_the_library_it_is_left_out_by_name(name: str) -> None:
    """A run that lacks the library says so and is no failure."""
    missing = dataclasses.replace(OTHERS[name], needs=(*OTHERS[name].needs, "a_library_that_nobody_has"))
    result = runner.run(missing)
    assert result.verdict == "left out"
    assert "a_library_that_nobody_has" in result.reason


@pytest.mark.parametrize("name", OTHERS)
def test_its_file_loads_without_the_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue is listed and run on machines that have none of them."""
    scenario = OTHERS[name]
    for library in scenario.needs:
        for loaded in [one for one in sys.modules if one == library or one.startswith(f"{library}.")]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setitem(sys.modules, library, None)
    assert [one.name for one in load(scenario.file or "")] == [name]


def test_there_are_at_least_six() -> None:
    """Six consumers or frameworks that others wrote, each with a scenario."""
    assert len(OTHERS) >= 6
    assert all(scenario.needs for scenario in OTHERS.values())


# What was found in them


def test_huey_loses_the_task_of_a_killed_consumer() -> None:
    """As huey documents: no at-least-once delivery, a task that is being executed when the consumer dies is lost."""
    scenario = others("huey-consumer")
    killed = runner.run(
        dataclasses.replace(
            scenario,
            processes=[scenario.processes[0], dataclasses.replace(scenario.processes[1], count=1)],
            faults=[Fault("point.charge", "crash", nth=20, restart_after=5)],
        )
    )
    assert "no-message-loss" in broken(killed)
    assert killed.messages.lost == 1


def test_taskiq_streams_leave_a_killed_workers_entries_until_something_new_is_read() -> None:
    """RedisStreamBroker.listen() reaches its XAUTOCLAIM only after an XREADGROUP that returned entries.

    On a stream that nobody adds to, what a killed worker had stays with it.
    """
    scenario = others("taskiq-streams")
    last = runner.run(dataclasses.replace(scenario, faults=[Fault("point.charge", "crash", nth=120, restart_after=5)]))
    assert broken(last) == {"at-least-once", "not-stuck"}
    assert last.messages.in_flight == 1


def test_dramatiq_sqs_stops_receiving_after_as_many_failed_deletes_as_it_prefetches() -> None:
    """SQSConsumer.ack() counts a message as done only if its delete succeeded, and nothing else counts it down.

    Once *prefetch* deletes have failed the consumer asks for no more, though SQS is well again.
    """
    scenario = others("dramatiq-on-sqs")
    failing = [Fault("aws.sqs.DeleteMessage", "internal-error", start=5, end=25)]
    stuck = runner.run(dataclasses.replace(scenario, faults=failing))
    assert {"at-least-once", "not-stuck"} <= broken(stuck)
    last_receive = stuck.history.of("receive")[-1]["t"]
    assert last_receive < 25


def test_dramatiq_acknowledges_a_message_whose_retry_could_not_be_sent() -> None:
    """Retries.after_process_message() raises, Broker.emit_after() logs that, and the message is acknowledged: lost."""
    scenario = others("dramatiq-on-sqs")
    make = scenario.processes[0].target.__globals__["broker_and_actor"]  # type: ignore[union-attr]

    def shop() -> None:
        _, charge = make()
        for number in range(20):
            charge.send_with_options(args=(number,), delay=20_000)

    lost = runner.run(
        dataclasses.replace(
            scenario,
            processes=[Process("shop", shop), scenario.processes[1]],
            faults=[
                Fault("point.charge", "transient", start=15, end=40, probability=0.5),
                Fault("aws.sqs.SendMessage", "internal-error", start=15, end=40),
            ],
        )
    )
    assert "no-message-loss" in broken(lost)


def test_a_listener_told_to_delete_first_loses_what_fails() -> None:
    """pySqsListener's force_delete=True, as its documentation says: deleted whether or not the handler succeeds."""
    scenario = others("sqs-listener-daemon")
    listener = module("sqs_listener", "adapters").SqsListener
    worker: Any = scenario.processes[0].target

    def hasty(env: Any) -> None:
        original = listener.__init__

        def init(self: Any, queue: str, **options: Any) -> None:
            original(self, queue, force_delete=True, **options)

        listener.__init__ = init
        try:
            worker(env)
        finally:
            listener.__init__ = original

    process = dataclasses.replace(scenario.processes[0], target=hasty, count=1)
    failing = [Fault("point.charge", "transient", start=10, end=30, probability=0.3)]
    assert "no-message-loss" in broken(runner.run(dataclasses.replace(scenario, processes=[process], faults=failing)))


def test_powertools_without_its_response_loses_what_failed() -> None:
    """A partial response is nothing to a mapping without ReportBatchItemFailures: the whole batch is deleted."""
    scenario = others("powertools-batch")
    process = scenario.processes[0]
    forgetful = dataclasses.replace(process.target, report_batch_item_failures=False)  # type: ignore[type-var]
    result = runner.run(dataclasses.replace(scenario, processes=[dataclasses.replace(process, target=forgetful)]))
    assert "no-message-loss" in broken(result)


# The page


PAGE = ROOT / "docs" / "works-with.md"
ROW = re.compile(r"^\| \[?([\w.-]+)[^|]*\| ([\d.]+|-) \| ([^|]*)\| ([^|]*)\|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str, str]]:
    """Library, version, and what stands under simulated and under live."""
    return [(name, version, simulated, live) for name, version, simulated, live in ROW.findall(PAGE.read_text())]


def test_the_page_names_every_scenario() -> None:
    """docs/works-with.md: what is simulated has a scenario that proves it, and each scenario stands there."""
    simulated = " ".join(cell for _, _, cell, _ in rows())
    assert len(rows()) >= 8
    for name, scenario in OTHERS.items():
        assert f"`{Path(scenario.file or '').relative_to(ROOT)}`" in simulated, name
    for library, _, *cells in rows():
        for cell in cells:
            proofs = re.findall(r"`([^`]+\.py)`", cell)
            assert proofs or cell.startswith(("no: ", "no scenario", "as its ")), library
            assert all((ROOT / proof).is_file() for proof in proofs), library


def test_the_pages_versions_are_those_that_are_installed() -> None:
    """A version on the page is the one that was tried: that of this environment, and at least the extra's bound."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["adapters"]
    bounds = dict(re.findall(r"([\w.-]+)(?:\[[^]]*\])?>=([\d.]+)", " ".join(extra)))
    listed = {name: version for name, version, *cells in rows() if version != "-" and ".py`" in "".join(cells)}
    assert set(bounds) - {"requests"} <= set(listed)
    for name, version in listed.items():
        if name in bounds:
            assert tuple(map(int, bounds[name].split("."))) <= tuple(map(int, version.split("."))), name
        if importlib.util.find_spec("dramatiq_sqs") is not None and name in bounds:
            assert metadata.version(name) == version, name


def test_adapters_are_not_in_the_extra_that_everybody_installs() -> None:
    """Nobody who installs ``all`` or ``dev`` gets other people's consumers with it."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {re.split(r"[><=\[]", one)[0] for one in extras["adapters"] if "resilience-harness" not in one}
    everybody = {re.split(r"[><=\[]", one)[0] for extra in ("all", "dev") for one in extras[extra]}
    assert names & everybody <= {"requests"}
    assert not any("adapters" in one for extra in ("all", "dev") for one in extras[extra])


def test_the_invariants_that_judge_them_are_the_ordinary_ones() -> None:
    """No scenario of another's consumer is let off an invariant that its kind of queue has by default."""
    usual = {spec.name for spec in invariants.defaults()}
    for name, scenario in OTHERS.items():
        assert usual <= {spec.name for spec in scenario.invariants or ()}, name
