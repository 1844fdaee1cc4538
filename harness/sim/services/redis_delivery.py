"""Messages in Redis: what commands on declared lists and streams mean for delivery, as events.

After each command that was carried out (a transaction and a script count as
one) the declared keys that it touched are compared with what they held
before. What is where says what happened, whichever commands did it:

==============================  ==========================================================
a message                       event
==============================  ==========================================================
appears                         ``send``
goes from waiting to in flight  ``receive``
goes back                       ``visibility`` (to be had again at once)
goes to another declared queue  ``move``
leaves all keys of its queue    ``delete``; after ``receive``, where it was never in flight
is deleted unseen               ``purge`` (DEL, FLUSHALL, XTRIM, XGROUP DELCONSUMER, ...)
was lost by the server          ``message.lost`` (a failover, a flush)
==============================  ==========================================================

Redis knows no visibility timeout: a delivery's ``visible_at`` is null, it is
somebody's until somebody takes it back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.redis_queues import RedisList, RedisQueue, RedisStream

if TYPE_CHECKING:
    from harness.sim.services.redis import Loss, RedisServer
    from harness.sim.services.redis_engine import Session

__all__ = ["Clerk", "KeyOf", "Message", "Note", "RedisDelivery"]

#: Finds key and original id of a message that a process sends: ``(queue, body, attributes)``.
KeyOf = Callable[[str, str, Mapping[str, Any]], "tuple[str | None, str | None]"]


class Note(Protocol):
    """Writes an event; *actor* is who sent the command (``None``: whoever acts now)."""

    def __call__(self, actor: Any, kind: str, message: str | None = None, /, **fields: Any) -> None: ...


@dataclass(slots=True)
class Message:
    """One copy of a message in a queue."""

    id: str
    key: str | None
    receives: int = 0


@dataclass(frozen=True, slots=True)
class _Sending:
    """What the workload is sending now."""

    key: str
    body: str
    group: str | None


class Clerk:
    """Writes the events of messages, for lists and streams alike."""

    def __init__(self, note: Note, key_of: KeyOf, *, record_bodies: bool, remember: bool) -> None:
        self._note = note
        self._key_of = key_of
        self._record_bodies = record_bodies
        self._remember = remember
        self._digest = hashlib.blake2b(digest_size=8, key=b"harness")
        self._count: dict[str, int] = {}
        self._gone: dict[tuple[str, bytes], Message] = {}
        self.sending: _Sending | None = None
        self.actor: Any = None
        self.losing = False  # the server is losing data: nobody did what is seen now
        #: Told each message that a queue accepted, as :data:`harness.effects.SendObserver`.
        self.send_observers: list[Callable[[str, str, str, str], None]] = []

    def number(self, queue: str) -> str:
        """An id for the next message of a list, whose elements have none of their own."""
        self._count[queue] = number = self._count.get(queue, 0) + 1
        return f"{queue}#{number}"

    def send(self, queue: RedisQueue, name: bytes, message_id: str, raw: bytes) -> Message:
        """A message appeared in *queue* under *name* (an element, an entry's id); *raw* is its body."""
        sending = self.sending
        body = raw.decode("utf-8", "replace")
        fields: dict[str, Any] = {"queue": queue.name, "bytes": len(raw)}
        before = self._gone.pop((queue.name, name), None) if self._remember else None
        origin = "process"
        found: str | None = None
        original: str | None = None
        if sending is not None:
            origin, found = "workload", sending.key
        elif self.losing and before is not None:
            origin, found, original = "store", before.key, before.id
        else:
            found, original = self._key_of(queue.name, body, {})
            if isinstance(queue, RedisList) and queue.key is not None:
                found = queue.key(raw)
        if origin == "workload" or self._record_bodies:
            fields["body"] = body
        else:
            digest = self._digest.copy()
            digest.update(raw)
            fields |= {"length": len(body), "digest": digest.hexdigest()}
        if original is not None:
            fields["original"] = original
        if queue.fifo:
            fields["group"] = sending.group if sending is not None and sending.group is not None else "all"
        message = Message(message_id, found)
        self._write("send", message, origin=origin, **fields)
        if origin != "store":
            for observer in self.send_observers:
                observer(queue.name, body, message.id, origin)
        return message

    def receive(self, message: Message, queue: RedisQueue, handle: str) -> None:
        """*message* was delivered; *handle* says where it is now (a key, a consumer's name)."""
        message.receives += 1
        self._write(
            "receive", message, queue=queue.name, receive_count=message.receives, handle=handle, visible_at=None
        )

    def back(self, message: Message, queue: RedisQueue, now: float) -> None:
        """*message* was given back: it can be had again."""
        self._write("visibility", message, queue=queue.name, handle="", visible_at=now)

    def move(self, message: Message, queue: RedisQueue, to: RedisQueue) -> None:
        """*message* went from one declared queue to another, in one step."""
        self._write("move", message, queue=queue.name, to=to.name, receive_count=message.receives)

    def delete(self, message: Message, queue: RedisQueue, name: bytes, handle: str) -> None:
        """*message* was acknowledged."""
        self._forget(message, queue, name)
        if self.losing:
            self._write("message.lost", message, queue=queue.name)
        else:
            self._write("delete", message, queue=queue.name, handle=handle, found=True)

    def purge(self, message: Message, queue: RedisQueue, name: bytes) -> None:
        """*message* is gone, and nobody acknowledged it."""
        self._forget(message, queue, name)
        if self.losing:
            self._write("message.lost", message, queue=queue.name)
        else:
            self._note(self.actor, "purge", None, queue=queue.name, messages=[message.id])

    def _forget(self, message: Message, queue: RedisQueue, name: bytes) -> None:
        if self._remember:
            self._gone[queue.name, name] = message

    def _write(self, kind: str, message: Message, **fields: Any) -> None:
        if message.key is not None:
            fields["key"] = message.key
        self._note(self.actor, kind, message.id, **fields)


class _Watch(Protocol):
    def look(self, touched: Iterable[tuple[int, bytes]], commands: frozenset[str]) -> None: ...
    def inventory(self) -> dict[str, dict[str, int]]: ...


class RedisDelivery:
    """Watches the declared queues of a run's Redis server and writes what becomes of their messages."""

    def __init__(
        self,
        server: RedisServer,
        queues: Iterable[RedisQueue],
        note: Note,
        key_of: KeyOf,
        now: Callable[[], float],
        *,
        record_bodies: bool = False,
    ) -> None:
        from harness.sim.services.redis_lists import ListWatch
        from harness.sim.services.redis_streams import StreamWatch

        self._server = server
        self.queues: dict[str, RedisQueue] = {queue.name: queue for queue in queues}
        self.clerk = clerk = Clerk(note, key_of, record_bodies=record_bodies, remember=server.may_lose)
        declared = tuple(self.queues.values())
        lists = [queue for queue in declared if isinstance(queue, RedisList)]
        self._watches: list[_Watch] = [ListWatch(server, lists, clerk, now)] if lists else []
        self._watches += [
            StreamWatch(server, queue, clerk, now) for queue in declared if isinstance(queue, RedisStream)
        ]
        server.delivery = self
        server.loss_observers.append(self._lost)

    def create(self) -> None:
        """Make the groups of streams that say so, at the beginning of the run."""
        for queue in self.queues.values():
            if isinstance(queue, RedisStream) and queue.create_group:
                self._server.command("XGROUP", "CREATE", queue.name, queue.group, "0", "MKSTREAM", db=queue.database)

    def put(self, name: str, value: object, body: str, *, key: str, group: str | None, spoiled: bool = False) -> None:
        """The workload sends *body* (the text of *value*; *spoiled*: a fault changed it) to the queue *name*.

        Raises:
            ScenarioError: *value* has no fields for an entry of the stream.
        """
        queue = self.queues[name]
        self.clerk.sending = _Sending(key, body, group)
        try:
            if isinstance(queue, RedisList):
                command = "RPUSH" if queue.push == "right" else "LPUSH"
                self._server.command(command, queue.name, body, db=queue.database)
            else:
                fields = {queue.field or "data": body} if spoiled else queue.fields(value, body, name)
                parts = [part for pair in fields.items() for part in pair]
                self._server.command("XADD", queue.name, "*", *parts, db=queue.database)
        finally:
            self.clerk.sending = None

    def inventory(self) -> dict[str, dict[str, int]]:
        """How many messages each queue holds: visible, in_flight and delayed, by its keys as they are now."""
        found: dict[str, dict[str, int]] = {}
        for watch in self._watches:
            found |= watch.inventory()
        return {name: found[name] for name in self.queues}

    # -- what the server tells

    def carried_out(self, session: Session, touched: set[tuple[int, bytes]], commands: frozenset[str]) -> None:
        """One command of *session* took effect; *commands* are its name and those of what ran inside it."""
        sent_by_workload = self.clerk.sending if session.is_plain else None
        sending, self.clerk.sending = self.clerk.sending, sent_by_workload
        self.clerk.actor = session.actor
        try:
            places = sorted(touched)
            for watch in self._watches:
                watch.look(places, commands)
        finally:
            self.clerk.sending, self.clerk.actor = sending, None

    def _lost(self, loss: Loss) -> None:
        self.clerk.losing = True
        try:
            for watch in self._watches:
                watch.look((), frozenset())
        finally:
            self.clerk.losing = False
