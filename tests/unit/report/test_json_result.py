"""The JSON of a run has the published fields, always all of them."""

from __future__ import annotations

import json

from harness.report.json_result import dumps
from tests.unit.report.entries import entry, one_of_each

_FIELDS = {
    "name", "verdict", "seed", "backend", "simulated_seconds", "wall_seconds", "history", "messages",
    "recovery_seconds", "faults", "invariants",
}  # fmt: skip


def test_every_published_field_is_there() -> None:
    """Each scenario has every field, whatever its verdict."""
    scenarios = json.loads(dumps(one_of_each()))["scenarios"]
    assert [one["verdict"] for one in scenarios] == ["passed", "failed", "error", "inconclusive", "left out"]
    for one in scenarios:
        assert set(one) >= _FIELDS


def test_what_belongs_to_pages_is_not_published() -> None:
    """Pictures and event texts are the report's business, not part of the JSON."""
    invariant = {"name": "x", "verdict": "holds", "detail": "d", "evidence": [1], "events": [{"n": 1}], "unshown": 0}
    (one,) = json.loads(dumps([entry(timeline="a.png", invariants=[invariant], events=5)]))["scenarios"]
    assert "timeline" not in one
    assert "events" not in one
    assert set(one["invariants"][0]) == {"name", "verdict", "detail", "evidence"}
