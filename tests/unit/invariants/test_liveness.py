"""Liveness on histories written by hand."""

from __future__ import annotations

import pytest

from harness import invariants
from tests.histories import HistoryBuilder


class TestNotStuck:
    def test_still_queued(self) -> None:
        """A message that waits at the end of the quiet period is stuck; its send and last delivery show it."""
        h = HistoryBuilder()
        sent, received = h.send("m1", key="1"), h.receive("m1")
        end = h.end()
        verdict = h.judge(invariants.not_stuck())
        assert verdict.status == "violated"
        assert verdict.evidence == (sent, received, end)
        assert "delivered 1 time" in verdict.detail

    def test_in_flight_is_told(self) -> None:
        """A delivery that is neither acknowledged nor visible again is stuck in flight."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1", visible_at=10_000)
        h.send("m2", key="2")
        h.receive("m2", visible_at=h.t + 30)
        h.send("m3", key="3")
        assert "(1 in flight)" in h.judge(invariants.not_stuck()).detail

    def test_dead_letters_may_rest(self) -> None:
        """What lies in the dead-letter queue is not stuck."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        h.move("m1")
        assert h.judge(invariants.not_stuck()).status == "holds"

    def test_a_consumed_queue_counts_and_one_that_nobody_reads_does_not(self) -> None:
        """Messages rest in an output queue that nobody consumes, and are stuck in one that somebody does."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.handled("m1", "1")
        h.send("o1", key="1", queue="shipping", origin="process")
        h.send("o2", key="2", queue="shipping", origin="process")
        assert h.judge(invariants.not_stuck()).status == "holds"
        h.events.pop()
        h.receive("o1", queue="shipping")
        h.delete("o1", queue="shipping")
        assert "shipping" in h.judge(invariants.not_stuck()).detail

    @pytest.mark.parametrize("reason", ["deadlock", "error"])
    def test_an_early_end_is_inconclusive(self, reason: str) -> None:
        """A run that did not come to its quiet period says nothing about liveness."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.end(reason=reason)
        assert h.judge(invariants.not_stuck()).status == "inconclusive"

    def test_nothing_sent_is_inconclusive(self) -> None:
        """An empty queue that never held anything is no proof."""
        assert HistoryBuilder().judge(invariants.not_stuck()).status == "inconclusive"
