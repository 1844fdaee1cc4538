"""Stories: each well-known course of events is told so that the defect can be seen."""

from __future__ import annotations

import pytest

from harness import invariants
from harness.explore.story import EXPECTED, Story, tell
from tests.histories import HistoryBuilder


def story(history: HistoryBuilder, invariant: str) -> Story:
    spec = getattr(invariants, invariant)()
    verdict = history.judge(spec)
    assert verdict.status == "violated", verdict
    return tell(history.history, verdict)


def test_delete_before_work() -> None:
    """A message that is deleted first and lost by a crash: the delete and the crash are told, and are the reason."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.delete("m1")
    h.add(
        "fault.strike", fault=0, point="point.before-work", fault_kind="crash", did="killed, restart after 5 s", at=0.5
    )
    h.add("process.crash", process="worker", at=0.5)
    h.add("process.start", process="worker", incarnation=2, at=5.5)
    told = story(h, "no_message_loss")
    assert told.lines == (
        "    0.010 s  the workload sent message 7 to orders",
        "    0.020 s  worker received it from orders",
        "    0.030 s  worker deleted it from orders before anything had been done for it",
        "    0.500 s  worker was killed at before-work (restart after 5 s)",
        "    5.500 s  worker started again and remembered nothing",
    )
    assert told.expected == "every message is handled, or is still somewhere"
    assert told.because == "worker deleted the message before it had done the work, and was killed between the two"
    assert str(told).splitlines()[-3:] == [
        f"expected: {told.expected}",
        f"seen:     {told.seen}",
        f"because:  {told.because}",
    ]


def test_delete_in_finally() -> None:
    """A handler that fails while the message is deleted in a finally: the failure is the reason."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.add("handler.start", key="7")
    h.add("handler.end", key="7", outcome="error", error="ConnectionError: no")
    h.delete("m1")
    told = story(h, "no_message_loss")
    assert told.because == ("the handler had failed (ConnectionError: no), and worker deleted the message all the same")
    assert "the handler of worker failed: ConnectionError: no" in told.lines[2]
    assert told.lines[3].endswith(
        "worker deleted it from orders as if it had been handled, but nothing had been done for it"
    )


def test_killed_between_effect_and_delete() -> None:
    """An effect that happens again after a crash: who was killed, and when it came again."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.effect("7")
    h.add("process.crash", process="worker")
    h.add("process.start", process="worker", incarnation=2)
    h.receive("m1", at=31)
    h.effect("7")
    h.delete("m1")
    told = story(h, "effects_once")
    assert told.because.startswith("worker was killed after it had done the work and before it had deleted the message")
    text = str(told)
    assert '"charged" happened for it, by worker' in text
    assert '"charged" happened for it for the 2nd time, by worker' in text
    assert "worker received it from orders, which hid it from other consumers until 30.020 s" in text
    assert "worker received it from orders, since nobody had deleted it within 30 s (2nd delivery)" in text
    assert told.because.endswith("and worker, started again, did not know what it had done before")


def test_a_delete_that_had_no_effect() -> None:
    """A delete that never arrived: the fault and what the consumer then believed stand in one line."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.effect("7")
    h.add("fault.strike", fault=0, point="aws.sqs.DeleteMessage.before", fault_kind="timeout", did="no answer came")
    h.add("call.failed", point="aws.sqs.DeleteMessage", error="ReadTimeoutError", fault=None, took=60.0, at=60)
    h.receive("m1", at=61)
    h.effect("7")
    told = story(h, "effects_once")
    assert any(
        line.endswith(
            "worker's DeleteMessage was lost on its way and had no effect; 60 s later worker saw ReadTimeoutError"
        )
        for line in told.lines
    )
    assert told.because == (
        "worker's DeleteMessage was lost on its way and had no effect, so the message was still in the queue and was "
        "delivered again to worker, and nothing kept it from happening again"
    )


def test_an_answer_lost_within_one_delivery() -> None:
    """A call that took effect and whose answer was lost is made again: the lost answer is the reason."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.effect("7")
    h.add("fault.strike", fault=0, point="dependency.payments.after", fault_kind="timeout", did="no answer came")
    h.add("call.failed", point="dependency.payments", error="ReadTimeout", fault=None, took=5.0)
    h.effect("7")
    told = story(h, "effects_once")
    assert told.because == (
        "worker's call to payments took effect, but its answer was lost, and it was made again, "
        "and nothing kept it from happening again"
    )
    assert any(
        line.endswith(
            "worker's call to payments took effect, but its answer was lost; "
            "worker saw ReadTimeout and believed that it had failed"
        )
        for line in told.lines
    )


def test_a_visibility_timeout_that_ran_out() -> None:
    """Work that takes longer than the message is hidden: both workers are named."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1", actor="worker.1")
    h.receive("m1", actor="worker.2", at=31)
    h.effect("7", actor="worker.2")
    h.effect("7", actor="worker.1", at=40)
    told = story(h, "effects_once")
    assert told.because.startswith(
        "the visibility timeout (30 s) ran out while worker.1 still worked on the message, and worker.2 received it too"
    )


def test_a_queue_that_delivers_twice() -> None:
    """A standard queue's own duplicate is nobody's fault but must be survived: it is named."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.add("fault.strike", fault=0, point="aws.sqs.ReceiveMessage.before", fault_kind="duplicate", did="twice", key="7")
    h.handled("m1", "7")
    h.receive("m1")
    h.effect("7")
    assert "delivered the message twice, as standard queues may" in story(h, "effects_once").because


def test_a_process_that_stood_still() -> None:
    """A pause longer than the visibility timeout is the reason for the second handling."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1", actor="worker.1")
    h.add("process.pause", actor="faults", process="worker.1", until=46.0)
    h.receive("m1", actor="worker.2", at=31)
    h.effect("7", actor="worker.2")
    h.delete("m1", actor="worker.2")
    h.effect("7", actor="worker.1", at=47)
    assert story(h, "effects_once").because.startswith("worker.1 stood still for longer than the message was hidden")


def test_a_store_that_lost_its_memory() -> None:
    """A failover that loses the record of the first handling is the reason for the second."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.effect("7")
    h.add("effect.lost", name="remembered", key="7")
    h.receive("m1", at=31)
    h.effect("7")
    assert story(h, "effects_once").because.startswith("the store had lost the memory of the first time")


def test_a_message_that_nobody_finishes() -> None:
    """A stuck message: who had it last, and that nobody is left."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.add("process.crash", process="worker")
    told = story(h, "not_stuck")
    assert told.because == "worker received it last and never deleted it; worker was killed and was not started again"


def test_a_message_that_nobody_received() -> None:
    """A queue without a consumer is told as such."""
    h = HistoryBuilder()
    h.send("m1", "7")
    assert story(h, "not_stuck").because == "nobody received it"


def test_other_messages_and_their_faults_are_left_out() -> None:
    """Only the message of the finding is told, and only faults that struck its work."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.send("m2", "8")
    h.receive("m2", actor="worker.2")
    h.add(
        "fault.strike",
        actor="worker.2",
        fault=0,
        point="aws.sqs.DeleteMessage.before",
        fault_kind="throttled",
        did="answered 403 RequestThrottled",
    )
    h.receive("m1", actor="worker.1")
    h.delete("m1", actor="worker.1")
    h.effect("8", actor="worker.2")
    h.delete("m2", actor="worker.2")
    told = story(h, "no_message_loss")
    assert told.key == "7"
    assert "worker.2" not in str(told)
    assert told.because == "worker.1 deleted the message and did nothing for it"


def test_a_long_history_is_told_in_ten_lines() -> None:
    """However often a message comes again, the story has at most ten lines, the evidence among them."""
    h = HistoryBuilder()
    h.send("m1", "7")
    for n in range(40):
        h.receive("m1", at=1 + 31 * n)
        h.add("handler.start", key="7")
        h.add("handler.end", key="7", outcome="error", error="ValueError")
    h.delete("m1")
    told = story(h, "no_message_loss")
    lines = str(told).splitlines()
    assert len(lines) == 10
    assert "the workload sent message 7" in lines[0]
    assert "1210.000 s  worker received it" in lines[-5]  # the delivery that led to the delete is told
    assert "deleted it" in lines[-4]


def test_a_finding_about_no_message() -> None:
    """A breaker's finding is told by its evidence, after the fault that struck."""
    h = HistoryBuilder()
    h.add("fault.strike", fault=0, point="dependency.p.before", fault_kind="reset", did="connection reset")
    first = h.add("breaker.transition", breaker="p", **{"from": "closed", "to": "half_open"}, generation=1, reason="x")
    h.end()
    from harness.invariants.base import Verdict

    told = tell(h.history, Verdict("breaker-transitions", "violated", "closed to half_open", (first,)))
    assert told.key is None
    assert told.lines[0].endswith("worker's call to p had no effect: the connection broke")
    assert told.lines[1].endswith("breaker p went from closed to half_open (x)")
    assert told.because == "reset struck at dependency.p.before (connection reset)"


def test_a_finding_without_any_fault() -> None:
    """Where no fault struck, that is said."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.effect("7")
    h.effect("7")
    assert story(h, "duplicates_bounded").because == "no fault was needed: it happens without any"


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_expectations_are_for_invariants_that_exist(name: str) -> None:
    """Each expectation is a clause for a published invariant."""
    assert name == name.lower()
    assert not EXPECTED[name].endswith(".")


def test_a_story_is_json() -> None:
    """Reports take stories as JSON."""
    h = HistoryBuilder()
    h.send("m1", "7")
    told = story(h, "not_stuck")
    assert told.to_json() == {
        "invariant": "not-stuck",
        "key": "7",
        "lines": list(told.lines),
        "expected": told.expected,
        "seen": told.seen,
        "because": "nobody received it",
    }
