"""Counterexamples as files."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HistoryError, UsageError
from harness.explore.counterexample import Counterexample, Violation, test_source
from harness.faults.plan import Fault, FaultPlan
from harness.history import History
from harness.invariants.base import Verdict
from tests.histories import HistoryBuilder

FOUND = Counterexample(
    scenario="delete answer lost",
    seed=7,
    plan=FaultPlan([Fault("aws.sqs.DeleteMessage", "timeout", side="after", start=10, end=70)]),
    violated=(Violation("effects-once", 'the effect "charged" happened twice', (3, 9)),),
    scenario_file="scenarios/x.py",
    scenario_digest="abc",
    schedule=(0, 1, 0),
    messages=3,
    versions={"python": "3.11.7", "botocore": "1.44.8"},
)


def test_the_format() -> None:
    """The JSON has the published fields."""
    assert FOUND.to_json() == {
        "version": 1,
        "scenario": {"file": "scenarios/x.py", "name": "delete answer lost", "digest": "abc"},
        "seed": 7,
        "plan": FOUND.plan.to_json(),
        "schedule": [0, 1, 0],
        "messages": 3,
        "backend": "memory",
        "versions": {"python": "3.11.7", "botocore": "1.44.8"},
        "violated": [{"name": "effects-once", "detail": 'the effect "charged" happened twice', "evidence": [3, 9]}],
        "history": None,
    }


def test_json_and_back() -> None:
    """A counterexample read back is the same value."""
    assert Counterexample.from_json(json.loads(json.dumps(FOUND.to_json()))) == FOUND


def test_files(tmp_path: Path) -> None:
    """Saving writes the JSON, the history and the test, and nothing half-written; loading gives them back."""
    h = HistoryBuilder()
    h.send("m1", "7")
    saved = FOUND.save(tmp_path / "found", h.history)
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == [
        "counterexample.json",
        "history.jsonl",
        "test_delete_answer_lost_effects_once.py",
    ]
    for place in (tmp_path / "found", tmp_path / "found" / "counterexample.json"):
        loaded = Counterexample.load(place)
        assert loaded == saved
        assert loaded.history == "history.jsonl"
        history = loaded.load_history()
        assert history is not None
        assert history.to_bytes() == h.history.to_bytes()


def test_without_a_history(tmp_path: Path) -> None:
    """A counterexample without a history, or whose history was not kept, has none."""
    assert FOUND.load_history() is None
    saved = FOUND.save(tmp_path, History({"schema": "harness-history", "version": 1}))
    (tmp_path / "history.jsonl").unlink()
    assert saved.load_history() is None
    (tmp_path / "history.jsonl").write_text("{}\n")
    with pytest.raises(HistoryError):
        saved.load_history()


def test_the_test_is_python() -> None:
    """The pytest file is valid Python, whatever the texts in it, and names invariant and faults."""
    nasty = Counterexample(
        scenario='a"""b',
        seed=1,
        plan=FOUND.plan,
        violated=(Violation("x", 'ends with "', ()), Violation("y", "back\\slash", ())),
    )
    for found in (FOUND, nasty):
        source = test_source(found)
        ast.parse(source)
        assert found.violated[0].name in source
        assert "the answer is lost" in source
        assert "raise_for_violation()" in source
        compile(source, "x.py", "exec")


def test_a_counterexample_is_made_from_a_run() -> None:
    """What a run's history and verdicts say is what the counterexample holds."""
    h = HistoryBuilder(plan=FOUND.plan.to_json())
    h.header |= {"file": "s.py", "backend": "memory", "environment": {"python": "3.11.7"}, "versions": {"redis": ""}}
    verdicts = [Verdict("not-stuck", "holds", "fine"), Verdict("effects-once", "violated", "twice", (1, 2))]
    made = Counterexample.of(h.history, verdicts, schedule=[1], digest="d")
    assert made.plan == FOUND.plan
    assert made.violated == (Violation("effects-once", "twice", (1, 2)),)
    assert made.violated[0].verdict() == verdicts[1]
    assert made.versions == {"python": "3.11.7"}
    assert (made.scenario, made.seed, made.scenario_file, made.schedule) == ("by-hand", 0, "s.py", (1,))
    with pytest.raises(ValueError, match="no counterexample"):
        Counterexample.of(h.history, verdicts[:1])


def test_changed_versions() -> None:
    """Versions that differ, came or went are named with both."""
    now = {"python": "3.11.7", "botocore": "1.45.0", "redis": "8"}
    assert FOUND.changed_versions(now) == {"botocore": ("1.44.8", "1.45.0"), "redis": ("", "8")}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version: is 2, this harness reads version 1"),
        ({"sed": 3}, "sed: is no field of a counterexample. Did you mean seed?"),
        ({"seed": "7"}, "seed: is '7'. Give a whole number"),
        ({"seed": True}, "seed: is True"),
        ({"scenario": "x"}, "scenario: is 'x'. Give an object"),
        ({"scenario": {"name": ""}}, "scenario.name: is ''"),
        ({"scenario": {"name": "x", "file": 3}}, "scenario.file: is 3"),
        ({"schedule": [0, -1]}, "schedule[1]: is -1"),
        ({"schedule": None}, "schedule: is None"),
        ({"messages": -1}, "messages: is -1"),
        ({"messages": 1.5}, "messages: is 1.5"),
        ({"backend": None}, "backend: is None"),
        ({"versions": []}, "versions: is []"),
        ({"violated": []}, "violated: is []"),
        ({"violated": [{}]}, "violated[0]: is {}"),
        ({"violated": [{"name": "x", "evidence": ["1"]}]}, "violated[0].evidence: is ['1']"),
        ({"history": 3}, "history: is 3"),
        (
            {"plan": {"version": 1, "faults": [{"target": "aws.sqs.X", "kind": "timeout"}]}},
            "plan.faults[0].target: 'aws.sqs.X' names no operation",
        ),
    ],
)
def test_bad_fields_are_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    """Each wrong field is refused with file, field and remedy."""
    path = tmp_path / "counterexample.json"
    path.write_text(json.dumps({**FOUND.to_json(), **change}))
    with pytest.raises(UsageError) as caught:
        Counterexample.load(path)
    assert f"{path}: {says}" in str(caught.value)
    assert caught.value.remedy


def test_bad_files_are_named(tmp_path: Path) -> None:
    """A file that is not there, not JSON, or another kind of file is refused by name."""
    path = tmp_path / "counterexample.json"
    with pytest.raises(UsageError, match=r"counterexample\.json: cannot be read \(No such file"):
        Counterexample.load(tmp_path)
    for content, says in (
        ('{"version": 1,', "line 1: is not JSON"),
        ("[]", "is no counterexample"),
        ('{"scenarios": []}', "is no counterexample: it has scenarios"),
        ('{"version": 1, "scenario": 1, "seed": 1, "plan": 1, "schedule": 1}', "messages: is missing"),
        ("{}", "is no counterexample: it has no fields"),
    ):
        path.write_text(content)
        with pytest.raises(UsageError) as caught:
            Counterexample.load(path)
        assert says in str(caught.value)
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        Counterexample.load(path)
