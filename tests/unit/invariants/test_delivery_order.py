"""Order and batches on histories written by hand."""

from __future__ import annotations

import pytest

from harness import invariants
from tests.histories import HistoryBuilder


class TestFifoOrder:
    def _two(self) -> HistoryBuilder:
        h = HistoryBuilder(fifo=True)
        h.send("m1", key="1", group="g")
        h.send("m2", key="2", group="g")
        return h

    def test_in_order_holds(self) -> None:
        """Effects in the order of sending hold."""
        h = self._two()
        h.effect("1")
        h.effect("2")
        assert h.judge(invariants.fifo_order()).status == "holds"

    def test_overtaking_is_violated(self) -> None:
        """The second message's effect before the first one's violates; both sends and that effect show it."""
        h = self._two()
        effect = h.effect("2")
        verdict = h.judge(invariants.fifo_order())
        assert verdict.status == "violated"
        assert verdict.evidence == (1, 2, effect)

    def test_groups_are_independent(self) -> None:
        """Messages of different groups have no order."""
        h = HistoryBuilder(fifo=True)
        h.send("m1", key="1", group="g")
        h.send("m2", key="2", group="h")
        h.effect("2")
        h.effect("1")
        assert h.judge(invariants.fifo_order()).status == "holds"

    @pytest.mark.parametrize("way", ["move", "quarantine", "expire"])
    def test_a_message_that_was_given_up_may_be_overtaken(self, way: str) -> None:
        """Behind a dead-lettered, quarantined or expired message the group goes on."""
        h = self._two()
        getattr(h, way)("m1")
        h.effect("2")
        assert h.judge(invariants.fifo_order()).status == "holds"

    @pytest.mark.parametrize("way", ["move", "quarantine", "expire"])
    def test_a_message_that_was_given_up_may_come_back_late(self, way: str) -> None:
        """A dead letter that is replayed after its group went on is not out of order."""
        h = self._two()
        getattr(h, way)("m1")
        h.effect("2")
        h.effect("1")
        assert h.judge(invariants.fifo_order()).status == "holds"

    def test_an_acknowledged_message_whose_effect_comes_late_was_overtaken(self) -> None:
        """Acknowledged first, done last: out of order, shown once the late effect comes."""
        h = self._two()
        h.delete("m1")
        early = h.effect("2")
        late = h.effect("1")
        verdict = h.judge(invariants.fifo_order())
        assert verdict.evidence == (1, 2, early, late)

    def test_an_acknowledged_message_without_effect_hides_nothing(self) -> None:
        """Overtaking behind a message that was acknowledged without effect is still seen."""
        h = self._two()
        h.send("m3", key="3", group="g")
        h.delete("m1")
        effect = h.effect("3")
        assert h.judge(invariants.fifo_order()).evidence == (2, 3, effect)

    def test_a_repeated_effect_is_not_out_of_order(self) -> None:
        """Only first effects count: a redelivery may repeat an earlier one."""
        h = self._two()
        for key in ("1", "2", "1"):
            h.effect(key)
        assert h.judge(invariants.fifo_order()).status == "holds"

    def test_handler_starts_stand_in(self) -> None:
        """Without a declared effect the first start of the handler counts."""
        h = HistoryBuilder(fifo=True, effects=())
        h.send("m1", key="1", group="g")
        h.send("m2", key="2", group="g")
        h.handler("2")
        assert h.judge(invariants.fifo_order()).status == "violated"

    def test_nothing_to_judge(self) -> None:
        """No FIFO queue, or no effect, is inconclusive; by default it is left out."""
        assert "FIFO" in HistoryBuilder().judge(invariants.fifo_order()).detail
        assert self._two().judge(invariants.fifo_order()).status == "inconclusive"
        assert HistoryBuilder().judged([invariants.fifo_order().where_observed()]).finish() == []


class TestBatchIntegrity:
    def _batch(self, *, system: dict[str, object] | None = None) -> HistoryBuilder:
        h = HistoryBuilder(system=system)
        h.send("m1", key="1")
        h.send("m2", key="2")
        h.receive("m1", at=1)
        h.receive("m2", at=1)
        return h

    def test_each_by_its_own_outcome_holds(self) -> None:
        """One message of a batch fails and stays, the other is done and deleted."""
        h = self._batch()
        h.handler("1", "error")
        h.handler("2")
        h.effect("2")
        h.delete("m2")
        assert h.judge(invariants.batch_integrity()).status == "holds"

    def test_a_failed_message_that_is_acknowledged_with_the_batch(self) -> None:
        """A whole batch deleted although one handler failed: receive, failure and delete show it."""
        h = self._batch()
        _, failed = h.handler("1", "error")
        h.handler("2")
        h.effect("2")
        deleted = h.delete("m1")
        h.delete("m2")
        verdict = h.judge(invariants.batch_integrity())
        assert (verdict.status, verdict.evidence) == ("violated", (3, failed, deleted))

    def test_a_failed_message_that_was_put_aside_may_be_acknowledged(self) -> None:
        """Dead-lettered first, then deleted: its own outcome."""
        h = self._batch()
        h.handler("1", "error")
        h.dead_letter("d1", key="1")
        h.delete("m1")
        assert h.judge(invariants.batch_integrity()).status == "holds"

    def test_a_message_that_is_starved_by_another(self) -> None:
        """A message dead-lettered though no handler ever began it, because another of its batch failed each time."""
        h = self._batch()
        _, failed = h.handler("1", "error")
        moved = h.move("m2")
        verdict = h.judge(invariants.batch_integrity())
        assert (verdict.status, verdict.evidence) == ("violated", (4, failed, moved))

    def test_starved_and_dead_lettered_by_the_consumer(self) -> None:
        """The same where the consumer itself sends the dead letter; sending the message elsewhere is none."""
        h = self._batch()
        _, failed = h.handler("1", "error")
        h.send("x2", key="2", queue="audit", origin="process")
        letter = h.dead_letter("d2", key="2")
        assert h.judge(invariants.batch_integrity()).evidence == (4, failed, letter)

    def test_a_message_that_was_begun_once_is_not_starved(self) -> None:
        """A message that its handler began in any delivery had its chance."""
        h = self._batch()
        h.handler("2", "error")
        h.receive("m1", at=40)
        h.receive("m2", at=40)
        h.handler("1", "error")
        h.move("m2")
        assert h.judge(invariants.batch_integrity()).status == "holds"

    def test_dead_lettered_before_any_failure(self) -> None:
        """A message put aside while no other of its batch has failed ends by itself."""
        h = self._batch()
        h.move("m2")
        h.handler("1", "error")
        assert h.judge(invariants.batch_integrity()).status == "holds"

    def test_the_one_that_failed_is_delivered_again_before_the_other_is_given_up(self) -> None:
        """What failed in a batch is not forgotten when its message comes back, alone or in another batch."""
        h = self._batch()
        _, failed = h.handler("1", "error")
        h.receive("m1", at=40)
        moved = h.move("m2", at=41)
        assert h.judge(invariants.batch_integrity()).evidence == (4, failed, moved)

    def test_it_fails_and_then_succeeds(self) -> None:
        """A handler that is called again for the same delivery, and ends well, has not failed."""
        h = self._batch()
        h.handler("1", "error")
        h.handler("1")
        h.move("m2")
        assert h.judge(invariants.batch_integrity()).status == "holds"

    def test_two_queues_at_one_instant_are_two_batches(self) -> None:
        """What one actor receives from two queues at one instant came by two calls, where both brought two as well."""
        h = HistoryBuilder()
        for number, queue in enumerate((h.queue, h.queue, "returns", "returns")):
            h.send(f"m{number}", key=str(number), queue=queue)
        for number, queue in enumerate((h.queue, h.queue, "returns", "returns")):
            h.receive(f"m{number}", at=1, queue=queue)
        h.handler("0", "error")
        h.move("m3", queue="returns")
        assert h.judge(invariants.batch_integrity()).status == "holds"

    def test_nothing_to_judge(self) -> None:
        """Single deliveries, and batches without a declared handler, are inconclusive with the remedy."""
        single = HistoryBuilder()
        single.send("m1", key="1")
        single.handled("m1", "1")
        assert "one call" in single.judge(invariants.batch_integrity()).detail
        assert "handler=" in self._batch().judge(invariants.batch_integrity()).detail
