"""``harness demo``: two findings from nothing, files that replay, and nobody's files lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import gallery
from harness.cli.demo import make
from tests.unit.cli.conftest import Done

Command = Callable[..., Done]

FILES = {
    "demo.json",
    "history.jsonl",
    "scenario.py",
    "timeline.png",
    "tutorial_consumer.py",
    *(
        f"{folder}/{name}"
        for folder, test in (("lost", "no_message_loss"), ("twice", "effects_once"))
        for name in (
            "counterexample.json",
            "history.jsonl",
            "story.txt",
            f"test_tutorial_consumer_{test}.py",
        )
    ),
}
#: The consumer mended as far as one file can: it deletes what was handled, and nothing else.
MENDED = (
    "            finally:\n                sqs.delete_message(",
    "            else:\n                sqs.delete_message(",
)


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command in a fresh process, without anything of this project's settings."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "HARNESS", "COV"))}
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=cwd, timeout=120, env=environ
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo's folder in a project without any configuration."""
    folder = tmp_path_factory.mktemp("project") / "reports" / "demo"
    make(folder)
    return folder


def test_it_finds_tells_and_writes(command: Command) -> None:
    """Both stories are shown, everything stands in reports/demo, and the exit code is 0."""
    done = command("demo")
    assert done.code == 0, done.err
    assert _files(Path("reports/demo")) == FILES
    assert [path.name for path in Path("reports").iterdir()] == ["demo"]
    for part in (
        "✗ It loses a message  (no-message-loss, seed ",
        "✗ It handles a message twice  (effects-once, seed ",
        "deleted it from orders as if it had been handled, but nothing had been done for it",
        "  because  ",
        "replay reports/demo/lost/counterexample.json",
        "reports/demo/twice/test_tutorial_consumer_effects_once.py",
        "Both in one picture: reports/demo/timeline.png",
        "Mend reports/demo/tutorial_consumer.py",
    ):
        assert part in done.out
    assert all(line == line.rstrip() for line in done.out.splitlines())
    assert Path("reports/demo/timeline.png").read_bytes().startswith(b"\x89PNG")


def test_json_alone_is_on_standard_output(command: Command) -> None:
    """--json - gives one document with both findings; the stories go to standard error."""
    done = command("demo", "--seed", "7", "--out", "here", "--json", "-")
    assert done.code == 0
    told = json.loads(done.out)
    assert told == json.loads(Path("here/demo.json").read_text())
    assert (told["seed"], told["complete"], told["folder"]) == (7, True, "here")
    assert [one["invariant"] for one in told["findings"]] == ["no-message-loss", "effects-once"]
    for one in told["findings"]:
        assert one["replay"] == f"harness replay {one['counterexample']}"
        assert Path(one["counterexample"]).is_file()
        assert Path(one["history"]).is_file()
        assert Path(one["test"]).is_file()
        assert set(one["story"]) == {"invariant", "key", "lines", "expected", "seen", "because"}
        assert len(one["story"]["lines"]) <= 7
    assert "It loses a message" in done.err


def test_the_same_seed_writes_the_same_bytes(made: Path, tmp_path: Path) -> None:
    """Two demos of one seed differ in nothing but the name of their folder."""
    make(tmp_path / "again")
    for name in FILES - {"demo.json"}:
        assert (tmp_path / "again" / name).read_bytes() == (made / name).read_bytes(), name


def test_a_demo_replaces_a_demo(command: Command) -> None:
    """A second demo replaces the first as a whole, what pytest and Python left beside it too."""
    assert command("demo").code == 0
    Path("reports/demo/lost/leftover").write_text("")
    Path("reports/demo/__pycache__").mkdir()
    assert command("demo", "--seed", "3").code == 0
    assert _files(Path("reports/demo")) == FILES
    assert json.loads(Path("reports/demo/demo.json").read_text())["seed"] == 3


def test_what_somebody_wrote_is_not_lost(command: Command) -> None:
    """Another file in the folder, no demo's folder, a file in its place, an edited consumer: refused, untouched."""
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("x")
    Path("file").write_text("x")
    for out, says in (
        ("mine", "mine: holds notes.txt, which no demo wrote"),
        ("file", "file: is no folder"),
        ("file/below", "cannot be written"),
    ):
        done = command("demo", "--out", out)
        assert (done.code, done.out) == (2, "")
        assert says in done.err
        assert done.err.count("\n") == 1
    assert command("demo", "--out", "made").code == 0
    consumer = Path("made/tutorial_consumer.py")
    consumer.write_text(consumer.read_text() + "# mended\n")
    done = command("demo", "--out", "made")
    assert done.code == 2
    assert "made/tutorial_consumer.py: was edited, and a new demo would replace it" in done.err
    assert consumer.read_text().endswith("# mended\n")


def test_arguments_that_are_wrong(command: Command) -> None:
    """A seed that is none, or a JSON file that cannot be written, are refused before anything runs."""
    for arguments in (["--seed", "x"], ["--seed", "-1"], ["--json", "no/such/file.json"], ["--nonsense"]):
        done = command("demo", *arguments)
        assert done.code == 2
        assert done.err.count("\n") == 1
    assert not Path("reports").exists()


@pytest.mark.parametrize("plans", [0, 1])
def test_an_interrupted_demo_writes_nothing(tmp_path: Path, plans: int) -> None:
    """Ctrl-C in a run, or when all was found: the demo ends, an earlier one is kept, nothing else is left."""
    heard: list[int] = []
    make(tmp_path / "demo", 5)
    before = (tmp_path / "demo" / "demo.json").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "demo", told=lambda tried, result: heard.append(tried), stopped=lambda: len(heard) >= plans)
    assert len(heard) == plans
    assert (tmp_path / "demo" / "demo.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_not_both_found_is_inconclusive(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too few plans the demo says so, writes what it has, and ends with 4."""
    from harness.explore import demo

    monkeypatch.setattr(demo, "draw", lambda seed: demo.FaultPlan())
    monkeypatch.setattr(demo, "TRIES_MAX", 2)
    done = command("demo")
    assert done.code == 4
    assert "Not everything was found: try another --seed." in done.out
    assert _files(Path("reports/demo")) == {"demo.json", "scenario.py", "tutorial_consumer.py"}


def test_a_module_of_the_same_name_changes_nothing(command: Command) -> None:
    """A tutorial_consumer.py of the user's in the current folder is not what the demo runs."""
    Path("tutorial_consumer.py").write_text("raise SystemExit('mine')\n")
    assert command("demo").code == 0


def test_a_proxy_of_the_user_changes_nothing(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who works behind a proxy gets the same demo: a run has no proxies."""
    monkeypatch.setenv("http_proxy", "http://10.0.0.1:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://10.0.0.1:3128")
    assert command("demo").code == 0
    assert "connection broke" in Path("reports/demo/lost/story.txt").read_text()


def test_from_nothing_in_fifteen_seconds(tmp_path: Path) -> None:
    """A fresh process in an empty folder has it all within fifteen seconds, as a newcomer sees it."""
    began = time.perf_counter()
    done = _run("harness", "demo", cwd=tmp_path)
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stderr
    assert took < 15
    assert _files(tmp_path / "reports" / "demo") == FILES


def test_the_written_tests_fail_with_the_story(made: Path, tmp_path: Path) -> None:
    """`pytest FOLDER` from another folder, in a project without any configuration: both fail and tell why."""
    done = _run("pytest", "-p", "no:cacheprovider", str(made), cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 failed" in done.stdout
    for folder in ("lost", "twice"):
        for line in (made / folder / "story.txt").read_text().splitlines():
            assert f"E       {line}" in done.stdout
        assert f"again: harness replay {made}/{folder}/counterexample.json" in done.stdout
    assert "NoMessageLossViolated: no-message-loss:" in done.stdout
    assert "EffectsOnceViolated: effects-once:" in done.stdout


def test_a_mended_consumer_passes_the_written_test(tmp_path: Path) -> None:
    """Who mends the loss sees its test pass, and the other one, which needs more, fail still."""
    make(tmp_path / "demo")
    consumer = tmp_path / "demo" / "tutorial_consumer.py"
    before, after = MENDED
    assert before in consumer.read_text()
    consumer.write_text(consumer.read_text().replace(before, after))
    lost = _run("pytest", "-p", "no:cacheprovider", str(tmp_path / "demo" / "lost"), cwd=tmp_path)
    assert lost.returncode == 0, lost.stdout
    twice = _run("pytest", "-p", "no:cacheprovider", str(tmp_path / "demo" / "twice"), cwd=tmp_path)
    assert twice.returncode == 1, twice.stdout
    replayed = _run("harness", "replay", str(tmp_path / "demo" / "lost"), cwd=tmp_path)
    assert replayed.returncode == 1, replayed.stdout
    assert "tutorial-consumer: not reproduced (verdict: passed" in replayed.stdout


def test_findings_replay_in_a_fresh_process_from_another_folder(made: Path, tmp_path: Path) -> None:
    """Counterexamples and histories, each byte for byte, under any hash seed; the story is shown again."""
    for name, says in (
        ("lost/counterexample.json", "tutorial-consumer: reproduced (verdict: failed"),
        ("twice", "tutorial-consumer: reproduced (verdict: failed"),
        ("twice/history.jsonl", "tutorial-consumer: reproduced, byte for byte (verdict: failed"),
        ("history.jsonl", "tutorial-consumer: reproduced, byte for byte (verdict: failed"),
    ):
        done = _run("harness", "replay", str(made / name), cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.startswith(says)
        assert "Traceback" not in done.stderr
    assert "as if it had been handled" in _run("harness", "replay", str(made / "lost"), cwd=tmp_path).stdout


def test_the_gallery_is_what_the_demo_draws(made: Path, tmp_path: Path) -> None:
    """`python -m benchmarks.gallery` writes the picture of a demo without a seed, byte for byte."""
    gallery.main(tmp_path)
    assert (tmp_path / "demo-timeline.png").read_bytes() == (made / "timeline.png").read_bytes()
    assert (gallery.FOLDER / "demo-timeline.png").is_file()
