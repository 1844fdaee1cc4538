"""Assertions of the code under test."""

from __future__ import annotations

from harness import invariants
from tests.histories import HistoryBuilder


def test_one_that_does_not_hold() -> None:
    """A points.always that failed violates, by default too, with its event as evidence."""
    h = HistoryBuilder()
    h.add("assert.always", name="balance", held=True)
    failed = h.add("assert.always", name="balance", held=False)
    verdicts = h.judged([invariants.assertions_hold().where_observed()]).finish()
    assert [(verdict.status, verdict.evidence) for verdict in verdicts] == [("violated", (failed,))]


def test_those_that_hold_and_none() -> None:
    """Assertions that held are a pass; none at all is left out by default."""
    h = HistoryBuilder()
    h.add("assert.always", name="balance", held=True)
    assert h.judge(invariants.assertions_hold()).status == "holds"
    assert HistoryBuilder().judged([invariants.assertions_hold().where_observed()]).finish() == []
