"""fakeredis, bent to a simulation: its clock, its chance, its waiting and its loss of data.

Everything here that touches private names of fakeredis is listed in
``self_check``, which names the version that cannot be served.

* Time is the server's, not that of the process that calls: a client whose
  wall clock jumps does not move Redis's expiries. Chance (``SPOP``,
  ``RANDOMKEY``) is a stream of its own.
* A blocking command does not wait in the caller's stack. It is put aside and
  tried again, first come first served, after each command that changed the
  dataset, as Redis does it.
* The order of a set's members is their sorted order: Python's would depend on
  the hash seed.
"""

from __future__ import annotations

import copy
import hashlib
import random as _random
import sys
import time as _time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import fakeredis
import redis
from fakeredis import FakeServer
from fakeredis._core import _database
from fakeredis._helpers import SimpleError, SimpleString
from fakeredis._socket import FakeSocket
from fakeredis.model import ExpiringMembersSet, _topk
from fakeredis.model._command_info import get_command_info

from harness.errors import EnvironmentFailed
from harness.sim.wire.resp import Error, Push, Simple, encode

__all__ = [
    "Blocked",
    "Engine",
    "Journal",
    "PlainSession",
    "Session",
    "command_flags",
    "install",
    "self_check",
    "uninstall",
]

_SUBSCRIPTIONS = frozenset({"subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe"})

#: The engine whose command is being carried out; fakeredis's time and random names look here.
_active: Engine | None = None


class Blocked(Exception):
    """A blocking command found nothing: it waits for *seconds* (``None``: without end)."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__(seconds)
        self.seconds = seconds


# -- fakeredis's names for time, random and hash


class _Clock:
    """Stands in fakeredis's modules where they import ``time``."""

    @staticmethod
    def time() -> float:
        return _time.time() if _active is None else _active.now_us() / 1e6

    @staticmethod
    def monotonic() -> float:
        return _time.monotonic() if _active is None else _active.now_us() / 1e6

    def __getattr__(self, name: str) -> Any:
        return getattr(_time, name)


class _Chance:
    """Stands in fakeredis's modules where they import ``random``."""

    @staticmethod
    def seed(*_: object) -> None:
        """TOPK seeds the one generator that everybody shares with the time; here that would undo the run's seed."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_random if _active is None else _active.chance, name)


def _stable_hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _sorted_members(members: ExpiringMembersSet) -> Iterator[bytes]:
    members._expire_members()
    return iter(sorted(members._values))


_replaced: list[tuple[Any, str, Any]] = []


def install() -> None:
    """Put the stand-ins into fakeredis's modules. Outside a command of an :class:`Engine` they are the real thing."""
    if _replaced:
        return
    self_check()
    clock, chance = _Clock(), _Chance()
    for name, module in sorted(sys.modules.items()):
        if name == "fakeredis" or name.startswith("fakeredis."):
            if getattr(module, "time", None) is _time:
                _replace(module, "time", clock)
            if getattr(module, "random", None) is _random:
                _replace(module, "random", chance)
    _replace(_topk, "hash", _stable_hash)
    _replace(ExpiringMembersSet, "__iter__", _sorted_members)


def _replace(owner: Any, name: str, value: Any) -> None:
    _replaced.append((owner, name, owner.__dict__.get(name, _replaced)))
    setattr(owner, name, value)


def uninstall() -> None:
    """Give fakeredis its own names back."""
    while _replaced:
        owner, name, value = _replaced.pop()
        if value is _replaced:
            delattr(owner, name)
        else:
            setattr(owner, name, value)


def self_check() -> None:
    """Look for the private names that this module builds on.

    Raises:
        EnvironmentFailed: this version of fakeredis does not have one of them.
    """
    wanted: list[tuple[Any, tuple[str, ...]]] = [
        (FakeSocket, ("_process_command", "_run_command", "_blocking", "_decode_result", "_take_unblock_reason")),
        (FakeSocket, ("put_response", "kill", "close")),
        (_database.Database, ("notify_watch", "wake_all", "clear", "swap", "expired")),
        (ExpiringMembersSet, ("__iter__", "_expire_members")),
        (_topk, ("HashArray", "HeavyKeeper")),
    ]
    for owner, names in wanted:
        for name in names:
            if not hasattr(owner, name):
                raise EnvironmentFailed(
                    f"fakeredis {fakeredis.__version__} has no {owner.__name__}.{name}: "
                    "simulated Redis needs fakeredis 2.26 or newer, tried with 2.40"
                )


def command_flags(command: str) -> frozenset[str]:
    """Redis's own flags of a command (``write``, ``readonly``, ``denyoom``, ``loading``, ...), by its table."""
    name = command.lower()
    flags = _flags.get(name)
    if flags is None:
        info = get_command_info(name.encode())
        flags = _flags[name] = frozenset(flag.decode() for flag in info[2]) if info else frozenset()
    return flags


_flags: dict[str, frozenset[str]] = {}


# -- the dataset and its past


class Journal:
    """What each key held before each write of the last *seconds*, so that those writes can be lost."""

    def __init__(self, seconds: float, now_us: Callable[[], int]) -> None:
        self.seconds = seconds
        self.writing = False
        self._kept_us = round(seconds * 1_000_000)
        self._now_us = now_us
        self._entries: deque[tuple[int, _Dataset, bytes, tuple[Any, float | None] | None]] = deque()
        self._touched: set[tuple[int, bytes]] = set()

    def begin(self, writing: bool) -> None:
        """A command begins; only what a *writing* one touches is kept."""
        self.writing = writing
        self._touched.clear()
        limit_us = self._now_us() - self._kept_us
        while self._entries and self._entries[0][0] < limit_us:
            self._entries.popleft()

    def touch(self, dataset: _Dataset, key: bytes) -> None:
        """Keep what *key* holds now, once a command."""
        mark = (dataset.index, key)
        if self.writing and mark not in self._touched:
            self._touched.add(mark)
            item = dataset._dict.get(key)
            before = None if item is None else (_copied(item.value), item.expireat)
            self._entries.append((self._now_us(), dataset, key, before))

    def undo(self, since_us: int) -> set[tuple[int, bytes]]:
        """Undo the writes after *since_us*; returns the keys (database, key) that are gone because of it."""
        past: dict[tuple[int, bytes], tuple[_Dataset, tuple[Any, float | None] | None]] = {}
        while self._entries and self._entries[-1][0] > since_us:
            _, dataset, key, before = self._entries.pop()
            past[dataset.index, key] = (dataset, before)
        gone = set()
        for (index, key), (dataset, before) in past.items():
            if before is None:
                if dataset._dict.pop(key, None) is not None:
                    gone.add((index, key))
                continue
            item: Any = _database.Item(before[0])
            item.expireat = before[1]
            dataset._dict[key] = item
            dataset.schedule_expiry(key, item.expireat)
        return gone


def _copied(value: Any) -> Any:
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return list(value)
    return copy.deepcopy(value)


class _Dataset(_database.Database):
    """One numbered database; tells the journal of each key before a command gets at it."""

    def __init__(self, engine: Engine, index: int) -> None:
        super().__init__(None)
        self.index = index
        self.condition: Any = _Changes(engine)
        self._journal = engine.journal

    def __getitem__(self, key: bytes) -> Any:
        if self._journal is not None and key in self._dict:
            self._journal.touch(self, key)
        return super().__getitem__(key)

    def __setitem__(self, key: bytes, value: Any) -> None:
        if self._journal is not None:
            self._journal.touch(self, key)
        super().__setitem__(key, value)

    def __delitem__(self, key: bytes) -> None:
        if self._journal is not None:
            self._journal.touch(self, key)
        super().__delitem__(key)

    def clear(self) -> None:
        if self._journal is not None:
            for key in list(self._dict):
                self._journal.touch(self, key)
        super().clear()

    def swap(self, other: Any) -> None:
        if self._journal is not None:
            for dataset in (self, other):
                for key in {**self._dict, **other._dict}:
                    self._journal.touch(dataset, key)
        super().swap(other)


class _Changes:
    """Stands for the condition that fakeredis's blocking commands wait on: notes that something changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def notify_all(self) -> None:
        self._engine.changed = True


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
    database.
    """

    def __init__(
        self,
        now_us: Callable[[], int],
        call_later: Callable[[float, Callable[[], None]], None],
        chance: _random.Random,
        on_command: Callable[[str, list[bytes], Any, int], None],
        history_seconds: float | None,
    ) -> None:
        self.now_us = now_us
        self.call_later = call_later
        self.chance = chance
        self.on_command = on_command
        self.changed = False
        self.blocked: list[Session] = []
        self.journal = None if history_seconds is None else Journal(history_seconds, now_us)
        global _active
        before, _active = _active, self
        try:
            super().__init__(version=(7, 4))
        finally:
            _active = before
        self.lock: Any = _NoLock()
        self.dbs: Any = _Datasets(self)
        self.subscribers: Any = defaultdict(_Subscribers)
        self.psubscribers: Any = defaultdict(_Subscribers)
        self.ssubscribers: Any = defaultdict(_Subscribers)

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


class _Datasets(dict[int, _Dataset]):
    """The numbered databases, made when first asked for."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def __missing__(self, index: int) -> _Dataset:
        dataset = self[index] = _Dataset(self._engine, index)
        return dataset


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
    def in_transaction(self) -> bool:
        """Whether commands are being queued for EXEC."""
        return self._transaction is not None

    @property
    def is_blocked(self) -> bool:
        return self._fields is not None

    def fail_transaction(self) -> None:
        """A command was refused while it was to be queued: EXEC will abort."""
        self._transaction_failed = True

    def refuse(self, line: str) -> None:
        """Answer with an error line."""
        self._send(encode(Error(line), self._client_info.protocol_version))

    def execute(self, fields: list[bytes]) -> None:
        """Carry out one command; a blocking one may be answered later, and what comes after it waits its turn."""
        if self._fields is not None:
            self._queue.append(fields)
            return
        fields = self._pinned(fields)
        engine = self._engine
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
        with engine_active(engine):
            try:
                self._process_command(fields)
            except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                # fakeredis itself failed. A client must not get an exception of ours out of its socket.
                self.refuse(f"ERR not simulated: {self._command.upper()} ended in {type(error).__name__}: {error}")
            finally:
                self._command = ""

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
        result = super()._run_command(func, sig, args, from_script)
        if not isinstance(result, SimpleError):
            self._engine.on_command(sig.name.upper(), args, result, self._db_num)
        return result

    def _blocking(self, timeout: float | None, func: Callable[[bool], Any], shape: Any = None) -> Any:
        first = self._fields is None
        if not first and self._unblock_reason is not None:
            self._take_unblock_reason()
            return None if shape is None else shape(None)
        result = func(first)
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
        if isinstance(msg, list) and (self._command in _SUBSCRIPTIONS or not self._command or _is_message(msg)):
            msg = Push(msg)
        self._send(encode(msg, self._client_info.protocol_version))

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


def _is_message(reply: list[Any]) -> bool:
    """Whether *reply*, sent to a connection in the middle of its own PUBLISH, is the message to itself."""
    return len(reply) in (3, 4) and reply[0] in (b"message", b"pmessage", b"smessage")


class PlainSession(Session):
    """A session without a client, for commands of the run itself: replies are kept as they are."""

    def __init__(self, engine: Engine) -> None:
        self.replies: list[Any] = []
        super().__init__(engine, lambda data: None, lambda: None, lambda: True, ("127.0.0.1", 0))

    def put_response(self, msg: Any) -> None:
        self.replies.append(msg)

    def refuse(self, line: str) -> None:
        self.replies.append(Error(line))


class engine_active:
    """While a command of *engine* is carried out, fakeredis's time and chance are that engine's."""

    __slots__ = ("_before", "_engine")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._before: Engine | None = None

    def __enter__(self) -> None:
        global _active
        self._before, _active = _active, self._engine

    def __exit__(self, *error: object) -> None:
        global _active
        _active = self._before
