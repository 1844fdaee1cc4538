"""The command as a process: Ctrl-C, workers, the hash seed, a reader that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.project import Project

_LIMIT_S = 60


def _environ(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    return {**kept, "COLUMNS": "140", **changes}


def _start(project: Project, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments],
        cwd=project.folder,
        env=_environ(**environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that the test started; none outlives it."""
    found: list[subprocess.Popen[str]] = []
    yield found
    for process in found:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(condition: object, process: subprocess.Popen[str]) -> None:
    """Wait until the callable *condition* is true, or fail with what the process said."""
    limit = time.monotonic() + _LIMIT_S
    while not condition():  # type: ignore[operator]
        if process.poll() is not None or time.monotonic() > limit:
            process.kill()
            pytest.fail(f"it ended first: {process.communicate()}")
        time.sleep(0.05)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_ends_with_130_and_a_partial_report(
    project: Project, started: list[subprocess.Popen[str]], jobs: str
) -> None:
    """What was done is reported, the older report's place holds a whole one, no process is left behind."""
    project.scenario("a-quick-one")
    project.scenario("b-long-one", "busy", messages=3, rest="duration=40_000_000,")
    project.scenario("c-another", "busy", messages=3, rest="duration=40_000_000,")
    process = _start(project, "run", "-j", jobs)
    started.append(process)
    work = project.folder / "reports"
    _until(lambda: any(work.glob(".latest.*/b-long-one/history.jsonl")), process)
    _until(lambda: any(work.glob(".latest.*/a-quick-one/timeline.svg")), process)
    time.sleep(2)  # from the picture, the last file, to the worker's answer
    children = _children(process.pid)
    assert len(children) == (2 if jobs == "2" else 0)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=_LIMIT_S)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "interrupted after" in err
    entries = {one["name"]: one for one in json.loads((work / "latest/results.json").read_text())["scenarios"]}
    assert entries["a-quick-one"]["verdict"] == "passed"
    assert all(one["reason"] == "interrupted" for name, one in entries.items() if name != "a-quick-one")
    assert "c-another" not in entries
    assert [path.name for path in work.iterdir()] == ["latest"]
    assert "1 passed" in out
    limit = time.monotonic() + 10
    while any(_alive(child) for child in children) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(_alive(child) for child in children)


def test_workers_end_when_their_parent_is_killed(project: Project, started: list[subprocess.Popen[str]]) -> None:
    """SIGKILL to the command leaves no worker behind, although nobody could tell them."""
    project.scenario("a-long-one", "busy", messages=3, rest="duration=40_000_000,")
    project.scenario("b-long-one", "busy", messages=3, rest="duration=40_000_000,")
    process = _start(project, "run", "-j", "2")
    started.append(process)
    _until(lambda: len(list((project.folder / "reports").glob(".latest.*/*/history.jsonl"))) == 2, process)
    children = _children(process.pid)
    assert len(children) == 2
    process.kill()
    limit = time.monotonic() + 10
    while any(_alive(child) for child in children) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(_alive(child) for child in children)


_HASHES = """
import json, os
with open(os.environ["SEEN"], "a") as file:
    file.write(json.dumps([os.environ.get("PYTHONHASHSEED"), hash("text")]) + "\\n")
"""


def test_the_hash_seed_is_fixed_unless_it_is_given(project: Project, started: list[subprocess.Popen[str]]) -> None:
    """Two plain starts hash alike; a PYTHONHASHSEED of the user's is kept."""
    path = project.folder / project.scenario("calm")
    path.write_text(path.read_text() + _HASHES)
    seen = project.folder / "seen"
    for environ in ({}, {}, {"PYTHONHASHSEED": "5"}):
        process = _start(project, "list", SEEN=str(seen), **environ)
        started.append(process)
        _, err = process.communicate(timeout=_LIMIT_S)
        assert process.returncode == 0, err
    first, second, third = (json.loads(line) for line in seen.read_text().splitlines())
    assert first == second
    assert first[0] == "0"
    assert third[0] == "5"
    assert third[1] != first[1]


def test_a_reader_that_goes_away_is_no_error(project: Project, started: list[subprocess.Popen[str]]) -> None:
    """``harness list | head -0`` ends quietly."""
    project.scenario("calm")
    process = _start(project, "list", "--json", "-")
    started.append(process)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.wait(timeout=_LIMIT_S)
    process.stderr.close()
    started.remove(process)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
