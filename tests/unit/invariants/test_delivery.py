"""Delivery invariants on histories written by hand."""

from __future__ import annotations

from harness import invariants
from tests.histories import HistoryBuilder


class TestNoMessageLoss:
    def test_deleted_before_work_is_lost(self) -> None:
        """A message deleted before its work, whose worker was then killed, is lost; the delete is the evidence."""
        h = HistoryBuilder()
        sent = h.send("m1", key="1")
        received = h.receive("m1")
        deleted = h.delete("m1")
        h.add("process.crash", process="worker")
        verdict = h.judge(invariants.no_message_loss())
        assert verdict.status == "violated"
        assert verdict.evidence == (sent, received, deleted)
        assert 'the effect "charged" was never seen' in verdict.detail

    def test_without_an_effect_it_is_inconclusive(self) -> None:
        """Where no effect is declared the same history is inconclusive, with the line to add."""
        h = HistoryBuilder(effects=())
        h.send("m1", key="1")
        h.receive("m1")
        h.delete("m1")
        verdict = h.judge(invariants.no_message_loss())
        assert verdict.status == "inconclusive"
        assert 'effects=effects.point("charged")' in verdict.detail

    def test_an_undeclared_effect_is_named(self) -> None:
        """An effect that was reported but not declared is named in the line to add."""
        h = HistoryBuilder(effects=())
        h.send("m1", key="1")
        h.receive("m1")
        h.effect("1", name="shipped")
        h.delete("m1")
        assert 'effects.point("shipped")' in h.judge(invariants.no_message_loss()).detail

    def test_late_effect_is_no_loss(self) -> None:
        """An effect after the delete but before the end of the run is no loss."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        h.delete("m1")
        h.effect("1", at=60)
        assert h.judge(invariants.no_message_loss()).status == "holds"
