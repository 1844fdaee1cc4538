"""Messages, and the line that keeps them by a rising key at a flat cost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

from harness.sim.services.sqs_content import Attributes

__all__ = ["DELAYED", "GONE", "IN_FLIGHT", "NEVER", "NEW", "VISIBLE", "Line", "Message"]

#: A message's states. NEW: not yet in its queue.
NEW, VISIBLE, DELAYED, IN_FLIGHT, GONE = range(5)

#: Later than any time or order.
NEVER = 1 << 62


class Message:
    """One message in one queue. Moved to another queue it is another object there with the same id."""

    __slots__ = (
        "arrived_us",
        "attributes",
        "attributes_md5",
        "body",
        "changed",
        "dedup_id",
        "enqueued_us",
        "first_received_us",
        "group",
        "haunted",
        "id",
        "index",
        "key",
        "md5",
        "order",
        "receive_count",
        "received_us",
        "sent_us",
        "sequence",
        "serial",
        "source_arn",
        "state",
        "trace_header",
        "visible_at",
    )

    def __init__(self, message_id: str, body: str, md5: str, sent_us: int) -> None:
        self.id = message_id
        self.body = body
        self.md5 = md5
        self.attributes: Attributes | None = None
        self.attributes_md5: str | None = None
        self.trace_header: str | None = None
        self.sent_us = sent_us
        self.enqueued_us = sent_us  # retention runs from here
        self.arrived_us = sent_us  # in this queue
        self.first_received_us = 0
        self.received_us = 0
        self.receive_count = 0
        self.index = 0  # its number in its queue
        self.serial = 0  # of the last receive: a handle names index and serial
        self.order = 0  # its place among visible messages of a standard queue
        self.state = NEW
        self.visible_at = 0
        self.changed = False  # its visibility was changed since the last receive
        self.haunted = False  # the next delivery is followed by another one, whatever happens
        self.group: str | None = None
        self.dedup_id: str | None = None
        self.sequence: str | None = None
        self.source_arn: str | None = None
        self.key: str | None = None

    def moved(self) -> Message:
        """The same message for another queue: id, content and receive count stay."""
        other = Message(self.id, self.body, self.md5, self.sent_us)
        for name in ("attributes", "attributes_md5", "trace_header", "enqueued_us", "first_received_us"):
            setattr(other, name, getattr(self, name))
        for name in ("receive_count", "group", "dedup_id", "sequence", "source_arn", "key"):
            setattr(other, name, getattr(self, name))
        return other


class Line:
    """Messages by key, smallest first.

    Keys mostly arrive in rising order (send order, equal timeouts): those
    stand in a row, at a cost that does not depend on its length; the others
    go to a heap. A message that left or moved on stays where it is until it
    comes to the front (the caller knows a stale entry by its key) or until
    :meth:`keep` sweeps.
    """

    __slots__ = ("_count", "_heap", "_row", "next_key")

    def __init__(self) -> None:
        self._row: deque[tuple[int, Message]] = deque()
        self._heap: list[tuple[int, int, Message]] = []
        self._count = 0
        self.next_key = NEVER

    def __len__(self) -> int:
        return len(self._row) + len(self._heap)

    def push(self, key: int, message: Message) -> None:
        row = self._row
        if not row or key >= row[-1][0]:
            row.append((key, message))
        else:
            # The count keeps equal keys in their order of arrival and messages out of the comparison.
            self._count += 1
            heappush(self._heap, (key, self._count, message))
        if key < self.next_key:
            self.next_key = key

    def pop(self) -> tuple[int, Message]:
        """Take the first. Raises IndexError when the line is empty."""
        row, heap = self._row, self._heap
        if heap and (not row or heap[0][0] < row[0][0]):
            key, _, message = heappop(heap)
        else:
            key, message = row.popleft()
        self._front()
        return key, message

    def peek(self) -> tuple[int, Message] | None:
        row, heap = self._row, self._heap
        if heap and (not row or heap[0][0] < row[0][0]):
            return heap[0][0], heap[0][2]
        return row[0] if row else None

    def keep(self, valid: Callable[[int, Message], bool]) -> None:
        """Drop every entry that is not *valid*."""
        self._row = deque(entry for entry in self._row if valid(*entry))
        self._heap = [entry for entry in self._heap if valid(entry[0], entry[2])]
        heapify(self._heap)
        self._front()

    def _front(self) -> None:
        row, heap = self._row, self._heap
        key: Any = row[0][0] if row else NEVER
        if heap and heap[0][0] < key:
            key = heap[0][0]
        self.next_key = key
