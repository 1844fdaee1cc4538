"""``harness replay``: the same bytes, or the first difference."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.explore.counterexample import Counterexample
from harness.history import History
from harness.invariants.base import Verdict
from harness.loading import file_digest
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


def _in_a_fresh_process(file: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "HARNESS"))}
    return subprocess.run(
        [sys.executable, "-m", "harness", "replay", str(file.resolve())],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        env={**environ, "PYTHONHASHSEED": "random"},
    )


def test_from_any_folder(history: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A fresh process in an unrelated folder finds scenario and modules of the project that the files are in."""
    file = _counterexample(history, "no-message-loss")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for saved, says in ((history, "lossy: reproduced, byte for byte"), (file, "lossy: reproduced (verdict")):
        done = _in_a_fresh_process(saved, elsewhere)
        assert (done.returncode, done.stdout[: len(says)]) == (0, says), done.stderr


def test_the_story_is_told_again(history: Path, command: Command) -> None:
    """A reproduced counterexample shows what happened; --json holds it too."""
    file = _counterexample(history, "no-message-loss")
    done = command("replay", str(file))
    assert "  because:  worker deleted the message and did nothing for it" in done.out
    told = json.loads(command("replay", str(file), "--json", "-").out)
    assert told["story"][0] == "no-message-loss:"
    assert len(told["story"]) <= 11


def test_another_environment_is_named_first(history: Path, command: Command) -> None:
    """Versions that differ stand before the outcome, which says whether the history is another one, and from where."""
    file = _counterexample(history, "no-message-loss")
    _edit(file, versions={"python": "3.9.1"})
    saved = History.load(file.parent / "history.jsonl")
    saved.events[4] = {**saved.events[4], "t": 99.0}
    saved.save(file.parent / "history.jsonl")
    done = command("replay", str(file))
    assert done.code == 0
    notes, outcome, difference = (
        [line for line in done.out.splitlines() if line.startswith("note: ")],
        next(line for line in done.out.splitlines() if line.startswith("lossy: ")),
        next(line for line in done.out.splitlines() if "first difference at event" in line),
    )
    assert any(line.startswith("note: python was 3.9.1 and is ") for line in notes)
    assert done.out.splitlines()[: len(notes) + 1] == [*notes, outcome]
    assert outcome == ("lossy: reproduced with a different history (first difference at 5) (verdict: failed, seed 3)")
    assert "first difference at event 5: " in difference
    assert "t=99.0" in difference
    assert "likely cause" not in done.out


def test_a_history_that_is_gone_is_said(history: Path, command: Command) -> None:
    """Without its history a counterexample is judged by its verdict, and that is said."""
    file = _counterexample(history, "no-message-loss")
    (file.parent / "history.jsonl").unlink()
    done = command("replay", str(file))
    assert done.code == 0
    assert done.out.startswith("note: the history history.jsonl is not there: the verdicts alone are compared\n")


def test_a_changed_scenario_is_refused(history: Path, command: Command) -> None:
    """A scenario file with another digest is wrong input; --changed replays it as it is now."""
    file = _counterexample(history, "no-message-loss")
    path = Path("scenarios/lossy.py")
    _edit(file, scenario={"file": str(path), "name": "lossy", "digest": file_digest(path)})
    assert command("replay", str(file)).code == 0
    path.write_text(path.read_text().replace(":lossy", ":main"))
    done = command("replay", str(file))
    assert (done.code, done.out) == (2, "")
    assert "lossy.py: has changed since the counterexample was found" in done.err
    assert "--changed" in done.err
    done = command("replay", str(file), "--changed")
    assert done.code == 1
    assert done.out.startswith("note: the scenario's file scenarios/lossy.py has changed since\nlossy: not reproduced")


def test_a_run_that_ends_as_error_is_no_answer(
    history: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that cannot go on says neither yes nor no: exit 3 with the reason."""
    from harness.environments.simulated import SimulatedRun
    from harness.errors import Stalled

    def stalls(run: SimulatedRun) -> None:
        raise Stalled("worker blocked in reality")

    file = _counterexample(history, "no-message-loss")
    monkeypatch.setattr(SimulatedRun, "execute", stalls)
    done = command("replay", str(file))
    assert done.code == 3
    assert "lossy: not reproduced (verdict: error, seed 3)\n  worker blocked in reality" in done.out


def test_a_scenario_that_cannot_run_here_is_no_answer(history: Path, command: Command) -> None:
    """What it needs is not installed: left out, exit 4, with what is missing."""
    file = _counterexample(history, "no-message-loss")
    path = Path("scenarios/lossy.py")
    path.write_text(path.read_text().replace("effects=", 'needs=("no_such_module",), effects='))
    done = command("replay", str(file))
    assert done.code == 4
    assert "it needs no_such_module, which is not installed" in done.out


def _edit(file: Path, **fields: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def test_what_a_file_is_is_told_by_its_content(history: Path, command: Command) -> None:
    """A history that is called x.json, and a folder with a history alone, are replayed as what they are."""
    Path("renamed.json").write_bytes(history.read_bytes())
    for argument in ("renamed.json", "made/lossy"):
        assert "reproduced, byte for byte" in command("replay", argument).out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[: len(data) // 2], "is not JSON: it is cut off or was edited"),
        (
            lambda data: data.replace('"version": 1,\n  "scenario"', '"version": 7,\n  "scenario"'),
            "version: is 7, this",
        ),
        (lambda data: '{"findings": [], "tool": "another"}', "is no counterexample: it has findings, tool"),
        (
            lambda data: data.replace("scenarios/lossy.py", "scenarios/gone.py"),
            "'scenarios/gone.py', which is not there",
        ),
        (lambda data: data.replace('"name": "lossy"', '"name": "glossy"'), "has no scenario 'glossy'. It has lossy"),
        (lambda data: data.replace('"seed": 3', '"seed": "three"'), "seed: is 'three'. Give a whole number"),
    ],
)
def test_counterexamples_that_are_wrong(
    history: Path, command: Command, change: Callable[[str], str], says: str
) -> None:
    """Cut off, of another version or tool, its scenario gone, a wrong value: one line, exit 2, nothing run."""
    file = _counterexample(history, "no-message-loss")
    text = change(file.read_text())
    assert text != file.read_text()
    file.write_text(text)
    _refused(command("replay", str(file)), says)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[: len(data) // 2], "is cut off in the middle of its last line"),
        (lambda data: data.replace(b'"version":1', b'"version":9', 1), "has version 9, this harness reads version 1"),
        (lambda data: b'{"schema":"other-tool"}\n', "is not a history of this tool"),
        (lambda data: b"", "is empty"),
        (lambda data: b"what is this", "is not JSON"),
        (lambda data: data.replace(b'"seed":3', b'"seed":true', 1), "line 1, seed: is True. The file was edited"),
        (lambda data: data.replace(b'"backend"', b'"bakcend"', 1), "line 1, backend: is missing"),
        (lambda data: data.replace(b'"faults":[]', b'"faults":[{}]', 1), "line 1, plan.faults[0]"),
    ],
)
def test_histories_that_are_wrong(history: Path, command: Command, change: Callable[[bytes], bytes], says: str) -> None:
    """Cut off, of another version or tool, empty, edited: one line with the place, exit 2."""
    history.write_bytes(change(history.read_bytes()))
    _refused(command("replay", str(history)), says)


def test_files_that_are_not_there(project: Project, command: Command) -> None:
    """A path that is nothing, and a folder with nothing in it."""
    _refused(command("replay", "gone/counterexample.json"), "gone/counterexample.json: cannot be read (No such file")
    _refused(command("replay", "gone.jsonl"), "gone.jsonl: cannot be read (No such file")
    Path("empty").mkdir()
    _refused(command("replay", "empty"), "empty: has neither a counterexample.json nor a history.jsonl")


def _refused(done: Done, says: str) -> None:
    assert (done.code, done.out) == (2, ""), done.err
    assert done.err.count("\n") == 1, done.err
    assert says in done.err
    assert "Traceback" not in done.err
