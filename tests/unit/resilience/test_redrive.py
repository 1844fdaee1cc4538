"""Analysis of a dead-letter queue, under real clients on the simulated SQS: it counts right and leaves no trace."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.faults.plan import Fault
from harness.resilience import DLQAnalyzer, ReplayStopped
from harness.resilience.redrive import MoveFailed, table
from tests.unit.resilience.naive_redrive import Endless, NaiveAnalyzer
from tests.unit.resilience.operators import BINARY, Bench, operate


def test_each_message_is_counted_once_and_given_back() -> None:
    """25 messages are 25, all visible at once afterwards; the naive analyzer counts again what it gave back."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(25)))
        with pytest.raises(Endless):
            NaiveAnalyzer(bench.dlq, bench.sqs).analyze_failed_messages()
        found = DLQAnalyzer(bench.dlq).analyze_failed_messages()
        assert (found["total_messages"], found["complete"], found["not_given_back"]) == (25, True, 0)
        assert bench.count(bench.dlq) == (25, 0)
        assert DLQAnalyzer(bench.dlq).analyze_failed_messages()["total_messages"] == 25
        assert len(bench.take(bench.dlq)) == 25

    operate(step)


def test_reading_that_outlasts_its_hold_counts_once() -> None:
    """Messages that become visible again while the reading goes on are known, and the reading ends."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(40)))
        slow = DLQAnalyzer(bench.dlq, hold_seconds=5)
        found = slow.analyze_failed_messages(on_progress=lambda analysis: time.sleep(4))
        assert (found["total_messages"], found["complete"]) == (40, True)
        # What was not held any more was not touched: somebody else may have had it.
        assert sum(bench.count(bench.dlq)) == 40

    operate(step)


def test_a_hold_that_is_over_is_not_given_back() -> None:
    """A message that another reader has received meanwhile stays his."""

    def step(bench: Bench) -> None:
        bench.envelopes("m")

        def late(analysis: Any) -> None:
            time.sleep(6)
            assert len(bench.take(bench.dlq)) == 1  # the other reader has it for an hour

        DLQAnalyzer(bench.dlq, hold_seconds=5).analyze_failed_messages(on_progress=late)
        assert bench.count(bench.dlq) == (0, 1)

    operate(step)


def test_an_error_gives_back_too() -> None:
    """A reading that breaks off leaves the messages visible."""

    def step(bench: Bench) -> None:
        bench.envelopes("a", "b")

        def broken(analysis: Any) -> None:
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            DLQAnalyzer(bench.dlq).analyze_failed_messages(on_progress=broken)
        assert bench.count(bench.dlq) == (2, 0)

    operate(step)


def test_it_stops_on_a_queue_that_fills_while_it_reads() -> None:
    """Messages that keep coming do not keep it: it ends soon after what was there at the start."""

    def step(bench: Bench) -> None:
        bench.envelopes(*(f"m{n}" for n in range(20)))
        time.sleep(3)
        going = True

        def fill() -> None:
            while going:
                bench.plain("more")
                time.sleep(0.1)

        filler = threading.Thread(target=fill)
        filler.start()
        found = DLQAnalyzer(bench.dlq).analyze_failed_messages(on_progress=lambda analysis: time.sleep(1))
        going = False
        filler.join()
        assert found["stopped_by"] == "filling"
        assert 20 <= found["total_messages"] <= 60

    operate(step)


@pytest.mark.parametrize(
    ("limits", "stopped"), [({"max_messages": 15}, "max_messages"), ({"max_seconds": 5}, "max_seconds")]
)
def test_limits(limits: dict[str, Any], stopped: str) -> None:
    """A reading ends at its limits and says that it is incomplete."""

    def step(bench: Bench) -> None:
        bench.plain(*(f"m{n}" for n in range(40)))
        analyzer = DLQAnalyzer(bench.dlq, **limits)
        found = analyzer.analyze_failed_messages(on_progress=lambda analysis: time.sleep(2))
        assert (found["stopped_by"], found["complete"]) == (stopped, False)
        assert found["total_messages"] == 40 - found["unread"] < 40
        assert bench.count(bench.dlq) == (40, 0)

    operate(step)


def test_a_stale_count_hides_nothing() -> None:
    """SQS's count may be of a minute ago: what is there is read, whatever the count says."""

    def step(bench: Bench) -> None:
        for n in range(12):
            bench.plain(f"m{n}")
            time.sleep(5)
        assert DLQAnalyzer(bench.dlq).analyze_failed_messages()["total_messages"] == 12

    operate(step, faults=[Fault("aws.sqs.GetQueueAttributes", "stale-attributes")])


def test_a_redrive_policy_on_the_queue_is_warned_of() -> None:
    """Each reading counts as a receive: where that could move messages on, it says so."""

    def step(bench: Bench) -> None:
        bench.plain("m")
        arn = bench.sqs.get_queue_attributes(QueueUrl=bench.other, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
        assert DLQAnalyzer(bench.dlq).analyze_failed_messages()["warnings"] == []
        bench.sqs.set_queue_attributes(QueueUrl=bench.dlq, Attributes={"RedrivePolicy": policy})
        (warning,) = DLQAnalyzer(bench.dlq).analyze_failed_messages()["warnings"]
        assert "maxReceiveCount 5" in warning

    operate(step)


def test_every_kind_of_dead_letter_is_read() -> None:
    """Our envelopes, older ones, what SQS moved, and junk: each is counted, none breaks the reading."""

    def step(bench: Bench) -> None:
        bench.envelopes("ours", attributes=BINARY)
        bench.older("older")
        bench.plain("[1, 2", "null", "\ud7ff{")
        bench.sqs.send_message(QueueUrl=bench.main, MessageBody="moved")
        for _ in range(4):
            bench.take(bench.main, hide=1)
            time.sleep(2)
        with pytest.raises(ValueError, match="Expecting"):
            NaiveAnalyzer(bench.dlq, bench.sqs).analyze_failed_messages()
        time.sleep(40)
        found = DLQAnalyzer(bench.dlq).analyze_failed_messages()
        assert found["forms"] == {"envelope": 1, "plain": 4, "unversioned": 1}
        assert found["error_patterns"] == {"other": 5, "timeout": 1}
        arn = next(name for name in found["by_queue"] if name.startswith("arn:"))
        assert arn.endswith(":orders")
        assert found["by_queue"] == {"(unknown)": 3, bench.main: 2, arn: 1}
        assert found["by_attribute"]["tenant"] == {"t1": 1}
        assert found["by_attribute"]["b"] == {"(2 bytes)": 1}

    operate(step)


STACK = "  shop/orders.py, line {line}, in handle\nValueError: order {order} is wrong"


def test_groups_by_error_and_stack() -> None:
    """Those that failed at one place are one group, whatever the line number and the order's own number are."""

    def step(bench: Bench) -> None:
        at = datetime(2029, 12, 31, 12, 30, tzinfo=UTC)
        for n in range(6):
            stack = STACK.format(line=10 + n, order=n)
            bench.envelopes(
                f"m{n}",
                reason=f"order {n} is wrong",
                error_class="ValueError",
                stack=stack,
                failed_at=at.replace(hour=12 + n // 3),
            )
        bench.envelopes("t1", "t2", reason="KeyError: 'a'")
        bench.envelopes("t3", reason="KeyError: 'b'")
        found = DLQAnalyzer(bench.dlq, samples=2).analyze_failed_messages()
        first, second = found["groups"]
        assert (first["count"], first["error_class"], len(first["samples"])) == (6, "ValueError", 2)
        assert (second["count"], second["error_class"]) == (3, "KeyError")
        assert (first["first_failed_at"], first["last_failed_at"]) == (
            "2029-12-31T12:30:00+00:00",
            "2029-12-31T13:30:00+00:00",
        )
        assert first["samples"][0]["body"].startswith("m")
        assert found["over_time"]["2029-12-31T12:00:00+00:00"] == 3
        again = DLQAnalyzer(bench.dlq).analyze_failed_messages()
        assert [group["group"] for group in again["groups"]] == [first["group"], second["group"]]

    operate(step)


def test_your_own_patterns_come_first() -> None:
    """Regular expressions and functions make categories; an overridden method is asked for the rest."""

    class Mine(DLQAnalyzer):
        def _categorize_error(self, error_reason: str) -> str:
            return "mine" if "KeyError" in error_reason else super()._categorize_error(error_reason)

    def step(bench: Bench) -> None:
        bench.envelopes("a", reason="Stripe timeout")
        bench.envelopes("b", reason="timeout")
        bench.envelopes("c")
        bench.envelopes("long" * 9, reason="x")
        analyzer = Mine(
            bench.dlq, patterns={"stripe": "stripe", "large": lambda letter: len(letter.envelope.body) > 20}
        )
        patterns = analyzer.analyze_failed_messages()["error_patterns"]
        assert patterns == {"large": 1, "mine": 1, "stripe": 1, "timeout": 1}
        with pytest.raises(ValueError, match="broken"):
            DLQAnalyzer(bench.dlq, patterns={"broken": "("})

    operate(step)


def test_json_and_table() -> None:
    """The result is JSON; the table shows the same, and nothing in a message can move a terminal's cursor."""

    def step(bench: Bench) -> None:
        bench.envelopes("m", reason="timeout\x1b[2J of 5 s")
        bench.plain("p")
        found = DLQAnalyzer(bench.dlq).analyze_failed_messages()
        assert json.loads(json.dumps(found)) == found
        assert datetime.fromisoformat(found["analysis_timestamp"]).tzinfo is not None
        text = table(found)
        assert "2 messages" in text
        assert "timeout" in text
        assert "\x1b" not in text
        assert max(len(line) for line in text.splitlines()[1:]) <= 100

    operate(step)


def test_a_receive_that_fails_is_tried_again() -> None:
    """Throttling does not end a reading; a queue that is not there does."""

    def step(bench: Bench) -> None:
        bench.plain("m")
        assert DLQAnalyzer(bench.dlq).analyze_failed_messages()["total_messages"] == 1
        with pytest.raises(bench.sqs.exceptions.QueueDoesNotExist):
            DLQAnalyzer(f"{bench.dlq}-none").analyze_failed_messages()

    operate(step, faults=[Fault("aws.sqs.ReceiveMessage", "throttled", start=0, end=8)])


def test_fifo_says_what_it_cannot_read() -> None:
    """Of a group in flight a FIFO queue gives no more: what was not read is said, not left out in silence."""

    def step(bench: Bench) -> None:
        for n in range(14):
            bench.plain(f"m{n}", MessageGroupId="g", MessageDeduplicationId=f"d{n}")
        bench.plain("other", MessageGroupId="h", MessageDeduplicationId="x")
        found = DLQAnalyzer(bench.dlq).analyze_failed_messages()
        assert (found["total_messages"], found["unread"], found["complete"]) == (11, 4, False)
        assert "FIFO" in found["warnings"][0]
        assert bench.count(bench.dlq) == (15, 0)

    operate(step, fifo=True)


# -- SQS's own move task


def bury(bench: Bench, *bodies: str) -> None:
    for body in bodies:
        bench.sqs.send_message(QueueUrl=bench.main, MessageBody=body)
    for _ in range(4):
        bench.take(bench.main, hide=1)
        time.sleep(2)


def test_native_move() -> None:
    """SQS moves what it moved here back to where it came from."""

    def step(bench: Bench) -> None:
        bury(bench, "a", "b")
        assert DLQAnalyzer(bench.dlq).replay_messages(None, native=True, rate=100) == 2
        assert bench.bodies(bench.main) == ["a", "b"]
        assert bench.count(bench.dlq) == (0, 0)

    operate(step)


def test_native_move_is_refused_where_it_would_harm() -> None:
    """Envelopes would arrive as envelopes; what was sent here has no source; a filter or edit cannot be kept."""

    def step(bench: Bench) -> None:
        analyzer = DLQAnalyzer(bench.dlq)
        bench.plain("p")
        with pytest.raises(ValueError, match="give a target"):
            analyzer.replay_messages(None, native=True)
        bench.envelopes("e")
        with pytest.raises(ValueError, match="envelope"):
            analyzer.replay_messages(bench.main, native=True)
        with pytest.raises(ValueError, match="filter_func, limit"):
            analyzer.replay_messages(bench.main, lambda letter: True, native=True, limit=3)
        with pytest.raises(ValueError, match="whole number"):
            analyzer.replay_messages(bench.main, native=True, rate=0.5)
        assert bench.count(bench.dlq) == (2, 0)

    operate(step)


def test_native_move_that_fails() -> None:
    """A task that failed raises with the reason and with what it had moved."""

    def step(bench: Bench) -> None:
        bury(bench, *(f"m{n}" for n in range(10)))
        url = bench.sqs.create_queue(QueueName="doomed")["QueueUrl"]

        def doom(progress: Any) -> None:
            if progress.moved and progress.status == "RUNNING":
                bench.sqs.delete_queue(QueueUrl=url)

        with pytest.raises(MoveFailed, match="NonExistentQueue") as caught:
            DLQAnalyzer(bench.dlq).replay_messages(url, native=True, rate=1, on_progress=doom)
        assert 0 < caught.value.progress.moved < 10
        assert not isinstance(caught.value, ReplayStopped)

    operate(step)
