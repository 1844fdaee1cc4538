"""harness init: a project that runs at once, and nothing of the user's that is overwritten."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from harness.starter import files
from tests.unit.cli.conftest import Done

Command = Callable[..., Done]


@pytest.fixture
def started(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new project in a folder of its own, the current one."""
    folder = tmp_path / "new"
    assert command("init", str(folder)).code == 0
    monkeypatch.chdir(folder)
    return folder


def test_everything_is_written_and_named(command: Command, tmp_path: Path) -> None:
    """Each file is said, and what to type next."""
    done = command("init", "new")
    assert (done.code, done.err) == (0, "")
    written = {str(path.relative_to(tmp_path / "new")) for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert written == set(files("github"))
    assert all(f"wrote new/{path}\n" in done.out for path in written)
    assert "Next:\n    cd new\n    harness run\n    pytest\n" in done.out


def test_its_scenario_passes_and_every_fault_strikes(started: Path, command: Command) -> None:
    """Under several seeds: passed, which a plan that did not strike would not be."""
    for seed in ("0", "1", "2"):
        done = command("run", "--seed", seed, "--out", "report")
        assert done.code == 0, done.out + done.err
        assert "1 scenario: 1 passed" in done.out


def _python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A module of Python's in the project, in a process of its own as a user has it."""
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_planted_defect_is_found(started: Path) -> None:
    """With the sign taken off, an order is lost, and the evidence says that it was deleted before it was charged."""
    worker = started / "shop" / "worker.py"
    text = worker.read_text()
    assert text.count("    # sqs.delete_message(") == 1
    worker.write_text(text.replace("    # sqs.delete_message(", "    sqs.delete_message("))
    done = _python(started, "harness", "run", "--out", "report")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no-message-loss: " in done.stdout
    assert re.search(r"\d messages? lost", done.stdout)


def test_its_tests_pass(started: Path) -> None:
    """By pytest as it is, with the settings that were written."""
    done = _python(started, "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_workflows_are_yaml_and_their_commands_are_ours(ci: str, command: Command) -> None:
    """Each harness command of a workflow is there with the options that it is given, and each file that it names."""
    wanted = files("github" if ci == "github" else "gitlab")
    (path,) = [path for path in wanted if path.endswith(".yml")]
    assert yaml.safe_load(wanted[path])
    commands = re.findall(r"harness (\w+)( [^\n;]*)?", re.sub(r"resilience-harness\S*|name: .*", "", wanted[path]))
    assert {name for name, _ in commands} >= {"run", "sweep", "search", "replay"}
    for name, rest in commands:
        text = command(name, "--help").out
        for option in re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", rest):
            assert option in text, f"{name} {option}"
        for file in re.findall(r"scenarios/\S+", rest):
            assert file in wanted


@pytest.mark.slow
@pytest.mark.parametrize("ci", ["github", "gitlab"])
def test_the_steps_of_a_workflow_pass(ci: str, started: Path, tmp_path: Path) -> None:
    """Each step of a pull request's job but the installation, in a shell as a CI runs it, with shorter limits."""
    wanted = files("github" if ci == "github" else "gitlab")
    (text,) = [text for path, text in wanted.items() if path.endswith(".yml")]
    document = yaml.safe_load(text)
    job = document["jobs"]["scenarios"]["steps"] if ci == "github" else document["scenarios"]["script"]
    steps = [step["run"] for step in job if "run" in step] if ci == "github" else job
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    for step in steps:
        if step.startswith("pip install"):
            continue
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", step],
            cwd=started,
            env={"PATH": path, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
    assert (started / "chaos.xml").exists()


def test_nothing_is_overwritten(command: Command, tmp_path: Path) -> None:
    """A file in the way ends it before anything is written."""
    (tmp_path / "new" / "shop").mkdir(parents=True)
    (tmp_path / "new" / "shop" / "worker.py").write_text("mine")
    done = command("init", "new")
    assert done.code == 2
    assert "new: shop/worker.py: already there" in done.err
    assert [path.name for path in (tmp_path / "new").rglob("*") if path.is_file()] == ["worker.py"]
    assert (tmp_path / "new" / "shop" / "worker.py").read_text() == "mine"


def test_a_pyproject_stays(command: Command, tmp_path: Path) -> None:
    """It is the user's: what belongs into it is said."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "pyproject.toml").write_text("[project]\n")
    done = command("init", "new", "--ci", "none")
    assert done.code == 0
    assert (tmp_path / "new" / "pyproject.toml").read_text() == "[project]\n"
    assert "new/pyproject.toml is yours" in done.out
    assert "chaos = true" in done.out
    assert not (tmp_path / "new" / ".github").exists()


def test_a_folder_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    """One line, exit code 2, nothing left."""
    (tmp_path / "file").write_text("")
    done = command("init", "file/new")
    assert done.code == 2
    assert "cannot be written" in done.err
    assert "Traceback" not in done.err
