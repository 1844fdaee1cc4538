"""``harness sweep``: the line with the behaviours, findings as files that replay, pairs, going on, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.explore import sweep as sweeping
from tests.unit.cli.conftest import Done
from tests.unit.cli.project import Project

Command = Callable[..., Done]


@pytest.fixture
def scenario(project: Project) -> str:
    """A consumer without any error handling."""
    project.scenario("orders", "main")
    return "orders"


def test_what_is_not_survived_is_a_file_that_replays(scenario: str, command: Command) -> None:
    """Exit 1, one line for each point and kind, a command that shows it again, the counts; the JSON has the same."""
    done = command("sweep", scenario, "--kinds", "access-denied", "--max-passing", "2", "--json", "swept.json")
    assert done.code == 1, done.out
    assert "✗ aws.sqs.ReceiveMessage.before access-denied #1: " in done.out
    assert "more passings of it likewise" in done.out
    assert " single faults survived, " in done.out
    assert "behaviours" in done.out
    told = json.loads(Path("swept.json").read_text())
    assert told["complete"] is True
    assert told["broken"] == sum(1 + one["more"] for one in told["findings"])
    again = command("replay", told["findings"][0]["file"])
    assert again.code == 0
    assert "reproduced" in again.out


def test_it_goes_on_where_it_was(scenario: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off by its time limit it keeps what it has and exits 4; the next call runs the rest only."""
    short = command("sweep", scenario, "--kinds", "reorder", "--max-seconds", "0.000001")
    assert short.code == 4, short.out
    assert "not tried yet: call it again" in short.out
    names: list[str] = []
    original = sweeping.run_single

    def counted(scenario: object, single: sweeping.Task, seed: int) -> object:
        names.append(single.name)
        return original(scenario, single, seed)  # type: ignore[arg-type]

    monkeypatch.setattr(sweeping, "run_single", counted)
    whole = command("sweep", scenario, "--kinds", "reorder", "--json", "-")
    assert whole.code == 0, whole.err
    told = json.loads(whole.out)
    assert len(names) == told["faults"] - 1 > 1
    assert len(set(names)) == len(names)


def test_ctrl_c_keeps_what_it_has(scenario: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run in force is not counted, the outcomes before it are; exit 130, and the next call goes on."""
    original = sweeping.run_single
    runs: list[str] = []

    def interrupted(scenario: object, single: sweeping.Task, seed: int) -> object:
        runs.append(single.name)
        if len(runs) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return original(scenario, single, seed)  # type: ignore[arg-type]

    monkeypatch.setattr(sweeping, "run_single", interrupted)
    done = command("sweep", scenario, "--kinds", "reorder")
    assert done.code == 130, done.out
    assert "2 of 2 single faults survived" in done.out
    kept = Path("reports/sweep/orders/sweep.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in kept[1:]] == runs[:2]
    assert command("sweep", scenario, "--kinds", "reorder").code == 0


def test_firsts_only(scenario: str, command: Command) -> None:
    """One of each point, kind and state: fewer than all, more than one of each point and kind."""
    whole, firsts, once = (
        json.loads(command("sweep", scenario, "--kinds", "reorder", "--json", "-", *more).out)["faults"]
        for more in ((), ("--firsts",), ("--max-passing", "1"))
    )
    assert once < firsts < whole


def test_pairs(scenario: str, command: Command) -> None:
    """Both lines; a pair that breaks something is a file that replays both faults."""
    options = ("--kinds", "timeout", "--max-passing", "1", "--pairs", "--json", "-")
    done = command("sweep", scenario, *options)
    told = json.loads(done.out)
    assert told["pairs"] > 0
    assert told["tried"] == told["faults"] + told["pairs"]
    assert " single faults survived" in done.err
    assert " pairs survived" in done.err


@pytest.mark.slow
def test_several_processes_find_the_same(scenario: str, command: Command) -> None:
    """With -j the outcomes are the same, pairs too."""
    options = ("--kinds", "crash", "--max-passing", "2", "--pairs", "--json", "-", "--afresh")
    assert command("sweep", scenario, *options).out == command("sweep", scenario, *options, "-j", "2").out
