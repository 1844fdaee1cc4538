"""What stands in fakeredis's modules for time, chance and order.

Time is the server's, not that of the process that calls: a client whose wall
clock jumps does not move Redis's expiries. Chance (``SPOP``, ``RANDOMKEY``)
is a stream of its own. The order of a set's members is their sorted order:
Python's would depend on the hash seed.

Every private name of fakeredis that the simulation builds on is listed in
``self_check``, which names the version that cannot be served.
"""

from __future__ import annotations

import hashlib
import random as _random
import sys
import time as _time
from collections.abc import Iterator
from typing import Any, Protocol

import fakeredis
from fakeredis._core import _database
from fakeredis._socket import FakeSocket
from fakeredis.model import ExpiringMembersSet, _stream, _topk

from harness.errors import EnvironmentFailed

__all__ = ["engine_active", "install", "self_check", "uninstall"]


class _Lives(Protocol):
    """An engine, as far as time and chance go."""

    chance: _random.Random

    def now_us(self) -> int: ...


#: The engine whose command is being carried out; the stand-ins look here.
_active: _Lives | None = None


class engine_active:
    """While a command of *engine* is carried out, fakeredis's time and chance are that engine's."""

    __slots__ = ("_before", "_engine")

    def __init__(self, engine: _Lives) -> None:
        self._engine = engine
        self._before: _Lives | None = None

    def __enter__(self) -> None:
        global _active
        self._before, _active = _active, self._engine

    def __exit__(self, *error: object) -> None:
        global _active
        _active = self._before


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


def _group_read(self: Any, consumer_name: bytes, start_id: bytes, count: int | None, noack: bool) -> Any:
    """XREADGROUP of a consumer's own history is a delivery too: the entries' idle time begins anew.

    Seen on redis-server 7.0.15; fakeredis counts the delivery and keeps the time.
    """
    records: Any = _group_read_of_fakeredis(self, consumer_name, start_id, count, noack)
    if start_id != b">":
        now = int(_Clock.time() * 1000)
        for record in records:
            entry = _stream.StreamEntryKey.parse_str(bytes(record[0]))
            pending = self.pel[entry]
            self.pel[entry] = pending._replace(time_read=now)
    return records


_group_read_of_fakeredis = _stream.StreamGroup.group_read

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
    _replace(_stream.StreamGroup, "group_read", _group_read)


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
        (_stream, ("StreamEntryKey", "PelEntry", "MIN_KEY")),
        (_stream.XStream, ("group_get", "stream_read", "format_record", "last_id")),
        (_stream.StreamGroup, ("group_read",)),
        (_stream.PelEntry, ("consumer_name", "time_read", "times_delivered")),
    ]
    for owner, names in wanted:
        for name in names:
            if not hasattr(owner, name):
                raise EnvironmentFailed(
                    f"fakeredis {fakeredis.__version__} has no {owner.__name__}.{name}: "
                    "simulated Redis needs fakeredis 2.26 or newer, tried with 2.40"
                )
