"""``harness report`` and ``harness compare`` on folders of saved runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.history import History
from tests.unit.cli.conftest import Done
from tests.unit.cli.project import Project

Command = Callable[..., Done]


@pytest.fixture
def ran(project: Project, command: Command) -> Project:
    """A project whose scenario was run into ``made``."""
    project.scenario("calm")
    assert command("run", "--out", "made").code == 0
    return project


def test_saved_runs_make_one_report(ran: Project, command: Command) -> None:
    """The page, its results and the copied history stand in the new folder; the old one is as it was."""
    before = sorted(Path("made").rglob("*"))
    done = command(
        "report", "made", "--out", "again", "--json", "out.json", "--junit", "out.xml", "--markdown", "out.md"
    )
    assert done.code == 0, done.err
    assert "report: again/index.html" in done.out
    assert sorted(Path("made").rglob("*")) == before
    assert Path("again/calm/history.jsonl").read_bytes() == Path("made/calm/history.jsonl").read_bytes()
    (entry,) = json.loads(Path("out.json").read_text())["scenarios"]
    assert (entry["verdict"], entry["history"]) == ("passed", str(Path("again/calm/history.jsonl").absolute()))
    assert "harness run" in entry["command"]
    assert "calm" in Path("out.md").read_text()
    assert Path("out.xml").read_bytes().startswith(b"<?xml")


def test_a_failing_run_stands_beside_one_that_passed(ran: Project, command: Command) -> None:
    """The first difference between a broken history and the run that passed is on the page, marked."""
    history = History.load("made/calm/history.jsonl")
    lost = next(event for event in history.events if event["kind"] == "effect")
    kept = [event for event in history.events if event is not lost]
    broken = History(history.header, [{**event, "n": n} for n, event in enumerate(kept, start=1)])
    Path("bad").mkdir()
    broken.save(Path("bad/history.jsonl"))
    done = command("report", "bad/history.jsonl", "made", "--out", "both")
    assert done.code == 0, done.err
    page = Path("both/index.html").read_text()
    assert "first difference" in page
    assert f"The first {lost['n'] - 1} events are the same" in page
    assert "harness replay bad/history.jsonl" in page
    assert Path("both/calm-2/timeline.svg").is_file()


def test_a_run_named_twice_is_there_once(ran: Project, command: Command) -> None:
    """A folder and a file in it name one run."""
    done = command("report", "made", "made/calm/history.jsonl", "--json", "-")
    assert len(json.loads(done.out)["scenarios"]) == 1


def test_what_was_left_out_stays_in_the_report(ran: Project, command: Command) -> None:
    """A scenario without a history is known by the results beside the others."""
    results = json.loads(Path("made/results.json").read_text())
    gone = {**results["scenarios"][0], "name": "elsewhere", "verdict": "left out", "history": None, "messages": {}}
    Path("made/results.json").write_text(json.dumps({"scenarios": [*results["scenarios"], gone]}))
    done = command("report", "made", "--json", "-")
    assert [one["verdict"] for one in json.loads(done.out)["scenarios"]] == ["passed", "left out"]


@pytest.mark.parametrize(
    ("make", "place", "message"),
    [
        (lambda: None, "nowhere", "nowhere: is not there"),
        (lambda: Path("empty").mkdir(), "empty", "empty: has no history in it"),
    ],
)
def test_what_is_no_saved_run_is_refused(
    project: Project, command: Command, make: Callable[[], None], place: str, message: str
) -> None:
    """One line that names the place, exit 2, and no report."""
    make()
    done = command("report", place, "--out", "out")
    assert done.code == 2
    assert message in done.err
    assert not Path("out").exists()


def test_compare_shows_changes_and_keeps_limits(ran: Project, command: Command) -> None:
    """A recovery that became longer is shown, and fails where a limit says so."""
    shutil.copytree("made", "old")
    for folder, seconds in (("old", 10.0), ("made", 13.0)):
        path = Path(folder, "results.json")
        results = json.loads(path.read_text())
        results["scenarios"][0]["recovery_seconds"] = seconds
        path.write_text(json.dumps(results))
    shown = command("compare", "old", "made")
    assert (shown.code, "recovery 10 s → 13 s (+30 %)" in shown.out) == (0, True)
    assert command("compare", "old", "made", "--fail-on", "recovery=+50%").code == 0
    done = command("compare", "old", "made", "--fail-on", "recovery=+20%", "--json", "c.json", "--markdown", "c.md")
    assert done.code == 1
    assert "past the limit recovery=+20%" in done.out
    document = json.loads(Path("c.json").read_text())
    assert document["past_limits"] == ["recovery=+20%: calm: recovery 10 s → 13 s (+30 %)"]
    assert "recovery" in Path("c.md").read_text()
    assert "nothing changed" in command("compare", "old", "old").out


def test_compare_fails_on_what_newly_fails(ran: Project, command: Command) -> None:
    """``--fail-on failing`` is for pipelines that accept old failures and no new ones."""
    shutil.copytree("made", "worse")
    path = Path("worse/results.json")
    path.write_text(path.read_text().replace('"verdict": "passed"', '"verdict": "failed"'))
    assert command("compare", "made", "worse").code == 0
    done = command("compare", "made", "worse", "--fail-on", "failing")
    assert (done.code, "newly failing: calm" in done.out) == (1, True)
    assert command("compare", "worse", "made", "--fail-on", "failing").code == 0


@pytest.mark.parametrize("text", ['{"scenarios": 3}', "[]", "not json", '{"scenarios": [{"name": 1}]}'])
def test_results_that_are_none_are_refused(project: Project, command: Command, text: str) -> None:
    """One line with the file's name, exit 2."""
    Path("results.json").write_text(text)
    done = command("compare", "results.json", "results.json")
    assert (done.code, "results.json: is no result" in done.err) == (2, True)
    assert "Traceback" not in done.err


def test_a_report_says_what_changed_since_the_one_it_replaces(ran: Project, command: Command) -> None:
    """Run twice into one place: the second page compares with the first."""
    ran.scenario("another")
    assert command("run", "--out", "made").code == 0
    page = Path("made/index.html").read_text()
    assert "Compared with the report of" in page
    assert "another</a> (passed)" in page
