"""Delivery invariants on histories written by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness import invariants
from harness.errors import ScenarioError
from harness.invariants.base import Spec
from harness.invariants.delivery import EffectsOnce, NoMessageLoss
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

    def test_undeclared_effects_do_not_count(self) -> None:
        """Another effect than the declared one does not show that a message was handled."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        h.effect("1", name="seen")
        h.delete("m1")
        assert h.judge(invariants.no_message_loss()).status == "violated"

    def test_late_effect_is_no_loss(self) -> None:
        """An effect after the delete but before the end of the run is no loss."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        h.delete("m1")
        h.effect("1", at=60)
        assert h.judge(invariants.no_message_loss()).status == "holds"

    @pytest.mark.parametrize("way", ["dead letter", "unkeyed dead letter", "move", "quarantine", "queue", "expired"])
    def test_put_aside_is_no_loss(self, way: str) -> None:
        """A message that is dead-lettered, moved, quarantined, still queued or expired is not lost."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        if way == "dead letter":
            h.dead_letter("d1", key="1")
            h.delete("m1")
        elif way == "unkeyed dead letter":
            h.dead_letter("d1", original="m1")
            h.delete("m1")
        elif way == "move":
            h.move("m1")
        elif way == "quarantine":
            h.quarantine("m1")
            h.delete("m1")
        elif way == "expired":
            h.expire("m1")
        assert h.judge(invariants.no_message_loss()).status == "holds"

    def test_deleted_from_the_dead_letter_queue_is_lost(self) -> None:
        """A replay that deletes the dead letter and never sends it back loses the message."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        h.move("m1")
        h.receive("m1", queue=h.dlq)
        deleted = h.delete("m1", queue=h.dlq)
        verdict = h.judge(invariants.no_message_loss())
        assert verdict.status == "violated"
        assert deleted in verdict.evidence

    def test_purged_is_lost(self) -> None:
        """A message that was purged is lost."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        purge = h.add("purge", queue=h.queue, messages=["m1"])
        verdict = h.judge(invariants.no_message_loss())
        assert (verdict.status, purge in verdict.evidence) == ("violated", True)

    def test_a_delete_that_found_nothing_changes_nothing(self) -> None:
        """A delete that the queue answered but that found no message loses none."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        h.delete("m1", found=False)
        assert h.judge(invariants.no_message_loss()).status == "holds"

    def test_effect_undone_by_its_store_is_lost_unless_excused(self) -> None:
        """A handled message whose effect the store lost again is lost; the fault model may excuse that."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        _, effect, _ = h.handled("m1", "1")
        undone = h.add("effect.lost", name="charged", key="1")
        verdict = h.judge(invariants.no_message_loss())
        assert verdict.status == "violated"
        assert undone in verdict.evidence
        assert f"its effect (event {effect}) was undone by its store (event {undone})" in verdict.detail
        excused = invariants.no_message_loss().with_parameters(undone_excused=True)
        assert h.judge(excused).status == "holds"

    def test_a_dead_letter_that_cannot_be_told_is_inconclusive(self) -> None:
        """If something without key lies in the dead-letter queue, a missing message may be it: no accusation."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        letter = h.dead_letter("d1")
        deleted = h.delete("m1")
        verdict = h.judge(invariants.no_message_loss())
        assert verdict.status == "inconclusive"
        assert verdict.evidence == (letter, deleted)

    def test_keys_that_never_match_are_inconclusive(self) -> None:
        """Effects under keys that no message has point at a wrong key=, not at lost messages."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        h.effect("order-1")
        h.delete("m1")
        verdict = h.judge(invariants.no_message_loss())
        assert verdict.status == "inconclusive"
        assert '"order-1"' in verdict.detail

    def test_nothing_sent_is_inconclusive(self) -> None:
        """A run without messages says nothing about loss."""
        assert HistoryBuilder().judge(invariants.no_message_loss()).status == "inconclusive"

    @pytest.mark.parametrize("reason", ["error", "deadlock", "violation", "interrupted"])
    def test_a_run_that_ended_early_is_inconclusive(self, reason: str) -> None:
        """What is missing when a run ends early may only not have come yet."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        h.delete("m1")
        h.end(reason=reason)
        verdict = h.judge(invariants.no_message_loss())
        assert verdict.status == "inconclusive"
        assert reason in verdict.detail

    def test_a_history_that_is_cut_off_is_inconclusive(self) -> None:
        """Without run.end nothing is concluded from what is missing."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        checker = invariants.no_message_loss().checker()
        checker.start(h.header)
        for event in h.events:
            checker.step(event)
        assert "cut off" in checker.finish().detail

    def test_books_that_do_not_balance_are_inconclusive(self) -> None:
        """A queue that holds fewer messages than the events say shows that events are missing."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.end(queues={"orders": {"visible": 0, "in_flight": 0, "delayed": 0}})
        verdict = h.judge(invariants.no_message_loss())
        assert verdict.status == "inconclusive"
        assert "do not balance" in verdict.detail

    def test_books_that_balance(self) -> None:
        """Visible, delayed and in flight together are what the events say; other queues are none of its business."""
        h = HistoryBuilder()
        for number in "123":
            h.send(f"m{number}", key=number)
        queues = {part: {"visible": 1, "in_flight": 1, "delayed": 1} for part in ("orders", "elsewhere")}
        h.end(queues=queues)
        verdict = h.judge(invariants.no_message_loss())
        assert (verdict.status, verdict.detail) == ("holds", "3 messages sent, 0 handled, none lost")

    def test_messages_without_key_go_by_their_id(self) -> None:
        """A message without a key is known by its id, for effects too."""
        h = HistoryBuilder()
        h.send("m1")
        h.receive("m1")
        h.effect("m1")
        h.delete("m1")
        assert h.judge(invariants.no_message_loss()).status == "holds"

    def test_many_losses_are_counted_and_three_shown(self) -> None:
        """The detail counts every lost message, the evidence shows the first three."""
        h = HistoryBuilder()
        for number in range(5):
            h.send(f"m{number}", key=str(number))
            h.receive(f"m{number}")
            h.delete(f"m{number}")
        verdict = h.judge(invariants.no_message_loss())
        assert verdict.detail.startswith('5 messages lost: "0", "1", "2" and 2 more')
        assert verdict.evidence == (1, 2, 3, 4, 5, 6, 7, 8, 9)


class TestAtLeastOnce:
    def test_never_delivered(self) -> None:
        """A message that stays in its queue for ever took no effect."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.handled("m1", "1")
        sent = h.send("m2", key="2")
        verdict = h.judge(invariants.at_least_once())
        assert verdict.status == "violated"
        assert verdict.evidence == (sent,)
        assert "was never delivered" in verdict.detail

    def test_delivered_and_deleted_without_effect(self) -> None:
        """A message deleted without an effect took none; send, receive and delete show it."""
        h = HistoryBuilder()
        sent, received, deleted = h.send("m1", key="1"), h.receive("m1"), h.delete("m1")
        verdict = h.judge(invariants.at_least_once())
        assert verdict.evidence == (sent, received, deleted)

    def test_given_up_on_record_holds(self) -> None:
        """Handled, dead-lettered, quarantined and expired messages all count as dealt with."""
        h = HistoryBuilder()
        for number in range(4):
            h.send(f"m{number}", key=str(number))
            h.receive(f"m{number}")
        h.effect("0")
        h.move("m1")
        h.quarantine("m2")
        h.expire("m3")
        assert h.judge(invariants.at_least_once()).status == "holds"

    def test_without_effect_or_end_it_is_inconclusive(self) -> None:
        """No declared effect, no message, and an early end are all inconclusive."""
        empty = HistoryBuilder()
        assert empty.judge(invariants.at_least_once()).status == "inconclusive"
        undeclared = HistoryBuilder(effects=())
        undeclared.send("m1", key="1")
        assert "effects=" in undeclared.judge(invariants.at_least_once()).detail
        early = HistoryBuilder()
        early.send("m1", key="1")
        early.end(reason="deadlock")
        assert "deadlock" in early.judge(invariants.at_least_once()).detail


class TestEffectsOnce:
    def test_twice_is_violated_at_once(self) -> None:
        """The second effect violates, with the message's send and both effects as evidence, before the run ends."""
        h = HistoryBuilder()
        sent = h.send("m1", key="1")
        h.receive("m1")
        first = h.effect("1")
        h.receive("m1")
        second = h.effect("1")
        judge = h.judged([invariants.effects_once()])
        assert judge.violated
        assert judge.finish()[0].evidence == (sent, first, second)

    @pytest.mark.parametrize(
        ("effects", "status"), [("charged mailed", "holds"), ("charged mailed mailed", "violated")]
    )
    def test_effects_of_different_names_are_counted_apart(self, effects: str, status: str) -> None:
        """Two declared effects of different names may each happen once."""
        h = HistoryBuilder(effects=("charged", "mailed"))
        h.send("m1", key="1")
        for name in effects.split():
            h.effect("1", name=name)
        assert h.judge(invariants.effects_once()).status == status

    def test_an_effect_that_was_undone_does_not_count(self) -> None:
        """An effect that its store lost may happen again; a third time is twice."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.effect("1")
        h.add("effect.lost", name="charged", key="1")
        second = h.effect("1")
        third = h.effect("1")
        verdict = h.judge(invariants.effects_once())
        assert verdict.evidence == (1, second, third)

    def test_without_any_effect_it_is_inconclusive(self) -> None:
        """Neither declared nor seen: nothing to judge, with the remedy."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        assert "no effect was seen" in h.judge(invariants.effects_once()).detail
        assert "effects=" in HistoryBuilder(effects=()).judge(invariants.effects_once()).detail

    @pytest.mark.parametrize(
        ("strike", "excused"),
        [
            ({"point": "handler.after", "fault_kind": "crash"}, True),
            ({"point": "handler.after", "fault_kind": "crash", "key": "1"}, True),
            ({"point": "handler.after", "fault_kind": "crash", "key": "2"}, False),
            ({"point": "handler.after", "fault_kind": "crash", "actor": "other/Thread-1"}, False),
            ({"point": "aws.sqs.DeleteMessage.after", "fault_kind": "timeout"}, False),
            ({"point": "redis", "fault_kind": "failover", "actor": "other"}, True),
        ],
    )
    def test_excuses_lie_between_at_the_same_message_and_process(self, strike: dict[str, str], excused: bool) -> None:
        """Only a strike of an excusing kind, between the effects, at their message and process, excuses."""
        spec = Spec(EffectsOnce, (("excused", ("*/crash", "*/failover")),))
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.effect("1")
        h.add("fault.strike", fault=0, **strike)
        h.effect("1")
        assert h.judge(spec).status == ("holds" if excused else "violated")

    @pytest.mark.parametrize(
        ("steps", "excused"),
        [
            ("receive effect pause other-receive other-effect resume", True),  # between effect and record
            ("receive pause other-receive other-effect resume effect", True),  # before the effect
            ("receive pause other-receive resume effect other-effect", True),  # the other one is slow
            ("receive effect pause resume other-receive other-effect", False),  # it could still record it
            ("receive effect other-receive pause other-effect resume", False),  # the other one had it before
            ("pause receive-by-other other-effect resume receive effect", False),  # it had nothing
            ("receive effect pause crash other-receive other-effect", False),  # a crash is another fault's excuse
            ("receive effect stranger-pause other-receive other-effect", False),
        ],
    )
    def test_a_standstill_excuses_what_was_delivered_in_it(self, steps: str, excused: bool) -> None:
        """A pause takes a message from its worker only if somebody else gets it before the worker goes on."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        process = {"actor": "faults", "process": "worker"}
        does: dict[str, Callable[[], object]] = {
            "receive": lambda: h.receive("m1"),
            "other-receive": lambda: h.receive("m1", actor="other"),
            "receive-by-other": lambda: h.receive("m1", actor="other"),
            "effect": lambda: h.effect("1"),
            "other-effect": lambda: h.effect("1", actor="other/Thread-1"),
            "pause": lambda: h.add("process.pause", **process, until=99.0),
            "stranger-pause": lambda: h.add("process.pause", actor="faults", process="stranger", until=99.0),
            "resume": lambda: h.add("process.resume", **process),
            "crash": lambda: h.add("process.crash", **process),
        }
        for step in steps.split():
            does[step]()
        assert h.judge(invariants.effects_once()).status == "violated"
        for strong in (invariants.effects_once(), invariants.duplicates_bounded(at_most=0)):
            verdict = h.judge(strong.with_parameters(standstills=True))
            assert verdict.status == ("holds" if excused else "violated"), strong.name

    def test_a_strike_before_the_first_effect_excuses_nothing(self) -> None:
        """A crash before the first effect has nothing to do with the second."""
        spec = Spec(EffectsOnce, (("excused", ("*/crash",)),))
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.strike("handler.after", "crash")
        h.effect("1")
        h.effect("1")
        assert h.judge(spec).status == "violated"

    @pytest.mark.parametrize(("struck", "excused"), [("before", False), ("in flight", True)])
    def test_an_effect_that_lands_after_its_asker_has_died(self, struck: str, excused: bool) -> None:
        """A dependency may carry out a request after the crash of who sent it: the crash excuses the repetition."""
        spec = Spec(EffectsOnce, (("excused", ("process.crash",)),))
        h = HistoryBuilder()
        h.send("m1", key="1")
        if struck == "before":
            h.add("process.crash", actor="faults", process="worker")
        h.receive("m1")
        if struck == "in flight":
            h.add("process.crash", actor="faults", process="worker")
        h.effect("1", actor="faults")
        h.receive("m1")
        h.effect("1", actor="faults")
        assert h.judge(spec).status == ("holds" if excused else "violated")


class TestDuplicatesBounded:
    def test_one_delivery_that_does_it_twice(self) -> None:
        """Without a bound every effect needs a delivery of its own."""
        h = HistoryBuilder()
        sent = h.send("m1", key="1")
        h.receive("m1")
        first, second = h.effect("1"), h.effect("1")
        assert h.judge(invariants.duplicates_bounded()).evidence == (sent, first, second)

    def test_redelivered_and_done_again_holds(self) -> None:
        """A redelivery explains a second effect."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        for _ in range(2):
            h.receive("m1")
            h.effect("1")
        assert h.judge(invariants.duplicates_bounded()).status == "holds"

    @pytest.mark.parametrize(("at_most", "status"), [(0, "violated"), (1, "violated"), (2, "holds")])
    def test_a_bound_over_all_keys(self, at_most: int, status: str) -> None:
        """With at_most, effects beyond the first are counted over all keys."""
        h = HistoryBuilder()
        for number in range(2):
            h.send(f"m{number}", key=str(number))
            for _ in range(2):
                h.receive(f"m{number}")
                h.effect(str(number))
        assert h.judge(invariants.duplicates_bounded(at_most)).status == status

    def test_a_bound_must_be_a_number(self) -> None:
        """A bound that is none is refused when the scenario is made."""
        with pytest.raises(ScenarioError, match="duplicates_bounded"):
            invariants.duplicates_bounded(at_most=-1)


def test_alone_as_in_a_judge() -> None:
    """An invariant used alone keeps its own books and comes to the same verdict."""
    h = HistoryBuilder()
    h.send("m1", key="1")
    h.receive("m1")
    h.delete("m1")
    h.end()
    alone = NoMessageLoss()
    alone.start(h.header)
    for event in h.events:
        alone.step(event)
    assert alone.finish() == h.judge(invariants.no_message_loss())
