"""The in-memory SQS against brute-force models of a standard and of a FIFO queue.

The models look at every message at every step, where the service never looks
through its backlog. Each operation happens at a moment with a fraction of a
second of its own, so that no two timeouts end at the same instant unless one
receive began them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.sim.services import sqs_fifo
from harness.sim.services.sqs import SqsError
from tests.budget import examples
from tests.unit.sim.services.sqs_desk import Desk

SECOND = 1_000_000
TIMEOUTS = st.sampled_from([0, 1, 5, 30, 30])


@dataclass
class Copy:
    """One message as the model knows it."""

    body: str
    sent: int
    order: tuple[int, int]
    group: str = ""
    dedup: str = ""
    hidden_until: int = 0
    delayed: bool = False
    taken_at: int = 0  # its place in the receive that hid it last
    count: int = 0
    serial: int = 0
    received: int = 0
    gone: bool = False
    where: str = "q"


@dataclass
class Handle:
    copy: Copy
    serial: int
    text: str


class Machine(RuleBasedStateMachine):
    """Time, sending and what both types have in common."""

    queue = "q"
    retention_s = 120

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.copies: list[Copy] = []
        self.handles: list[Handle] = []
        self.operations = 0
        self.fates: dict[str, str] = {}

    def tick(self) -> int:
        """The next operation's moment: the same second, a fraction of its own."""
        self.operations += 1
        clock = self.desk.clock
        clock.us = clock.us // SECOND * SECOND + self.operations
        self.expire()
        return clock.us

    def expire(self) -> None:
        now = self.desk.clock.us
        for copy in self.copies:
            if copy.where == "q" and not copy.gone and copy.sent + self.retention_s * SECOND <= now:
                copy.gone = True
                self.fates[copy.body] = "expired"

    def live(self, where: str = "q") -> list[Copy]:
        return [copy for copy in self.copies if not copy.gone and copy.where == where]

    def hidden(self, copy: Copy) -> bool:
        return copy.hidden_until > self.desk.clock.us

    @rule(seconds=st.sampled_from([1, 1, 2, 3, 5, 5, 5, 10, 31, 301]))
    def wait(self, seconds: int) -> None:
        self.desk.clock.us += seconds * SECOND
        self.tick()
        self.returned()

    def returned(self) -> None:
        """What time alone changes in the model."""

    def take_handles(self, messages: list[dict[str, Any]], copies: list[Copy]) -> None:
        for message, copy in zip(messages, copies, strict=True):
            self.handles.append(Handle(copy, copy.serial, message["ReceiptHandle"]))

    @invariant()
    def counts_agree(self) -> None:
        """The service's counts are the model's, and every message is somewhere or has a fate."""
        found = self.desk.sqs.inventory()[self.queue]
        live = self.live()
        hidden = [copy for copy in live if self.hidden(copy)]
        assert found["visible"] == len(live) - len(hidden)
        assert found["delayed"] == sum(copy.delayed for copy in hidden)
        assert found["in_flight"] == len(hidden) - found["delayed"]
        for copy in self.copies:
            assert not copy.gone or copy.body in self.fates, f"{copy.body} vanished"

    @invariant()
    def history_agrees(self) -> None:
        """Every message that left the queue left it by one event of the history."""
        left = self.desk.of("delete", "expire", "move")
        ids = {event["message"]: event["body"] for event in self.desk.of("send")}
        fates = {
            ids[event["message"]]: {"delete": "deleted", "expire": "expired", "move": "moved"}[event["kind"]]
            for event in left
            if event.get("found", True) and event["queue"] == self.queue
        }
        assert fates == {body: fate for body, fate in self.fates.items() if fate != "purged"}


class StandardMachine(Machine):
    """Order, visibility, delays, dead letters and retention of a standard queue, exactly."""

    @initialize()
    def make(self) -> None:
        self.desk = Desk(record_bodies=True)
        self.desk.with_dead_letters("q", receives=5, MessageRetentionPeriod=str(self.retention_s))

    @rule(number=st.sampled_from([1, 1, 2, 70]), delay=st.sampled_from([0, 0, 0, 3, 30]))
    def send(self, number: int, delay: int) -> None:
        for _ in range(number):
            now = self.tick()
            self.returned()
            body = f"m{len(self.copies)}"
            self.desk.send("q", body, DelaySeconds=delay)
            copy = Copy(body, now, (now, 0))
            if delay:
                copy.hidden_until, copy.delayed = now + delay * SECOND, True
            self.copies.append(copy)

    def returned(self) -> None:
        now = self.desk.clock.us
        for copy in self.live():
            if copy.hidden_until and copy.hidden_until <= now:
                self.show(copy, copy.hidden_until)

    def show(self, copy: Copy, at: int) -> None:
        """A message that appears again; received three times, it goes to the back."""
        if copy.count >= 3:
            copy.order = (at, copy.taken_at)
        copy.hidden_until, copy.delayed = 0, False

    @rule(limits=st.lists(st.sampled_from([1, 2, 3, 10]), min_size=1, max_size=4), timeout=TIMEOUTS)
    def receive_often(self, limits: list[int], timeout: int) -> None:
        for limit in limits:
            self.receive(limit, timeout)

    def receive(self, limit: int, timeout: int) -> None:
        now = self.tick()
        self.returned()
        expected: list[Copy] = []
        for copy in sorted((c for c in self.live() if not self.hidden(c)), key=lambda c: c.order):
            if len(expected) == limit:
                break
            if copy.count >= 5:
                copy.gone = True
                self.fates[copy.body] = "moved"
            else:
                expected.append(copy)
        messages = self.desk.receive("q", limit, VisibilityTimeout=timeout, AttributeNames=["All"])
        assert [message["Body"] for message in messages] == [copy.body for copy in expected]
        for place, (message, copy) in enumerate(zip(messages, expected, strict=True)):
            copy.count += 1
            copy.serial += 1
            copy.received, copy.taken_at = now, place
            assert message["Attributes"]["ApproximateReceiveCount"] == str(copy.count)
            copy.hidden_until = now + timeout * SECOND if timeout else 0
            if not timeout:
                self.show(copy, now)
        self.take_handles(messages, expected)

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        handle = data.draw(st.sampled_from(self.handles[-5:]), "handle")
        self.tick()
        self.returned()
        self.desk.call("DeleteMessage", QueueUrl="q", ReceiptHandle=handle.text)
        if not handle.copy.gone:
            handle.copy.gone = True
            self.fates[handle.copy.body] = "deleted"

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), seconds=st.sampled_from([0, 0, 1, 7, 60]))
    def change(self, data: st.DataObject, seconds: int) -> None:
        handle = data.draw(st.sampled_from(self.handles[-5:]), "handle")
        now = self.tick()
        self.returned()
        copy = handle.copy
        try:
            self.desk.call(
                "ChangeMessageVisibility", QueueUrl="q", ReceiptHandle=handle.text, VisibilityTimeout=seconds
            )
        except SqsError:
            assert copy.gone
            return
        assert not copy.gone
        if seconds:
            copy.hidden_until, copy.taken_at = now + seconds * SECOND, 0
        elif self.hidden(copy):
            copy.taken_at = 0
            self.show(copy, now)


class FifoMachine(Machine):
    """Order within groups, deduplication and handles of a FIFO queue."""

    queue = "q.fifo"
    retention_s = 1_000
    #: How many messages the queue looks at.
    looks_at = 120_000
    #: How often a message is received before it is a dead letter.
    receives = 4

    @initialize()
    def make(self) -> None:
        self.desk = Desk(record_bodies=True)
        self.desk.with_dead_letters("q.fifo", receives=self.receives, MessageRetentionPeriod=str(self.retention_s))
        self.window: dict[str, int] = {}  # deduplication id -> until when

    @rule(group=st.sampled_from("abc"), number=st.sampled_from([1, 2, 5, 5, 70]))
    def send(self, group: str, number: int) -> None:
        for _ in range(number):
            now = self.tick()
            body = f"{group}-m{len(self.copies)}"
            self.desk.send("q.fifo", body, group=group)
            self.copies.append(Copy(body, now, (now, 0), group, body))
            self.window[body] = now + 300 * SECOND

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """The same deduplication id once more: nothing new within five minutes."""
        first = data.draw(st.sampled_from(self.copies), "first")
        now = self.tick()
        body = f"{first.group}-m{len(self.copies)}"
        self.desk.send("q.fifo", body, group=first.group, dedup=first.dedup)
        if now >= self.window[first.dedup]:
            self.copies.append(Copy(body, now, (now, 0), first.group, first.dedup))
            self.window[first.dedup] = now + 300 * SECOND

    def available(self, group: str) -> list[Copy]:
        """What the group can give: what stands before its first hidden message, dead letters moved away."""
        found: list[Copy] = []
        for copy in self.live()[: self.looks_at]:
            if copy.group == group:
                if self.hidden(copy):
                    break
                found.append(copy)
        return found

    @rule(limits=st.lists(st.sampled_from([1, 2, 3, 10]), min_size=1, max_size=4), timeout=TIMEOUTS)
    def receive_often(self, limits: list[int], timeout: int) -> None:
        for limit in limits:
            self.receive(limit, timeout)

    def receive(self, limit: int, timeout: int) -> None:
        now = self.tick()
        groups = {group: self.available(group) for group in "abc"}
        messages = self.desk.receive("q.fifo", limit, VisibilityTimeout=timeout, AttributeNames=["All"])
        moved = {event["message"] for event in self.desk.of("move")}
        ids = {event["body"]: event["message"] for event in self.desk.of("send")}
        for group, copies in groups.items():
            for copy in list(copies):
                if ids[copy.body] in moved:
                    assert copy.count == self.receives
                    copy.gone = True
                    self.fates[copy.body] = "moved"
                    copies.remove(copy)
            assert group in "abc"
        taken: list[Copy] = []
        finished: set[str] = set()
        current = ""
        for message in messages:
            group = message["Attributes"]["MessageGroupId"]
            if group != current:
                assert group not in finished, "a group came back within one receive"
                assert not current or not groups[current], "a group was left although it had more to give"
                finished.add(current)
                current = group
            expected = groups[group].pop(0)
            assert message["Body"] == expected.body, "out of order within the group"
            assert expected.count < self.receives, "received more often than the redrive policy allows"
            taken.append(expected)
        if len(taken) < limit:
            assert not any(groups.values()), "something was there and not given"
        for copy in taken:
            copy.count += 1
            copy.serial += 1
            copy.hidden_until = now + timeout * SECOND if timeout else 0
        self.take_handles(messages, taken)

    @precondition(lambda self: self.handles)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        handle = data.draw(st.sampled_from(self.handles[-5:]), "handle")
        self.tick()
        copy = handle.copy
        good = copy.gone or (self.hidden(copy) and handle.serial == copy.serial)
        try:
            self.desk.call("DeleteMessage", QueueUrl="q.fifo", ReceiptHandle=handle.text)
        except SqsError:
            assert not good
            return
        assert good
        if not copy.gone:
            copy.gone = True
            self.fates[copy.body] = "deleted"

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), seconds=st.sampled_from([0, 0, 1, 7, 60]))
    def change(self, data: st.DataObject, seconds: int) -> None:
        handle = data.draw(st.sampled_from(self.handles[-5:]), "handle")
        now = self.tick()
        copy = handle.copy
        good = not copy.gone and self.hidden(copy) and handle.serial == copy.serial
        try:
            self.desk.call(
                "ChangeMessageVisibility", QueueUrl="q.fifo", ReceiptHandle=handle.text, VisibilityTimeout=seconds
            )
        except SqsError:
            assert not good
            return
        assert good
        copy.hidden_until = now + seconds * SECOND if seconds else 0


class ShortSightedMachine(FifoMachine):
    """The same where the queue looks at few of its messages, as it does with a backlog beyond its limit."""

    looks_at = 4
    receives = 1_000  # a dead letter brings another message into sight within the receive that moves it

    @initialize()
    def make(self) -> None:
        super().make()
        self.before = sqs_fifo.LOOKS_AT
        sqs_fifo.LOOKS_AT = self.looks_at

    def teardown(self) -> None:
        sqs_fifo.LOOKS_AT = self.before


LIMITS = settings(
    max_examples=examples(150),
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

TestStandardQueue = StandardMachine.TestCase
TestStandardQueue.settings = LIMITS
TestFifoQueue = FifoMachine.TestCase
TestFifoQueue.settings = LIMITS
TestShortSightedQueue = ShortSightedMachine.TestCase
TestShortSightedQueue.settings = settings(LIMITS, max_examples=examples(50))
