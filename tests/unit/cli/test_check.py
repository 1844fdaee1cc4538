"""``harness check``: a saved history is judged from what is in it, and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.cli.judging import entry_of
from harness.history import History
from tests.unit.cli.conftest import Done
from tests.unit.cli.project import Project

Command = Callable[..., Done]


def _run(command: Command, code: int) -> tuple[Path, dict[str, Any]]:
    assert command("run", "--out", "made").code == code
    (entry,) = json.loads(Path("made/results.json").read_text())["scenarios"]
    return Path(entry["history"]), entry


def test_the_verdict_is_the_runs_own(project: Project, command: Command) -> None:
    """Judged again, a history gives the verdicts, counts, points and evidence of its run."""
    project.scenario("lossy", "lossy")
    path, ran = _run(command, 1)
    done = command("check", str(path), "--json", "-")
    assert done.code == 1
    (checked,) = json.loads(done.out)["scenarios"]
    for field in ("name", "verdict", "seed", "backend", "messages", "recovery_seconds", "faults", "invariants"):
        assert checked[field] == ran[field], field
    assert checked["command"] == f"harness check {path}"


def test_without_the_scenarios_file_it_is_judged_all_the_same(project: Project, command: Command) -> None:
    """The history alone is enough, years later."""
    scenario = project.scenario("calm")
    path, _ = _run(command, 0)
    scenario.unlink()
    assert command("check", str(path)).code == 0


def test_a_run_that_was_broken_off_is_no_pass(project: Project, command: Command) -> None:
    """A history without its end is an error, even where nothing in it is wrong so far."""
    project.scenario("calm")
    path, _ = _run(command, 0)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    done = command("check", str(path))
    assert done.code == 3
    assert "the history has no end" in done.out


def test_a_violation_in_a_broken_off_run_counts(project: Project, command: Command) -> None:
    """What the events show was broken is broken, however the run ended."""
    project.scenario("twice", rest='effects=effects.point("done"), invariants=[invariants.effects_once()],')
    path, _ = _run(command, 0)
    history = History.load(path)
    effect = history.of("effect")[0]
    again = {**effect, "n": len(history), "t": history.events[-1]["t"]}
    entry = entry_of(History(history.header, [*history.events[:-1], again]), "h")
    assert entry["verdict"] == "failed"
    assert entry["reason"] == "the history has no end: the run was broken off"


def test_an_unstruck_fault_is_told_again(project: Project, command: Command) -> None:
    """A plan of which a fault never struck is inconclusive from the history too."""
    rest = 'effects=effects.point("done"), faults=[Fault("aws.sqs.DeleteMessage", "throttled", nth=999)],'
    project.scenario("idle", rest=rest)
    path, _ = _run(command, 4)
    done = command("check", str(path))
    assert done.code == 4
    assert "at the 999th passing" in done.out
    assert command("check", str(path), "--allow-inconclusive").code == 0


def test_several_histories_have_a_table(project: Project, command: Command) -> None:
    """Each file is judged; the worst verdict gives the exit code."""
    project.scenario("calm")
    project.scenario("lossy", "lossy")
    assert command("run", "--out", "made").code == 1
    done = command("check", "made/calm/history.jsonl", "made/lossy/history.jsonl")
    assert done.code == 1
    assert "2 scenarios: 1 failed, 1 passed" in done.out
