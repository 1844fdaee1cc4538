"""Two runs side by side part where they really differ."""

from __future__ import annotations

from harness.report.beside import beside, of_explanation, shared_events
from tests.unit.report import synthetic


def test_the_first_difference_is_marked_with_its_fields() -> None:
    """Events before it are shown, it is marked, and the fields that differ are named."""
    history = synthetic.history(synthetic.short())
    other = [dict(event) for event in history.events]
    other[20] = {**other[20], "t": 9.0, "actor": "somebody"}
    found = beside(history.events, other, "the same with no fault")
    assert found is not None
    assert (found.shared, found.marked, found.fields) == (20, 4, ["actor", "t"])
    one, passed = found.rows[found.marked]
    assert one is not None
    assert passed is not None
    assert (one["n"], "somebody" in passed["text"]) == (21, True)


def test_ids_that_every_run_makes_anew_are_no_difference() -> None:
    """A message's id and a handle are other ones in each run."""
    history = synthetic.history(synthetic.short())
    with_ids = [event for event in history.events if "message" in event and "handle" in event]
    assert shared_events(with_ids, [{**event, "message": "m", "handle": "h"} for event in with_ids]) == len(with_ids)


def test_a_run_that_ends_early_is_beside_nothing() -> None:
    """Where one has ended, its side is empty; where both are the same, there is nothing to show."""
    history = synthetic.history(synthetic.short())
    found = beside(history.events, history.events[:10], "shorter")
    assert found is not None
    assert found.shared == 10
    assert found.rows[found.marked][1] is None
    assert found.fields == []
    assert beside(history.events, history.events, "itself") is None


def test_an_explanation_already_knows_the_nearest_run() -> None:
    """Its rows become two columns, marked where they part; without a run that passed there is nothing to show."""
    rows = [
        {"of": "both", "t": 1.0, "text": "sent"},
        {"of": "failed", "t": 2.0, "text": "lost"},
        {"of": "passed", "t": 2.5, "text": "handled"},
    ]
    explanation = {"nearest": {"what": "the crash"}, "difference": {"n": 12}, "beside": rows}
    found = of_explanation(explanation)
    assert found is not None
    assert (found.passing, found.shared, found.marked) == ("Without the crash", 11, 1)
    assert [(one is None, other is None) for one, other in found.rows] == [(False, False), (False, True), (True, False)]
    assert of_explanation({**explanation, "nearest": None}) is None
    assert of_explanation({}) is None
