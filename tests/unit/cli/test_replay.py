"""``harness replay``: the same bytes, or the first difference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.explore.counterexample import Counterexample
from harness.history import History
from harness.invariants.base import Verdict
from tests.unit.cli.conftest import Done
from tests.unit.cli.project import Project

Command = Callable[..., Done]


@pytest.fixture
def history(project: Project, command: Command) -> Path:
    """The history of a run that lost a message."""
    project.scenario("lossy", "lossy")
    assert command("run", "--out", "made", "--seed", "3").code == 1
    return Path("made/lossy/history.jsonl")


def test_a_history_is_reproduced_byte_for_byte(history: Path, command: Command) -> None:
    """Seed and plan of the header give the same events; the verdict is in the output."""
    done = command("replay", str(history))
    assert done.code == 0
    assert "lossy: reproduced, byte for byte (verdict: failed, seed 3)" in done.out
    assert "no-message-loss" in done.out


def test_what_a_consumer_prints_is_not_in_the_output(history: Path, command: Command) -> None:
    """With --json - the output is one JSON document."""
    done = command("replay", str(history), "--json", "-")
    told = json.loads(done.out)
    assert (told["reproduced"], told["first_difference"], told["verdict"]) == (True, None, "failed")
    assert "handled 3" in done.err


def test_a_changed_scenario_is_not_reproduced(history: Path, command: Command) -> None:
    """Another number of messages: exit 1, with the first event that differs."""
    path = Path("scenarios/lossy.py")
    path.write_text(path.read_text().replace("messages=6", "messages=5"))
    done = command("replay", str(history))
    assert done.code == 1
    assert "not reproduced (first difference at event " in done.out
    assert "the code has changed since" in done.out


def test_a_history_of_another_version_says_so(history: Path, command: Command) -> None:
    """Versions that differ are named before a cause is guessed."""
    loaded = History.load(history)
    header = {**loaded.header, "versions": {**loaded.header["versions"], "botocore": "1.0"}}
    History(header, loaded.events[:-2]).save(history)
    done = command("replay", str(history))
    assert done.code == 1
    assert "botocore was 1.0 and is " in done.out
    assert "likely cause" not in done.out


def test_the_scenario_is_found_by_name_where_its_file_has_moved(history: Path, command: Command) -> None:
    """A history's file may be elsewhere now: the name in the settings' folders is enough."""
    Path("scenarios/lossy.py").rename("scenarios/moved.py")
    assert command("replay", str(history)).code == 0


def test_a_scenario_that_is_gone_is_named(history: Path, command: Command) -> None:
    """Nothing of that name anywhere: one line, exit 2."""
    path = Path("scenarios/lossy.py")
    path.write_text(path.read_text().replace('name="lossy"', 'name="another"'))
    done = command("replay", str(history))
    assert done.code == 2
    assert "lossy" in done.err
    assert done.err.count("\n") == 1


def _counterexample(history: Path, *names: str) -> Path:
    violated = [Verdict(name, "violated", "1 message lost", (3,)) for name in names]
    return Counterexample.of(History.load(history), violated).save("found", History.load(history)).file or Path()


def test_a_counterexample_is_reproduced(history: Path, command: Command) -> None:
    """The same invariant broken and the same history: exit 0, for the file and for its folder."""
    file = _counterexample(history, "no-message-loss")
    for argument in (str(file), str(file.parent)):
        done = command("replay", argument)
        assert done.code == 0, done.err
        assert "lossy: reproduced (verdict: failed, seed 3)" in done.out


def test_a_counterexample_that_is_mended_exits_1(history: Path, project: Project, command: Command) -> None:
    """The defect is gone: not reproduced, with the verdict now and what has changed."""
    file = _counterexample(history, "no-message-loss")
    path = Path("scenarios/lossy.py")
    path.write_text(path.read_text().replace(":lossy", ":main"))
    done = command("replay", str(file))
    assert done.code == 1
    assert "lossy: not reproduced (verdict: passed" in done.out
