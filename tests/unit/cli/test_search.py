"""``harness search``: findings as files that replay, what was covered, exit codes, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Done
from tests.unit.cli.project import Project

Command = Callable[..., Done]
_HARMLESS = ("search", "orders", "--examples", "12", "--kinds", "reorder,empty-receive", "--json", "-")


@pytest.fixture
def scenario(project: Project) -> str:
    """A consumer without any error handling."""
    project.scenario("orders", "main")
    return "orders"


def test_a_finding_is_told_and_replays(scenario: str, command: Command) -> None:
    """Exit 1, the plan in words, a command that shows it again; the JSON has the same."""
    done = command("search", scenario, "--examples", "20", "--kinds", "throttled,crash", "--json", "found.json")
    assert done.code == 1, done.out
    assert "✗ not-stuck by throttled: " in done.out
    assert " is throttled" in done.out
    assert "1 fault, " in done.out
    assert "covered: " in done.out
    told = json.loads(Path("found.json").read_text())
    assert told["tried"] == 20
    finding = next(one for one in told["findings"] if one["invariant"] == "not-stuck")
    assert finding["file"] == "reports/search/orders/not-stuck-by-throttled/counterexample.json"
    again = command("replay", finding["file"])
    assert again.code == 0
    assert "orders: reproduced" in again.out
    assert "different" not in again.out


def test_nothing_found(scenario: str, command: Command) -> None:
    """Exit 0 with the bound on what remains; with --json - the output is one JSON document."""
    done = command(*_HARMLESS)
    assert done.code == 0, done.err
    assert "0 findings" in done.err
    assert "with 95 % confidence at most" in done.err
    assert json.loads(done.out)["findings"] == []


@pytest.mark.slow
def test_several_processes_find_the_same(scenario: str, command: Command) -> None:
    """With -j everything is the same but for the time that it took."""
    here, there = (json.loads(command(*_HARMLESS, *more).out) for more in ((), ("-j", "2")))
    for told in (here, there):
        del told["seconds"], told["plans_per_second"]
    assert here == there


def test_the_next_search_tries_first_what_was_found(scenario: str, command: Command) -> None:
    """From Hypothesis's folder, unless it is told not to."""
    first = command("search", scenario, "--examples", "20", "--kinds", "throttled", "--first")
    assert first.code == 1, first.out
    assert Path(".hypothesis/examples").is_dir()
    again = command("search", scenario, "--examples", "1", "--kinds", "reorder")
    assert again.code == 1
    assert "remembered: " in again.out
    assert "earlier searches tried again" in again.out
    without = command("search", scenario, "--examples", "1", "--kinds", "reorder", "--database", "none")
    assert "remembered" not in without.out
    assert without.code == 4


def test_a_search_that_explored_nothing_says_so(scenario: str, command: Command) -> None:
    """No fault struck in the only run, which has none: exit 4."""
    done = command("search", scenario, "--examples", "1")
    assert done.code == 4
    assert "no fault ever struck: nothing was explored" in done.out


def test_the_worst_plan(scenario: str, command: Command) -> None:
    """Its figure, its plan, and a file with both."""
    done = command("search", scenario, "--examples", "10", "--kinds", "duplicate", "--maximise", "duplicates")
    assert done.code in (0, 1)
    assert "worst duplicates: " in done.out
    told = json.loads(Path("reports/search/orders/worst-duplicates.json").read_text())
    assert told["figure"] >= 1
    assert told["plan"]["faults"][0]["kind"] == "duplicate"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kinds", "trottled"), "throttled"),
        (("--kinds", "readonly"), "nothing that could be struck"),
        (("--maximise", "speed"), "recovery_seconds"),
        (("--json", "none/x.json"), "--json"),
    ],
)
def test_bad_input(scenario: str, command: Command, arguments: tuple[str, ...], words: str) -> None:
    """One message with what is wrong and the remedy; exit 2."""
    done = command("search", scenario, *arguments)
    assert done.code == 2
    assert words in done.err


def test_every_schedule(project: Project, command: Command) -> None:
    """Exhausted, with how many there were; as JSON the same."""
    project.scenario("few", "main", messages=1)
    done = command("search", "few", "--schedules", "exhaustive", "--deviations", "1", "--json", "all.json")
    assert done.code == 0, done.err
    assert "few: exhausted: " in done.out
    assert "with at most 1 deviation from first come first served (1 with 0" in done.out
    assert json.loads(Path("all.json").read_text())["exhausted"] is True


def test_every_schedule_of_a_scenario_that_breaks(project: Project, command: Command) -> None:
    """Exit 1, and a file that replays."""
    project.scenario("lossy", "lossy", messages=4)
    done = command("search", "lossy", "--schedules", "exhaustive", "--deviations", "0")
    assert done.code == 1
    assert "no-message-loss" in done.out
    file = next(line for line in done.out.splitlines() if "again: " in line).rpartition(" ")[2]
    assert command("replay", file).code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--deviations", "2"), "--deviations: is for every schedule. Add --schedules exhaustive"),
        (("--schedules", "exhaustive", "--kinds", "crash"), "--kinds: is for plans that are drawn"),
        (("--schedules", "exhaustive", "--deviations", "9"), "9 is not in the range"),
        (("--schedules", "some"), "some"),
        (("--database", "ftp://x"), "--database: is 'ftp://x': it is no folder"),
    ],
)
def test_options_that_do_not_fit(scenario: str, command: Command, arguments: tuple[str, ...], words: str) -> None:
    """One line, exit 2."""
    done = command("search", scenario, *arguments)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.strip().splitlines()) == 1
