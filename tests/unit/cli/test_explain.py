"""``harness explain`` and ``harness replay --at``: what is told of a counterexample, and bad input in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import runner
from harness.cli.judging import specs_of
from harness.explore.counterexample import Counterexample
from harness.history import History
from harness.invariants.judge import judge
from harness.loading import file_digest, load
from tests.unit.cli.conftest import Done
from tests.unit.cli.project import Project

Command = Callable[..., Done]

_REST = 'faults=[Fault("aws.sqs.DeleteMessage", "access-denied", nth=1)], effects=effects.point("done"),'


@pytest.fixture
def history(project: Project) -> Path:
    """The history of a run whose worker dies of a refused delete."""
    runner.install()
    scenario = load(project.scenario("orders", "main", rest=_REST, messages=2))[0]
    assert runner.run(scenario, out="made").verdict == "failed"
    return Path("made/orders/history.jsonl")


@pytest.fixture
def found(history: Path) -> Path:
    """A counterexample of the same, in a folder of its own."""
    run = History.load(history)
    verdicts, _ = judge(specs_of(run, str(history))[0], run.header, run)
    digest = file_digest(Path("scenarios/orders.py"))
    Counterexample.of(run, verdicts, digest=digest).save(Path("found"), run)
    return Path("found")


def test_a_counterexample_is_explained(found: Path, command: Command) -> None:
    """What it takes, the nearest run that passed, where they part, the chain, and the three last lines."""
    done = command("explain", str(found))
    assert done.code == 0, done.err
    for words in (
        "  needed      fault 1: ",
        "nearest run that passed: the same without fault 1",
        "first difference: event ",
        "from the fault to the violation",
        "expected: ",
        "because:  ",
    ):
        assert words in done.out
    assert "handled 0" not in done.out


def test_a_history_is_explained_the_same_way(history: Path, command: Command) -> None:
    """A run's own history is enough; as JSON it is one document."""
    done = command("explain", str(history), "--format", "json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["scenario"] == "orders"
    assert [one["needed"] for one in told["faults"]] == [True]
    assert told["nearest"]["kind"] == "fault"


def test_the_story_needs_no_run(history: Path, command: Command) -> None:
    """From the history alone, though the scenario is gone, in each format."""
    Path("scenarios/orders.py").unlink()
    for form, begins in (("text", "   "), ("mermaid", "sequenceDiagram"), ("json", "{")):
        done = command("explain", str(history), "--story", "--format", form)
        assert done.code == 0, done.err
        assert done.out.startswith(begins)
        assert len(done.out.splitlines()) <= 24 or form == "json"
        assert "because" in done.out


def test_the_story_without_a_history(found: Path, command: Command) -> None:
    """A counterexample that has lost its history is run again."""
    (found / "history.jsonl").unlink()
    done = command("explain", str(found / "counterexample.json"), "--story")
    assert done.code == 0, done.err
    assert "expected: " in done.out


def test_what_is_mended_is_said(found: Path, command: Command) -> None:
    """Nothing breaks any more: one line, exit 1."""
    path = Path("scenarios/orders.py")
    path.write_text(path.read_text().replace("messages=2", "messages=0"))
    done = command("explain", str(found))
    assert done.code == 1
    assert done.err.startswith("orders: not reproduced: the run breaks none of ")
    assert "has changed since" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("explain", "nowhere.json"), "nowhere.json: cannot be read"),
        (("explain", "folder"), "has neither a counterexample.json nor a history.jsonl"),
        (("explain", "bad.json"), "is no counterexample"),
        (("explain", "bad.json", "--format", "mermaid"), "--format mermaid: is for a sequence chart. Add --story"),
        (("explain", "bad.json", "--format", "svg"), "svg"),
        (("replay", "bad.json", "--at", "0"), "0 is not in the range"),
        (("replay", "bad.json", "--pdb"), "--pdb: is for one event. Say which, with --at N"),
        (("replay", "bad.json", "--at", "3", "--pdb", "--json", "-"), "does not go with --pdb"),
    ],
)
def test_bad_input(project: Project, command: Command, arguments: tuple[str, ...], words: str) -> None:
    """One line, exit 2."""
    Path("folder").mkdir()
    Path("bad.json").write_text('{"a": 1}')
    done = command(*arguments)
    assert done.code == 2
    assert words in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_run_that_passed_has_nothing_to_explain(project: Project, command: Command) -> None:
    """A history without a violation: exit 2, and what to give instead."""
    runner.install()
    assert runner.run(load(project.scenario("fine", "main"))[0], out="made").verdict == "passed"
    done = command("explain", "made/fine/history.jsonl")
    assert done.code == 2
    assert "breaks no invariant. Give a run that failed" in done.err


def test_a_run_stops_at_an_event(found: Path, project: Project, command: Command) -> None:
    """The actor's stack with source and locals, as text and as JSON."""
    events = [json.loads(line) for line in (found / "history.jsonl").read_text().splitlines()[1:]]
    number = next(event["n"] for event in events if event["kind"] == "effect")
    done = command("replay", str(found), "--at", str(number), "--json", "stack.json")
    assert done.code == 0, done.err
    assert f"event {number} at " in done.out
    assert 'effect("done", number)' in done.out
    assert "number = 0" in done.out
    told = json.loads(Path("stack.json").read_text())
    assert told["event"]["n"] == number
    assert [frame["function"] for frame in told["frames"]] == ["main", "consume"]


def test_a_run_has_no_such_event(history: Path, command: Command) -> None:
    """Exit 2, and how many there are."""
    done = command("replay", str(history), "--at", "100000")
    assert done.code == 2
    assert "--at: is 100000, and the run has " in done.err


def test_pdb_in_a_terminal(found: Path, project: Project) -> None:
    """In a process of its own: the prompt stands at the line, and `continue` ends in the usual outcome."""
    events = [json.loads(line) for line in (found / "history.jsonl").read_text().splitlines()[1:]]
    number = next(event["n"] for event in events if event["kind"] == "effect")
    command = [sys.executable, "-m", "harness", "replay", str(found), "--at", str(number), "--pdb"]
    done = subprocess.run(
        command,
        input="p number\ncontinue\n",
        capture_output=True,
        text=True,
        timeout=120,
        cwd=project.folder,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '-> effect("done", number)' in done.stdout
    assert "(Pdb) 0" in done.stdout
    assert "orders: reproduced" in done.stdout
