"""``harness run``: verdicts, exit codes, files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.cli.run import exit_code
from tests.unit.cli.conftest import Done
from tests.unit.cli.project import Project

Command = Callable[..., Done]


def test_a_passed_run_writes_a_whole_report(project: Project, command: Command) -> None:
    """Exit 0; history, JSON, JUnit XML, a picture in both themes and the index are in reports/latest."""
    project.scenario("calm")
    done = command("run")
    assert done.code == 0, done.err
    names = sorted(str(path.relative_to("reports")) for path in Path("reports").rglob("*") if path.is_file())
    assert names == [
        "latest/calm/history.jsonl",
        "latest/calm/timeline.png",
        "latest/calm/timeline.svg",
        "latest/index.html",
        "latest/junit.xml",
        "latest/results.json",
        "latest/summary.md",
    ]
    (entry,) = json.loads(Path("reports/latest/results.json").read_text())["scenarios"]
    assert (entry["name"], entry["verdict"], entry["seed"]) == ("calm", "passed", 0)
    assert entry["messages"]["processed"] == 6
    assert Path(entry["history"]).is_file()
    assert "1 scenario: 1 passed" in done.out
    assert "[1/1] ✓ passed" in done.err


def test_a_violation_exits_1_and_shows_evidence_and_command(project: Project, command: Command) -> None:
    """The table's footer names invariant and command; both result files say failed."""
    path = project.scenario("lossy", "lossy")
    done = command("run", "--seed", "4", "--json", "out.json", "--junit", "out.xml", "--out", "elsewhere")
    assert done.code == 1
    assert "no-message-loss: 1 message lost" in done.out
    assert f"again: harness run {path} --seed 4" in done.out
    (entry,) = json.loads(Path("out.json").read_text())["scenarios"]
    assert entry["verdict"] == "failed"
    assert entry["invariants"][0]["evidence"]
    assert ElementTree.parse("out.xml").getroot().attrib["failures"] == "1"
    assert not Path("reports").exists()


def test_json_on_standard_output_is_alone_there(project: Project, command: Command) -> None:
    """With --json - the output is one JSON document, whatever the consumer prints."""
    project.scenario("calm")
    done = command("run", "--json", "-")
    assert [one["name"] for one in json.loads(done.out)["scenarios"]] == ["calm"]
    assert "handled 3" in done.err
    assert "1 scenario: 1 passed" in done.err


def test_inconclusive_exits_4_unless_allowed(project: Project, command: Command) -> None:
    """Without a declared effect nothing can be passed; --allow-inconclusive makes that exit 0."""
    project.scenario("vague", rest="")
    assert command("run").code == 4
    assert command("run", "--allow-inconclusive").code == 0
    assert ElementTree.parse("reports/latest/junit.xml").getroot().attrib["skipped"] == "1"


def test_a_fault_that_never_struck_is_inconclusive(project: Project, command: Command) -> None:
    """A plan that tested nothing is named, not passed."""
    rest = 'effects=effects.point("done"), faults=[Fault("aws.sqs.DeleteMessage", "throttled", nth=999)],'
    project.scenario("idle", rest=rest)
    done = command("run")
    assert done.code == 4
    assert "never struck" in done.out


def test_everything_left_out_exits_4(project: Project, command: Command) -> None:
    """A backend that no scenario names leaves all out: named, and no success."""
    project.scenario("calm")
    done = command("run", "--backend", "live")
    assert done.code == 4
    assert "– left out" in done.out
    assert "does not name the backend" in done.out


def test_names_files_folders_and_parts_of_files(project: Project, command: Command) -> None:
    """A name, a path, a folder and FILE::NAME mean the same scenario; naming it twice runs it once."""
    path = project.scenario("calm")
    project.scenario("other")
    for arguments in (["calm"], [str(path)], [f"{path}::calm"], ["calm", str(path)]):
        done = command("run", *arguments)
        assert "1 scenario: 1 passed" in done.out, done.err
    assert "2 scenarios: 2 passed" in command("run", "scenarios").out


def test_settings_are_taken_from_the_file(project: Project, command: Command) -> None:
    """Seed, output, folders and objectives of [tool.harness] are in force; a flag beats them."""
    project.scenario("calm", file="../chaos/calm.py")
    Path("harness.toml").write_text('scenarios = ["chaos"]\nseed = 5\nout = "made"\nobjectives = { rpo = 0 }\n')
    assert command("run").code == 0
    (entry,) = json.loads(Path("made/results.json").read_text())["scenarios"]
    assert entry["seed"] == 5
    assert entry["objectives"][0]["met"] is True
    command("run", "--seed", "6")
    assert json.loads(Path("made/results.json").read_text())["scenarios"][0]["seed"] == 6


def test_the_catalogue_is_the_default_and_has_a_name(project: Project, command: Command) -> None:
    """Without a folder of its own a project sees the built-in catalogue; --catalogue asks for it anyway."""
    names = [one["name"] for one in json.loads(command("list", "--json", "-").out)["scenarios"]]
    assert "sqs-throttling-storm" in names
    project.scenario("calm")
    assert [one["name"] for one in json.loads(command("list", "--json", "-").out)["scenarios"]] == ["calm"]
    again = [one["name"] for one in json.loads(command("list", "--catalogue", "--json", "-").out)["scenarios"]]
    assert again == names


def test_processes_give_the_same_results(project: Project, command: Command) -> None:
    """-j 2 reports the same verdicts, counts and histories, in the same order."""
    for name, function in (("a", "main"), ("b", "lossy"), ("c", "main")):
        project.scenario(name, function)
    results = []
    for out, arguments in (("one", []), ("two", ["-j", "2"])):
        assert command("run", "--out", out, *arguments).code == 1
        entries = json.loads(Path(out, "results.json").read_text())["scenarios"]
        for entry in entries:
            entry["bytes"] = Path(entry.pop("history")).read_bytes()
            del entry["wall_seconds"]
        results.append(entries)
    assert results[0] == results[1]


def test_a_process_that_dies_is_an_error_and_the_others_go_on(project: Project, command: Command) -> None:
    """A consumer that ends the interpreter costs its own verdict only."""
    for name, function in (("a", "main"), ("b", "dies"), ("c", "main")):
        project.scenario(name, function)
    done = command("run", "-j", "2", "--json", "-")
    assert done.code == 3
    entries = json.loads(done.out)["scenarios"]
    assert [entry["verdict"] for entry in entries] == ["passed", "error", "passed"]
    assert entries[1]["reason"] == "its process was killed by signal SIGSEGV"


def test_verify_passes_a_deterministic_scenario(project: Project, command: Command) -> None:
    """Twice the same bytes: the verdict stays."""
    project.scenario("calm")
    assert command("run", "--verify").code == 0


@pytest.mark.parametrize(
    ("function", "line", "cause"),
    [
        ("another_each_time", "skip = len(file.read())", "real I/O: open "),
        ("in_an_order", 'effect("done", id(thing))', "set order: "),
        ("at_the_real_time", 'effect("done", seen[0]', "a real clock: a value is today's"),
        ("beside_a_thread", 'effect("done", os.getpid())', "a thread: 1 real thread ran beside the simulation"),
    ],
)
def test_verify_names_the_first_difference(
    project: Project, command: Command, function: str, line: str, cause: str
) -> None:
    """Not deterministic: error, with the event, the stack of the actor in both runs, and the likely cause."""
    counter = project.folder / "counter"
    project.scenario("drifting", function, environ=f', "COUNTER": {str(counter)!r}')
    done = command("run", "--verify", "--json", "-")
    assert done.code == 3
    (entry,) = json.loads(done.out)["scenarios"]
    assert "not deterministic: first difference at event" in entry["reason"]
    assert f"Likely cause: {cause}" in entry["reason"]
    for which in ("first", "second"):
        assert f" of the {which} run:\n" in entry["reason"]
    if function != "another_each_time":  # where it is a later event that differs
        source = (project.folder / f"{project.module}.py").read_text().splitlines()
        number = next(number for number, text in enumerate(source, start=1) if line in text)
        assert entry["reason"].count(f"{project.module}.py:{number} in {function}") == 2


def test_no_live_run_is_verified(project: Project, command: Command) -> None:
    """Two live runs are never the same: refused, with the remedy."""
    project.scenario("calm")
    done = command("run", "--verify", "--backend", "live")
    assert done.code == 2
    assert "no two live runs are the same" in done.err


def test_preempt_finds_a_race_and_says_how_to_repeat_it(project: Project, command: Command) -> None:
    """A lost update between threads is in the history of a pre-empted run, and in none of an ordinary one."""
    path = project.scenario(
        "racing", "on_threads", rest=f'effects=effects.point("done"), preempt=["{project.module}"], duration=5,'
    )

    def counted(seeds: int, *arguments: str) -> set[str]:
        found = set()
        for seed in range(seeds):
            done = command("run", "--json", "-", "--seed", str(seed), *arguments)
            (entry,) = json.loads(done.out)["scenarios"]
            assert entry["command"] == " ".join(["harness run", str(path), "--seed", str(seed), *arguments])
            lines = Path(entry["history"]).read_text().splitlines()
            found |= {event["key"] for event in map(json.loads, lines) if event.get("name") == "counted"}
        return found

    assert counted(1) == {"60"}
    assert counted(2, "--preempt", "calls") - {"60"}


def test_preempt_without_modules_is_refused(project: Project, command: Command) -> None:
    """No scenario names a module, or the run is live: exit 2 with the line to add."""
    project.scenario("calm")
    done = command("run", "--preempt", "calls")
    assert done.code == 2
    assert 'Add preempt=["your.module"] to the scenario' in done.err
    assert command("run", "--preempt", "calls", "--backend", "live").code == 2


@pytest.mark.parametrize(
    ("verdicts", "allowed", "code"),
    [
        (["passed", "passed"], False, 0),
        (["passed", "left out"], False, 0),
        (["left out"], False, 4),
        (["left out"], True, 0),
        ([], False, 4),
        (["passed", "inconclusive"], False, 4),
        (["passed", "flaky"], True, 0),
        (["error", "inconclusive"], True, 3),
        (["failed", "error"], True, 1),
    ],
)
def test_exit_codes(verdicts: list[str], allowed: bool, code: int) -> None:
    """The worst verdict gives the code: failed 1, error 3, inconclusive or all left out 4, else 0."""
    assert exit_code([{"verdict": verdict} for verdict in verdicts], allow_inconclusive=allowed) == code


def test_shards_together_are_all(project: Project, command: Command) -> None:
    """Each scenario is in one part and no other, whatever the number of parts."""
    for name in ("a", "b", "c", "d", "e"):
        project.scenario(name)
    for count in (1, 2, 5):
        seen: list[str] = []
        for number in range(1, count + 1):
            done = command("run", "--shard", f"{number}/{count}", "--json", "-")
            assert done.code == 0, done.err
            seen += [each["name"] for each in json.loads(done.out)["scenarios"]]
        assert sorted(seen) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("shard", "says"),
    [
        ("0/2", "'0/2' is no part: give I/N with I from 1 to N"),
        ("3/2", "is no part"),
        ("half", "is no part"),
        ("2/2", "--shard: 2/2 has no scenario: there are 1. Use fewer parts"),
    ],
)
def test_shards_that_are_none(project: Project, command: Command, shard: str, says: str) -> None:
    """A part that is not there, or would run nothing, is refused: exit code 2."""
    project.scenario("alone")
    done = command("run", "--shard", shard)
    assert done.code == 2
    assert says in done.err
