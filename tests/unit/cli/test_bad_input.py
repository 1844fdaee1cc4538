"""Bad input: one line with file, field and remedy, exit 2, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Done
from tests.unit.cli.project import Project

Command = Callable[..., Done]


def _one_line(done: Done) -> str:
    assert done.code == 2, done.err
    assert done.out == ""
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("harness: ")
    assert "Traceback" not in done.err
    assert not Path("reports").exists()
    return done.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rum"], "No such command 'rum'. Did you mean 'run'?"),
        (["run", "clam"], "no scenario is called 'clam' in scenarios. Did you mean 'calm'?"),
        (["run", "nowhere.py"], "nowhere.py: is not there. Give the path of a scenario file or folder"),
        (["run", "scenarios/calm.py::clam"], "defines no scenario called 'clam'. Did you mean 'calm'?"),
        (["run", "--seed", "many"], "Invalid value for '--seed'"),
        (["run", "--seed", "-1"], "Invalid value for '--seed'"),
        (["run", "-j", "0"], "Invalid value for '-j'"),
        (["run", "--backend", "moon"], "Invalid value for '--backend'"),
        (["run", "--jsom", "x"], "No such option '--jsom'"),
        (["run", "--json", "-", "--junit", "-"], "want standard output both. Give one of them a file"),
        (["run", "--json", "no/such/out.json"], "no/such/out.json: --json: cannot be written"),
        (["run", "--junit", "scenarios"], "scenarios: --junit: is a folder"),
        (["check", "gone.jsonl"], "gone.jsonl: cannot be read"),
        (["check", "scenarios/calm.py"], "scenarios/calm.py: line 1: is not JSON"),
        (["replay", "gone.json"], "gone.json: cannot be read"),
        (["check"], "Missing argument"),
    ],
)
def test_arguments(project: Project, command: Command, arguments: list[str], expected: str) -> None:
    """Each wrong argument is named with what to do."""
    project.scenario("calm")
    assert expected in _one_line(command(*arguments))


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("effects=,", "has a syntax error"),
        ('faults=[Fault("aws.sqs.Nonsense", "throttled")],', "Nonsense"),
        ('faults=[Fault("aws.sqs.DeleteMessage", "gremlins")],', "gremlins"),
        ('faults=[Fault("aws.sqs.DeleteMessage", "throttled", start=9, end=3)],', "end"),
        ('faults=[Fault("aws.sqs.DeleteMessage", "throttled", probability=1.5)],', "probability"),
        ('faults=[Fault("handler", "transient")],', "handler"),
        ('faults=[Fault("process.nobody", "crash", start=1)],', "nobody"),
        ("duration=-1,", "duration"),
        ("nonsense=1,", "nonsense"),
    ],
)
def test_scenario_files(project: Project, command: Command, rest: str, expected: str) -> None:
    """A scenario file that is wrong is named with the field, before anything runs."""
    project.scenario("calm")
    path = project.scenario("wrong", rest=rest)
    line = _one_line(command("run"))
    assert str(path) in line
    assert expected in line


def test_a_name_found_twice_shows_both_files(project: Project, command: Command) -> None:
    """Two files with one name are an error, whether the name is given or not."""
    first, second = project.scenario("calm"), project.scenario("calm", file="deep/again.py")
    for arguments in (["run"], ["run", "calm"], ["list"]):
        line = _one_line(command(*arguments))
        assert "the name 'calm' is found twice" in line
        assert str(first) in line
        assert str(second) in line


def test_a_report_never_replaces_other_files(project: Project, command: Command) -> None:
    """--out at a folder that holds something else is refused."""
    project.scenario("calm")
    assert "scenarios: is a folder with something else" in _one_line(command("run", "--out", "scenarios"))


def test_settings(project: Project, command: Command) -> None:
    """An unknown key in harness.toml is named with the nearest one."""
    project.scenario("calm")
    Path("harness.toml").write_text("sede = 1\n")
    line = _one_line(command("run"))
    assert "harness.toml: sede: is unknown. Did you mean 'seed'?" in line


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data[: len(data) // 2], "is cut off in the middle of its last line"),
        (lambda data: data.replace(b'"version":1', b'"version":9', 1), "has version 9, this harness reads version 1"),
        (lambda data: b'{"schema":"other-tool"}\n', "is not a history of this tool"),
        (lambda data: b"", "is empty"),
        (lambda data: data.replace(b"no-message-loss", b"no-message-lost", 1), ""),
        (lambda data: data.replace(b'"parameters":{}', b'"parameters":{"x":1}', 1), "line 1, invariants[0]: does not"),
    ],
)
def test_histories(
    project: Project, command: Command, change: Callable[[bytes], bytes], expected: str, tmp_path: Path
) -> None:
    """A history that is cut off, or of another version or tool, is named; an unknown invariant is not passed."""
    project.scenario("calm")
    assert command("run", "--out", "made").code == 0
    path = Path("made/calm/history.jsonl")
    path.write_bytes(change(path.read_bytes()))
    done = command("check", str(path))
    if expected:
        assert expected in _one_line(done)
    else:
        assert done.code == 4
        assert "no-message-lost" in done.out


def test_a_missing_extra_says_what_to_install(
    project: Project, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without matplotlib, say, the command ends with the line to install it and exit 3."""
    import sys

    project.scenario("calm")
    for name in ("harness.report.folder", "harness.report.index"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "rich", None)  # as the import system sees what is not there
    monkeypatch.setitem(sys.modules, "rich.console", None)
    done = command("run")
    assert done.code == 3
    assert "rich is not installed. Install it with: pip install 'resilience-harness[sim]'" in done.err
