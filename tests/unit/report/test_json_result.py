"""The JSON of a run has the published fields, always all of them."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from jsonschema import Draft202012Validator, ValidationError

from harness.report import json_result
from harness.report.entries import with_history
from harness.report.json_result import dumps
from tests.unit.report import synthetic
from tests.unit.report.entries import entry, failed, one_of_each

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


def test_results_are_as_the_published_schema_says() -> None:
    """Entries of every verdict, and those with a history behind them, fit results.schema.json."""
    schema = json.loads((resources.files("harness.report") / "results.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    history = synthetic.history(synthetic.outage())
    weakened = [{"invariant": "effects-once", "to": "less", "why": "so"}]
    full = with_history(failed(), {**history.header, "weakened": weakened}, history.events)
    document = json.loads(dumps([*one_of_each(), full]))
    Draft202012Validator(schema).validate(document)
    document["scenarios"][0]["verdict"] = "fine"
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate(document)


def test_the_schema_knows_every_published_field() -> None:
    """A field that is written and not in the schema would be refused by whoever validates."""
    schema = json.loads((resources.files("harness.report") / "results.schema.json").read_text())
    assert {*json_result._FIELDS, *json_result._OPTIONAL, "unconfirmed"} == set(schema["$defs"]["entry"]["properties"])
