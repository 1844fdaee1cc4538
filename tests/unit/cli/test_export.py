"""``harness export`` writes what other viewers read; ``harness check`` reads spans back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Done
from tests.unit.cli.project import Project

Command = Callable[..., Done]


@pytest.mark.parametrize(
    ("form", "suffix", "begins"),
    [
        ("perfetto", ".perfetto-trace", b"\n"),
        ("otlp", ".otlp.jsonl", b'{"resourceSpans"'),
        ("svg", ".svg", b"<?xml"),
        ("png", ".png", b"\x89PNG"),
    ],
)
def test_each_format_is_written_beside_the_history(
    project: Project, command: Command, form: str, suffix: str, begins: bytes
) -> None:
    """Under its own suffix, and the command says where."""
    project.scenario("calm")
    command("run", "--out", "made")
    done = command("export", "made/calm/history.jsonl", "--format", form)
    assert done.code == 0, done.err
    path = Path("made/calm/history").with_suffix(suffix)
    assert path.read_bytes().startswith(begins)
    assert str(path) in done.out


def test_exported_spans_are_judged(project: Project, command: Command) -> None:
    """``check`` tells spans from a history by itself."""
    project.scenario("calm", rest='effects=effects.point("done"),')
    command("run", "--out", "made")
    assert command("export", "made/calm/history.jsonl", "--format", "otlp", "--out", "spans.jsonl").code == 0
    done = command("check", "spans.jsonl", "--json", "-")
    (entry,) = json.loads(done.out)["scenarios"]
    messages = entry["messages"]
    assert (entry["name"], messages["sent"], messages["lost"]) == ("spans", 6, 6 - messages["processed"])
    assert done.code == (1 if messages["lost"] else 0)


def test_what_is_no_history_is_refused(project: Project, command: Command) -> None:
    """One line, exit 2, nothing written."""
    Path("x.jsonl").write_text("{}\n")
    done = command("export", "x.jsonl", "--format", "otlp")
    assert (done.code, "x.jsonl" in done.err) == (2, True)
    assert not Path("x.otlp.jsonl").exists()
