"""The dead-letter queue handler, and the loop under it, against a small SQS on virtual time."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from harness.resilience._delivery import ConsumerEvent, Delivery, Reporter
from harness.resilience._heartbeat import Heartbeat
from harness.resilience.dlq import ConsumerOptions, DeadLetterQueueHandler
from harness.resilience.envelope import read_envelope
from harness.resilience.errors import InvalidMessageFormatError, PermanentError
from harness.resilience.idempotency import MemoryIdempotencyStore
from tests.unit.resilience.sqs_fake import Clock, FakeSqs, aws_error

MAIN = "https://sqs.example/1/orders"
DLQ = "https://sqs.example/1/orders-dlq"
FIFO = "https://sqs.example/1/orders.fifo"
FIFO_DLQ = "https://sqs.example/1/orders-dlq.fifo"


class Setup:
    def __init__(self, main: str = MAIN, dlq: str = DLQ, **keywords: Any) -> None:
        self.clock = Clock()
        self.sqs = FakeSqs(self.clock)
        self.events: list[ConsumerEvent] = []
        keywords.setdefault("options", ConsumerOptions(heartbeat=False))
        self.handler = DeadLetterQueueHandler(
            main,
            dlq,
            sqs=self.sqs,
            listeners=[self.events.append],
            clock=self.clock,
            wall_clock=lambda: self.clock() + 1_900_000_000,
            sleep=self.clock.sleep,
            random=random.Random(1),
            **keywords,
        )
        self.main, self.dlq = main, dlq
        self.sqs.on_idle = self.handler.stop
        self.handled: list[str] = []

    def run(self, handle: Callable[[dict[str, Any]], object] | None = None) -> None:
        def recorded(message: dict[str, Any]) -> None:
            self.handled.append(message["Body"])
            if handle is not None:
                handle(message)

        self.handler.process_with_dlq(recorded)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def dead(self) -> list[Any]:
        return [read_envelope(message) for message in self.sqs.messages(self.dlq)]


def failing(*bodies: str, error: Exception | None = None) -> Callable[[dict[str, Any]], None]:
    def handle(message: dict[str, Any]) -> None:
        if message["Body"] in bodies:
            raise error or RuntimeError(f"cannot handle {message['Body']}")

    return handle


def test_handled_messages_are_deleted() -> None:
    """A message whose handler returned is deleted, and nothing is dead-lettered."""
    s = Setup()
    for n in range(25):
        s.sqs.put(MAIN, f"b{n}")
    s.run()
    assert s.handled == [f"b{n}" for n in range(25)]
    assert not s.sqs.queues[MAIN]
    assert not s.sqs.queues[DLQ]


def test_attributes_are_asked_for() -> None:
    """A receive asks for the receive count and all attributes: they are not returned otherwise."""
    s = Setup()
    s.sqs.put(MAIN, "b", attributes={"k": {"DataType": "String", "StringValue": "v"}})
    seen: list[dict[str, Any]] = []
    s.run(seen.append)
    assert seen[0]["Attributes"]["ApproximateReceiveCount"] == "1"
    assert seen[0]["MessageAttributes"]["k"]["StringValue"] == "v"


def test_received_too_often_is_dead_lettered_without_another_try() -> None:
    """An unknown error lets the message come back; at the fourth receive it is dead-lettered, tried three times."""
    s = Setup()
    s.sqs.put(MAIN, "bad")
    s.run(failing("bad"))
    assert s.handled == ["bad"] * 3
    (envelope,) = s.dead()
    assert envelope.body == "bad"
    assert envelope.receive_count == 4
    assert envelope.reason == "Received more than 3 times without success; last error: RuntimeError: cannot handle bad"
    assert envelope.error_class == "RuntimeError"
    assert "test_dlq.py, line" in envelope.stack
    assert "cannot handle bad" in envelope.stack
    assert not s.sqs.queues[MAIN]


def test_a_message_that_kills_its_consumer_is_contained() -> None:
    """A message received more often than allowed is dead-lettered though no handler ever failed on it here."""
    s = Setup()
    s.sqs.put(MAIN, "killer")

    class Killed(BaseException):
        pass

    def die(message: dict[str, Any]) -> None:
        raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            s.run(die)
        s.clock.advance(31)
    s.run(die)
    assert [envelope.body for envelope in s.dead()] == ["killer"]
    assert not s.sqs.queues[MAIN]


@pytest.mark.parametrize(
    "error", [PermanentError("never"), InvalidMessageFormatError("never"), aws_error("InvalidParameterValue")]
)
def test_permanent_errors_are_dead_lettered_at_once(error: Exception) -> None:
    """A permanent error, a real one of botocore too, needs one receive only."""
    s = Setup()
    s.sqs.put(MAIN, "bad")
    s.run(failing("bad", error=error))
    assert s.handled == ["bad"]
    (envelope,) = s.dead()
    assert envelope.reason == str(error)
    assert envelope.receive_count == 1


def test_dead_letter_goes_before_delete() -> None:
    """The dead letter is accepted before the original is deleted."""
    s = Setup()
    s.sqs.put(MAIN, "bad")
    s.run(failing("bad", error=PermanentError("x")))
    names = [name for name, _ in s.sqs.calls if name in ("send_message", "delete_message")]
    assert names == ["send_message", "delete_message"]


def test_failed_dead_letter_send_deletes_nothing() -> None:
    """If the dead letter cannot be sent, the original stays, and the failure is not taken for the handler's."""
    s = Setup()
    s.sqs.put(MAIN, "bad")
    s.sqs.errors["send_message"] = [aws_error("AccessDenied")]
    s.run(failing("bad", error=PermanentError("x")))
    assert s.kinds().count("dead-letter-failed") == 1
    assert s.kinds().count("handler-failed") == 2  # one for each time that the handler was called
    assert [envelope.body for envelope in s.dead()] == ["bad"]
    assert not s.sqs.queues[MAIN]
    first_delete = [name for name, _ in s.sqs.calls].index("delete_message")
    assert [name for name, _ in s.sqs.calls][:first_delete].count("send_message") == 2


def test_one_bad_message_does_not_abandon_its_batch() -> None:
    """The messages behind a failing one, and behind a failing dead-letter send, are handled."""
    s = Setup()
    for n in range(5):
        s.sqs.put(MAIN, f"b{n}")
    s.sqs.errors["send_message"] = [aws_error("ServiceUnavailable", status=503)]
    s.run(failing("b1", error=PermanentError("x")))
    assert s.handled[:5] == ["b0", "b1", "b2", "b3", "b4"]
    assert not s.sqs.queues[MAIN]


def test_receive_errors_are_survived_with_growing_pauses() -> None:
    """Failed receives are repeated after pauses that grow to a cap, and start small again after a success."""
    s = Setup()
    s.sqs.put(MAIN, "b")
    s.sqs.errors["receive_message"] = [aws_error("ServiceUnavailable", status=503)] * 12
    s.run()
    assert s.handled == ["b"]
    pauses = [event.seconds or 0 for event in s.events if event.kind == "receive-failed"]
    for n, pause in enumerate(pauses):
        ceiling = min(30.0, 2.0**n)
        assert ceiling / 2 <= pause <= ceiling
    s.sqs.errors["receive_message"] = [aws_error("ServiceUnavailable", status=503)]
    s.events.clear()
    s.run()
    assert next(event.seconds or 0 for event in s.events if event.kind == "receive-failed") <= 1.0


def test_two_thousand_failed_receives_do_not_overflow() -> None:
    """The pause after very many failures is the cap: 2.0 ** 1024 would be an OverflowError."""
    s = Setup()
    s.sqs.errors["receive_message"] = [ConnectionError("down")] * 2_000
    s.run()
    assert s.kinds().count("receive-failed") == 2_000


def test_stop_gives_back_what_was_not_begun() -> None:
    """On stop the handler ends, and the rest of the batch is visible to others at once."""
    s = Setup()
    for n in range(5):
        s.sqs.put(MAIN, f"b{n}")
    s.run(lambda message: s.handler.stop())
    assert s.handled == ["b0"]
    assert s.sqs.bodies(MAIN) == ["b1", "b2", "b3", "b4"]
    assert all(stored.visible_at <= s.clock() for stored in s.sqs.queues[MAIN])
    assert s.kinds().count("given-back") == 4


def test_stop_before_start_ends_at_once_and_only_once() -> None:
    """A stop that comes before the loop runs is honoured, and does not end the next run."""
    s = Setup()
    s.sqs.put(MAIN, "b")
    s.handler.stop()
    s.run()
    assert s.handled == []
    s.run()
    assert s.handled == ["b"]


def test_delete_failure_is_retried_and_not_handled_again() -> None:
    """A message that was handled and could not be deleted is deleted when it comes back, not handled again."""
    s = Setup()
    s.sqs.put(MAIN, "b")
    s.sqs.errors["delete_message"] = [aws_error("InternalError", status=500)] * 3
    s.run()
    assert s.handled == ["b"]
    assert s.kinds().count("delete-failed") == 1
    assert s.kinds().count("already-handled") == 1
    assert not s.sqs.queues[MAIN]


def test_delivery_after_delete_is_not_handled_again() -> None:
    """A standard queue delivers a message once more after its delete: this process knows it, whatever its count."""
    s = Setup()
    s.sqs.put(MAIN, "b")
    again: list[Any] = []

    def notice(event: ConsumerEvent) -> None:
        if event.kind == "deleted" and not again:
            again.append(ghost)
            ghost.receives = 7
            ghost.visible_at = 0
            s.sqs.queues[MAIN].append(ghost)

    ghost = s.sqs.queues[MAIN][0]
    s.handler.listeners.append(notice)
    s.run()
    assert s.handled == ["b"]
    assert s.sqs.queues[MAIN] == []
    assert s.dead() == []


def test_batched_deletes_repair_partial_failure() -> None:
    """With deletes in batches, an entry that SQS refuses is deleted one by one."""
    s = Setup(options=ConsumerOptions(heartbeat=False, acknowledge_together=10))
    for n in range(10):
        s.sqs.put(MAIN, f"b{n}")
    s.sqs.fail_entries["delete_message_batch"] = [{"2", "7"}]
    s.run()
    assert len(s.handled) == 10
    assert not s.sqs.queues[MAIN]
    assert s.sqs.count("delete_message_batch") == 1
    assert s.sqs.count("delete_message") == 2


def test_batched_deletes_survive_a_failed_call() -> None:
    """With deletes in batches, a call that fails as a whole loses no acknowledgement."""
    s = Setup(options=ConsumerOptions(heartbeat=False, acknowledge_together=10))
    for n in range(3):
        s.sqs.put(MAIN, f"b{n}")
    s.sqs.errors["delete_message_batch"] = [ConnectionError("lost")]
    s.run()
    assert len(s.handled) == 3
    assert not s.sqs.queues[MAIN]


def test_unbegun_message_whose_time_ran_out_is_not_handled() -> None:
    """Without a heartbeat, what waited behind a slow handler past its visibility timeout is left to others."""
    s = Setup()
    for n in range(3):
        s.sqs.put(MAIN, f"b{n}")
    seen: list[tuple[str, str]] = []

    def slow(message: dict[str, Any]) -> None:
        seen.append((message["Body"], message["Attributes"]["ApproximateReceiveCount"]))
        if message["Body"] == "b0":
            s.clock.advance(40)

    s.run(slow)
    assert s.kinds().count("expired-unbegun") == 2
    assert ("b1", "1") not in seen
    assert ("b1", "2") in seen


def test_heartbeat_keeps_slow_messages_ours() -> None:
    """The heartbeat extends the message in hand and those that wait behind it; nobody receives them twice."""
    s = Setup(options=ConsumerOptions())
    s.clock.on_advance.append(lambda: s.handler._loop and s.handler._loop.heartbeat.beat())
    for n in range(3):
        s.sqs.put(MAIN, f"b{n}")
    counts: list[str] = []

    def slow(message: dict[str, Any]) -> None:
        counts.append(message["Attributes"]["ApproximateReceiveCount"])
        s.clock.advance(100)
        assert not s.sqs._find(MAIN, {"MaxNumberOfMessages": 10}), "visible to others while it is handled"

    s.run(slow)
    assert counts == ["1", "1", "1"]
    assert s.sqs.count("change_message_visibility") >= 12


def test_heartbeat_lets_go_of_a_handler_that_hangs() -> None:
    """A message is not held for ever: after the hold time it becomes visible to others."""
    s = Setup(options=ConsumerOptions(hold_seconds=120))
    s.clock.on_advance.append(lambda: s.handler._loop and s.handler._loop.heartbeat.beat())
    s.sqs.put(MAIN, "b")
    others: list[dict[str, Any]] = []

    def hang(message: dict[str, Any]) -> None:
        s.clock.advance(200)
        others.extend(s.sqs._find(MAIN, {"MaxNumberOfMessages": 10}))

    s.run(hang)
    assert [message["Body"] for message in others] == ["b"]


def test_heartbeat_never_hides_what_was_given_back() -> None:
    """After a message was given back, a late heartbeat changes nothing."""
    s = Setup(options=ConsumerOptions(), retry_delay=lambda receives: 5.0)
    s.clock.on_advance.append(lambda: s.handler._loop and s.handler._loop.heartbeat.beat())
    s.sqs.put(MAIN, "b")
    times: list[float] = []

    def fail_once(message: dict[str, Any]) -> None:
        times.append(s.clock())
        if len(times) == 1:
            raise RuntimeError("once")

    s.run(fail_once)
    assert times[1] - times[0] == pytest.approx(5.0, abs=1.5)


def test_heartbeat_remembers_only_what_is_held() -> None:
    """Messages that come and go between two beats are not kept."""
    clock = Clock()
    beat = Heartbeat(lambda delivery: None, Reporter(MAIN), clock)
    for n in range(10_000):
        delivery = Delivery({"MessageId": str(n)}, clock(), 30, ordered=False)
        beat.hold(delivery)
        delivery.settled = True
    assert len(beat._held) <= 1_000


def test_retry_delay_backs_off_through_visibility() -> None:
    """A failed message comes back after the delay for its number of receives."""
    s = Setup(retry_delay=lambda receives: 2.0**receives)
    s.sqs.put(MAIN, "bad")
    s.run(failing("bad"))
    delays = [request["VisibilityTimeout"] for name, request in s.sqs.calls if name == "change_message_visibility"]
    assert delays == [2, 4, 8]


def test_crash_between_dead_letter_and_delete_is_recognisable() -> None:
    """A crash after the dead letter makes a second one, with the same original id."""
    s = Setup()
    original = s.sqs.put(MAIN, "bad")

    class Crash(BaseException):
        pass

    s.sqs.errors["delete_message"] = [Crash()]
    with pytest.raises(Crash):
        s.run(failing("bad", error=PermanentError("x")))
    fresh = DeadLetterQueueHandler(MAIN, DLQ, sqs=s.sqs, clock=s.clock, sleep=s.clock.sleep, options=s.handler.options)
    s.sqs.on_idle = fresh.stop
    fresh.process_with_dlq(failing("bad", error=PermanentError("x")))
    assert [envelope.message_id for envelope in s.dead()] == [original, original]


def test_store_prevents_the_second_dead_letter() -> None:
    """With a store, a new process finds that the dead letter was sent, and only deletes."""
    store = MemoryIdempotencyStore()
    s = Setup(store=store)
    s.sqs.put(MAIN, "bad")

    class Crash(BaseException):
        pass

    s.sqs.errors["delete_message"] = [Crash()]
    with pytest.raises(Crash):
        s.run(failing("bad", error=PermanentError("x")))
    fresh = DeadLetterQueueHandler(
        MAIN, DLQ, sqs=s.sqs, clock=s.clock, sleep=s.clock.sleep, options=s.handler.options, store=store
    )
    s.sqs.on_idle = fresh.stop
    fresh.process_with_dlq(failing("bad", error=PermanentError("x")))
    assert len(s.dead()) == 1
    assert not s.sqs.queues[MAIN]


def test_fifo_deduplicates_the_second_dead_letter() -> None:
    """A FIFO dead-letter queue drops the second dead letter by its deduplication id, and keeps the group."""
    s = Setup(FIFO, FIFO_DLQ)
    s.sqs.put(FIFO, "bad", group="g1")

    class Crash(BaseException):
        pass

    s.sqs.errors["delete_message"] = [Crash()]
    with pytest.raises(Crash):
        s.run(failing("bad", error=PermanentError("x")))
    s.clock.advance(31)
    s.handler._loop = None
    s.run(failing("bad", error=PermanentError("x")))
    assert len(s.sqs.queues[FIFO_DLQ]) == 1
    assert s.sqs.queues[FIFO_DLQ][0].system["MessageGroupId"] == "g1"
    assert not s.sqs.queues[FIFO]


def test_fifo_order_is_kept_when_one_fails() -> None:
    """In a group nothing overtakes a message that comes back; other groups go on."""
    s = Setup(FIFO, FIFO_DLQ)
    for body, group in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a"), ("b2", "b")):
        s.sqs.put(FIFO, body, group=group)
    attempts = {"a1": 0}
    done: list[str] = []

    def handle(message: dict[str, Any]) -> None:
        if message["Body"] == "a1":
            attempts["a1"] += 1
            if attempts["a1"] < 3:
                raise RuntimeError("not yet")
        done.append(message["Body"])

    s.run(handle)
    assert [body for body in done if body[0] == "a"] == ["a1", "a2", "a3"]
    assert done.index("b2") < done.index("a1")
    assert not s.sqs.queues[FIFO_DLQ]


def naive_fifo_consumer(sqs: FakeSqs, handle: Callable[[dict[str, Any]], None], receives: int) -> None:
    for _ in range(receives):
        answer = sqs.receive_message(QueueUrl=FIFO, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        for message in answer.get("Messages", []):
            try:
                handle(message)
            except RuntimeError:
                continue
            sqs.delete_message(QueueUrl=FIFO, ReceiptHandle=message["ReceiptHandle"])


def test_naive_consumer_breaks_fifo_order() -> None:
    """The usual loop, which goes on after a failure, handles a2 before a1: what the test above would catch."""
    clock = Clock()
    sqs = FakeSqs(clock)
    for body in ("a1", "a2"):
        sqs.put(FIFO, body, group="a")
    done: list[str] = []
    failed: list[str] = []

    def handle(message: dict[str, Any]) -> None:
        if message["Body"] == "a1" and not failed:
            failed.append("a1")
            raise RuntimeError("not yet")
        done.append(message["Body"])

    naive_fifo_consumer(sqs, handle, 3)
    assert done == ["a2", "a1"]


def test_fifo_neighbours_of_a_poison_message_are_not_dead_lettered() -> None:
    """What stands behind a poison message in its group is received with it again and again, and not blamed for it."""
    s = Setup(FIFO, FIFO_DLQ)
    for body in ("a1", "a2", "a3"):
        s.sqs.put(FIFO, body, group="a")
    s.run(failing("a1"))
    assert [envelope.body for envelope in s.dead()] == ["a1"]
    assert s.handled == ["a1", "a1", "a1", "a2", "a3"]


def test_handler_cannot_spoil_the_dead_letter() -> None:
    """A handler that changes its message changes a copy: the dead letter has the original."""
    s = Setup()
    s.sqs.put(MAIN, "bad", attributes={"k": {"DataType": "String", "StringValue": "v"}})

    def spoil(message: dict[str, Any]) -> None:
        message["Body"] = "spoilt"
        message["MessageAttributes"].clear()
        message.pop("ReceiptHandle")
        raise PermanentError("x")

    s.run(spoil)
    (envelope,) = s.dead()
    assert envelope.body == "bad"
    assert envelope.attributes == {"k": {"DataType": "String", "StringValue": "v"}}


def test_overridden_parts_are_called() -> None:
    """A subclass's _send_to_dlq and _delete_message are used for every dead letter and every delete."""
    sent: list[tuple[str, str]] = []
    deleted: list[str] = []

    class Mine(DeadLetterQueueHandler):
        def _send_to_dlq(self, message: Any, error_reason: str) -> None:
            sent.append((message["Body"], error_reason))

        def _delete_message(self, receipt_handle: str) -> None:
            deleted.append(receipt_handle)
            super()._delete_message(receipt_handle)

    clock = Clock()
    sqs = FakeSqs(clock)
    options = ConsumerOptions(heartbeat=False, acknowledge_together=10)
    handler = Mine(MAIN, DLQ, sqs=sqs, clock=clock, sleep=clock.sleep, options=options)
    sqs.on_idle = handler.stop
    sqs.put(MAIN, "good")
    sqs.put(MAIN, "bad")
    handler.process_with_dlq(failing("bad", error=PermanentError("x")))
    assert sent == [("bad", "x")]
    assert sorted(deleted) == ["m1#1", "m2#1"]
    assert sqs.count("delete_message_batch") == 0


def test_duplicate_delivery_in_one_process_is_handled_once_at_a_time() -> None:
    """A second delivery of a message that another thread is handling is not handled beside it."""
    s = Setup(options=ConsumerOptions(heartbeat=False, concurrency=2))
    s.sqs.put(MAIN, "b")
    inside = threading.Event()
    both: list[str] = []

    def handle(message: dict[str, Any]) -> None:
        both.append(message["Body"])
        if len(both) == 1:
            s.sqs.queues[MAIN][0].visible_at = 0  # SQS delivers it again
            inside.set()
            assert waited.wait(5)

    waited = threading.Event()

    def notice(event: ConsumerEvent) -> None:
        if event.kind == "in-progress-elsewhere":
            waited.set()

    s.handler.listeners.append(notice)
    s.run(handle)
    assert both == ["b"]


def test_threads_share_the_work_and_keep_groups_apart() -> None:
    """With several threads every message is handled once, and a group is never handled by two at a time."""
    s = Setup(FIFO, FIFO_DLQ, options=ConsumerOptions(heartbeat=False, concurrency=4))
    for n in range(40):
        s.sqs.put(FIFO, f"{n % 5}-{n:02}", group=str(n % 5))
    lock = threading.Lock()
    active: set[str] = set()
    done: list[str] = []

    def handle(message: dict[str, Any]) -> None:
        group = message["Attributes"]["MessageGroupId"]
        with lock:
            assert group not in active
            active.add(group)
        with lock:
            done.append(message["Body"])
            active.discard(group)

    s.run(handle)
    assert len(done) == 40
    for group in range(5):
        mine = [body for body in done if body.startswith(f"{group}-")]
        assert mine == sorted(mine)
    assert not s.sqs.queues[FIFO]


def test_exit_in_a_thread_ends_the_run() -> None:
    """SystemExit in a worker thread is raised by process_with_dlq, after a drain; it does not vanish."""
    s = Setup(options=ConsumerOptions(heartbeat=False, concurrency=2))
    s.sqs.put(MAIN, "b")

    def leave(message: dict[str, Any]) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        s.run(leave)
    assert s.sqs.bodies(MAIN) == ["b"]


def test_keyboard_interrupt_keeps_messages() -> None:
    """KeyboardInterrupt in a handler ends the loop; the message in hand comes back, the others at once."""
    s = Setup()
    s.sqs.put(MAIN, "b0")
    s.sqs.put(MAIN, "b1")

    def interrupt(message: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        s.run(interrupt)
    assert s.sqs.bodies(MAIN) == ["b0", "b1"]
    assert s.sqs.queues[MAIN][1].visible_at <= s.clock()


def test_failing_listener_harms_nothing() -> None:
    """A listener that raises is logged; the messages are handled all the same."""
    s = Setup()

    def broken(event: ConsumerEvent) -> None:
        raise ValueError("broken listener")

    s.handler.listeners.insert(0, broken)
    s.sqs.put(MAIN, "b")
    s.run()
    assert s.handled == ["b"]


def test_unknown_receive_count_is_one() -> None:
    """A client whose answers carry no system attributes works; the count is then taken as 1."""
    s = Setup()
    s.sqs.put(MAIN, "b")
    receive = s.sqs.receive_message

    def bare(**request: Any) -> dict[str, Any]:
        answer = receive(**request)
        for message in answer.get("Messages", []):
            del message["Attributes"]
        return answer

    s.sqs.receive_message = bare  # type: ignore[method-assign]
    s.run()
    assert s.handled == ["b"]


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"batch_size": 11}, {"wait_seconds": 21}, {"concurrency": 0}, {"backoff_base": 0}],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    """Options outside SQS's limits are refused at once, with their name."""
    with pytest.raises(ValueError, match=next(iter(options))):
        ConsumerOptions(**options)


def test_envelope_in_the_queue_keeps_the_known_names() -> None:
    """The dead letter's JSON and message attributes have the names that earlier readers know."""
    s = Setup()
    original = s.sqs.put(MAIN, "bad", attributes={"k": {"DataType": "String", "StringValue": "v"}})
    s.run(failing("bad", error=PermanentError("why")))
    (message,) = s.sqs.messages(DLQ)
    document = json.loads(message["Body"])
    assert document["originalMessage"] == "bad"
    assert document["originalAttributes"] == {"k": {"DataType": "String", "StringValue": "v"}}
    assert document["errorReason"] == "why"
    assert document["failedAt"].endswith("+00:00")
    assert document["originalMessageId"] == original
    assert message["MessageAttributes"]["ErrorType"]["StringValue"] == "ProcessingFailure"
    assert message["MessageAttributes"]["OriginalQueue"]["StringValue"] == MAIN


BATCHED = ConsumerOptions(heartbeat=False, acknowledge_together=10)


def test_dead_letters_go_in_batches() -> None:
    """When a whole batch fails for good, its dead letters are one call, and so are the deletes after it."""
    s = Setup(options=BATCHED)
    for n in range(10):
        s.sqs.put(MAIN, f"b{n}")
    s.run(failing(*(f"b{n}" for n in range(10)), error=PermanentError("release 7")))
    names = [name for name, _ in s.sqs.calls if "send" in name or "delete" in name]
    assert names == ["send_message_batch", "delete_message_batch"]
    assert [envelope.body for envelope in s.dead()] == [f"b{n}" for n in range(10)]
    assert s.kinds().count("dead-lettered") == 10
    assert s.sqs.queues[MAIN] == []


def test_dead_letter_that_a_batch_refuses_keeps_its_original() -> None:
    """Of a batch of dead letters that is refused in part, only those that were accepted lose their originals."""
    s = Setup(options=BATCHED)
    for n in range(4):
        s.sqs.put(MAIN, f"b{n}")
    s.sqs.fail_entries["send_message_batch"] = [{"1", "2"}]
    left: list[list[str]] = []
    s.handler.listeners.append(
        lambda event: left.append(s.sqs.bodies(MAIN)) if event.kind == "deleted" else None  # type: ignore[arg-type]
    )
    s.run(failing("b0", "b1", "b2", "b3", error=PermanentError("x")))
    assert set(left[1]) == {"b1", "b2"}
    assert s.kinds().count("dead-letter-failed") == 2
    assert sorted(envelope.body for envelope in s.dead()) == ["b0", "b1", "b2", "b3"]
    assert s.sqs.queues[MAIN] == []


def test_dead_letter_batch_that_fails_as_a_whole_deletes_nothing() -> None:
    """If the call that sends dead letters fails, nothing is deleted; everything comes back and goes then."""
    s = Setup(options=BATCHED)
    for n in range(3):
        s.sqs.put(MAIN, f"b{n}")
    s.sqs.errors["send_message_batch"] = [ConnectionError("down")]
    s.run(failing("b0", "b1", "b2", error=PermanentError("x")))
    assert sorted(envelope.body for envelope in s.dead()) == ["b0", "b1", "b2"]
    assert s.handled.count("b0") == 2


def test_dead_letter_batches_keep_to_one_megabyte() -> None:
    """Large dead letters are sent in as many calls as 1 MiB together needs."""
    s = Setup(options=BATCHED)
    for n in range(3):
        s.sqs.put(MAIN, f"{n}" * 500_000)
    s.run(lambda message: failing(message["Body"], error=PermanentError("x"))(message))
    sizes = [len(request["Entries"]) for name, request in s.sqs.calls if name == "send_message_batch"]
    assert sizes == [2, 1]
    assert len(s.dead()) == 3


def test_a_slow_handler_without_a_heartbeat_is_said_once() -> None:
    """A handler that outlives the visibility timeout unprotected is a misconfiguration, and is said once."""
    s = Setup()
    s.sqs.put(MAIN, "b0")
    s.sqs.put(MAIN, "b1")
    s.run(lambda message: s.clock.advance(35))
    said = [event.detail for event in s.events if event.kind == "misconfigured"]
    assert len(said) == 1
    assert "35.0 s" in said[0]


def test_settings_that_defeat_it_are_said_at_the_start() -> None:
    """A redrive policy that moves messages before they are dead-lettered with an envelope is said."""
    s = Setup()
    arn = "arn:aws:sqs:us-east-1:1:orders-dlq"
    s.sqs.attributes[MAIN] = {"RedrivePolicy": json.dumps({"maxReceiveCount": 2, "deadLetterTargetArn": arn})}
    s.sqs.put(MAIN, "b")
    s.run()
    (said,) = [event.detail for event in s.events if event.kind == "misconfigured"]
    assert "maxReceiveCount is 2" in said
    assert "receive 4" in said


def test_unreadable_settings_stop_nothing() -> None:
    """A consumer that may not read settings works all the same, with SQS's default visibility timeout."""
    s = Setup()
    s.sqs.errors["get_queue_attributes"] = [aws_error("AccessDenied", status=403)] * 100
    s.sqs.put(MAIN, "b")
    s.run()
    assert s.handled == ["b"]
