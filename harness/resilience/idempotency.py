"""Effects once: a message's key is claimed before its effect and marked as done after it.

A key is in one of three states: free, *in progress* (somebody holds a lease
on it), *completed* (with the handler's result). Whoever begins a free key
owns it; a second one is told how long the lease runs on and gives its message
back; a third, who comes after completion, gets the result and has nothing to
do.

What this can promise and what it cannot:

* The record is kept longer than a queue can keep a message (15 days by
  default, against SQS's limit of 14), so that no late duplicate finds it gone.
* A consumer that dies between its effect and ``complete`` leaves an effect that
  nobody knows of: when the lease has run out the message is handled again. Only
  the effect's own side can close that gap: hand the key on to it (an
  idempotency key of a payment, a unique constraint in a database).
* A consumer that is paused for longer than its lease may work at the same time
  as its successor. ``complete`` answers ``False`` then: a duplicate is possible,
  and it is said.
* A store that loses writes (Redis on failover, or with eviction) loses claims
  and completions; effects are then at-least-once for the keys that it lost.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, Protocol

__all__ = [
    "Claim",
    "Idempotency",
    "IdempotencyStore",
    "MemoryIdempotencyStore",
    "RedisIdempotencyStore",
    "Status",
    "new_owner",
]

#: A day more than the longest retention of an SQS queue.
DEFAULT_TTL_SECONDS = 15 * 86_400.0


def new_owner() -> str:
    """A name for one attempt that no other attempt has, in this process or another."""
    return uuid.uuid4().hex


class Status(StrEnum):
    """What :meth:`IdempotencyStore.begin` found."""

    STARTED = "started"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer of ``begin``.

    ``result`` is what ``complete`` stored; ``retry_after`` how many seconds the
    other one's lease runs on.
    """

    status: Status
    result: Any = None
    retry_after: float = 0.0


class IdempotencyStore(Protocol):
    """Where claims are kept. Each call is atomic; each raises if the store cannot be reached.

    ``begin`` by an owner who holds the key already answers *started* again: a
    client library that repeats a call whose answer was lost does no harm.
    """

    def begin(self, key: str, owner: str, lease_seconds: float) -> Claim:
        """Claim *key* for *owner* for *lease_seconds*, unless it is in progress or completed."""
        ...

    def extend(self, key: str, owner: str, lease_seconds: float) -> bool:
        """Let the lease run from now; ``False`` if *owner* does not hold it any more."""
        ...

    def complete(self, key: str, owner: str, result: Any, ttl_seconds: float) -> bool:
        """Mark as done, with a result that JSON can hold; ``False`` if somebody else held or did it meanwhile."""
        ...

    def release(self, key: str, owner: str) -> None:
        """Give the claim up, if it is still *owner*'s: the effect did not happen."""
        ...


class MemoryIdempotencyStore:
    """For one process and for tests. Expired records are dropped as others are begun."""

    def __init__(self, *, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.monotonic
        self._lock = threading.Lock()
        self._records: dict[str, tuple[str | None, str | None, float]] = {}  # owner or None, result, expiry

    def begin(self, key: str, owner: str, lease_seconds: float) -> Claim:
        with self._lock:
            now = self._clock()
            self._sweep(now)
            held = self._get(key, now)
            if held is not None and held[0] is None:
                return Claim(Status.COMPLETED, json.loads(held[1] or "null"))
            if held is not None and held[0] != owner:
                return Claim(Status.IN_PROGRESS, retry_after=held[2] - now)
            self._records[key] = (owner, None, now + lease_seconds)
            return Claim(Status.STARTED)

    def extend(self, key: str, owner: str, lease_seconds: float) -> bool:
        with self._lock:
            now = self._clock()
            held = self._get(key, now)
            if held is None or held[0] != owner:
                return False
            self._records[key] = (owner, None, now + lease_seconds)
            return True

    def complete(self, key: str, owner: str, result: Any, ttl_seconds: float) -> bool:
        text = json.dumps(result)
        with self._lock:
            now = self._clock()
            held = self._get(key, now)
            self._records[key] = (None, text, now + ttl_seconds)
            return held is None or held[0] == owner

    def release(self, key: str, owner: str) -> None:
        with self._lock:
            held = self._records.get(key)
            if held is not None and held[0] == owner:
                del self._records[key]

    def _get(self, key: str, now: float) -> tuple[str | None, str | None, float] | None:
        held = self._records.get(key)
        return held if held is not None and held[2] > now else None

    def _sweep(self, now: float) -> None:
        """Drop a few of the oldest if their time is over, so that memory stays bounded by what is alive."""
        for key in list(itertools.islice(self._records, 2)):
            if self._records[key][2] <= now:
                del self._records[key]


# A record is "P:<owner>" while in progress and "C:<result as JSON>" when completed; its expiry is the key's.
_BEGIN = """
local held = redis.call('GET', KEYS[1])
if not held or held == 'P:' .. ARGV[1] then
  redis.call('SET', KEYS[1], 'P:' .. ARGV[1], 'PX', ARGV[2])
  return {'started', '', 0}
end
if string.sub(held, 1, 2) == 'C:' then return {'completed', string.sub(held, 3), 0} end
return {'in_progress', '', redis.call('PTTL', KEYS[1])}
"""
_EXTEND = """
if redis.call('GET', KEYS[1]) == 'P:' .. ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_COMPLETE = """
local held = redis.call('GET', KEYS[1])
local done = 'C:' .. ARGV[2]
redis.call('SET', KEYS[1], done, 'PX', ARGV[3])
if not held or held == 'P:' .. ARGV[1] or held == done then return 1 end
return 0
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == 'P:' .. ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RedisIdempotencyStore:
    """Claims in Redis, one key each, changed by scripts on the server. Works with ``decode_responses`` on and off.

    Leases are counted by the server's clock. Raises what the client raises.
    """

    def __init__(self, redis_client: Any = None, *, prefix: str = "idempotency:") -> None:
        if redis_client is None:
            redis_client = default_redis_client()
        self.redis = redis_client
        self.prefix = prefix
        self._begin = redis_client.register_script(_BEGIN)
        self._extend = redis_client.register_script(_EXTEND)
        self._complete = redis_client.register_script(_COMPLETE)
        self._release = redis_client.register_script(_RELEASE)

    def begin(self, key: str, owner: str, lease_seconds: float) -> Claim:
        status, result, left = self._begin(keys=[self.prefix + key], args=[owner, _milliseconds(lease_seconds)])
        found = Status(text_of(status))
        if found is Status.COMPLETED:
            return Claim(found, json.loads(text_of(result) or "null"))
        return Claim(found, retry_after=max(0, int(left)) / 1000)

    def extend(self, key: str, owner: str, lease_seconds: float) -> bool:
        return bool(self._extend(keys=[self.prefix + key], args=[owner, _milliseconds(lease_seconds)]))

    def complete(self, key: str, owner: str, result: Any, ttl_seconds: float) -> bool:
        args = [owner, json.dumps(result), _milliseconds(ttl_seconds)]
        return bool(self._complete(keys=[self.prefix + key], args=args))

    def release(self, key: str, owner: str) -> None:
        self._release(keys=[self.prefix + key], args=[owner])


def default_redis_client() -> Any:
    """A client of redis-py for the server on this machine.

    Raises:
        ImportError: redis is not installed.
    """
    try:
        import redis
    except ImportError as error:
        raise ImportError("redis is not installed; install it or hand in a client as redis_client=") from error
    return redis.Redis()


def text_of(value: Any) -> str:
    """A reply of Redis as text, whether the client decodes or not."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


@dataclass(frozen=True, slots=True)
class Idempotency:
    """How a consumer uses a store.

    ``key``: what makes two messages the same (default: the message id, which
    finds a second delivery; a key out of the body also finds a second send and
    a replay). ``scope``: keeps the keys of different queues apart (default: the
    queue's name). ``ttl_seconds``: how long completion is remembered.
    ``when_unavailable``: ``wait`` holds messages until the store is back
    (effects stay once), ``process`` goes on without it (effects at least once).
    """

    store: IdempotencyStore
    key: Callable[[Mapping[str, Any]], object] | None = None
    scope: str | None = None
    ttl_seconds: float = DEFAULT_TTL_SECONDS
    when_unavailable: Literal["wait", "process"] = "wait"

    def key_of(self, message: Mapping[str, Any], queue_url: str) -> str:
        """The key of *message* in the store. Raises what ``key`` raises."""
        own = self.key(message) if self.key is not None else message.get("MessageId", "")
        scope = self.scope if self.scope is not None else queue_url.rpartition("/")[2]
        return f"{scope}:{own}"
