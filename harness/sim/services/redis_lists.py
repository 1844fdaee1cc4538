"""Messages in Redis lists (and the sets, sorted sets and hashes beside them): who has which element."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.redis_queues import RedisList
from harness.sim.services.redis_delivery import Clerk, Message

if TYPE_CHECKING:
    from harness.sim.services.redis import RedisServer

__all__ = ["ListWatch"]

#: Commands that take a key away, whatever it holds: nobody was given what was in it.
_PURGING = frozenset({"DEL", "UNLINK", "FLUSHDB", "FLUSHALL", "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "SET"})

_Key: TypeAlias = tuple[int, bytes]  # a database's number and a key in it


@dataclass(frozen=True, slots=True)
class _Place:
    """What a key is to a queue: where messages wait (*stage* 0), or are in flight (its pattern's number, from 1)."""

    queue: RedisList
    stage: int


@dataclass(slots=True)
class _Held:
    """The messages of one identity in one queue."""

    waiting: deque[Message] = field(default_factory=deque)
    in_flight: deque[Message] = field(default_factory=deque)


class ListWatch:
    """All declared lists of a run. Equal elements are told apart by their order: the oldest goes first."""

    def __init__(self, server: RedisServer, queues: list[RedisList], clerk: Clerk, now: Callable[[], float]) -> None:
        self._server = server
        self._queues = queues
        self._clerk = clerk
        self._now = now
        self._places: dict[_Key, _Place | None] = {}
        self._content: dict[_Key, list[bytes]] = {}
        self._held: dict[tuple[str, bytes], _Held] = {}
        self._elements: dict[tuple[str, bytes], bytes] = {}  # from which an identity was first taken

    # -- what is where

    def _place(self, key: _Key) -> _Place | None:
        if key not in self._places:
            self._places[key] = self._placed(key[0], key[1].decode("utf-8", "surrogateescape"))
        return self._places[key]

    def _placed(self, database: int, name: str) -> _Place | None:
        here = [queue for queue in self._queues if queue.database == database]
        for queue in here:
            if name == queue.name:
                return _Place(queue, 0)
        for queue in here:
            if any(fnmatchcase(name, pattern) for pattern in queue.waiting):
                return _Place(queue, 0)
            for stage, pattern in enumerate(queue.processing, start=1):
                if fnmatchcase(name, pattern):
                    return _Place(queue, stage)
        return None

    def _members(self, key: _Key, queue: RedisList) -> list[bytes]:
        """What the key holds now, as identities: a list's elements, the members of a set, a hash's fields."""
        item = self._server.engine.dbs[key[0]]._dict.get(key[1])
        value = None if item is None else item.value
        if value is None or isinstance(value, (bytes, int)):
            return []
        members = value if isinstance(value, list) else sorted(_names(value))
        if queue.identity is None:
            return list(members)
        identities = [queue.identity(member) for member in members]
        for identity, member in zip(identities, members, strict=True):
            self._elements.setdefault((queue.name, identity), member)
        return identities

    def _counts(self, queue: RedisList, identity: bytes) -> tuple[int, int]:
        """How many of *identity* wait and are in flight; one that stands in the keys of two stages is one."""
        waiting = 0
        stages: dict[int, int] = {}
        for key, content in self._content.items():
            place = self._places[key]
            if place is not None and place.queue is queue and identity in content:
                number = content.count(identity)
                if place.stage == 0:
                    waiting += number
                else:
                    stages[place.stage] = stages.get(place.stage, 0) + number
        return waiting, max(stages.values(), default=0)

    # -- what changed

    def look(self, touched: Iterable[_Key], commands: frozenset[str]) -> None:
        """Compare the keys that were *touched* (all known ones when data were lost) with what they held before."""
        if self._clerk.losing:
            touched = sorted(self._content.keys() | {(one.database, one.name.encode()) for one in self._queues})
        changed: dict[bytes, dict[str, set[int]]] = {}  # identity -> queue -> stages that lost and gained one
        for key in touched:
            place = self._place(key)
            if place is None:
                continue
            before, now = self._content.get(key, []), self._members(key, place.queue)
            if now:
                self._content[key] = now
            else:
                self._content.pop(key, None)
            removed, added = _difference(before, now)
            for sign, members in ((-1, removed), (1, added)):
                for identity in members:
                    changed.setdefault(identity, {}).setdefault(place.queue.name, set()).add(sign * place.stage)
        for identity, stages in changed.items():
            self._settle(identity, stages, commands)

    def _settle(self, identity: bytes, changed: dict[str, set[int]], commands: frozenset[str]) -> None:
        """Tell what became of the messages of one *identity*."""
        clerk = self._clerk
        removed: list[tuple[Message, RedisList, bool]] = []
        added: list[tuple[RedisList, bool]] = []
        for queue in self._queues:
            if queue.name not in changed:
                continue
            held = self._held.setdefault((queue.name, identity), _Held())
            waiting, in_flight = self._counts(queue, identity)
            more, taken = waiting - len(held.waiting), in_flight - len(held.in_flight)
            stages = changed[queue.name]
            if not more and not taken and any(stage > 0 and -stage in stages for stage in stages):
                clerk.receive(
                    held.in_flight[0], queue, self._where(queue, identity)
                )  # from one worker's key to another's
            while more < 0 < taken:
                held.in_flight.append(held.waiting.popleft())
                clerk.receive(held.in_flight[-1], queue, self._where(queue, identity))
                more, taken = more + 1, taken - 1
            while taken < 0 < more:
                held.waiting.append(held.in_flight.popleft())
                clerk.back(held.waiting[-1], queue, self._now())
                more, taken = more - 1, taken + 1
            removed += [(held.waiting.popleft(), queue, False) for _ in range(-more)]
            removed += [(held.in_flight.popleft(), queue, True) for _ in range(-taken)]
            added += [(queue, False)] * more + [(queue, True)] * taken
        for queue, in_flight in added:
            self._arrived(identity, queue, in_flight, removed)
        for message, queue, in_flight in removed:
            if not in_flight and not clerk.losing:
                if commands & _PURGING:
                    clerk.purge(message, queue, identity)
                    continue
                clerk.receive(message, queue, queue.name)
            clerk.delete(message, queue, identity, queue.name)
        self._tidy(identity, changed)

    def _arrived(
        self, identity: bytes, queue: RedisList, in_flight: bool, removed: list[tuple[Message, RedisList, bool]]
    ) -> None:
        """A message of *identity* is in *queue* that was not there: it came from another queue, or is new."""
        held = self._held[queue.name, identity]
        if removed:
            message, origin, _ = removed.pop(0)
            self._clerk.move(message, origin, queue)
        else:
            body = self._body(queue, identity)
            message = self._clerk.send(queue, identity, self._clerk.number(queue.name), body)
        (held.in_flight if in_flight else held.waiting).append(message)
        if in_flight:
            self._clerk.receive(message, queue, self._where(queue, identity))

    def _body(self, queue: RedisList, identity: bytes) -> bytes:
        for name in queue.bodies:
            item = self._server.engine.dbs[queue.database]._dict.get(name.encode())
            fields: dict[bytes, Any] = {} if item is None else item.value.getall()
            if identity in fields:
                return bytes(fields[identity])
        return self._elements.get((queue.name, identity), identity)

    def _where(self, queue: RedisList, identity: bytes) -> str:
        """The key in which *identity* is in flight."""
        for key, content in self._content.items():
            place = self._places[key]
            if place is not None and place.queue is queue and place.stage and identity in content:
                return key[1].decode("utf-8", "replace")
        return queue.name

    def _tidy(self, identity: bytes, changed: Iterable[str]) -> None:
        for name in changed:
            held = self._held.get((name, identity))
            if held is not None and not held.waiting and not held.in_flight:
                del self._held[name, identity]
                self._elements.pop((name, identity), None)

    # -- at the end

    def inventory(self) -> dict[str, dict[str, int]]:
        """By the keys as they are now, not by what was told of them: the books are held against it."""
        found = {queue.name: {"visible": 0, "in_flight": 0, "delayed": 0} for queue in self._queues}
        in_flight: dict[str, dict[int, Counter[bytes]]] = {queue.name: {} for queue in self._queues}
        for key in sorted(self._server.engine.live_keys()):
            place = self._place(key)
            if place is None:
                continue
            content = self._members(key, place.queue)
            if place.stage == 0:
                found[place.queue.name]["visible"] += len(content)
            else:
                in_flight[place.queue.name].setdefault(place.stage, Counter()).update(content)
        for name, stages in in_flight.items():
            most: Counter[bytes] = Counter()
            for counter in stages.values():
                most |= counter
            found[name]["in_flight"] = most.total()
        return found


def _names(value: Any) -> list[bytes]:
    """The members of a set or sorted set, the fields of a hash."""
    if hasattr(value, "getall"):
        return list(value.getall())
    return [member if isinstance(member, bytes) else member[-1] for member in value]


def _difference(before: list[bytes], now: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """What is in *before* only and in *now* only, in order; the usual case, a change at one end, costs little."""
    short, long = len(before), len(now)
    if short <= long:
        if now[:short] == before:
            return [], now[short:]
        if now[long - short :] == before:
            return [], now[: long - short]
    else:
        if before[:long] == now:
            return before[long:], []
        if before[short - long :] == now:
            return before[: short - long], []
    surplus = Counter(before)
    surplus.subtract(now)
    removed = [member for member in dict.fromkeys(before) for _ in range(surplus[member])]
    added = [member for member in dict.fromkeys(now) for _ in range(-surplus[member])]
    return removed, added
