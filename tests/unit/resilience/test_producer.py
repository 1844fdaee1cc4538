"""The producer: partial failure, limits, order, retries, breaker and outbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.resilience.breaker import CircuitBreaker, CircuitBreakerOpenException
from harness.resilience.budget import RetryQuota
from harness.resilience.envelope import MAX_MESSAGE_BYTES
from harness.resilience.errors import MessageTooLargeError, ServiceUnavailableError, diagnose
from harness.resilience.producer import Message, ResilientProducer, ThrottledBatchError, Unsent
from harness.resilience.retry import ExponentialBackoffRetry, Retry
from tests.unit.resilience.sqs_fake import Clock, FakeSqs, aws_error

URL = "https://sqs.example/1/orders"
FIFO = "https://sqs.example/1/orders.fifo"


def retry() -> ExponentialBackoffRetry:
    return ExponentialBackoffRetry(sleep=lambda seconds: None)


class Setup:
    def __init__(self, url: str = URL, **keywords: Any) -> None:
        self.sqs = FakeSqs(Clock())
        self.url = url
        self.outbox: list[Unsent] = []
        keywords.setdefault("outbox", self.outbox.append)
        self.producer = ResilientProducer(url, sqs=self.sqs, **keywords)

    def bodies(self) -> list[str]:
        return self.sqs.bodies(self.url)


def test_send_and_its_attributes() -> None:
    """A message is sent with its attributes; its id is returned."""
    s = Setup()
    attributes = {"k": {"DataType": "String", "StringValue": "v"}}
    assert s.producer.send("b", attributes=attributes) == "m1"
    assert s.sqs.queues[URL][0].attributes == attributes


def test_transient_failure_is_retried() -> None:
    """A send that fails for the moment is tried again."""
    s = Setup(retry=retry())
    s.sqs.errors["send_message"] = [aws_error("ServiceUnavailable", status=503)] * 2
    assert s.producer.send("b") == "m1"


def test_what_cannot_be_sent_goes_to_the_outbox() -> None:
    """After the last try the message is in the outbox, whole, and nothing is raised."""
    s = Setup(retry=retry())
    s.sqs.errors["send_message"] = [aws_error("ServiceUnavailable", status=503)] * 10
    assert s.producer.send("b") is None
    (unsent,) = s.outbox
    assert unsent.message.body == "b"
    assert not unsent.permanent


def test_without_an_outbox_the_last_error_is_raised() -> None:
    """Nothing is lost in silence: without an outbox the caller gets the error."""
    s = Setup(outbox=None)
    s.sqs.errors["send_message"] = [ServiceUnavailableError("down")]
    with pytest.raises(ServiceUnavailableError):
        s.producer.send("b")


def test_permanent_failure_is_raised_past_the_outbox() -> None:
    """What would fail for ever is the caller's to know, not the outbox's to keep."""
    s = Setup(retry=retry())
    s.sqs.errors["send_message"] = [aws_error("AWS.SimpleQueueService.NonExistentQueue")]
    with pytest.raises(Exception, match="NonExistentQueue"):
        s.producer.send("b")
    assert s.outbox == []


def test_too_large_is_refused_before_any_call() -> None:
    """A message over the limit, attributes counted, is refused without a call."""
    s = Setup()
    with pytest.raises(MessageTooLargeError):
        s.producer.send("b" * MAX_MESSAGE_BYTES, attributes={"k": {"DataType": "String", "StringValue": "v"}})
    assert s.sqs.calls == []


def test_open_breaker_sends_to_the_outbox_at_once() -> None:
    """With an open breaker no call is made: the message is in the outbox."""
    breaker = CircuitBreaker()
    breaker.force_open()
    s = Setup(breaker=breaker)
    assert s.producer.send("b") is None
    assert s.sqs.calls == []
    assert isinstance(s.outbox[0].error, CircuitBreakerOpenException)


def test_batch_keeps_to_the_limits() -> None:
    """A batch goes in calls of at most ten entries and 1 MiB together."""
    s = Setup()
    result = s.producer.send_batch(f"b{n}" for n in range(25))
    assert s.bodies() == [f"b{n}" for n in range(25)]
    assert sorted(result.sent) == list(range(25))
    assert s.sqs.count("send_message_batch") == 3
    large = Setup()
    large.producer.send_batch(["x" * 400_000] * 5)
    sizes = [len(request["Entries"]) for name, request in large.sqs.calls]
    assert sizes == [2, 2, 1]


def test_partial_failure_sends_only_the_rest_again() -> None:
    """Entries that failed are sent again, those that were accepted are not."""
    s = Setup(retry=retry())
    s.sqs.fail_entries["send_message_batch"] = [{"1", "3"}, {"3"}]
    result = s.producer.send_batch(f"b{n}" for n in range(5))
    assert s.bodies() == ["b0", "b2", "b4", "b1", "b3"]
    assert sorted(result.sent) == [0, 1, 2, 3, 4]
    assert not result.failed


def naive_send_batch(sqs: FakeSqs, bodies: list[str]) -> None:
    entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
    sqs.send_message_batch(QueueUrl=URL, Entries=entries)


def test_naive_batch_loses_what_failed() -> None:
    """The usual call, which looks at no Failed list, loses messages: what the tests around it would catch."""
    sqs = FakeSqs(Clock())
    sqs.fail_entries["send_message_batch"] = [{"1"}]
    naive_send_batch(sqs, ["b0", "b1"])
    assert sqs.bodies(URL) == ["b0"]


def test_partial_failure_that_stays_goes_to_the_outbox() -> None:
    """What stays refused after the last try is in the outbox; the rest is sent."""
    s = Setup()
    s.sqs.fail_entries["send_message_batch"] = [{"1"}]
    result = s.producer.send_batch(["b0", "b1", "b2"])
    assert s.bodies() == ["b0", "b2"]
    assert [unsent.message.body for unsent in s.outbox] == ["b1"]
    assert [unsent.position for unsent in result.outboxed] == [1]


def test_refused_by_the_senders_fault_is_the_callers() -> None:
    """An entry that SQS refuses for good is not retried and not outboxed; it is in the result, with its place."""
    s = Setup(retry=retry())

    def refuse(**request: Any) -> dict[str, Any]:
        entries = request["Entries"]
        good = [{"Id": entry["Id"], "MessageId": "x"} for entry in entries if entry["MessageBody"] != "bad"]
        bad = [
            {"Id": entry["Id"], "Code": "InvalidMessageContents", "SenderFault": True}
            for entry in entries
            if entry["MessageBody"] == "bad"
        ]
        return {"Successful": good, "Failed": bad}

    s.sqs.send_message_batch = refuse  # type: ignore[method-assign]
    result = s.producer.send_batch(["b0", "bad", "x" * (MAX_MESSAGE_BYTES + 1), "b3"])
    assert sorted(result.sent) == [0, 3]
    assert [(unsent.position, unsent.permanent) for unsent in result.failed] == [(1, True), (2, True)]
    assert s.outbox == []


def test_whole_batch_down_goes_to_the_outbox() -> None:
    """If the call fails as a whole, every message of it is in the outbox."""
    s = Setup(retry=retry())
    s.sqs.errors["send_message_batch"] = [ConnectionError("down")] * 100
    result = s.producer.send_batch(["b0", "b1"])
    assert [unsent.message.body for unsent in s.outbox] == ["b0", "b1"]
    assert not result.sent
    assert not result.failed


def test_fifo_order_survives_partial_failure() -> None:
    """In a FIFO queue a failed message is not overtaken by the next of its group, whatever is refused."""
    s = Setup(FIFO, retry=retry())
    s.sqs.fail_entries["send_message_batch"] = [{"0"}, set()]
    messages = [Message(f"{group}{n}", group_id=group) for n in range(3) for group in ("a", "b")]
    s.producer.send_batch(messages)
    assert [body for body in s.bodies() if body[0] == "a"] == ["a0", "a1", "a2"]
    assert [body for body in s.bodies() if body[0] == "b"] == ["b0", "b1", "b2"]


def test_fifo_group_stops_behind_a_failure() -> None:
    """If one of a group cannot be sent, those behind it are not sent either: all are in the outbox, in order."""
    s = Setup(FIFO)
    s.sqs.fail_entries["send_message_batch"] = [{"0"}]
    messages = [Message(f"{group}{n}", group_id=group) for n in range(3) for group in ("a", "b")]
    s.producer.send_batch(messages)
    assert s.bodies() == ["b0", "b1", "b2"]
    assert [unsent.message.body for unsent in s.outbox] == ["a0", "a1", "a2"]


def test_fifo_retry_after_a_lost_answer_is_one_message() -> None:
    """A message whose answer was lost has the same deduplication id when it is sent again."""
    s = Setup(FIFO, retry=retry())
    s.sqs.after["send_message"] = [ConnectionError("answer lost")]
    s.producer.send("b", group_id="g")
    assert s.bodies() == ["b"]
    assert s.sqs.count("send_message") == 2


def test_fifo_needs_a_group() -> None:
    """A message for a FIFO queue without a group is refused with the remedy."""
    with pytest.raises(ValueError, match="group_id"):
        Setup(FIFO).producer.send("b")


def refusing(code: str, *, fault: bool, times: int = 1) -> Callable[[FakeSqs], None]:
    """The first calls of send_message_batch refuse their first entry with *code*."""

    def install(sqs: FakeSqs) -> None:
        original, left = sqs.send_message_batch, [times]

        def send(**request: Any) -> Any:
            if left[0] == 0:
                return original(**request)
            left[0] -= 1
            bad, *good = request["Entries"]
            answer = original(QueueUrl=request["QueueUrl"], Entries=good) if good else {"Successful": []}
            return {**answer, "Failed": [{"Id": bad["Id"], "Code": code, "SenderFault": fault, "Message": ""}]}

        sqs.send_message_batch = send  # type: ignore[method-assign]

    return install


@pytest.mark.parametrize(
    ("code", "fault", "again"),
    [
        ("InternalError", False, True),
        ("RequestThrottled", True, True),
        ("AWS.SimpleQueueService.Unheard", False, True),
        ("AWS.SimpleQueueService.Unheard", True, False),
        ("InvalidMessageContents", True, False),
        ("InvalidMessageContents", False, False),
    ],
)
def test_a_refused_entry_is_sent_again_if_its_code_says_that_it_can_succeed(
    code: str, fault: bool, again: bool
) -> None:
    """Throttling is the sender's fault in SQS's words, and passes all the same; other codes go by whose fault."""
    s = Setup(retry=retry())
    refusing(code, fault=fault)(s.sqs)
    result = s.producer.send_batch(["b0", "b1"])
    assert sorted(result.sent) == ([0, 1] if again else [1])
    assert [unsent.permanent for unsent in result.failed] == ([] if again else [True])


def test_a_throttled_batch_waits_and_pays_as_after_throttling() -> None:
    """Retries of it take the budget's price for throttling, also where only one entry was throttled."""
    quota = RetryQuota()
    seen: list[Any] = []
    clock = Clock()
    policy = Retry(budget=quota, on_retry=seen.append, sleep=clock.sleep, clock=clock)
    s = Setup(retry=policy)
    refusing("RequestThrottled", fault=True, times=1)(s.sqs)
    s.producer.send_batch(["b0", "b1"])
    (waiting,) = seen
    assert isinstance(waiting.error, ThrottledBatchError)
    assert diagnose(waiting.error).throttling
    assert quota.available == 500, "5 taken, and given back by success"


def test_a_spent_budget_sends_batches_to_the_outbox() -> None:
    """Producers that share a budget with others stop to retry with them; what is not sent is kept."""
    quota = RetryQuota(capacity=20)
    policy = ExponentialBackoffRetry(budget=quota, sleep=lambda seconds: None)
    s = Setup(retry=policy)
    s.sqs.errors["send_message_batch"] = [ConnectionError("down")] * 100
    s.producer.send_batch(["b0"])
    s.producer.send_batch(["b1"])
    assert s.sqs.count("send_message_batch") == 3, "one retry was in the budget"
    assert [unsent.message.body for unsent in s.outbox] == ["b0", "b1"]


def test_an_outbox_that_fails_loses_nothing_in_silence() -> None:
    """A batch says of each message what became of it, and a single send raises why it was not sent."""
    taken: list[str] = []

    def full(unsent: Unsent) -> None:
        if len(taken) == 1:
            raise OSError("disk full")
        taken.append(unsent.message.body)

    s = Setup(outbox=full)
    s.sqs.errors["send_message_batch"] = [ConnectionError("down")]
    result = s.producer.send_batch(["b0", "b1", "b2"])
    assert [unsent.position for unsent in result.outboxed] == [0]
    assert [unsent.position for unsent in result.failed] == [1, 2]
    s.sqs.errors["send_message"] = [ConnectionError("down")]
    with pytest.raises(ConnectionError, match="down") as raised:
        s.producer.send("b3")
    assert "disk full" in raised.value.__notes__[0]


def test_nothing_of_a_group_overtakes_in_the_outbox() -> None:
    """What the outbox did not take is the caller's to send, and so is all that is behind it in its group."""
    kept: list[str] = []

    def refuses_the_first(unsent: Unsent) -> None:
        if unsent.message.body == "a0":
            raise OSError("disk full")
        kept.append(unsent.message.body)

    s = Setup(FIFO, outbox=refuses_the_first)
    s.sqs.errors["send_message_batch"] = [ConnectionError("down")] * 9
    messages = [Message(f"{group}{n}", group_id=group) for n in range(2) for group in ("a", "b")]
    result = s.producer.send_batch(messages)
    assert kept == ["b0", "b1"]
    assert [unsent.message.body for unsent in result.failed] == ["a0", "a1"]


@pytest.mark.parametrize("size", [0, MAX_MESSAGE_BYTES + 1])
def test_a_limit_that_sqs_does_not_have_is_refused(size: int) -> None:
    """A message over 1 MiB fits in no call, whatever the producer is told."""
    with pytest.raises(ValueError, match="max_bytes"):
        ResilientProducer(URL, sqs=object(), max_bytes=size)
