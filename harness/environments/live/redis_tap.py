"""Sees what happens inside a real redis-server: follows it as a replica does, and keeps a copy of its data.

A replica is sent every change in the order in which it took effect, blocked
commands when they were served, scripts as the writes that they made, keys that
expired as their deletion. Applied to an in-memory copy these say what became
of the messages in declared lists and streams, by the same rules as in a
simulation (:mod:`harness.sim.services.redis_delivery`).

One thing more: a consumer that pops a message and writes it down in a second
command (kombu: BRPOP, then HSET and ZADD) holds it in between. While it does,
the message stands in a key of the copy only, ``<list>:popped``. One that
never gets any further was acknowledged by being popped.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any, Final

from harness.environments.keys import KeyBook
from harness.environments.live.clock import LiveClock
from harness.environments.live.recorder import LiveRecorder
from harness.errors import EnvironmentFailed
from harness.redis_queues import RedisList, RedisQueue, RedisStream
from harness.scenario import Scenario
from harness.sim.services.redis import RedisServer
from harness.sim.services.redis_delivery import RedisDelivery
from harness.sim.services.redis_engine import PlainSession
from harness.sim.wire.resp import Error, RequestParser

__all__ = ["RedisTap", "queues_in_redis"]

_HANDSHAKE_SECONDS: Final = 20.0
_SYNC_SECONDS: Final = 5.0
_ACK_SECONDS: Final = 0.1  # the server sends nothing until it has heard once that the snapshot arrived
_POPPED: Final = b":popped"
_MEMBERS: Final = {
    b"list": ("LRANGE", 0, -1),
    b"set": ("SMEMBERS",),
    b"zset": ("ZRANGE", 0, -1),
    b"hash": ("HKEYS",),
}
#: Of the connection between servers, not of the data.
_NOT_DATA: Final = frozenset({b"PING", b"REPLCONF", b"PUBLISH", b"SPUBLISH"})


def queues_in_redis(scenario: Scenario) -> list[RedisList | RedisStream]:
    """The scenario's queues that are keys in Redis."""
    return [queue for queue in scenario.queues if isinstance(queue, (RedisList, RedisStream))]


class _Now:
    """What the copy asks of a kernel: the time, and nobody acts."""

    current = None

    def __init__(self, clock: LiveClock) -> None:
        self._clock = clock

    @property
    def now_us(self) -> int:
        return int(self._clock.seconds * 1_000_000)

    def call_at(self, at_us: int, function: Callable[[], None]) -> None:
        raise AssertionError("a replica is sent no command that waits")


class _World:
    def __init__(self, kernel: _Now) -> None:
        self.kernel = kernel


class RedisTap:
    """Follows the server at *address*; *record* gets the events of the scenario's queues in Redis.

    Raises:
        EnvironmentFailed: it is no server that can be followed (fakeredis is not), or it has data already.
    """

    def __init__(self, scenario: Scenario, address: str, clock: LiveClock, record: LiveRecorder) -> None:
        queues = [_with_popped(queue) for queue in queues_in_redis(scenario)]
        self._taking = [queue for queue in queues if isinstance(queue, RedisList) and queue.processing]
        self._record = record
        self._at = 0.0
        self._address = address
        self._lock = threading.Lock()
        self._closing = False
        self.failure = ""
        world: Any = _World(_Now(clock))
        self._copy = RedisServer(world, random.Random(0))
        self._copy.may_lose = False
        keys = KeyBook(scenario)
        self._delivery = RedisDelivery(
            self._copy,
            queues,
            self._note,
            keys.of_send,
            lambda: clock.seconds,
            record_bodies=scenario.record_bodies,
        )
        self._session = PlainSession(self._copy.engine)
        host, _, port = address.rpartition(":")
        self._place = (host, int(port))
        self._offset = 0  # in the server's stream of changes
        self._behind = b""  # that came with the handshake's end
        self._parser = RequestParser()
        self._socket = self._follow()
        self._thread = threading.Thread(target=self._work, name="live-redis", daemon=True)
        self._acks = threading.Thread(target=self._acknowledge, name="live-redis-acks", daemon=True)
        self._over = threading.Event()
        self._thread.start()
        self._acks.start()

    # What a run asks

    def inventory(self) -> dict[str, dict[str, int]]:
        """What is in each queue now.

        Raises:
            EnvironmentFailed: the server is gone, or the copy could not keep up.
        """
        self._catch_up()
        with self._lock:
            return self._delivery.inventory()

    def finish(self) -> None:
        """The run is over: what was popped and is nowhere was acknowledged by whoever popped it."""
        with self._lock:
            self._at = time.monotonic()
            for queue in self._taking:
                self._copy.command("LTRIM", queue.name.encode() + _POPPED, 1, 0, db=queue.database)

    def stop(self) -> None:
        """Follow it no longer."""
        self._closing = True
        self._over.set()
        with contextlib.suppress(OSError):  # the server was quicker
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in (self._thread, self._acks):
            thread.join(5.0)

    # The connection

    def _follow(self) -> socket.socket:
        try:
            connection = socket.create_connection(self._place, timeout=_HANDSHAKE_SECONDS)
        except OSError as error:
            raise EnvironmentFailed(f"no Redis answers at {self._address}: {error}") from None
        try:
            self._handshake(connection)
            connection.settimeout(None)
        except (OSError, ValueError) as error:
            connection.close()
            raise EnvironmentFailed(
                f"the Redis server at {self._address} cannot be followed as a replica does ({error}): "
                "queues in Redis need a redis-server (Debian: apt install redis-server), given by --redis server"
            ) from None
        except BaseException:
            connection.close()
            raise
        return connection

    def _handshake(self, connection: socket.socket) -> None:
        """Become a replica: an empty snapshot, then the stream of changes."""
        lines = _Lines(connection)
        connection.sendall(b"INFO keyspace\r\n")
        header = lines.line()
        if not header.startswith(b"$"):
            raise ValueError(header.decode("utf-8", "replace"))
        if b"keys=" in lines.bytes(int(header[1:]) + 2):
            raise EnvironmentFailed(
                f"the Redis server at {self._address} has data already: queues in Redis need one of the run's own"
            )
        connection.sendall(b"REPLCONF listening-port 0 capa eof capa psync2\r\n")
        lines.line()
        connection.sendall(b"PSYNC ? -1\r\n")
        answer = lines.line().split()
        if answer[:1] != [b"+FULLRESYNC"]:
            raise ValueError(b" ".join(answer).decode("utf-8", "replace"))
        self._offset = int(answer[2])
        size = lines.line()
        if size.startswith(b"$EOF:"):
            lines.until(size[5:])
        else:
            lines.bytes(int(size[1:]))
        self._behind = lines.rest

    def _work(self) -> None:
        try:
            data = self._behind
            while True:
                self._at = time.monotonic()
                for fields in self._parser.feed(data):
                    with self._lock:
                        self._apply(fields)
                    self._offset += _size(fields)
                data = self._socket.recv(65536)
                if not data:
                    break
        except OSError as error:
            self._failed(f"the connection to the Redis server broke: {error}")
        except Exception as error:  # the run fails of it
            self._failed(f"what happened in Redis could not be followed: {type(error).__name__}: {error}")
        else:
            self._failed("the Redis server has ended")

    def _failed(self, why: str) -> None:
        if not self._closing:
            self.failure = self.failure or why

    def _acknowledge(self) -> None:
        """A replica that says nothing for a minute is hung up on."""
        while not self._over.wait(_ACK_SECONDS):
            try:
                self._socket.sendall(b"REPLCONF ACK %d\r\n" % self._offset)
            except OSError:
                return  # the reading thread sees it, too

    def _catch_up(self) -> None:
        """Wait until the copy has everything that the server did before this."""
        wanted = self._server_offset()
        until = time.monotonic() + _SYNC_SECONDS
        while self._offset < wanted and not self.failure:
            if time.monotonic() > until:
                self._failed("the Redis server does not send what it did")
            time.sleep(0.005)
        if self.failure:
            raise EnvironmentFailed(self.failure)

    def _server_offset(self) -> int:
        try:
            with socket.create_connection(self._place, timeout=_SYNC_SECONDS) as connection:
                connection.sendall(b"INFO replication\r\n")
                lines = _Lines(connection)
                text = lines.bytes(int(lines.line()[1:]))
        except (OSError, ValueError) as error:
            raise EnvironmentFailed(f"the Redis server does not answer: {error}") from None
        found = re.search(rb"master_repl_offset:(\d+)", text)
        if found is None:
            raise EnvironmentFailed("the Redis server does not tell how far it is")
        return int(found[1])

    # The copy

    def _note(self, actor: Any, kind: str, message: str | None = None, /, **fields: Any) -> None:
        self._record(kind, message, at=self._at, actor="redis", **fields)

    def _apply(self, fields: list[bytes]) -> None:
        name = fields[0].upper()
        if name in _NOT_DATA:
            return
        if name in (b"LPOP", b"RPOP") and self._is_taking(fields[1]):
            self._pop(fields)
        else:
            self._carry_out(fields)
        if not self._session.in_transaction:
            for queue in self._taking:
                self._settle(queue)

    def _is_taking(self, key: bytes) -> bool:
        """Whether a pop from *key*, on its own, is a consumer's that has yet to write down what it took."""
        here = (self._session._db_num, key)
        return not self._session.in_transaction and any(here == (q.database, q.name.encode()) for q in self._taking)

    def _pop(self, fields: list[bytes]) -> None:
        """Out of the list and into the hands of who popped, in one step."""
        key = fields[1]
        count = int(fields[2]) if len(fields) > 2 else 1
        ends = (0, count - 1) if fields[0].upper() == b"LPOP" else (-count, -1)
        elements = self._carry_out([b"LRANGE", key, *(b"%d" % end for end in ends)])
        self._carry_out([b"MULTI"])
        self._carry_out(fields)
        if elements:
            self._carry_out([b"RPUSH", key + _POPPED, *elements])
        self._carry_out([b"EXEC"])

    def _settle(self, queue: RedisList) -> None:
        """What was popped and now stands where the consumer wrote it down is no longer in its hands alone."""
        popped = queue.name.encode() + _POPPED
        held = self._copy.command("LRANGE", popped, 0, -1, db=queue.database)
        if not held:
            return
        written = {
            _identity(queue, member)
            for database, key in self._copy.engine.live_keys()
            if database == queue.database and key != popped
            if any(fnmatchcase(key.decode("utf-8", "surrogateescape"), pattern) for pattern in queue.processing)
            for member in self._members(key, database)
        }
        for element in held:
            if _identity(queue, element) in written:
                self._copy.command("LREM", popped, 1, element, db=queue.database)

    def _members(self, key: bytes, database: int) -> list[bytes]:
        kind = self._copy.command("TYPE", key, db=database)
        command = _MEMBERS.get(bytes(kind))
        return [] if command is None else list(self._copy.command(command[0], key, *command[1:], db=database))

    def _carry_out(self, fields: list[bytes]) -> Any:
        self._session.replies.clear()
        self._session.execute(fields)
        reply = self._session.replies[0] if self._session.replies else None
        if isinstance(reply, Error):
            raise ValueError(f"{fields[0].decode('utf-8', 'replace')}: {reply}")
        return reply


def _identity(queue: RedisList, member: bytes) -> bytes:
    return member if queue.identity is None else queue.identity(member)


def _with_popped(queue: RedisQueue) -> RedisQueue:
    """*queue*, with the place of the copy for what was popped and not yet written down."""
    if not isinstance(queue, RedisList) or not queue.processing:
        return queue
    return replace(queue, processing=(*queue.processing, queue.name + _POPPED.decode()))


def _size(fields: list[bytes]) -> int:
    """How many bytes a command takes in the stream: arrays of bulk strings, written in one way only."""
    return len(b"*%d\r\n" % len(fields)) + sum(len(b"$%d\r\n" % len(one)) + len(one) + 2 for one in fields)


class _Lines:
    """Reads lines and counted bytes from a connection. ``rest``: what came behind them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.rest = b""

    def line(self) -> bytes:
        """The next line that is not empty, without its end: a server that prepares a snapshot sends empty ones."""
        found = b""
        while not found:
            found = self.until(b"\n").strip()
        return found

    def until(self, end: bytes) -> bytes:
        while end not in self.rest:
            self._more()
        found, self.rest = self.rest.split(end, 1)
        return found

    def bytes(self, count: int) -> bytes:
        while len(self.rest) < count:
            self._more()
        found, self.rest = self.rest[:count], self.rest[count:]
        return found

    def _more(self) -> None:
        data = self._connection.recv(65536)
        if not data:
            raise ConnectionError("it hung up")
        self.rest += data
