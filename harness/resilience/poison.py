"""Poison messages: those that fail again and again, wherever they are handled, are found and put in quarantine.

Failures are counted in Redis, shared by all consumers, within a true sliding
window: a failure counts for ``time_window`` seconds and no longer, whatever
comes after it. A message is poison when ``poison_threshold`` failures are in
the window. Each operation is one script on the server, so that two consumers
cannot both miss the last failure.

Keys (the count and the list are those that earlier tools read and wrote):

* ``message_failures:{id}``: the number of failures, as an integer. An integer
  that somebody else counted there counts too.
* ``{message_failures:<id>}:times``: the failures with their times, same hash slot.
* ``poison_messages``: a list with one JSON object a message, newest first:
  ``messageId``, ``messageBody``, ``quarantineReason``, ``quarantineTime``,
  ``failureCount``, and everything else that was known of it.
* ``{poison_messages}:ids``: which message is in the list already, same hash slot.

When Redis cannot be reached the detector *fails open*: it counts in this
process (it does so always), a message is poison only if this process has seen
enough failures itself, and nothing can be put in quarantine. It says so, in the
log and to its listeners, and asks Redis again after ``redis_pause`` seconds.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count as _count
from typing import Any, Literal, TypeAlias, TypeVar

from harness.resilience import _poison_scripts as scripts
from harness.resilience._delivery import RecentIds
from harness.resilience._listeners import notify
from harness.resilience.idempotency import default_redis_client, text_of
from harness.resilience.quarantine import Quarantine, QuarantinedMessage, QuarantineEvent, Release, describe

__all__ = [
    "PoisonEvent",
    "PoisonListener",
    "PoisonMessageDetector",
    "QuarantinedMessage",
    "Release",
    "watch_quarantines",
]

logger = logging.getLogger("harness.resilience")

T = TypeVar("T")

PoisonEventKind: TypeAlias = Literal[
    "failure", "quarantined", "refused", "released", "erased", "purged", "expired", "redis-down", "redis-up"
]


@dataclass(frozen=True, slots=True)
class PoisonEvent:
    """What a detector did or met.

    ``failure``: a failure was counted (``count`` in the window now).
    ``quarantined``: a message was put in quarantine. ``refused``: it was not,
    because the quarantine is full or Redis is down; ``reason`` says which.
    ``released``, ``erased``, ``purged``: it left the quarantine, back to a queue
    or for good. ``expired``: ``count`` entries passed their time to live.
    ``redis-down``, ``redis-up``: the detector changed to counting alone, and back.

    ``identity`` is what failures are counted by: the message id, or the user's key.
    """

    kind: PoisonEventKind
    detector: PoisonMessageDetector
    message_id: str | None = None
    identity: str | None = None
    reason: str = ""
    count: int = 0
    error: BaseException | None = None


#: A plain function qualifies. Called in the thread where it happened; one that raises is logged.
PoisonListener: TypeAlias = Callable[[PoisonEvent], object]

_watchers: tuple[PoisonListener, ...] = ()


def watch_quarantines(listener: PoisonListener) -> Callable[[], None]:
    """Tell *listener* what every detector of this process does; returns a function that ends it."""
    global _watchers
    _watchers = (*_watchers, listener)

    def stop() -> None:
        global _watchers
        rest = list(_watchers)
        if listener in rest:
            rest.remove(listener)
        _watchers = tuple(rest)

    return stop


class PoisonMessageDetector:
    """See the module. One object serves any number of threads.

    ``redis_client``: of redis-py, decoding or not (made on first use if ``None``).
    ``identity``: what a message's failures are counted by (default its message
    id; a message that was replayed has another id, so a key out of its body
    finds it again). ``quarantine_limit``: entries that the quarantine holds;
    a full one refuses more, it never drops what it has. ``quarantine_ttl``:
    seconds that an entry is kept. ``redis_pause``: seconds without asking
    Redis after it failed. ``clock``: seconds since 1970; ``None``: the Redis
    server's own clock, which all consumers share. ``monotonic`` counts the
    failures of this process.

    ``redis``, ``poison_threshold`` and ``time_window`` may be set before use.
    """

    def __init__(
        self,
        redis_client: Any = None,
        *,
        poison_threshold: int = 5,
        time_window: float = 3600,
        identity: Callable[[Mapping[str, Any]], str] | None = None,
        quarantine_limit: int = 10_000,
        quarantine_ttl: float = 14 * 86_400.0,
        redis_pause: float = 5.0,
        listeners: Iterable[PoisonListener] = (),
        clock: Callable[[], float] | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        if poison_threshold < 1 or time_window <= 0 or quarantine_limit < 1 or quarantine_ttl <= 0:
            raise ValueError("poison_threshold, time_window, quarantine_limit and quarantine_ttl must be above 0")
        self.poison_threshold = poison_threshold
        self.time_window = time_window
        self.quarantine_limit = quarantine_limit
        self.quarantine_ttl = quarantine_ttl
        self.redis_pause = redis_pause
        self._identity = identity
        self._listeners: tuple[PoisonListener, ...] = tuple(listeners)
        self._clock = clock
        self._monotonic = monotonic
        self._redis = redis_client
        self._scripts: dict[str, Any] = {}
        self._local = RecentIds()
        self._lock = threading.Lock()
        self._down_until: float | None = None
        self._name = uuid.uuid4().hex
        self._numbers = _count(1)

    @property
    def redis(self) -> Any:
        """The client of redis-py that is used."""
        if self._redis is None:
            self._redis = default_redis_client()
        return self._redis

    @redis.setter
    def redis(self, client: Any) -> None:
        self._redis = client
        self._scripts.clear()

    @property
    def degraded(self) -> bool:
        """Whether the detector counts alone, because Redis failed."""
        return self._down_until is not None

    def identity(self, message: Mapping[str, Any]) -> str:
        """What the failures of *message* are counted by."""
        return self._identity(message) if self._identity is not None else text_of(message.get("MessageId", ""))

    # Counting

    def record_failure(self, message_id: str | bytes) -> int:
        """Count one failure; returns how many are in the window now, as far as is known."""
        identity = text_of(message_id)
        local = self._count_here(identity, 1)
        # Named by the caller: a client library that repeats the call counts once.
        member = f"{self._name}:{next(self._numbers)}"
        args = [self._now_us(), round(self.time_window * 1_000_000), member]
        shared = self._ask(lambda: int(self._script("RECORD")(keys=_failure_keys(identity), args=args)), None)
        total = local if shared is None else shared
        self._tell("failure", identity=identity, count=total)
        return total

    def is_poison_message(self, message_id: str | bytes) -> bool:
        """Whether the message has failed ``poison_threshold`` times within the window."""
        return self.failure_count(message_id) >= self.poison_threshold

    def failure_count(self, message_id: str | bytes) -> int:
        """How many failures are in the window: by Redis, or while it is down by this process."""
        identity = text_of(message_id)
        args = [self._now_us(), round(self.time_window * 1_000_000)]
        shared = self._ask(lambda: int(self._script("COUNT")(keys=_failure_keys(identity), args=args)), None)
        return self._count_here(identity, 0) if shared is None else shared

    def forget(self, message_id: str | bytes) -> None:
        """Drop the failures of a message: it is to be tried as a new one."""
        identity = text_of(message_id)
        self._local.pop(identity)
        self._ask(lambda: self.redis.delete(*_failure_keys(identity)), 0)

    def _count_here(self, identity: str, new: int) -> int:
        now = self._now()
        with self._lock:
            times: deque[float] | None = self._local.get(identity)
            if times is None:
                if not new:
                    return 0
                times = deque(maxlen=max(100, self.poison_threshold))
            times.extend([now] * new)
            while times and times[0] <= now - self.time_window:
                times.popleft()
            if new:
                self._local[identity] = times
            return len(times)

    # The quarantine

    def quarantine_poison_message(
        self, message: Mapping[str, Any], reason: str, *, queue_url: str | None = None
    ) -> bool:
        """Keep *message* (as boto3 gave it) and *reason* in the quarantine. Never raises for a fault of Redis.

        ``queue_url``: the queue that it came from, to which a release sends it back.

        Returns whether it is in there now, also when it was before. ``False``:
        the quarantine is full or Redis is down; do not delete the message then.
        """
        identity = self.identity(message)
        message_id = text_of(message.get("MessageId", ""))
        failures = self.failure_count(identity)
        entry = describe(message, reason, identity, failures, self._wall_clock(), queue_url)
        args = [self._now_us(), round(self.quarantine_ttl * 1_000_000), self.quarantine_limit, message_id, entry]
        answer = self._ask(lambda: _texts(self._script("QUARANTINE")(keys=_QUARANTINE_KEYS, args=args)), None)
        if answer is None:
            self._refuse(message_id, identity, "Redis cannot be reached")
            return False
        status, expired = answer
        self._say_expired(int(expired))
        if status == "full":
            self._refuse(message_id, identity, f"the quarantine holds {self.quarantine_limit} messages already")
            return False
        if status == "added":
            logger.error("message %s (%s) is in quarantine: %s", message_id, identity, reason)
            self._tell("quarantined", message_id=message_id, identity=identity, reason=reason)
        return True

    @property
    def quarantine(self) -> Quarantine:
        """What is in quarantine, to be looked through, released, erased."""
        return Quarantine(self.redis, scan=self.quarantine_limit, clock=self._clock, on_event=self._on_quarantine)

    def quarantined(self, *, limit: int = 100, offset: int = 0) -> list[QuarantinedMessage]:
        """What is in quarantine, newest first, entries of earlier tools included. Raises what the client raises."""
        return self.quarantine.entries(limit=limit, offset=offset)

    def find(self, key: str) -> list[QuarantinedMessage]:
        """The entries whose message id or identity is *key*. Raises what the client raises."""
        return self.quarantine.find(key)

    def release(self, key: str, *, sqs: Any, queue_url: str | None = None) -> list[Release]:
        """Send the entries of *key* back to their queue (or to *queue_url*); see :meth:`Quarantine.release`."""
        return self.quarantine.release(key, sqs=sqs, queue_url=queue_url)

    def erase(self, key: str) -> int:
        """Remove the entries of *key* for good, and their failures; returns how many."""
        return self.quarantine.erase(key)

    def purge(self) -> int:
        """Remove everything from the quarantine; returns how many."""
        return self.quarantine.purge()

    def _on_quarantine(self, kind: QuarantineEvent, entry: QuarantinedMessage | None, count: int) -> None:
        if kind == "expired":
            self._say_expired(count)
        elif entry is None:
            self._tell(kind, count=count)
        else:
            self._local.pop(entry.identity)
            self._tell(kind, message_id=entry.message_id, identity=entry.identity)

    def _refuse(self, message_id: str, identity: str, reason: str) -> None:
        logger.error("message %s (%s) cannot be put in quarantine: %s", message_id, identity, reason)
        self._tell("refused", message_id=message_id, identity=identity, reason=reason)

    def _say_expired(self, expired: int) -> None:
        if expired:
            logger.warning("%d messages passed their time in quarantine and are gone", expired)
            self._tell("expired", count=expired)

    # Redis, and life without it

    def _ask(self, question: Callable[[], T], instead: T) -> T:
        """The answer of Redis, or *instead* while it is down."""
        until = self._down_until
        if until is not None and self._now() < until:
            return instead
        try:
            answer = question()
        except Exception as error:  # whatever the client raises: the consumer must go on
            self._down_until = self._now() + self.redis_pause
            if until is None:
                logger.error("poison detection goes on without Redis, by this process's own counts: %s", error)
                self._tell("redis-down", error=error)
            return instead
        if until is not None:
            self._down_until = None
            logger.warning("poison detection has Redis again")
            self._tell("redis-up")
        return answer

    def _script(self, name: str) -> Any:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self.redis.register_script(scripts.BY_NAME[name])
        return script

    def _now(self) -> float:
        return self._monotonic() if self._monotonic is not None else time.monotonic()

    def _now_us(self) -> int:
        """Microseconds since 1970, or -1: the script is to ask the server's clock."""
        return round(self._clock() * 1_000_000) if self._clock is not None else -1

    def _wall_clock(self) -> datetime:
        return datetime.fromtimestamp(self._clock() if self._clock is not None else time.time(), UTC)

    def _tell(
        self,
        kind: PoisonEventKind,
        *,
        message_id: str | None = None,
        identity: str | None = None,
        reason: str = "",
        count: int = 0,
        error: BaseException | None = None,
    ) -> None:
        listeners = (*self._listeners, *_watchers)
        if listeners:
            notify(listeners, PoisonEvent(kind, self, message_id, identity, reason, count, error))


_QUARANTINE_KEYS = scripts.QUARANTINE_KEYS
_failure_keys = scripts.failure_keys


def _texts(reply: Sequence[Any]) -> list[str]:
    return [text_of(part) for part in reply]
