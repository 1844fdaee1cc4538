"""What a consuming loop works on: deliveries, their outcomes, and the events that it reports."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

__all__ = [
    "DONE",
    "LEFT",
    "ConsumerEvent",
    "ConsumerListener",
    "DeadLetter",
    "Delivery",
    "Outcome",
    "RecentIds",
    "Reporter",
]

logger = logging.getLogger("harness.resilience")

EventKind: TypeAlias = Literal[
    "started",
    "stopped",
    "received",
    "receive-failed",
    "handled",
    "handler-failed",
    "already-handled",
    "in-progress-elsewhere",
    "held",
    "given-back",
    "give-back-failed",
    "expired-unbegun",
    "dead-lettered",
    "dead-letter-failed",
    "deleted",
    "delete-failed",
    "heartbeat-failed",
    "possibly-duplicated",
    "store-unavailable",
    "poison",
    "shed",
    "misconfigured",
]

_LEVELS: dict[str, int] = {
    "receive-failed": logging.WARNING,
    "handler-failed": logging.WARNING,
    "give-back-failed": logging.WARNING,
    "expired-unbegun": logging.WARNING,
    "dead-lettered": logging.ERROR,
    "dead-letter-failed": logging.ERROR,
    "delete-failed": logging.ERROR,
    "heartbeat-failed": logging.WARNING,
    "possibly-duplicated": logging.ERROR,
    "store-unavailable": logging.WARNING,
    "poison": logging.ERROR,
    "misconfigured": logging.WARNING,
}


@dataclass(frozen=True, slots=True)
class ConsumerEvent:
    """One thing that a consumer did or met. ``seconds`` is a delay or duration where the kind has one."""

    kind: EventKind
    queue_url: str
    message_id: str | None = None
    receive_count: int | None = None
    error: BaseException | None = None
    detail: str = ""
    seconds: float | None = None


class ConsumerListener(Protocol):
    """Called for each event, in the thread where it happened. A plain function qualifies."""

    def __call__(self, event: ConsumerEvent, /) -> None: ...


class Reporter:
    """Sends events to the log and to listeners. A listener that raises is logged and never harms the consumer."""

    def __init__(self, queue_url: str, listeners: Iterable[ConsumerListener] = ()) -> None:
        self.queue_url = queue_url
        self.listeners: list[ConsumerListener] = list(listeners)

    def __call__(
        self,
        kind: EventKind,
        delivery: Delivery | None = None,
        *,
        error: BaseException | None = None,
        detail: str = "",
        seconds: float | None = None,
    ) -> None:
        level = _LEVELS.get(kind, logging.DEBUG)
        message_id = delivery.id if delivery else None
        if logger.isEnabledFor(level):
            cause = f" ({type(error).__name__}: {error})" if error is not None else ""
            logger.log(level, "%s: message %s of %s %s%s", kind, message_id, self.queue_url, detail, cause)
        if not self.listeners:
            return
        count = delivery.receive_count if delivery else None
        event = ConsumerEvent(kind, self.queue_url, message_id, count, error, detail, seconds)
        for listener in tuple(self.listeners):
            try:
                listener(event)
            except Exception:
                logger.exception("a listener failed on %s", kind)


class Delivery:
    """One delivery of one message: the message as boto3 gave it, and how long it is ours.

    ``lock`` keeps the heartbeat from hiding a message again that was just
    given back; ``settled`` says that its fate was told to the queue.
    """

    __slots__ = (
        "first_held",
        "group",
        "handle",
        "id",
        "lock",
        "lost",
        "message",
        "on_extended",
        "receive_count",
        "settled",
        "visible_at",
    )

    def __init__(self, message: dict[str, Any], now: float, visibility: float, *, ordered: bool) -> None:
        self.message = message
        self.id = str(message.get("MessageId", ""))
        self.handle = str(message.get("ReceiptHandle", ""))
        system = message.get("Attributes") or {}
        #: How often the message was received, this time included; 1 where the queue did not say.
        self.receive_count = _count(system.get("ApproximateReceiveCount", 1))
        self.first_held = now
        self.visible_at = now + visibility
        self.group: str | None = system.get("MessageGroupId") if ordered else None
        self.lock = threading.Lock()
        self.settled = False
        self.lost = False
        #: Called by the heartbeat after each extension, with the seconds that it holds.
        self.on_extended: Callable[[float], object] | None = None

    def copy(self) -> dict[str, Any]:
        """The message for a handler, which may do with it what it likes: a dead letter is made of the original."""
        return {name: _copy(value) if isinstance(value, dict) else value for name, value in self.message.items()}


def _count(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 1


def _copy(value: dict[str, Any]) -> dict[str, Any]:
    # Attributes are dicts of dicts of texts and bytes: three times as fast as copy.deepcopy.
    return {name: _copy(inner) if isinstance(inner, dict) else inner for name, inner in value.items()}


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter that is still to be sent: the arguments of ``send_message``, and whom to tell how it went."""

    request: dict[str, Any]
    sent: Callable[[Exception | None], object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a delivery: deleted, or left to come back after ``delay`` seconds.

    ``delay`` ``None`` leaves it to the visibility timeout. ``blameless``: the
    message did nothing wrong, this receive is not held against it. ``first``: a
    dead letter that has to be accepted before the delete.
    """

    delete: bool
    delay: float | None = None
    blameless: bool = False
    first: DeadLetter | None = None


DONE = Outcome(delete=True)
LEFT = Outcome(delete=False)

Process: TypeAlias = Callable[[Delivery], Outcome]


class RecentIds:
    """A bounded map of the ids seen last, thread-safe: what this process remembers of messages."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._values: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __setitem__(self, key: str, value: Any) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._limit:
                self._values.popitem(last=False)

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._values

    def __len__(self) -> int:
        with self._lock:
            return len(self._values)

    def get(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return self._values.get(key, default)

    def pop(self, key: str, default: Any = None) -> Any:
        with self._lock:
            return self._values.pop(key, default)

    def add(self, key: str, amount: int = 1) -> None:
        """Count *amount* more for *key*."""
        with self._lock:
            self._values[key] = self._values.get(key, 0) + amount
            self._values.move_to_end(key)
            while len(self._values) > self._limit:
                self._values.popitem(last=False)

    def values(self) -> list[Any]:
        with self._lock:
            return list(self._values.values())
