"""The in-memory SQS and moto, call by call: the same answers, but for rules on which moto is known to differ.

moto runs in this process on the clock of the test. Where a rule of
``docs/sqs-fidelity.md`` says that moto differs, a machine keeps clear of it
(``KEEPS_CLEAR``), or compares without it; any other difference fails. What is
found here and holds for AWS becomes a rule with a case of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from moto import mock_aws
from moto.sqs import models

from harness.fidelity.known import known
from harness.sim.services.sqs import SqsError
from tests.budget import examples
from tests.unit.sim.services.sqs_desk import Desk

SECOND = 1_000_000

#: The rules on which moto differs, and that a machine therefore never tries.
KEEPS_CLEAR = {
    "standard": (
        "back-after-three-receives",  # order is not compared once a message was received three times
        "dead-letter-names-its-source",  # that attribute is not compared
        "change-deleted",  # both refuse, with other codes
        "delay-out-of-range",
        "retention-gives-the-others",  # nothing expires
    ),
    "fifo": (
        "one-group-before-the-next",  # one group only
        "group-again-after-timeout",  # one message a receive
        "second-extended",
        "duplicate-after-delete",  # a deduplication id is used again only while its message is there
        "duplicate-answers-first-id",
        "delete-after-expiry-fifo",  # handles are used within their time
    ),
}


class BothMachine(RuleBasedStateMachine):
    """The same calls on both, answers side by side."""

    kind = "standard"

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self._undo: list[Callable[[], object]] = []
        self.pairs: list[tuple[str, str, str]] = []  # body, our handle, moto's handle
        self.counts: dict[str, int] = {}
        self.sent = 0
        self.ticks = 0

    def start(self, receives: int) -> None:
        """Both with a queue and its dead-letter queue."""
        for name, a_second in (("unix_time", 1), ("unix_time_millis", 1_000)):
            patch = mock.patch.object(models, name, self._clock(a_second, getattr(models, name)))
            patch.start()
            self._undo.append(patch.stop)
        models.sqs_backends.clear()
        self.moto = _client[0]
        ending = ".fifo" if self.kind == "fifo" else ""
        fifo = {"FifoQueue": "true"} if ending else {}
        self.name, self.dead = f"q{ending}", f"dead{ending}"
        for name in (self.dead, self.name):
            policy = {}
            if name == self.name:
                policy = {"RedrivePolicy": f'{{"deadLetterTargetArn": "{{}}", "maxReceiveCount": {receives}}}'}
            for ours in (True, False):
                account = "000000000000" if ours else "123456789012"
                arn = f"arn:aws:sqs:us-east-1:{account}:{self.dead}"
                filled = {key: value.replace("{}", arn) for key, value in policy.items()}
                given = {"QueueName": name, "Attributes": {**fifo, **filled}}
                if ours:
                    self.desk.call("CreateQueue", **given)
                else:
                    self.moto.create_queue(**given)

    def _clock(self, a_second: int, original: Any) -> Callable[..., float]:
        """moto's clock in its own unit: ours."""

        def now(moment: Any = None) -> float:
            return self.desk.clock.us * a_second / SECOND if moment is None else float(original(moment))

        return now

    def teardown(self) -> None:
        while self._undo:
            self._undo.pop()()

    def tick(self) -> None:
        """Each call has a moment of its own, so that no two times are equal."""
        self.ticks += 1
        clock = self.desk.clock
        clock.us = clock.us // SECOND * SECOND + self.ticks * 10

    def both(self, operation: str, **parameters: Any) -> tuple[Any, Any]:
        """Both answers, or for a refusal its code; that one refuses and the other does not is a difference."""
        self.tick()
        mine = {**parameters}
        theirs = {**parameters}
        if isinstance(parameters.get("ReceiptHandle"), tuple):
            mine["ReceiptHandle"], theirs["ReceiptHandle"] = parameters["ReceiptHandle"]
        method = "".join("_" + c.lower() if c.isupper() else c for c in operation).lstrip("_")
        try:
            ours: Any = self.desk.call(operation, **mine)
        except SqsError as error:
            ours = error.code
        try:
            other: Any = getattr(self.moto, method)(**theirs)
            other.pop("ResponseMetadata", None)
        except ClientError as error:
            other = error.response["Error"]["Code"]
        assert isinstance(ours, str) == isinstance(other, str), f"{operation}: {ours} here, {other} on moto"
        return ours, other

    def send(self, **parameters: Any) -> None:
        self.sent += 1
        ours, other = self.both("SendMessage", QueueUrl=self.name, MessageBody=f"m{self.sent}", **parameters)
        assert not isinstance(ours, str), ours
        assert ours["MD5OfMessageBody"] == other["MD5OfMessageBody"]
        assert ours.get("MD5OfMessageAttributes") == other.get("MD5OfMessageAttributes")

    def receive(self, queue: str, limit: int, timeout: int) -> None:
        ours, other = self.both(
            "ReceiveMessage",
            QueueUrl=queue,
            MaxNumberOfMessages=limit,
            VisibilityTimeout=timeout,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        mine, theirs = ours.get("Messages", []), other.get("Messages", [])
        if any(count >= 3 for count in self.counts.values()):
            theirs = sorted(theirs, key=lambda message: str(message["Body"]))
            mine = sorted(mine, key=lambda message: str(message["Body"]))
        assert [message["Body"] for message in mine] == [message["Body"] for message in theirs]
        for one, two in zip(mine, theirs, strict=True):
            self.counts[one["Body"]] = int(one["Attributes"]["ApproximateReceiveCount"])
            assert one["Attributes"]["ApproximateReceiveCount"] == two["Attributes"]["ApproximateReceiveCount"]
            for name in ("SentTimestamp", "ApproximateFirstReceiveTimestamp"):
                assert abs(int(one["Attributes"][name]) - int(two["Attributes"][name])) <= 1
            assert one.get("MessageAttributes") == two.get("MessageAttributes")
            assert one.get("MD5OfMessageAttributes") == two.get("MD5OfMessageAttributes")
            if queue == self.name:
                self.pairs.append((one["Body"], one["ReceiptHandle"], two["ReceiptHandle"]))

    @rule()
    def look(self) -> None:
        """The counts of both queues are the same."""
        front = "ApproximateNumberOfMessages"
        for queue in (self.name, self.dead):
            ours, other = self.both(
                "GetQueueAttributes",
                QueueUrl=queue,
                AttributeNames=[front, front + "NotVisible", front + "Delayed"],
            )
            assert ours == other

    @rule(seconds=st.sampled_from([1, 1, 2, 5, 31]))
    def wait(self, seconds: int) -> None:
        self.desk.clock.pass_to(self.desk.clock.us + seconds * SECOND)
        self.tick()


class StandardMachine(BothMachine):
    """Sends, delays, receives, deletes, changes and dead letters of a standard queue."""

    @initialize()
    def begin(self) -> None:
        self.start(receives=4)

    @precondition(lambda self: self.sent < 9)
    @rule(delay=st.sampled_from([0, 0, 3]), attribute=st.sampled_from([None, "x", "é"]))
    def send_one(self, delay: int, attribute: str | None) -> None:
        more = {"MessageAttributes": {"k": {"DataType": "String", "StringValue": attribute}}} if attribute else {}
        self.send(DelaySeconds=delay, **more)

    @rule(timeout=st.sampled_from([0, 1, 5, 30]))
    def receive_all(self, timeout: int) -> None:
        self.receive(self.name, 10, timeout)

    @rule()
    def receive_dead(self) -> None:
        self.receive(self.dead, 10, 0)

    @precondition(lambda self: self.pairs)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        _, mine, theirs = data.draw(st.sampled_from(self.pairs[-6:]))
        self.both("DeleteMessage", QueueUrl=self.name, ReceiptHandle=(mine, theirs))

    @precondition(lambda self: self.pairs)
    @rule(data=st.data(), seconds=st.sampled_from([0, 1, 7, 60]))
    def change(self, data: st.DataObject, seconds: int) -> None:
        _, mine, theirs = data.draw(st.sampled_from(self.pairs[-6:]))
        self.both(
            "ChangeMessageVisibility",
            QueueUrl=self.name,
            ReceiptHandle=(mine, theirs),
            VisibilityTimeout=seconds,
        )

    @rule(limit=st.sampled_from([0, 11]), wait=st.sampled_from([-1, 0, 21]), unknown=st.booleans())
    def refuse(self, limit: int, wait: int, unknown: bool) -> None:
        name = "nobody" if unknown else self.name
        ours, other = self.both("ReceiveMessage", QueueUrl=name, MaxNumberOfMessages=limit, WaitTimeSeconds=wait)
        assert ours == other

    @precondition(lambda self: self.sent < 9)
    @rule()
    def send_batch(self) -> None:
        self.sent += 1
        entries = [{"Id": "a", "MessageBody": f"m{self.sent}"}]
        ours, other = self.both("SendMessageBatch", QueueUrl=self.name, Entries=entries)
        assert [entry["Id"] for entry in ours["Successful"]] == [entry["Id"] for entry in other["Successful"]]


class FifoMachine(BothMachine):
    """Order, deduplication and dead letters of one group of a FIFO queue, one message a receive."""

    kind = "fifo"

    @initialize()
    def begin(self) -> None:
        self.start(receives=3)
        self.held: tuple[str, str, str] | None = None

    @precondition(lambda self: self.sent < 9)
    @rule(again=st.booleans())
    def send_one(self, again: bool) -> None:
        dedup = f"d{self.sent}" if again and self.sent and not self.counts else f"d{self.sent + 1}"
        self.send(MessageGroupId="g", MessageDeduplicationId=dedup)

    @rule()
    def receive_one(self) -> None:
        before = len(self.pairs)
        self.receive(self.name, 1, 30)
        if len(self.pairs) > before:
            self.held = self.pairs[-1]
            self.until = self.desk.clock.us + 29 * SECOND

    @precondition(lambda self: self.held is not None and self.desk.clock.us < self.until)
    @rule()
    def delete(self) -> None:
        assert self.held is not None
        self.both("DeleteMessage", QueueUrl=self.name, ReceiptHandle=self.held[1:])
        self.held = None

    @precondition(lambda self: self.held is not None and self.desk.clock.us < self.until)
    @rule()
    def give_back(self) -> None:
        assert self.held is not None
        handle = self.held[1:]
        self.both("ChangeMessageVisibility", QueueUrl=self.name, ReceiptHandle=handle, VisibilityTimeout=0)
        self.held = None

    @rule()
    def receive_dead(self) -> None:
        self.receive(self.dead, 1, 0)


#: The client of moto, made once: that takes longer than all of an example's calls.
_client: list[Any] = []


@pytest.fixture(scope="module", autouse=True)
def moto_in_force() -> Iterator[None]:
    """moto answers boto3 while this module's tests run, and is empty afterwards."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    with mock.patch.dict(os.environ, keys), mock_aws():
        _client[:] = [boto3.client("sqs", region_name="us-east-1")]
        yield
        _client.clear()
        models.sqs_backends.clear()


LIMITS = settings(
    max_examples=examples(50),
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TestStandardQueue = StandardMachine.TestCase
TestStandardQueue.settings = LIMITS
TestFifoQueue = FifoMachine.TestCase
TestFifoQueue.settings = LIMITS


@pytest.mark.parametrize("id", [id for ids in KEEPS_CLEAR.values() for id in ids])
def test_what_machines_keep_clear_of_is_known(id: str) -> None:
    """Each rule that a machine leaves out is one on which moto differs; once it does not, the machine shall try it."""
    assert known()["moto"].rows[id]
