"""Dead-letter invariants on histories written by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness import invariants
from harness.errors import ScenarioError
from harness.invariants.base import Spec
from harness.invariants.dead_letter import NotProcessedAndDeadLettered, PoisonContained
from tests.histories import HistoryBuilder


class TestPoisonContained:
    def test_one_delivery_too_many(self) -> None:
        """A message without effect at its fourth delivery, three allowed; the first and fourth are the evidence."""
        h = HistoryBuilder(max_receives=3)
        h.send("m1", key="1")
        numbers = [h.receive("m1") for _ in range(4)]
        judge = h.judged([invariants.poison_contained()])
        assert judge.violated
        assert judge.finish()[0].evidence == (numbers[0], numbers[3])

    def test_put_aside_in_time_holds(self) -> None:
        """Three deliveries, then the dead-letter queue, where it may be received as often as anybody likes."""
        h = HistoryBuilder(max_receives=3)
        h.send("m1", key="1")
        for _ in range(3):
            h.receive("m1")
        h.move("m1")
        for _ in range(4):
            h.receive("m1", queue=h.dlq)
        assert h.judge(invariants.poison_contained()).status == "holds"

    def test_a_message_that_took_effect_is_no_poison(self) -> None:
        """A redelivery after the effect (a lost acknowledgement) is not held against it."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1")
        h.effect("1")
        for _ in range(5):
            h.receive("m1")
        assert not h.judged([invariants.poison_contained()]).violated

    def test_an_own_bound(self) -> None:
        """A consumer that puts aside by itself may say after how many deliveries."""
        h = HistoryBuilder(max_receives=None)
        h.send("m1", key="1")
        for _ in range(5):
            h.receive("m1")
        assert "max_receives" in h.judge(invariants.poison_contained()).detail
        assert h.judge(invariants.poison_contained(within=5)).status == "holds"
        assert h.judge(invariants.poison_contained(within=4)).status == "violated"

    def test_an_excuse(self) -> None:
        """A strike of an excusing kind since the message was sent makes its count worthless."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.strike("redis.INCR.before", "refused")
        for _ in range(4):
            h.receive("m1")
        assert not h.judged([Spec(PoisonContained, (("excused", ("redis*/*",)),))]).violated

    def test_handlers_stand_in_for_effects(self) -> None:
        """Without a declared effect a handler that ended well shows that a message is no poison."""
        h = HistoryBuilder(effects=())
        h.send("m1", key="1")
        assert "effects=" in h.judge(invariants.poison_contained()).detail
        h = HistoryBuilder(effects=())
        h.send("m1", key="1")
        h.send("m2", key="2")
        h.handler("1")
        for message in ("m1", "m2"):
            for _ in range(4):
                h.receive(message)
        assert '"2"' in h.judge(invariants.poison_contained()).detail

    def test_nothing_failed(self) -> None:
        """A run in which nothing failed says nothing about poison."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.handled("m1", "1")
        assert "poison" in h.judge(invariants.poison_contained()).detail

    def test_a_bound_must_be_a_number(self) -> None:
        """A bound below one is refused."""
        with pytest.raises(ScenarioError, match="within"):
            invariants.poison_contained(within=0)


def _envelope(**changes: Any) -> str:
    envelope = {
        "version": 1,
        "originalMessage": '{"order_id": 1}',
        "originalAttributes": {},
        "errorReason": "no such product",
        "failedAt": "2030-01-01T00:00:01+00:00",
        "originalMessageId": "m1",
        **changes,
    }
    return json.dumps({name: value for name, value in envelope.items() if value is not ...})


class TestEnvelopeComplete:
    def _judge(self, body: str | None) -> tuple[str, str, tuple[int, ...]]:
        h = HistoryBuilder()
        h.send("m1", key="1", body='{"order_id": 1}')
        h.receive("m1")
        h.dead_letter("d1", key="1", **({} if body is None else {"body": body}))
        verdict = h.judge(invariants.envelope_complete())
        return verdict.status, verdict.detail, verdict.evidence

    @pytest.mark.parametrize(
        "body",
        [
            _envelope(),
            _envelope(originalMessage={"order_id": 1}),
            '{"order_id": 1}',
            _envelope(originalMessage="", payloadReference="dead-letters/1"),
        ],
        ids=["text", "json", "plain", "claim-check"],
    )
    def test_whole(self, body: str) -> None:
        """The body as text, as JSON value, sent on as it is, or in a store that is referred to: all are whole."""
        assert self._judge(body)[0] == "holds"

    @pytest.mark.parametrize(
        ("body", "what"),
        [
            (_envelope(errorReason=...), "lacks errorReason"),
            (_envelope(errorReason=""), "lacks errorReason"),
            (_envelope(originalMessage="{}"), "another body"),
            (_envelope(failedAt="2030-01-01T00:00:01"), "no time with a zone"),
            (_envelope(originalMessageId="m9"), "'m9'"),
            (_envelope(originalMessage=""), "lacks originalMessage"),
            (_envelope(originalMessage="", payloadReference=""), "lacks originalMessage"),
            (
                _envelope(originalMessage="", payloadReference="x", errorReason=...),
                "lacks originalMessage, errorReason",
            ),
            (_envelope(originalMessage="", payloadReference="x", originalMessageId="m9"), "'m9'"),
            (_envelope(originalMessage="{}", payloadReference="x"), "another body"),
            ('{"error": "x"}', "neither the original body"),
            ("junk", "neither the original body"),
        ],
    )
    def test_not_whole(self, body: str, what: str) -> None:
        """A missing field, another body, a naive time, a wrong id, and junk violate; both sends are the evidence."""
        status, detail, evidence = self._judge(body)
        assert (status, evidence) == ("violated", (1, 3))
        assert what in detail

    def test_bodies_that_are_not_recorded(self) -> None:
        """Without bodies the verdict is inconclusive with the line to add."""
        status, detail, _ = self._judge(None)
        assert status == "inconclusive"
        assert "record_bodies=True" in detail

    def test_moved_by_sqs_or_none_at_all(self) -> None:
        """Native redrive makes no envelope, and a run without dead letters none either."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.move("m1")
        assert "SQS itself" in h.judge(invariants.envelope_complete()).detail
        assert "poison" in HistoryBuilder().judge(invariants.envelope_complete()).detail

    def test_a_fifo_duplicate_is_no_second_dead_letter(self) -> None:
        """A send that SQS takes for a repetition puts nothing into the queue, and is not judged."""
        h = HistoryBuilder()
        h.send("m1", key="1", body='{"order_id": 1}')
        for body in (_envelope(), "junk"):
            h.dead_letter("d1", key="1", body=body)
        assert h.judge(invariants.envelope_complete()).status == "holds"

    def test_own_fields(self) -> None:
        """Somebody else's envelope may be held to other fields."""
        h = HistoryBuilder()
        h.send("m1", key="1", body="b")
        h.dead_letter("d1", key="1", body='{"originalMessage": "b", "why": "x"}')
        assert h.judge(invariants.envelope_complete(required=("why",))).status == "holds"


class TestNotProcessedAndDeadLettered:
    def test_both(self) -> None:
        """An effect and a copy in the dead-letter queue at the end; send, effect and move are the evidence."""
        h = HistoryBuilder()
        sent = h.send("m1", key="1")
        h.receive("m1")
        effect, moved = h.effect("1"), h.move("m1")
        verdict = h.judge(invariants.not_processed_and_dead_lettered())
        assert (verdict.status, verdict.evidence) == ("violated", (sent, effect, moved))

    def test_replayed_and_then_processed_holds(self) -> None:
        """What left the dead-letter queue again may be processed."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.move("m1")
        h.move("m1", queue=h.dlq, to=h.queue)
        h.handled("m1", "1")
        h.send("m2", key="2")
        h.move("m2")
        assert h.judge(invariants.not_processed_and_dead_lettered()).status == "holds"

    def test_an_excuse_between(self) -> None:
        """A crash between the effect and the dead letter excuses."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.effect("1")
        h.add("process.crash", process="worker")
        h.move("m1")
        spec = Spec(NotProcessedAndDeadLettered, (("excused", ("process.crash",)),))
        verdict = h.judge(spec)
        assert (verdict.status, verdict.detail) == (
            "holds",
            "1 message in the dead-letter queue, none of them processed but 1 that a fault excuses",
        )

    @pytest.mark.parametrize(
        ("second_at", "changed", "excused"),
        [(10, None, True), (40, None, False), (10, 0, False), (40, 60, True)],
        ids=["in force", "over", "given back", "extended"],
    )
    def test_delivered_once_more(self, second_at: float, changed: float | None, excused: bool) -> None:
        """Only a delivery while an earlier one was in force excuses, and only where that is weakened."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.receive("m1", at=1, visible_at=31.0)
        if changed is not None:
            h.add("visibility", "m1", queue=h.queue, handle="h", visible_at=float(changed), at=2)
        h.receive("m1", at=second_at, actor="other", visible_at=second_at + 30.0)
        h.effect("1")
        h.dead_letter("d1", key="1", actor="other")
        h.delete("m1")
        spec = invariants.not_processed_and_dead_lettered()
        assert h.judge(spec).status == "violated"
        weaker = spec.with_parameters(delivered_twice=True)
        assert h.judge(weaker).status == ("holds" if excused else "violated")

    def test_another_message_delivered_once_more(self) -> None:
        """A second delivery of one message says nothing about another."""
        h = HistoryBuilder()
        for message, key in (("m1", "1"), ("m2", "2")):
            h.send(message, key=key)
            h.receive(message)
        h.receive("m2")
        h.effect("1")
        h.dead_letter("d1", key="1")
        spec = Spec(NotProcessedAndDeadLettered, (("delivered_twice", True),))
        assert h.judge(spec).status == "violated"

    def test_nothing_to_judge(self) -> None:
        """No effect declared, or no dead letter, is inconclusive."""
        assert "effects=" in HistoryBuilder(effects=()).judge(invariants.not_processed_and_dead_lettered()).detail
        assert "poison" in HistoryBuilder().judge(invariants.not_processed_and_dead_lettered()).detail


class TestReplayOnce:
    def _dead(self) -> HistoryBuilder:
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.move("m1")
        return h

    def test_once_holds(self) -> None:
        """Sent back and deleted from the dead-letter queue; a second dead letter may return a second time."""
        h = self._dead()
        h.send("r1", key="1", origin="process")
        h.delete("m1", queue=h.dlq)
        h.move("r1")
        h.move("r1", queue=h.dlq, to=h.queue)
        assert h.judge(invariants.replay_once()).status == "holds"

    def test_twice(self) -> None:
        """One dead letter that returns twice; the dead letter and both returns are the evidence."""
        h = self._dead()
        returns = [h.send("r1", key="1", origin="process"), h.send("r2", key="1", origin="process")]
        verdict = h.judge(invariants.replay_once())
        assert (verdict.status, verdict.evidence) == ("violated", (2, *returns))
        assert h.judge(invariants.replay_once().with_parameters(at_least=True)).status == "holds"

    def test_deleted_and_never_sent_back(self) -> None:
        """A dead letter that is deleted without a return is lost in the replay."""
        h = self._dead()
        deleted = h.delete("m1", queue=h.dlq)
        assert h.judge(invariants.replay_once()).evidence == (2, deleted)

    def test_handled_out_of_the_dead_letter_queue_holds(self) -> None:
        """A consumer of the dead-letter queue that does the work itself needs no return."""
        h = self._dead()
        h.delete("m1", queue=h.dlq)
        h.effect("1")
        assert h.judge(invariants.replay_once()).status == "holds"

    def test_a_letter_whose_delete_does_not_name_its_key(self) -> None:
        """A letter deleted after the effect of its key is a letter all the same, and no key of its own."""
        h = self._dead()
        h.effect("1")
        deleted = h.delete("m1", queue=h.dlq, key=None)
        verdict = h.judge(invariants.replay_once())
        assert (verdict.status, verdict.evidence) == ("violated", (2, deleted))
        assert 'message "1"' in verdict.detail

    def test_a_letter_without_a_key_that_is_deleted_after_its_effect(self) -> None:
        """The consumer's own letter of a message that was done already: deleted, and it never came back."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.handled("m1", "1")
        letter = h.dead_letter("d1", key="1")
        deleted = h.add("delete", "d1", queue=h.dlq, handle="d1-1", found=True)
        assert h.judge(invariants.replay_once()).evidence == (letter, deleted)

    def test_the_producer_s_repetition_is_no_return(self) -> None:
        """A message that the workload sends again is another one."""
        h = self._dead()
        h.send("m2", key="1")
        assert h.judge(invariants.replay_once()).status == "inconclusive"
