"""A queue: what the two types have in common, and the standard queue.

No operation looks through the backlog. Visible messages stand in one line by
their order, hidden ones (delayed or in flight) in another by the time at
which they appear, all of them in a third by age; whoever leaves is marked and
dropped when met. Every operation begins with :meth:`Queue.advance`, which
does what the passing of time alone does.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from typing import Protocol

from harness.sim.services.sqs_attributes import DEFAULTS, FIFO_DEFAULTS, redrive_of
from harness.sim.services.sqs_errors import over_limit, parameter_reason
from harness.sim.services.sqs_line import DELAYED, GONE, IN_FLIGHT, NEVER, VISIBLE, Line, Message
from harness.sim.services.timebase import Waiters

__all__ = ["IN_FLIGHT_MAX", "Journal", "Queue", "StandardQueue"]

SECOND = 1_000_000
#: Both types; a standard queue then refuses, a FIFO queue gives nothing more.
IN_FLIGHT_MAX = 120_000
#: The longest that a message can stay hidden from its receive on: 12 hours.
VISIBILITY_MAX_US = 43_200 * SECOND
#: A message received this often without being deleted goes to the back of a standard queue.
RECEIVES_TO_BACK = 3

_SAMPLE_US = 5 * SECOND
_ORDER_STEP = 1_024
#: Messages that leave between two looks for stale entries.
_SWEEP_EVERY = 32


class Journal(Protocol):
    """What a queue tells the service."""

    def expired(self, queue: Queue, message: Message) -> None:
        """Retention ran out; the message is gone."""
        ...

    def bury(self, queue: Queue, message: Message, now_us: int) -> bool:
        """Move a message to the dead-letter queue; false if there is none any more."""
        ...


class Queue:
    """State of one queue. Times are microseconds of the service's clock."""

    fifo = False

    def __init__(self, name: str, region: str, account: str, tag: int, now_us: int, journal: Journal) -> None:
        self.name = name
        self.region = region
        self.arn = f"arn:aws:sqs:{region}:{account}:{name}"
        self.tag = tag  # tells its handles from those of other queues, also of an earlier one of the same name
        self.created_us = now_us
        self.modified_us = now_us
        self.deleted = False
        self.purged_us = -NEVER
        self.tags: dict[str, str] = {}
        self.attributes: dict[str, str] = {}
        self.waiters = Waiters()
        self.waited_until_us = 0  # the latest time that a waiter sleeps to; 0 when nobody waits
        self.recheck = False  # something will appear before that: all who wait must look again
        self.messages: dict[int, Message] = {}
        self.visible = self.in_flight = self.delayed = 0
        self._journal = journal
        self._indexes = 0
        self._removed = 0
        self._hidden = Line()
        self._age = Line()
        self._next_sample_us = now_us
        self.samples: deque[tuple[int, int, int, int]] = deque(maxlen=13)  # a minute of counts
        self.apply({**DEFAULTS, **(FIFO_DEFAULTS if self.fifo else {})}, now_us)

    def apply(self, attributes: Mapping[str, str | None], now_us: int) -> None:
        """Set normalised attributes; ``None`` removes one."""
        own = self.attributes
        for name, value in attributes.items():
            if value is None:
                own.pop(name, None)
            else:
                own[name] = value
        self.delay_us = int(own["DelaySeconds"]) * SECOND
        self.visibility_us = int(own["VisibilityTimeout"]) * SECOND
        self.retention_us = int(own["MessageRetentionPeriod"]) * SECOND
        self.wait_us = int(own["ReceiveMessageWaitTimeSeconds"]) * SECOND
        self.max_bytes = int(own["MaximumMessageSize"])
        self.redrive = redrive_of(own.get("RedrivePolicy"))
        self.modified_us = now_us

    # -- time ----------------------------------------------------------------

    def advance(self, now_us: int) -> None:
        """Let time pass: hidden messages whose time has come appear, old ones expire."""
        if now_us >= self._next_sample_us:
            self._next_sample_us = now_us + _SAMPLE_US
            self.samples.append((now_us, self.visible, self.in_flight, self.delayed))
        if self._hidden.next_key <= now_us:
            hidden = self._hidden
            while hidden.next_key <= now_us:
                key, message = hidden.pop()
                if message.visible_at == key and (message.state == IN_FLIGHT or message.state == DELAYED):
                    self._show(message)
        if self._age.next_key <= now_us - self.retention_us:
            self._expire(now_us - self.retention_us)

    def _expire(self, limit_us: int) -> None:
        age = self._age
        while age.next_key <= limit_us:
            _, message = age.pop()
            if message.state != GONE:
                self._remove(message)
                self._journal.expired(self, message)

    def next_due_us(self) -> int:
        """When the next hidden message appears; :data:`NEVER` if none does."""
        hidden = self._hidden
        while (entry := hidden.peek()) is not None:
            key, message = entry
            if message.visible_at == key and (message.state == IN_FLIGHT or message.state == DELAYED):
                return key
            hidden.pop()
        return NEVER

    def counts(self) -> dict[str, int]:
        return {"visible": self.visible, "in_flight": self.in_flight, "delayed": self.delayed}

    def offers(self) -> bool:
        """Whether a receive may find something now."""
        return self.visible > 0

    # -- messages come and go ------------------------------------------------

    def add(self, message: Message, now_us: int, delay_us: int) -> None:
        """Take in a message that was sent or moved here."""
        self._indexes += 1
        message.index = self._indexes
        self.messages[message.index] = message
        message.arrived_us = now_us
        self._age.push(message.enqueued_us, message)
        self._enqueue(message)
        if delay_us > 0:
            self._hide(message, DELAYED, now_us + delay_us)
        else:
            self._show(message)

    def _enqueue(self, message: Message) -> None:
        """Give a new message its place."""
        raise NotImplementedError

    def _show(self, message: Message) -> None:
        """Make a message visible that is new or was hidden."""
        raise NotImplementedError

    def _hide(self, message: Message, state: int, until_us: int) -> None:
        self._leave(message)
        message.state = state
        message.visible_at = until_us
        if state == IN_FLIGHT:
            self.in_flight += 1
        else:
            self.delayed += 1
        self._hidden.push(until_us, message)
        if until_us < self.waited_until_us:
            self.recheck = True

    def _leave(self, message: Message) -> None:
        """Take a message out of the counts."""
        state = message.state
        if state == VISIBLE:
            self.visible -= 1
        elif state == IN_FLIGHT:
            self.in_flight -= 1
        elif state == DELAYED:
            self.delayed -= 1

    def _remove(self, message: Message) -> None:
        self._leave(message)
        message.state = GONE
        self.messages.pop(message.index, None)
        self._removed += 1
        if not self._removed % _SWEEP_EVERY:
            self._sweep()

    def _sweep(self) -> None:
        """Drop stale entries once they are the greater part, so that their cost stays flat and memory bounded."""
        if len(self._hidden) > 64 + 2 * (self.in_flight + self.delayed):
            self._hidden.keep(
                lambda key, message: (
                    message.visible_at == key and (message.state == IN_FLIGHT or message.state == DELAYED)
                )
            )
        if len(self._age) > 64 + 2 * len(self.messages):
            self._age.keep(lambda _, message: message.state != GONE)

    def remove(self, message: Message) -> None:
        """Delete or move a message away."""
        self._remove(message)

    def purge(self) -> list[str]:
        """Forget every message; returns their ids."""
        ids = [message.id for message in self.messages.values()]
        for message in self.messages.values():
            message.state = GONE
        self.messages.clear()
        self.visible = self.in_flight = self.delayed = 0
        self._hidden = Line()
        self._age = Line()
        return ids

    # -- delivery ------------------------------------------------------------

    def take(self, now_us: int, limit: int, timeout_us: int, shuffle: random.Random | None = None) -> list[Message]:
        """Deliver up to *limit* messages and hide them for *timeout_us*. Time has been let pass before."""
        raise NotImplementedError

    def postpone(self, now_us: int, limit: int, delay_us: int) -> None:
        """Hide the messages that a receive would give, as if they were slow to arrive."""
        raise NotImplementedError

    def _deliver(self, taken: list[Message], now_us: int, timeout_us: int) -> None:
        for message in taken:
            message.receive_count += 1
            message.serial += 1
            message.changed = False
            message.received_us = now_us
            if not message.first_received_us:
                message.first_received_us = now_us
            if message.state == GONE:  # a copy that survived its deletion, and comes this once
                message.visible_at = now_us + timeout_us
            elif timeout_us > 0:
                self._hide(message, IN_FLIGHT, now_us + timeout_us)
            else:
                message.visible_at = now_us
                self._show(message)

    def _exhausted(self, message: Message, now_us: int) -> bool:
        """Whether the message went to the dead-letter queue instead of being received once more."""
        return (
            self.redrive is not None
            and message.receive_count >= self.redrive[1]
            and self._journal.bury(self, message, now_us)
        )

    def change(self, message: Message, timeout_us: int, now_us: int) -> None:
        """Hide a message for *timeout_us* from now on; zero shows it at once."""
        message.changed = True
        if timeout_us > 0:
            self._hide(message, IN_FLIGHT, now_us + timeout_us)
        elif message.state != VISIBLE:
            self._show(message)
        self._sweep()

    def check_change(self, message: Message | None, serial: int, handle: str, timeout_us: int, now_us: int) -> Message:
        """The message whose visibility a handle may change.

        Raises:
            SqsError: it is gone, or it would be hidden for more than 12 hours in all.
        """
        if message is None:
            raise parameter_reason(
                handle,
                "ReceiptHandle",
                "Message does not exist or is not available for visibility timeout change.",
            )
        if message.state == IN_FLIGHT and now_us + timeout_us > message.received_us + VISIBILITY_MAX_US:
            raise parameter_reason(
                timeout_us // SECOND,
                "VisibilityTimeout",
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
            )
        return message

    def check_delete(self, message: Message, serial: int, handle: str) -> None:
        """Whether a handle may delete a message that is there."""


class StandardQueue(Queue):
    """At least once, best-effort order. Without faults its order is first in, first out, and the same each time."""

    def __init__(self, name: str, region: str, account: str, tag: int, now_us: int, journal: Journal) -> None:
        self._orders = 0
        self._line = Line()
        self._ghosts: deque[Message] = deque()
        super().__init__(name, region, account, tag, now_us, journal)

    def _next_order(self) -> int:
        self._orders += _ORDER_STEP
        return self._orders

    def _enqueue(self, message: Message) -> None:
        message.order = self._next_order()

    def move_forward(self, message: Message, chance: random.Random) -> None:
        """Put a message that was just sent before some that were sent earlier."""
        message.order = max(1, message.order - _ORDER_STEP * chance.randint(1, 32)) + chance.randint(1, 1_000)
        if message.state == VISIBLE:
            self._line.push(message.order, message)

    def offers(self) -> bool:
        return self.visible > 0 or bool(self._ghosts)

    def haunt(self, message: Message) -> None:
        """Deliver this message once more, although it is in flight or deleted by then."""
        self._ghosts.append(message)

    def _show(self, message: Message) -> None:
        self._leave(message)
        if message.receive_count >= RECEIVES_TO_BACK:
            message.order = self._next_order()
        message.state = VISIBLE
        self.visible += 1
        self._line.push(message.order, message)

    def _pop(self) -> Message | None:
        line = self._line
        while line.next_key != NEVER:
            key, message = line.pop()
            if message.state == VISIBLE and message.order == key:
                return message
        return None

    def take(self, now_us: int, limit: int, timeout_us: int, shuffle: random.Random | None = None) -> list[Message]:
        if self.in_flight >= IN_FLIGHT_MAX:
            raise over_limit()
        limit = min(limit, IN_FLIGHT_MAX - self.in_flight)
        taken = self._take_ghosts(now_us, limit) if self._ghosts else []
        if shuffle is None:
            while len(taken) < limit and (message := self._pop()) is not None:
                if not self._exhausted(message, now_us):
                    taken.append(message)
        else:
            self._take_shuffled(taken, now_us, limit, shuffle)
        if not taken:
            return taken
        self._deliver(taken, now_us, timeout_us)
        for message in taken:
            if message.haunted:
                message.haunted = False
                self._ghosts.append(message)
        return taken

    def postpone(self, now_us: int, limit: int, delay_us: int) -> None:
        taken: list[Message] = []
        while len(taken) < limit and (message := self._pop()) is not None:
            taken.append(message)
        for message in taken:
            self._hide(message, DELAYED, now_us + delay_us)

    def _take_ghosts(self, now_us: int, limit: int) -> list[Message]:
        taken: list[Message] = []
        while self._ghosts and len(taken) < limit:
            message = self._ghosts.popleft()
            spent = self.redrive is not None and message.receive_count >= self.redrive[1]
            expired = message.enqueued_us <= now_us - self.retention_us
            # One that is visible again comes anyway; one past its count would not be received but moved.
            if message.state != VISIBLE and not spent and not expired and message not in taken:
                taken.append(message)
        return taken

    def _take_shuffled(self, taken: list[Message], now_us: int, limit: int, shuffle: random.Random) -> None:
        """Any of the first few dozen, in any order: how far is bounded, so that the cost stays flat."""
        window: list[Message] = []
        while len(window) < 4 * limit + 8 and (message := self._pop()) is not None:
            window.append(message)
        shuffle.shuffle(window)
        for message in window:
            if len(taken) >= limit:
                self._line.push(message.order, message)
            elif not self._exhausted(message, now_us):
                taken.append(message)

    def change(self, message: Message, timeout_us: int, now_us: int) -> None:
        if message.state == VISIBLE and timeout_us > 0:
            message.order += 1  # makes its entry in the line stale; the place stays the same
        super().change(message, timeout_us, now_us)

    def _sweep(self) -> None:
        super()._sweep()
        if len(self._line) > 64 + 2 * self.visible:
            self._line.keep(lambda key, message: message.state == VISIBLE and message.order == key)

    def purge(self) -> list[str]:
        self._line = Line()
        self._ghosts.clear()
        return super().purge()
