"""The FIFO queue: order within groups, deduplication, handles that expire, receives that can be repeated.

A group gives only the messages that stand before its first hidden one. One
receive takes what it can from one group before it turns to the next, and a
group that was served goes to the end of the line. Of a long backlog only the
first 120,000 messages are looked at for groups that are free.
"""

from __future__ import annotations

import random
from collections import deque
from itertools import islice
from typing import NamedTuple

from harness.sim.services.sqs_errors import parameter_reason
from harness.sim.services.sqs_line import DELAYED, GONE, IN_FLIGHT, VISIBLE, Message
from harness.sim.services.sqs_queue import IN_FLIGHT_MAX, SECOND, Journal, Queue

__all__ = ["DEDUPLICATION_US", "LOOKS_AT", "FifoQueue", "Original"]

#: How many of its messages, from the oldest on, a queue looks at to find groups that are free (documented).
LOOKS_AT = 120_000

#: How long a deduplication id, and a ReceiveRequestAttemptId, is remembered: five minutes.
DEDUPLICATION_US = 300 * SECOND

#: Real sequence numbers have 20 digits.
_FIRST_SEQUENCE = 18_880_000_000_000_000_000
_SEQUENCE_STEP = 256


class Original(NamedTuple):
    """What a duplicate is answered with."""

    message_id: str
    sequence: str | None


class _Group:
    """The messages of one group, oldest first. ``head`` is the first that may still be there."""

    __slots__ = ("head", "live", "messages", "name", "queued")

    def __init__(self, name: str) -> None:
        self.name = name
        self.messages: list[Message] = []
        self.head = 0
        self.live = 0
        self.queued = False  # stands in the line of groups that may have something to give

    def first(self) -> Message | None:
        messages, head = self.messages, self.head
        while head < len(messages) and messages[head].state == GONE:
            head += 1
        self.head = head
        if head > 32 and head * 2 > len(messages):
            del messages[:head]
            self.head = 0
        return messages[self.head] if self.head < len(messages) else None

    def left(self) -> None:
        """A message left; sweep once those that left are the greater part."""
        self.live -= 1
        if len(self.messages) - self.head > 32 + 2 * self.live:
            self.messages = [message for message in self.messages[self.head :] if message.state != GONE]
            self.head = 0


class FifoQueue(Queue):
    """Exactly-once sending within five minutes, strict order within a group."""

    fifo = True

    def __init__(self, name: str, region: str, account: str, tag: int, now_us: int, journal: Journal) -> None:
        self._groups: dict[str, _Group] = {}
        self._line: deque[_Group] = deque()
        self._sequence = _FIRST_SEQUENCE
        self._originals: dict[tuple[str | None, str], Original] = {}
        self._original_ends: deque[tuple[int, tuple[str | None, str]]] = deque()
        self._attempts: dict[str, tuple[int, list[tuple[Message, int]]]] = {}
        self._attempt_ends: deque[tuple[int, str]] = deque()
        self._seen = 0  # the last index that is looked at
        self._within = 0  # messages up to there
        # A later change of the scope was recorded to have no effect, although it reads back changed.
        self.dedup_by_group = False
        super().__init__(name, region, account, tag, now_us, journal)

    # -- deduplication ---------------------------------------------------------

    def original(self, group: str, dedup_id: str, now_us: int) -> Original | None:
        """The message of the last five minutes that this one would be a duplicate of."""
        ends = self._original_ends
        while ends and ends[0][0] <= now_us:
            del self._originals[ends.popleft()[1]]
        return self._originals.get((group if self.dedup_by_group else None, dedup_id))

    def remember(self, message: Message, now_us: int) -> None:
        """Take the message's deduplication id as used from now on."""
        assert message.dedup_id is not None
        assert message.sequence is not None
        key = (message.group if self.dedup_by_group else None, message.dedup_id)
        self._originals[key] = Original(message.id, message.sequence)
        self._original_ends.append((now_us + DEDUPLICATION_US, key))

    def next_sequence(self) -> str:
        self._sequence += _SEQUENCE_STEP
        return str(self._sequence)

    # -- order -------------------------------------------------------------------

    def _enqueue(self, message: Message) -> None:
        name = message.group or ""
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(name)
        group.messages.append(message)
        group.live += 1
        self._look_on()

    def _show(self, message: Message) -> None:
        self._leave(message)
        message.state = VISIBLE
        self.visible += 1
        self._offer(self._groups[message.group or ""])

    def _offer(self, group: _Group) -> None:
        """Put a group in the line if its first message can be had."""
        if group.queued:
            return
        first = group.first()
        if first is not None and first.state == VISIBLE and first.index <= self._seen:
            group.queued = True
            self._line.append(group)

    def _look_on(self) -> None:
        """Look at as many messages as may be looked at. Each is passed once, so that the cost stays flat."""
        while self._within < LOOKS_AT and self._seen < self._indexes:
            self._seen += 1
            message = self.messages.get(self._seen)
            if message is not None:
                self._within += 1
                if message.state == VISIBLE:
                    self._offer(self._groups[message.group or ""])

    def _remove(self, message: Message) -> None:
        name = message.group or ""
        group = self._groups[name]
        super()._remove(message)
        group.left()
        if group.live == 0 and not group.queued:
            del self._groups[name]
        else:
            self._offer(group)
        if message.index <= self._seen:
            self._within -= 1
            self._look_on()

    def redelay(self, now_us: int) -> None:
        """A changed delay of a FIFO queue holds for messages that wait already."""
        for message in [message for message in self.messages.values() if message.state == DELAYED]:
            due_us = message.sent_us + self.delay_us
            if due_us > now_us:
                self._hide(message, DELAYED, due_us)
            else:
                self._show(message)
        self._sweep()

    # -- delivery ------------------------------------------------------------------

    def take(self, now_us: int, limit: int, timeout_us: int, shuffle: random.Random | None = None) -> list[Message]:
        """As much as can be had from one group before the next. Order is never shuffled."""
        limit = min(limit, IN_FLIGHT_MAX - self.in_flight)  # no error here: nothing more is given
        taken: list[Message] = []
        served: list[_Group] = []
        while self._line and len(taken) < limit:
            group = self._line.popleft()
            before = len(taken)
            self._take_from(group, taken, limit, now_us)
            group.queued = False
            if len(taken) > before:
                served.append(group)
            elif group.live == 0:
                self._groups.pop(group.name, None)
        self._deliver(taken, now_us, timeout_us)
        for group in served:
            self._offer(group)
        return taken

    def _take_from(self, group: _Group, taken: list[Message], limit: int, now_us: int) -> None:
        # While the group is marked as queued, a burial below neither offers nor forgets it.
        place = group.head
        messages = group.messages
        while place < len(messages) and len(taken) < limit:
            message = messages[place]
            place += 1
            if message.state == GONE:
                continue
            if message.state != VISIBLE or message.index > self._seen:
                return
            if self._exhausted(message, now_us):
                continue
            taken.append(message)

    def postpone(self, now_us: int, limit: int, delay_us: int) -> None:
        """Hide the first message of each group that has something to give; the rest of the group waits behind it."""
        for group in list(islice(self._line, limit)):
            first = group.first()
            if first is not None and first.state == VISIBLE:
                self._hide(first, DELAYED, now_us + delay_us)

    def check_delete(self, message: Message, serial: int, handle: str) -> None:
        if serial != message.serial or message.state != IN_FLIGHT:
            raise parameter_reason(handle, "ReceiptHandle", "The receipt handle has expired.")

    def check_change(self, message: Message | None, serial: int, handle: str, timeout_us: int, now_us: int) -> Message:
        # Not recorded for FIFO queues: an expired handle is taken as no longer in flight.
        if message is not None and (serial != message.serial or message.state != IN_FLIGHT):
            message = None
        return super().check_change(message, serial, handle, timeout_us, now_us)

    # -- repeated receives -----------------------------------------------------------

    def attempt(self, attempt_id: str, now_us: int, timeout_us: int) -> list[Message] | None:
        """The messages of an earlier receive with this id, hidden afresh; ``None`` if there was none.

        Raises:
            SqsError: one of them was deleted, received again, or had its visibility changed.
        """
        ends = self._attempt_ends
        while ends and ends[0][0] <= now_us:
            end_us, expired = ends.popleft()
            if self._attempts[expired][0] == end_us:
                del self._attempts[expired]
        known = self._attempts.get(attempt_id)
        if known is None:
            return None
        messages: list[Message] = []
        for message, serial in known[1]:
            if message.state == GONE or message.serial != serial or message.changed:
                raise parameter_reason(
                    attempt_id,
                    "ReceiveRequestAttemptId",
                    "The receiveRequestAttemptId is not valid anymore since the receive call is not retryable.",
                )
            messages.append(message)
        for message in messages:
            if timeout_us > 0:
                self._hide(message, IN_FLIGHT, now_us + timeout_us)
            elif message.state != VISIBLE:
                self._show(message)
        return messages

    def remember_attempt(self, attempt_id: str, messages: list[Message], now_us: int) -> None:
        if attempt_id in self._attempts:
            return
        end_us = now_us + DEDUPLICATION_US
        self._attempts[attempt_id] = (end_us, [(message, message.serial) for message in messages])
        self._attempt_ends.append((end_us, attempt_id))

    def purge(self) -> list[str]:
        """Forget every message, and the deduplication window with them."""
        self._groups.clear()
        self._line.clear()
        self._seen = self._indexes
        self._within = 0
        self._originals.clear()
        self._original_ends.clear()
        self._attempts.clear()
        self._attempt_ends.clear()
        return super().purge()
