"""Replay of dead letters, under real clients on the simulated SQS: each returns once, whole, and the rest stays."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from harness.faults.plan import Fault
from harness.resilience import DLQAnalyzer, FileJournal, RedisIdempotencyStore, ReplayStopped, StoreJournal
from harness.resilience.replay_journal import MemoryJournal, ReplayJournal
from tests.unit.resilience.naive_redrive import Endless, NaiveAnalyzer
from tests.unit.resilience.operators import BINARY, Bench, operate


def test_every_kind_returns_as_it_was_sent() -> None:
    """Envelopes of both versions, large ones, plain messages and junk: original body and attributes arrive."""

    def step(bench: Bench) -> None:
        large = '"' * 600_000  # escaped it would not fit into an envelope
        bench.envelopes("ours", large, attributes=BINARY)
        bench.older("older")
        bench.plain("plain", "[1, 2", attributes=BINARY)
        assert DLQAnalyzer(bench.dlq).replay_messages(bench.main) == 5
        got = {message["Body"]: message for message in bench.take(bench.main)}
        assert set(got) == {"ours", large, "older", "plain", "[1, 2"}
        for body in ("ours", large, "plain"):
            own = {name: value for name, value in got[body]["MessageAttributes"].items() if name in BINARY}
            assert own == BINARY
        assert got["older"]["MessageAttributes"]["tenant"]["StringValue"] == "t1"
        assert got["ours"]["MessageAttributes"]["ReplayOriginalId"]["StringValue"] == "original-ours"
        assert "ErrorType" not in got["ours"]["MessageAttributes"]
        assert bench.count(bench.dlq) == (0, 0)

    operate(step)


def test_naive_replay_breaks_on_attributes_as_received() -> None:
    """Binary attributes are what the naive replay cannot send, and what the older envelope cannot even hold."""

    def step(bench: Bench) -> None:
        bench.envelopes("m", attributes=BINARY)
        NaiveAnalyzer(bench.dlq, bench.sqs).replay_messages(bench.main)
        (message,) = bench.take(bench.main)
        assert message["MessageAttributes"]["b"] != BINARY["b"]  # base64 text, taken for the bytes

    operate(step)


def test_what_the_filter_rejects_stays_and_ends_the_replay() -> None:
    """Rejected messages are looked at once and given back; the naive replay receives them for ever."""

    def wanted(letter: dict[str, Any]) -> bool:
        return int(letter["originalMessage"]) % 2 == 0

    def step(bench: Bench) -> None:
        bench.envelopes(*(str(n) for n in range(30)))
        report = DLQAnalyzer(bench.dlq).replay(bench.main, wanted)
        assert (report.sent, report.rejected, report.read, report.stopped_by) == (15, 15, 30, "end")
        assert sorted(map(int, bench.bodies(bench.main))) == list(range(0, 30, 2))
        assert bench.count(bench.dlq) == (15, 0)
        with pytest.raises(Endless):
            NaiveAnalyzer(bench.dlq, bench.sqs).replay_messages(bench.main, wanted)

    operate(step)


def test_a_filter_gets_the_known_fields() -> None:
    """Whatever the dead letter is, the fields of the older envelope are there."""
    seen: list[dict[str, Any]] = []

    def step(bench: Bench) -> None:
        bench.envelopes("ours", reason="r1")
        bench.older("older", reason="r2")
        bench.plain("plain")
        DLQAnalyzer(bench.dlq).replay_messages(bench.main, lambda letter: seen.append(letter))

    operate(step)
    names = {"originalMessage", "originalAttributes", "errorReason", "failedAt", "originalMessageId"}
    assert all(names <= set(letter) for letter in seen)
    assert [letter["errorReason"] for letter in seen] == ["r1", "r2", ""]


def test_messages_that_fail_again_meanwhile_are_left() -> None:
    """A consumer that still fails does not make the replay go round: what comes back in is for the next replay."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(12)))
        time.sleep(3)

        def fails_again(report: Any) -> None:
            time.sleep(3)
            for message in bench.take(bench.main):
                bench.envelopes(message["Body"])
                bench.sqs.delete_message(QueueUrl=bench.main, ReceiptHandle=message["ReceiptHandle"])

        report = DLQAnalyzer(bench.dlq).replay(bench.main, on_progress=fails_again)
        assert report.sent == 12
        assert report.read - report.sent == report.skipped > 0
        assert bench.count(bench.dlq) == (12, 0)

    operate(step)


def test_each_to_its_origin() -> None:
    """Without a target each goes home, by URL or ARN; what has no home stays."""

    def step(bench: Bench) -> None:
        bench.envelopes("from-orders")
        bench.envelopes("from-other", queue=bench.other)
        bench.envelopes("from-here", queue=bench.dlq)
        bench.envelopes("gone", queue="arn:aws:sqs:us-east-1:000000000000:gone")
        bench.sqs.send_message(QueueUrl=bench.main, MessageBody="moved")
        for _ in range(4):
            bench.take(bench.main, hide=1)
            time.sleep(2)
        bench.plain("stray")
        report = DLQAnalyzer(bench.dlq).replay(None)
        assert (report.sent, report.skipped) == (3, 3)
        assert report.targets == {bench.main: 2, bench.other: 1}
        assert bench.bodies(bench.main) == ["from-orders", "moved"]
        assert bench.bodies(bench.other) == ["from-other"]
        assert len(report.notes) == 3
        assert bench.count(bench.dlq) == (3, 0)

    operate(step)


def test_dry_run_changes_nothing() -> None:
    """It says what would be sent, edits and filters included, and leaves everything visible."""

    def step(bench: Bench) -> None:
        bench.envelopes('{"n": 1}', '{"n": 2}', "no json")
        report = DLQAnalyzer(bench.dlq).replay(bench.main, dry_run=True, edit={"n": 5})
        assert (report.sent, report.would_send, report.failed, report.edited) == (0, 2, 1, 2)
        assert DLQAnalyzer(bench.dlq).replay_messages(bench.main, dry_run=True) == 3
        assert (bench.count(bench.main), bench.count(bench.dlq)) == ((0, 0), (3, 0))

    operate(step)


def test_group_limit_and_rate() -> None:
    """One group only, so many of it, so many a second."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"t{n}" for n in range(12)), reason="timeout")
        bench.envelopes("k", error_class="KeyError")
        analyzer = DLQAnalyzer(bench.dlq)
        group = analyzer.analyze_failed_messages()["groups"][0]["group"]
        began = time.monotonic()
        report = analyzer.replay(bench.main, group=group, limit=7, rate=2)
        assert (report.sent, report.stopped_by) == (7, "limit")
        assert 2 <= time.monotonic() - began < 10
        assert bench.count(bench.dlq) == (6, 0)
        assert analyzer.replay(bench.main, group="timeout").sent == 5
        assert analyzer.replay(bench.main, group=["KeyError"]).sent == 1

    operate(step)


def test_a_slow_replay_keeps_its_messages() -> None:
    """At one message in twenty seconds nothing is lost to a hold that ran out, and nothing is sent twice."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(10)))
        assert (
            DLQAnalyzer(bench.dlq).replay_messages(bench.main, rate=0.05, hold_seconds=40) + sum(bench.count(bench.dlq))
            == 10
        )
        while sum(bench.count(bench.dlq)):
            DLQAnalyzer(bench.dlq, patience=60).replay_messages(bench.main)
        assert bench.bodies(bench.main) == sorted(f"m{n}" for n in range(10))

    operate(step)


def test_edits_are_linked_to_the_original() -> None:
    """A function, a JSON Patch, a merge patch; what was changed says so and names the dead letter it was."""

    def rename(letter: dict[str, Any]) -> dict[str, Any]:
        letter["originalMessage"] = json.loads(letter["originalMessage"]) | {"currency": "EUR"}
        letter["originalAttributes"]["fixed"] = {"DataType": "String", "StringValue": "yes"}
        return letter

    def broken(letter: dict[str, Any]) -> None:
        raise KeyError("n")

    def step(bench: Bench) -> None:
        analyzer = DLQAnalyzer(bench.dlq)
        for edit, body in (
            (rename, '{"n":1,"currency":"EUR"}'),
            (lambda letter: "new", "new"),
            ([{"op": "replace", "path": "/n", "value": 2}], '{"n":2}'),
            ({"n": None}, "{}"),
        ):
            bench.envelopes('{"n": 1}', attributes=BINARY)
            assert analyzer.replay(bench.main, edit=edit).edited == 1
            (message,) = bench.take(bench.main)
            marks = {name: value.get("StringValue") for name, value in message["MessageAttributes"].items()}
            assert (message["Body"], marks["ReplayEdited"], marks["ReplayOriginalId"]) == (
                body,
                "true",
                'original-{"n": 1}',
            )
            assert message["MessageAttributes"]["b"] == BINARY["b"]
            assert (edit is rename) == ("fixed" in marks)
        bench.envelopes('{"n": 1}')
        report = analyzer.replay(bench.main, edit=broken)
        assert (report.failed, report.sent) == (1, 0)
        assert "KeyError" in report.notes[0]
        report = analyzer.replay(bench.main, edit=[{"op": "replace", "path": "/gone", "value": 2}])
        assert report.failed == 1
        assert bench.count(bench.dlq) == (1, 0)

    operate(step)


def test_marks_leave_room() -> None:
    """A message with ten attributes keeps its ten; one that came back twice still names its first id."""

    def step(bench: Bench) -> None:
        ten = {f"a{n}": {"DataType": "String", "StringValue": str(n)} for n in range(10)}
        bench.envelopes("ten", attributes=ten)
        bench.envelopes("twice", attributes={"ReplayOriginalId": {"DataType": "String", "StringValue": "first"}})
        assert DLQAnalyzer(bench.dlq).replay_messages(bench.main) == 2
        got = {message["Body"]: message["MessageAttributes"] for message in bench.take(bench.main)}
        assert got["ten"] == ten
        assert got["twice"]["ReplayOriginalId"]["StringValue"] == "first"
        assert got["twice"]["ReplayOf"]["StringValue"]

    operate(step)


# -- crashes


CRASHES = [
    Fault("aws.sqs.SendMessageBatch", "crash", side="before", nth=2, restart_after=5),
    Fault("aws.sqs.DeleteMessageBatch", "crash", side="before", nth=2, restart_after=5),
    Fault("aws.sqs.DeleteMessageBatch", "crash", side="after", nth=2, restart_after=5),
]


class Journals:
    """Journals of processes, some of which are killed and never close theirs."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal"
        self.made: list[FileJournal] = []

    def file(self, bench: Bench) -> FileJournal:
        self.made.append(FileJournal(self.path, bench.dlq))
        return self.made[-1]


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Journals]:
    made = Journals(tmp_path)
    yield made
    for journal in made.made:
        journal.close()


def store(bench: Bench) -> ReplayJournal:
    return StoreJournal(RedisIdempotencyStore(redis.Redis.from_url(bench.redis)), bench.dlq)


@pytest.mark.parametrize("kept", ["file", "store"])
@pytest.mark.parametrize("fault", CRASHES, ids=str)
def test_a_replay_that_was_killed_goes_on(journals: Journals, fault: Fault, kept: str) -> None:
    """Killed before a send, or between send and delete, the next one returns each message once."""
    journal_of = journals.file if kept == "file" else store

    def fill(bench: Bench) -> None:
        for n in range(25):
            bench.envelopes(f"m{n}")

    def replay(bench: Bench) -> None:
        DLQAnalyzer(bench.dlq, patience=120).replay_messages(bench.main, journal=journal_of(bench))

    def look(bench: Bench) -> None:
        assert bench.bodies(bench.main) == sorted(f"m{n}" for n in range(25))
        assert bench.count(bench.dlq) == (0, 0)

    result = operate(fill, replay, look, faults=[fault])
    assert len([event for event in result.history if event["kind"] == "process.crash"]) == 1


def test_without_a_journal_a_crash_duplicates() -> None:
    """The same crash without a journal sends a batch twice: the copies name the same dead letter."""

    def look(bench: Bench) -> None:
        messages = bench.take(bench.main)
        assert len(messages) == 35
        assert len({message["MessageAttributes"]["ReplayOf"]["StringValue"] for message in messages}) == 25

    operate(
        lambda bench: bench.envelopes(*(f"m{n}" for n in range(25))),
        lambda bench: DLQAnalyzer(bench.dlq, patience=120).replay_messages(bench.main),
        look,
        faults=[CRASHES[1]],
    )


@pytest.mark.parametrize(("unsure", "copies", "left"), [("send", 20, 0), ("leave", 10, 10)])
def test_an_answer_that_nobody_heard(journals: Journals, unsure: Any, copies: int, left: int) -> None:
    """A send whose answer was lost is unsure: sent again, or left for somebody to decide, and counted as such."""

    def replay(bench: Bench) -> None:
        report = DLQAnalyzer(bench.dlq, patience=120).replay(bench.main, journal=journals.file(bench), unsure=unsure)
        assert (report.unsure, report.skipped) == ((10, 0) if unsure == "send" else (0, 10))

    def look(bench: Bench) -> None:
        assert len(bench.take(bench.main)) == copies
        assert bench.count(bench.dlq) == (left, 0)

    operate(
        lambda bench: bench.envelopes(*(f"m{n}" for n in range(10))),
        replay,
        look,
        faults=[Fault("aws.sqs.SendMessageBatch", "crash", side="after", nth=1, restart_after=5)],
    )


def test_deletes_that_fail_are_said() -> None:
    """Sent and not deletable: counted as both, and the same journal keeps the next run from sending again."""

    def step(bench: Bench) -> None:
        bench.envelopes("a", "b")
        journal = MemoryJournal()
        time.sleep(10)
        report = DLQAnalyzer(bench.dlq).replay(bench.main, journal=journal)
        assert (report.sent, report.undeleted) == (2, 2)
        time.sleep(300)
        report = DLQAnalyzer(bench.dlq).replay(bench.main, journal=journal)
        assert (report.sent, report.already_sent) == (0, 2)
        assert bench.bodies(bench.main) == ["a", "b"]
        assert bench.count(bench.dlq) == (0, 0)

    operate(step, faults=[Fault("aws.sqs.DeleteMessageBatch", "access-denied", start=5, end=120)])


def test_partial_failures() -> None:
    """Entries that fail stay; entries whose delete fails are deleted at another try."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(10)))
        time.sleep(5)
        report = DLQAnalyzer(bench.dlq).replay(bench.main)
        assert report.sent + report.failed == 10
        assert report.failed > 0
        assert len(bench.take(bench.main)) == report.sent
        assert bench.count(bench.dlq) == (report.failed, 0)

    operate(
        step,
        faults=[
            Fault("aws.sqs.SendMessageBatch", "partial-failure", share=0.3),
            Fault("aws.sqs.DeleteMessageBatch", "partial-failure", share=0.5, nth=1),
        ],
    )


def test_one_message_that_the_target_refuses_spoils_no_other() -> None:
    """A message over the target's limit fails by itself and stays."""

    def step(bench: Bench) -> None:
        bench.sqs.set_queue_attributes(QueueUrl=bench.other, Attributes={"MaximumMessageSize": "1024"})
        bench.envelopes("small", "x" * 2_000, "little")
        report = DLQAnalyzer(bench.dlq).replay(bench.other)
        assert (report.sent, report.failed) == (2, 1)
        assert bench.bodies(bench.other) == ["little", "small"]
        assert bench.count(bench.dlq) == (1, 0)

    operate(step)


def test_a_target_that_is_not_there_stops_it() -> None:
    """It raises with what it did, and everything is visible in the dead-letter queue again."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(12)))
        with pytest.raises(ReplayStopped) as caught:
            DLQAnalyzer(bench.dlq).replay_messages(f"{bench.main}-none")
        assert (caught.value.report.sent, caught.value.report.stopped_by) == (0, "error")
        assert bench.count(bench.dlq) == (12, 0)
        with pytest.raises(ValueError, match="itself"):
            DLQAnalyzer(bench.dlq).replay_messages(bench.dlq)

    operate(step)


def test_a_dead_letter_delivered_twice_returns_once() -> None:
    """A standard queue may deliver a dead letter again although it was deleted: it is deleted again, not sent."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(30)))
        report = DLQAnalyzer(bench.dlq).replay(bench.main)
        assert (report.sent, report.not_given_back) == (30, 0)
        got = {message["MessageId"]: message["Body"] for message in bench.take(bench.main)}
        assert sorted(got.values()) == sorted(f"m{n}" for n in range(30))

    operate(step, faults=[Fault("aws.sqs.ReceiveMessage", "duplicate")])


def test_a_lost_hold_is_not_sent() -> None:
    """What somebody else may have by now, because filtering took longer than the hold, is left to him."""

    def step(bench: Bench) -> None:
        bench.envelopes("a", "b", "c", "d")

        def slow(letter: dict[str, Any]) -> bool:
            time.sleep(3)
            if letter["originalMessage"] == "d":
                assert len(bench.take(bench.dlq)) == 4  # the other reader
            return True

        report = DLQAnalyzer(bench.dlq, hold_seconds=8).replay(bench.main, slow)
        assert (report.sent, report.skipped) == (0, 4)
        assert (bench.count(bench.main), bench.count(bench.dlq)) == ((0, 0), (0, 4))

    operate(step)


def test_large_messages_are_sent_in_several_calls() -> None:
    """No call goes over the limit of a batch."""

    def step(bench: Bench) -> None:
        bench.plain(*(letter * 400_000 for letter in "abcd"))
        assert DLQAnalyzer(bench.dlq).replay_messages(bench.main) == 4

    result = operate(step)
    assert [event for event in result.history if event["kind"] == "call.failed"] == []


def test_a_batch_that_is_refused_as_a_whole_is_sent_one_by_one() -> None:
    """One message may spoil a request: each is tried by itself."""

    def step(bench: Bench) -> None:
        bench.envelopes("a", "b", "c")
        report = DLQAnalyzer(bench.dlq).replay(bench.main)
        assert (report.sent, report.failed) == (3, 0)

    operate(step, faults=[Fault("aws.sqs.SendMessageBatch", "throttled")])


def test_a_target_that_is_down_stops_it() -> None:
    """After five calls in a row that failed it ends; what was not tried is not counted as failed."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(80)))
        time.sleep(60)
        with pytest.raises(ReplayStopped) as caught:
            DLQAnalyzer(bench.dlq).replay(bench.main)
        assert caught.value.report.failed == 50
        assert bench.count(bench.dlq) == (80, 0)

    operate(step, faults=[Fault("aws.sqs.SendMessageBatch", "unavailable")])


@pytest.mark.parametrize(
    "fault",
    [
        Fault("aws.sqs.SendMessageBatch", "partial-failure", share=0.5, nth=1),
        Fault("aws.sqs.SendMessageBatch", "access-denied", nth=1),
    ],
    ids=str,
)
def test_what_was_refused_for_sure_is_not_unsure(fault: Fault) -> None:
    """SQS said no: the next run sends it, although it is told to leave what is unsure."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(10)))
        journal = MemoryJournal()
        with contextlib.suppress(ReplayStopped):
            assert DLQAnalyzer(bench.dlq).replay(bench.main, journal=journal).failed == 5
        report = DLQAnalyzer(bench.dlq).replay(bench.main, journal=journal, unsure="leave")
        assert report.skipped == 0
        assert bench.bodies(bench.main) == sorted(f"m{n}" for n in range(10))

    operate(step, faults=[fault])


def test_giving_back_is_tried_twice() -> None:
    """Entries that could not be made visible are tried again."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(10)))
        report = DLQAnalyzer(bench.dlq).replay(bench.main, lambda letter: False)
        assert (report.rejected, report.not_given_back) == (10, 0)
        assert bench.count(bench.dlq) == (10, 0)

    operate(step, faults=[Fault("aws.sqs.ChangeMessageVisibilityBatch", "partial-failure", share=0.5, nth=1)])


# -- FIFO


def fifo_letter(bench: Bench, body: str, dedup: str, group: str = "g") -> None:
    now = str(int(time.time() * 1000))
    system = {
        "MessageGroupId": group,
        "MessageDeduplicationId": dedup,
        "SequenceNumber": "188",
        "SentTimestamp": now,
    }
    bench.envelopes(body, system=system)


def test_fifo_keeps_ids_order_and_waits_for_the_window() -> None:
    """Replayed within five minutes of the first send, SQS would take the message and drop it: it waits instead."""

    def naive(bench: Bench) -> None:
        bench.sqs.send_message(
            QueueUrl=bench.main, MessageBody="lost", MessageGroupId="g", MessageDeduplicationId="again"
        )
        assert bench.bodies(bench.main) == []

    def step(bench: Bench) -> None:
        for n in range(4):
            bench.sqs.send_message(
                QueueUrl=bench.main, MessageBody=f"m{n}", MessageGroupId="g", MessageDeduplicationId=f"d{n}"
            )
            fifo_letter(bench, f"m{n}", f"d{n}")
        bench.sqs.send_message(QueueUrl=bench.main, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="again")
        for message in bench.take(bench.main):
            bench.sqs.delete_message(QueueUrl=bench.main, ReceiptHandle=message["ReceiptHandle"])
        naive(bench)
        began = time.monotonic()
        assert DLQAnalyzer(bench.dlq).replay_messages(bench.main) == 4
        assert 290 < time.monotonic() - began < 320
        got = bench.take(bench.main)
        assert [message["Body"] for message in got] == ["m0", "m1", "m2", "m3"]
        assert [message["Attributes"]["MessageDeduplicationId"] for message in got] == ["d0", "d1", "d2", "d3"]
        assert {message["Attributes"]["MessageGroupId"] for message in got} == {"g"}
        assert bench.count(bench.dlq) == (0, 0)

    operate(step, fifo=True)


def test_fifo_with_another_id_does_not_wait() -> None:
    """With an id of its own the message returns at once; to another queue the original id is free as well."""

    def step(bench: Bench) -> None:
        for target, options in ((bench.main, {"deduplication": "derived"}), (bench.other, {})):
            bench.sqs.send_message(
                QueueUrl=bench.main, MessageBody="m", MessageGroupId="g", MessageDeduplicationId=target
            )
            fifo_letter(bench, f"m{len(options)}", target.rpartition("/")[2])
            began = time.monotonic()
            assert DLQAnalyzer(bench.dlq).replay_messages(target, **options) == 1
            assert time.monotonic() - began < 10

    operate(step, fifo=True)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("operation", ["SendMessage", "DeleteMessageBatch"])
def test_fifo_is_exact_at_every_crash(operation: str, side: Any) -> None:
    """In a FIFO queue even a send whose answer nobody heard returns once: SQS drops the second one."""

    def fill(bench: Bench) -> None:
        for n in range(6):
            fifo_letter(bench, f"m{n}", f"d{n}", group=f"g{n % 2}")

    def look(bench: Bench) -> None:
        got = bench.take(bench.main)
        for group in ("g0", "g1"):
            bodies = [message["Body"] for message in got if message["Attributes"]["MessageGroupId"] == group]
            assert bodies == [f"m{n}" for n in range(6) if f"g{n % 2}" == group]
        assert bench.count(bench.dlq) == (0, 0)

    result = operate(
        fill,
        # A second replay comes only when the first one's hold is over: keep it short, the window is five minutes.
        lambda bench: DLQAnalyzer(bench.dlq, patience=200, hold_seconds=60).replay_messages(bench.main),
        look,
        fifo=True,
        faults=[
            Fault(
                f"aws.sqs.{operation}",
                "crash",
                side=side,
                start=590,
                nth=None,
                probability=0.4,
                restart_after=5,
                end=640,
            )
        ],
    )
    assert [event for event in result.history if event["kind"] == "process.crash"]


def test_fifo_order_is_kept_when_one_cannot_be_sent() -> None:
    """What stands behind a message that failed is not sent before it; other groups go on."""

    def step(bench: Bench) -> None:
        bench.sqs.set_queue_attributes(QueueUrl=bench.other, Attributes={"MaximumMessageSize": "1024"})
        for body, group in (("a1", "a"), ("a2" + "x" * 2_000, "a"), ("a3", "a"), ("b1", "b")):
            fifo_letter(bench, body, body[:2], group)
        report = DLQAnalyzer(bench.dlq).replay(bench.other)
        assert (report.sent, report.failed, report.skipped) == (2, 1, 1)
        assert bench.bodies(bench.other) == ["a1", "b1"]
        assert bench.count(bench.dlq) == (2, 0)

    operate(step, fifo=True)


def test_older_envelopes_to_a_fifo_queue() -> None:
    """They name no ids: each is its own group, and its deduplication id is the same at each try."""

    def step(bench: Bench) -> None:
        document = {"originalMessage": "m", "originalAttributes": {}, "errorReason": "r", "originalMessageId": "o"}
        bench.plain(json.dumps(document), MessageGroupId="x", MessageDeduplicationId="x")
        assert DLQAnalyzer(bench.dlq).replay_messages(bench.main) == 1
        (message,) = bench.take(bench.main)
        assert message["Attributes"]["MessageGroupId"] == "o"
        assert message["Attributes"]["MessageDeduplicationId"].startswith("replay-")

    operate(step, fifo=True)
