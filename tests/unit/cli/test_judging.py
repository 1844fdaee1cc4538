"""Judging a saved history with the invariants that its header names."""

from __future__ import annotations

import pytest

from harness import invariants
from harness.cli.judging import specs_of
from harness.errors import HistoryError
from harness.faults.model import weaken
from harness.history import History


def test_weakened_invariants_are_judged_as_they_were() -> None:
    """What the fault model weakened comes back out of the header with its weaker parameters."""
    plan = {"version": 1, "faults": [{"target": "redis", "kind": "flushed", "start": 1}]}
    specs, _ = weaken([*invariants.defaults(), invariants.effects_once(), invariants.recovers_within(9)], plan)
    history = History({"invariants": [spec.to_json() for spec in specs]})
    assert specs_of(history, "h.jsonl") == (list(specs), [])


def test_unknown_names_are_told_and_unknown_parameters_refused() -> None:
    """A name of another version is reported, a parameter of another version is an error with its place."""
    assert specs_of(History({"invariants": [{"name": "not-invented"}]}), "h.jsonl") == ([], ["not-invented"])
    wrong = History({"invariants": [{"name": "not-stuck", "parameters": {"colour": 1}}]})
    with pytest.raises(HistoryError, match=r"invariants\[0\]"):
        specs_of(wrong, "h.jsonl")
