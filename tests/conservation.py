"""Conservation of messages inside the SQS: asserted after every call of every in-memory SQS that a test makes.

Two books are kept apart and compared: what the events say (sent, deleted,
moved, expired, purged) and what the queues hold.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from weakref import WeakKeyDictionary

from harness.sim.services.sqs import SqsService
from harness.sim.services.sqs_line import DELAYED, IN_FLIGHT, VISIBLE

__all__ = ["Book", "install", "uninstall"]

_COUNTED_MAX = 64  # messages of a queue that are counted one by one, after each call

_call = SqsService.call
_init = SqsService.__init__


class Book:
    """What must be in the queues of one service, by the events that it wrote."""

    def __init__(self) -> None:
        self.held: Counter[str] = Counter()

    def enter(self, kind: str, fields: dict[str, Any]) -> None:
        """One event."""
        queue = fields.get("queue", "")
        if kind == "send":
            self.held[queue] += 1
        elif kind == "move":
            self.held[queue] -= 1
            self.held[fields["to"]] += 1
        elif kind == "expire" or (kind == "delete" and fields["found"]):
            self.held[queue] -= 1
        elif kind in ("purge", "queue.delete"):
            self.held[queue] -= len(fields["messages"])

    def check(self, service: SqsService) -> None:
        """Assert that nothing came from nowhere and nothing went nowhere."""
        held: Counter[str] = Counter()
        for queue in service._queues.values():
            held[queue.name] += len(queue.messages)
            assert queue.visible + queue.in_flight + queue.delayed == len(queue.messages), queue.name
            assert min(queue.visible, queue.in_flight, queue.delayed) >= 0, queue.name
            if len(queue.messages) <= _COUNTED_MAX:
                states = Counter(message.state for message in queue.messages.values())
                counts = states[VISIBLE], states[IN_FLIGHT], states[DELAYED]
                assert counts == (queue.visible, queue.in_flight, queue.delayed), queue.name
        for name in held.keys() | self.held.keys():
            assert held[name] == self.held[name], f"{name} holds {held[name]} messages and should {self.held[name]}"


_books: WeakKeyDictionary[SqsService, Book] = WeakKeyDictionary()


def _initialise(self: SqsService, *args: Any, **kwargs: Any) -> None:
    _init(self, *args, **kwargs)
    record, book = self._record, Book()
    _books[self] = book

    def recorded(kind: str, message: str | None = None, **fields: Any) -> int:
        book.enter(kind, fields)
        return record(kind, message, **fields)

    self._record = recorded


def _checked(self: SqsService, *args: Any, **kwargs: Any) -> dict[str, Any]:
    try:
        return _call(self, *args, **kwargs)
    finally:
        _books[self].check(self)


def install() -> None:
    """Assert it from now on."""
    SqsService.__init__ = _initialise  # type: ignore[method-assign, assignment]
    SqsService.call = _checked  # type: ignore[method-assign]


def uninstall() -> None:
    """Assert it no more."""
    SqsService.__init__ = _init  # type: ignore[method-assign]
    SqsService.call = _call  # type: ignore[method-assign]
