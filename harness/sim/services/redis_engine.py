"""fakeredis, bent to a simulation: its waiting, its replies and its loss of data.

A blocking command does not wait in the caller's stack. It is put aside and
tried again, first come first served, after each command that changed the
dataset, as Redis does it. Time and chance: see :mod:`harness.sim.services.redis_standins`.
"""

from __future__ import annotations

import random as _random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import redis
from fakeredis import FakeServer
from fakeredis._command_args_parsing import Timeout
from fakeredis._helpers import SimpleError, SimpleString
from fakeredis._socket import FakeSocket
from fakeredis.model._command_info import get_command_info

from harness.sim.services import redis_extras
from harness.sim.services.redis_data import Datasets, Journal
from harness.sim.services.redis_standins import engine_active
from harness.sim.wire.resp import Error, Push, Simple, encode

__all__ = ["AfterCommand", "Blocked", "Engine", "PlainSession", "Session", "command_flags"]

#: Told each command that took effect as a whole: ``(session, changed keys, names)``.
AfterCommand = Callable[["Session", "set[tuple[int, bytes]]", "frozenset[str]"], None]

_SUBSCRIPTIONS = frozenset({"subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe"})

#: Commands whose answer counts or names other connections.
_ABOUT_OTHERS = frozenset({b"PUBLISH", b"SPUBLISH", b"PUBSUB", b"CLIENT", b"INFO"})


class Blocked(Exception):
    """A blocking command found nothing: it waits for *seconds* (``None``: without end)."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def command_flags(command: str) -> frozenset[str]:
    """Redis's own flags of a command (``write``, ``readonly``, ``denyoom``, ``loading``, ...), by its table."""
    name = command.lower()
    flags = _flags.get(name)
    if flags is None:
        info = get_command_info(name.encode())
        flags = _flags[name] = frozenset(flag.decode() for flag in info[2]) if info else frozenset()
    return flags


_flags: dict[str, frozenset[str]] = {}


class _NoLock:
    """One OS thread, and nothing waits inside a command: no lock is needed."""

    def __enter__(self) -> _NoLock:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class _Subscribers:
    """A set of sessions in order of subscription, without keeping them alive longer than their connection."""

    def __init__(self) -> None:
        self._sessions: dict[Session, None] = {}

    def add(self, session: Session) -> None:
        self._sessions[session] = None

    def discard(self, session: Session) -> None:
        self._sessions.pop(session, None)

    def remove(self, session: Session) -> None:
        del self._sessions[session]

    def __contains__(self, session: Session) -> bool:
        return session in self._sessions

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions))

    def __len__(self) -> int:
        return len(self._sessions)


class Engine(FakeServer):
    """One Redis server: its datasets, sessions and journal.

    ``now_us`` gives its clock (microseconds since 1970), ``call_later`` calls
    a function after so many seconds, ``chance`` is its random stream,
    ``on_command`` is told each command that was carried out,
    those inside transactions and scripts included: name, arguments, reply,
    database. ``who`` says who sends the command that arrives now;
    ``after_command`` is told once a command took effect as a whole (a
    transaction, a script): its session, the keys that changed, its name and
    the names of what ran inside it.
    """

    def __init__(
        self,
        now_us: Callable[[], int],
        call_later: Callable[[float, Callable[[], None]], None],
        chance: _random.Random,
        on_command: Callable[[str, list[bytes], Any, int], None],
        history_seconds: float | None,
        who: Callable[[], Any] = lambda: None,
        after_command: AfterCommand | None = None,
    ) -> None:
        self.now_us = now_us
        self.who = who
        self.after_command = after_command
        self.touched: set[tuple[int, bytes]] = set()
        self.commands: set[str] = set()
        self.call_later = call_later
        self.chance = chance
        self.on_command = on_command
        self.began_us = now_us()
        self.changed = False
        self.blocked: list[Session] = []
        self.journal = None if history_seconds is None else Journal(history_seconds, now_us)
        with engine_active(self):
            super().__init__(version=(7, 4))
        self.lock: Any = _NoLock()
        self.dbs: Any = Datasets(self)
        self.subscribers: Any = defaultdict(_Subscribers)
        self.psubscribers: Any = defaultdict(_Subscribers)
        self.ssubscribers: Any = defaultdict(_Subscribers)

    def bury(self) -> None:
        """End the sessions of clients that are gone: the operating system has closed their connections."""
        for session in [each for each in self.sockets if not each.alive()]:
            session.close()

    def serve(self) -> None:
        """The dataset changed: blocked commands try again, first come first served, until none can be answered."""
        answered = True
        while self.changed and answered:
            self.changed = answered = False
            for session in list(self.blocked):
                if session.is_blocked:
                    answered |= session.try_again()
        self.changed = False

    def live_keys(self) -> set[tuple[int, bytes]]:
        """Every key that has not expired, as (database, key)."""
        now = self.now_us() / 1e6
        keys = set()
        for index, dataset in self.dbs.items():
            dataset.time = now
            keys |= {(index, key) for key in dataset}
        return keys

    def clear(self) -> None:
        """Empty every database."""
        if self.journal is not None:
            self.journal.begin(writing=True)
        for dataset in self.dbs.values():
            dataset.clear()


class Session(FakeSocket):
    """The server's end of one client connection.

    ``send`` gets the bytes of each reply and message; ``closed`` is called
    when the server ends the connection (``CLIENT KILL``); ``alive`` says
    whether the client still holds its end.
    """

    def __init__(
        self,
        engine: Engine,
        send: Callable[[bytes], None],
        closed: Callable[[], None],
        alive: Callable[[], bool],
        address: tuple[str, int],
    ) -> None:
        self._engine = engine
        self._send = send
        self._closed_by_server = closed
        self.alive = alive
        self.actor: Any = None  # who sent the latest command
        self._command = ""
        self._fields: list[bytes] | None = None  # of the command that is blocked
        self._expired = False
        self._queue: deque[list[bytes]] = deque()
        self._turn = 0  # counts the blocking commands, so that an old one's timer strikes no later one
        with engine_active(engine):
            super().__init__(
                engine,
                db=0,
                client_class=redis.Redis,
                client_info={"addr": f"{address[0]}:{address[1]}", "fd": 8 + len(engine.sockets)},
            )

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def in_transaction(self) -> bool:
        """Whether commands are being queued for EXEC."""
        return self._transaction is not None

    @property
    def is_plain(self) -> bool:
        """Whether this is a session of the run itself."""
        return False

    @property
    def is_blocked(self) -> bool:
        return self._fields is not None

    def fail_transaction(self) -> None:
        """A command was refused while it was to be queued: EXEC will abort."""
        self._transaction_failed = True

    def reply(self, value: Any) -> None:
        """Answer the client."""
        self._send(encode(value, self._client_info.protocol_version))

    def refuse(self, line: str) -> None:
        """Answer with an error line."""
        self.reply(Error(line))

    def execute(self, fields: list[bytes]) -> None:
        """Carry out one command; a blocking one may be answered later, and what comes after it waits its turn."""
        engine = self._engine
        self.actor = engine.who() or self.actor
        if self._fields is not None:
            self._queue.append(fields)
            return
        fields = self._pinned(fields)
        if fields[0].upper() in _ABOUT_OTHERS:
            engine.bury()
        if not self.in_transaction:
            reply = redis_extras.answer(self, fields)
            if reply is not redis_extras.UNKNOWN:
                self.reply(reply)
                return
        try:
            self._carry_out(fields)
        except Blocked as blocked:
            self._fields = fields
            self._blocked = True
            engine.blocked.append(self)
            if blocked.seconds is not None:
                turn = self._turn
                engine.call_later(blocked.seconds, lambda: self._expire(turn))
        if engine.changed:
            engine.serve()

    def _expire(self, turn: int) -> None:
        """The time of the blocked command has run out: it answers that there was nothing."""
        if turn == self._turn:
            self._expired = True
            self.try_again()

    def try_again(self) -> bool:
        """Try the blocked command again; whether it is answered now. A client that is gone gets nothing."""
        fields = self._fields
        if fields is None:
            return False
        if not self.alive():
            self.close()
            return False
        try:
            self._carry_out(fields)
        except Blocked:
            return False
        self._unblock()
        while self._queue and self._fields is None:
            self.execute(self._queue.popleft())
        return True

    def _unblock(self) -> None:
        self._fields = None
        self._blocked = self._expired = False
        self._unblock_reason = None
        self._turn += 1
        if self in self._engine.blocked:
            self._engine.blocked.remove(self)

    def _carry_out(self, fields: list[bytes]) -> None:
        engine = self._engine
        self._command = fields[0].decode("utf-8", "replace").lower()
        if engine.journal is not None:
            flags = command_flags(self._command)
            engine.journal.begin("readonly" not in flags)
        if engine.after_command is not None:
            engine.touched.clear()
            engine.commands = {self._command.upper()}
        with engine_active(engine):
            try:
                self._process_command(fields)
            except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                # fakeredis itself failed. A client must not get an exception of ours out of its socket.
                self.refuse(f"ERR not simulated: {self._command.upper()} ended in {type(error).__name__}: {error}")
            finally:
                self._command = ""
        if engine.after_command is not None:
            engine.after_command(self, engine.touched, frozenset(engine.commands))

    def _pinned(self, fields: list[bytes]) -> list[bytes]:
        """A blocking XREAD from ``$`` means the end of the stream now, not at the time of the next try."""
        if fields[0].upper() != b"XREAD" or b"$" not in fields:
            return fields
        upper = [field.upper() for field in fields]
        if b"STREAMS" not in upper:
            return fields
        first = upper.index(b"STREAMS") + 1
        half = (len(fields) - first) // 2
        pinned = list(fields)
        for offset in range(half):
            if fields[first + half + offset] == b"$":
                item = self._db.get(fields[first + offset])
                pinned[first + half + offset] = item.value.last_item_key() if item is not None else b"0-0"
        return pinned

    # -- what fakeredis calls

    def _run_command(self, func: Any, sig: Any, args: list[Any], from_script: bool) -> Any:
        if sig.name == "blmove" and len(args) == 5 and args[0] not in self._db:
            result = self._wait_for_list(args[4])
        else:
            result = super()._run_command(func, sig, args, from_script)
        if not isinstance(result, SimpleError):
            self._engine.commands.add(sig.name.upper())
            self._engine.on_command(sig.name.upper(), args, result, self._db_num)
        return result

    def _wait_for_list(self, timeout: bytes) -> Any:
        """BLMOVE of a list that is not there waits for one. fakeredis answers nil at once."""
        try:
            return self._blocking(Timeout.decode(timeout), lambda first: None)
        except SimpleError as error:
            return error

    def _xreadgroup(self, consumer: bytes, groups: Any, count: Any, noack: bool, idle: Any, first: bool) -> Any:
        # On a first pass without COUNT fakeredis delivers the entries and then answers that there were none.
        return super()._xreadgroup(consumer, groups, count, noack, idle, False)

    def _blocking(self, timeout: float | None, func: Callable[[bool], Any], shape: Any = None) -> Any:
        first = self._fields is None
        if not first and self._unblock_reason is not None:
            self._take_unblock_reason()
            return None if shape is None else shape(None)
        result = func(first)
        if result == {}:  # XREADGROUP: no stream has anything
            result = None
        if result is None and not self._in_transaction and not self._expired:
            raise Blocked(timeout or None)
        return result if shape is None else shape(result)

    def _decode_result(self, result: Any) -> Any:
        if isinstance(result, list):
            return [self._decode_result(part) for part in result]
        if isinstance(result, SimpleString):
            return Simple(result.value)
        if isinstance(result, SimpleError):
            return Error(result.value)
        return result

    def put_response(self, msg: Any) -> None:
        # A subscribed connection carries out nothing but (un)subscriptions: what else comes is a message to it.
        if isinstance(msg, list) and (not self._command or self._command in _SUBSCRIPTIONS):
            msg = Push(msg)
        self.reply(msg)

    def kill(self) -> None:
        super().kill()
        self._closed_by_server()

    def close(self) -> None:
        """The client is gone."""
        engine = self._engine
        self._queue.clear()
        self._unblock()
        if self in engine.sockets:
            engine.sockets.remove(self)
        self._cleanup(engine)


class PlainSession(Session):
    """A session without a client, for commands of the run itself: replies are kept as they are."""

    def __init__(self, engine: Engine) -> None:
        self.replies: list[Any] = []
        super().__init__(engine, lambda data: None, lambda: None, lambda: True, ("127.0.0.1", 0))

    @property
    def is_plain(self) -> bool:
        return True

    def reply(self, value: Any) -> None:
        self.replies.append(value)
