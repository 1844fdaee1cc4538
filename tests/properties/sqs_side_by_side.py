"""The in-memory SQS and another server, call by call: the machines that hold their answers side by side.

Where a rule of ``docs/sqs-fidelity.md`` says that the other server differs, a
machine keeps clear of it or compares without it; any other difference fails.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from harness.sim.services.sqs import SqsError
from tests.unit.sim.services.sqs_desk import Desk

SECOND = 1_000_000
_ACCOUNT = "000000000000"


class BothMachine(RuleBasedStateMachine):
    """The same calls on both, answers side by side."""

    kind = "standard"
    #: The other server: its name in what fails, its account, and what of it is compared.
    other, account = "the other", _ACCOUNT
    in_order = same_times = same_codes = True

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.client: Any = None
        self.pairs: list[tuple[str, str, str]] = []  # body, our handle, the other's handle
        self.counts: dict[str, int] = {}
        self.sent = 0
        self.ticks = 0

    def start(self, client: Any, receives: int, tail: str = "") -> None:
        """Both with a queue and its dead-letter queue."""
        self.client = client
        ending = tail + (".fifo" if self.kind == "fifo" else "")
        fifo = {"FifoQueue": "true"} if self.kind == "fifo" else {}
        self.name, self.dead = f"q{ending}", f"dead{ending}"
        self.urls: dict[str, str] = {}
        for name in (self.dead, self.name):
            for account in (_ACCOUNT, self.account):
                policy = {}
                if name == self.name:
                    arn = f"arn:aws:sqs:us-east-1:{account}:{self.dead}"
                    policy = {"RedrivePolicy": f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": {receives}}}'}
                given: dict[str, Any] = {"QueueName": name, "Attributes": {**fifo, **policy}}
                if name not in self.urls:
                    self.urls[name] = ""
                    self.desk.call("CreateQueue", **given)
                else:
                    self.urls[name] = client.create_queue(**given)["QueueUrl"]

    def tick(self) -> None:
        """Each call has a moment of its own, so that no two times are equal."""
        self.ticks += 1
        clock = self.desk.clock
        clock.us = clock.us // SECOND * SECOND + self.ticks * 10

    def both(self, operation: str, **parameters: Any) -> tuple[Any, Any]:
        """Both answers, or for a refusal its code; that one refuses and the other does not is a difference."""
        self.tick()
        mine, theirs = {**parameters}, {**parameters}
        if "QueueUrl" in parameters:
            theirs["QueueUrl"] = self.urls.get(parameters["QueueUrl"], parameters["QueueUrl"])
        if isinstance(parameters.get("ReceiptHandle"), tuple):
            mine["ReceiptHandle"], theirs["ReceiptHandle"] = parameters["ReceiptHandle"]
        method = "".join("_" + c.lower() if c.isupper() else c for c in operation).lstrip("_")
        try:
            ours: Any = self.desk.call(operation, **mine)
        except SqsError as error:
            ours = error.code
        try:
            other: Any = getattr(self.client, method)(**theirs)
            other.pop("ResponseMetadata", None)
        except ClientError as error:
            other = error.response["Error"]["Code"]
        assert isinstance(ours, str) == isinstance(other, str), f"{operation}: {ours} here, {other} on {self.other}"
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
        if not self.in_order or any(count >= 3 for count in self.counts.values()):
            theirs = sorted(theirs, key=lambda message: str(message["Body"]))
            mine = sorted(mine, key=lambda message: str(message["Body"]))
        assert [message["Body"] for message in mine] == [message["Body"] for message in theirs]
        for one, two in zip(mine, theirs, strict=True):
            self.counts[one["Body"]] = int(one["Attributes"]["ApproximateReceiveCount"])
            self.compare(one, two)
            if queue == self.name:
                self.pairs.append((one["Body"], one["ReceiptHandle"], two["ReceiptHandle"]))

    def compare(self, one: dict[str, Any], two: dict[str, Any]) -> None:
        """One message as both give it."""
        assert one["Attributes"]["ApproximateReceiveCount"] == two["Attributes"]["ApproximateReceiveCount"]
        for name in ("SentTimestamp", "ApproximateFirstReceiveTimestamp") if self.same_times else ():
            assert abs(int(one["Attributes"][name]) - int(two["Attributes"][name])) <= 1
        assert one.get("MessageAttributes") == two.get("MessageAttributes")
        assert one.get("MD5OfMessageAttributes") == two.get("MD5OfMessageAttributes")

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


class StandardMachine(BothMachine):
    """Sends, delays, receives, deletes, changes and dead letters of a standard queue."""

    delays: tuple[int, ...] = (0, 0, 3)
    timeouts: tuple[int, ...] = (0, 1, 5, 30)
    changes: tuple[int, ...] = (0, 1, 7, 60)

    def __init__(self) -> None:
        super().__init__()
        self.deleted: set[str] = set()

    def handles(self) -> list[tuple[str, str, str]]:
        """The handles that are tried: old ones too."""
        return self.pairs[-6:]

    @precondition(lambda self: self.sent < 9)
    @rule(data=st.data(), attribute=st.sampled_from([None, "x", "é"]))
    def send_one(self, data: st.DataObject, attribute: str | None) -> None:
        more = {"MessageAttributes": {"k": {"DataType": "String", "StringValue": attribute}}} if attribute else {}
        self.send(DelaySeconds=data.draw(st.sampled_from(self.delays)), **more)

    @rule(data=st.data())
    def receive_all(self, data: st.DataObject) -> None:
        self.receive(self.name, 10, data.draw(st.sampled_from(self.timeouts)))

    @rule()
    def receive_dead(self) -> None:
        self.receive(self.dead, 10, 0)

    @precondition(lambda self: self.handles())
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        body, mine, theirs = data.draw(st.sampled_from(self.handles()))
        self.both("DeleteMessage", QueueUrl=self.name, ReceiptHandle=(mine, theirs))
        self.deleted.add(body)

    @precondition(lambda self: self.handles())
    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        _, mine, theirs = data.draw(st.sampled_from(self.handles()))
        self.both(
            "ChangeMessageVisibility",
            QueueUrl=self.name,
            ReceiptHandle=(mine, theirs),
            VisibilityTimeout=data.draw(st.sampled_from(self.changes)),
        )

    @rule(limit=st.sampled_from([0, 11]), wait=st.sampled_from([-1, 0, 21]), unknown=st.booleans())
    def refuse(self, limit: int, wait: int, unknown: bool) -> None:
        name = "nobody" if unknown else self.name
        ours, other = self.both("ReceiveMessage", QueueUrl=name, MaxNumberOfMessages=limit, WaitTimeSeconds=wait)
        if self.same_codes:
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
    hidden = 30  # seconds that a receive hides its message

    def __init__(self) -> None:
        super().__init__()
        self.held: tuple[str, str, str] | None = None
        self.until = 0

    @property
    def in_time(self) -> bool:
        """Whether a message is held whose time has not run out."""
        return self.held is not None and self.desk.clock.us < self.until

    @precondition(lambda self: self.sent < 9)
    @rule(again=st.booleans())
    def send_one(self, again: bool) -> None:
        dedup = f"d{self.sent}" if again and self.sent and not self.counts else f"d{self.sent + 1}"
        self.send(MessageGroupId="g", MessageDeduplicationId=dedup)

    @rule()
    def receive_one(self) -> None:
        before = len(self.pairs)
        self.receive(self.name, 1, self.hidden)
        if len(self.pairs) > before:
            self.held = self.pairs[-1]
            self.until = self.desk.clock.us + (self.hidden - 1) * SECOND

    @precondition(lambda self: self.in_time)
    @rule()
    def delete(self) -> None:
        assert self.held is not None
        self.both("DeleteMessage", QueueUrl=self.name, ReceiptHandle=self.held[1:])
        self.held = None

    @precondition(lambda self: self.in_time)
    @rule()
    def give_back(self) -> None:
        assert self.held is not None
        handle = self.held[1:]
        self.both("ChangeMessageVisibility", QueueUrl=self.name, ReceiptHandle=handle, VisibilityTimeout=0)
        self.held = None

    @rule()
    def receive_dead(self) -> None:
        self.receive(self.dead, 1, 0)
