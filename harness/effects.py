"""How a run knows that a message was *handled*: by its effect in the outside world.

A scenario names its effects as values; several stand in a list or tuple::

    effects.point("charged")                                       # points.effect("charged", key) in the code
    effects.http("POST {http:payments}/charges", key="$.order_id") # a call that the stub answered with 2xx
    effects.http("PUT {http:payments}/charges/{key}")
    effects.redis("SET order:{key}")                               # a write that changed the dataset
    effects.redis("XADD shipped", key="$.order_id")                # the key stands in a JSON argument
    effects.sqlite("orders", key="order_id")                       # a row inserted and committed
    effects.queue("shipments", key="$.order_id")                   # a message accepted by another queue

Each has a ``name`` (what events and reports call it), a ``source`` and a
``key``. ``observe(bench)`` begins to watch and returns the function that ends
it; what the environment offers to be watched is the :class:`Bench`.

An observed effect whose key cannot be found is recorded with key ``None``:
it happened, and no message can be credited with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias
from urllib.parse import parse_qsl

from harness.errors import ScenarioError
from harness.jsonpath import MISSING, JsonPath, KeyFinder, key_text, parse_json

if TYPE_CHECKING:
    from harness.sim.services.http import HttpStubs
    from harness.sim.services.redis import Loss, RedisServer

__all__ = [
    "Bench",
    "Effect",
    "HttpEffect",
    "KeyFinder",
    "PointEffect",
    "QueueEffect",
    "RedisEffect",
    "SendObserver",
    "SqliteEffect",
    "all_of",
    "http",
    "point",
    "queue",
    "redis",
    "sqlite",
]

#: Told each message that a queue accepted: ``(queue, body, message id, origin)``; origin is workload or process.
SendObserver: TypeAlias = Callable[[str, str, str, str], None]

Undo: TypeAlias = Callable[[], None]


class Bench(Protocol):
    """What an environment offers to be watched, and where it is told what was seen."""

    @property
    def http(self) -> HttpStubs: ...

    @property
    def redis(self) -> RedisServer: ...

    def record_effect(self, name: str, key: str | None, source: str) -> None:
        """The outside world changed for *key*: an event ``effect``."""
        ...

    def record_effect_lost(self, name: str, key: str | None) -> None:
        """The store lost that change again: an event ``effect.lost``."""
        ...

    def on_send(self, observer: SendObserver) -> Undo:
        """Tell *observer* of each message that a queue accepts; returns the function that ends it."""
        ...

    def now_us(self) -> int:
        """Virtual microseconds since the start of the run."""
        ...


class Effect:
    """What all effects have. Values: frozen, equal by content."""

    name: str
    source: ClassVar[str]

    @property
    def key(self) -> str | None:
        """Where the key is found, as the scenario wrote it; ``None`` where the code under test names it."""
        raise NotImplementedError

    def describe(self) -> str:
        """The effect in words, for reports."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """For a history's header."""
        return {"name": self.name, "source": self.source, "key": self.key}

    def observe(self, bench: Bench) -> Undo:
        """Watch for the effect in one run; the function returned ends that."""
        raise NotImplementedError


def all_of(effects: Effect | Iterable[Effect] | None) -> tuple[Effect, ...]:
    """The effects of a scenario's field as a tuple.

    Raises:
        ScenarioError: something in it is no effect.
    """
    if effects is None:
        return ()
    if isinstance(effects, Effect):
        return (effects,)
    several = isinstance(effects, Iterable) and not isinstance(effects, (str, Mapping))
    found: tuple[Any, ...] = tuple(effects) if several else (effects,)
    for effect in found:
        if not isinstance(effect, Effect):
            raise ScenarioError(
                f"{effect!r} is no effect",
                field="effects",
                remedy='Write effects.point("charged"), or effects.http, redis, sqlite or queue; several in a list',
            )
    return found


# -- keys in patterns

_HOLE = "{key}"


def _pattern(text: str, where: str) -> re.Pattern[str]:
    """*text* with ``{key}`` as a group and ``*`` as anything; what else is in braces is an error."""
    parts = re.split(r"(\{[^{}]*\}|\*)", text)
    pattern = ""
    holes = 0
    for part in parts:
        if part == _HOLE:
            holes += 1
            pattern += "(?P<key>.+)"
        elif part == "*":
            pattern += ".*"
        elif part.startswith("{"):
            raise ScenarioError(
                f"{part} is unknown in {text!r}", field=where, remedy="Only {key} stands in braces here"
            )
        else:
            pattern += re.escape(part)
    if holes > 1:
        raise ScenarioError(f"{text!r} has {{key}} twice", field=where, remedy="Write {key} once")
    return re.compile(pattern, re.DOTALL)


def _needs_one_key(where: str, text: str, key: str | None) -> None:
    if (key is None) != (_HOLE in text):
        problem = "says nowhere which message it is about" if key is None else "has both {key} and key=..."
        raise ScenarioError(
            f"{text!r} {problem}", field=where, remedy='Write {key} where the key stands, or key="$.order_id" for JSON'
        )


def _text(value: object, where: str, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ScenarioError(f"{value!r} is no {what}", field=where, remedy=f"Give the {what} as text")
    return value


# -- points


@dataclass(frozen=True)
class PointEffect(Effect):
    """``points.effect(name, key)`` in the code under test; the environment's sink records it."""

    name: str
    source: ClassVar[str] = "point"

    def __post_init__(self) -> None:
        _text(self.name, "effects.point", "name")

    @property
    def key(self) -> str | None:
        return None

    def describe(self) -> str:
        return f"points.effect({self.name!r}, key)"

    def observe(self, bench: Bench) -> Undo:
        return lambda: None


# -- HTTP

_CALL = re.compile(r"(?P<method>[A-Za-z]+)\s+\{http:(?P<stub>[^{}]+)\}(?P<path>/\S*)?\Z")


@dataclass(frozen=True)
class HttpEffect(Effect):
    """A call of a stub that the stub itself answered with 2xx, whether or not the answer arrived."""

    call: str
    path: str | None = None
    name: str = ""
    source: ClassVar[str] = "http"
    _parts: tuple[str, str, re.Pattern[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        match = _CALL.match(_text(self.call, "effects.http", "call").strip())
        if match is None:
            raise ScenarioError(
                f"{self.call!r} is no call of a stub",
                field="effects.http",
                remedy='Write method, stub and path, as in "POST {http:payments}/charges"',
            )
        _needs_one_key("effects.http", self.call, self.path)
        if self.path is not None:
            JsonPath(self.path, field="effects.http: key")
        path = match["path"] or "/"
        object.__setattr__(self, "name", self.name or self.call)
        parts = (match["method"].upper(), match["stub"], _pattern(path, "effects.http"))
        object.__setattr__(self, "_parts", parts)

    @property
    def key(self) -> str | None:
        return self.path or _HOLE

    def describe(self) -> str:
        return f"a call {self.call} answered with 2xx" + (f", key {self.path}" if self.path else "")

    def observe(self, bench: Bench) -> Undo:
        method, stub, pattern = self._parts
        finder = None if self.path is None else KeyFinder(JsonPath(self.path))
        bench.http.url(stub)

        def observer(name: str, used: str, path: str, body: bytes, status: int) -> None:
            if name != stub or used != method or not 200 <= status < 300:
                return
            match = pattern.fullmatch(path) or pattern.fullmatch(path.partition("?")[0])
            if match is not None:
                key = match["key"] if finder is None else _key_in_body(finder, body)
                bench.record_effect(self.name, key, self.source)

        bench.http.observers.append(observer)
        return lambda: bench.http.observers.remove(observer)


def _key_in_body(finder: KeyFinder, body: bytes) -> str | None:
    """The key in a body that is JSON or a form (``order_id=7&amount=5``)."""
    if parse_json(body) is not MISSING:
        return finder.key(body)
    try:
        fields = dict(parse_qsl(body.decode(), strict_parsing=True))
    except ValueError:
        return None
    return finder.key_in(fields)


# -- Redis

#: Commands whose answer 0 says that nothing was written.
_ZERO_IS_NOTHING = frozenset(
    {
        *("SETNX", "HSETNX", "MSETNX", "SADD", "PFADD", "LPUSHX", "RPUSHX", "RENAMENX", "SMOVE", "COPY", "MOVE"),
        *("DEL", "UNLINK", "SREM", "HDEL", "ZREM", "LREM", "XDEL", "XACK", "EXPIRE", "PEXPIRE", "PERSIST"),
    }
)


#: Commands that take several keys, members or fields at once, and how far apart these stand.
_REPEATS = {
    **dict.fromkeys(
        ("SADD", "SREM", "PFADD", "LPUSH", "RPUSH", "LPUSHX", "RPUSHX", "DEL", "UNLINK", "HDEL", "ZREM"), 1
    ),
    **dict.fromkeys(("HSET", "HMSET", "ZADD", "MSET", "MSETNX"), 2),
}


@dataclass(frozen=True)
class RedisEffect(Effect):
    """A Redis command that changed the dataset.

    ``command`` is its name and the pattern of each argument from the first
    on (``*`` for anything); what follows is free. ``{key}`` stands for the
    message's key; at the end of the second argument or later it is looked
    for in every further argument too (``SADD done {key}``). With ``path`` the
    key is looked for in the arguments that are JSON. Commands in
    transactions and scripts count as they are carried out.
    """

    command: str
    path: str | None = None
    name: str = ""
    source: ClassVar[str] = "redis"
    _words: tuple[str, tuple[re.Pattern[str], ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        words = _text(self.command, "effects.redis", "command").split()
        _needs_one_key("effects.redis", self.command, self.path)
        if len(words) < 2:
            raise ScenarioError(
                f"{self.command!r} names no key",
                field="effects.redis",
                remedy='Write command and key, as in "SET order:{key}"',
            )
        if self.path is not None:
            JsonPath(self.path, field="effects.redis: key")
        object.__setattr__(self, "name", self.name or self.command)
        patterns = tuple(_pattern(word, "effects.redis") for word in words[1:])
        object.__setattr__(self, "_words", (words[0].upper(), patterns))

    @property
    def key(self) -> str | None:
        return self.path or _HOLE

    def describe(self) -> str:
        return f"a Redis write {self.command}" + (f", key {self.path}" if self.path else "")

    def observe(self, bench: Bench) -> Undo:
        watch = _RedisWatch(self, bench)
        bench.redis.observers.append(watch.commanded)
        bench.redis.loss_observers.append(watch.lost)

        def undo() -> None:
            bench.redis.observers.remove(watch.commanded)
            bench.redis.loss_observers.remove(watch.lost)

        return undo


class _RedisWatch:
    """One run's view of one Redis effect: what was written when, so that a loss can be told."""

    def __init__(self, effect: RedisEffect, bench: Bench) -> None:
        self._effect = effect
        self._bench = bench
        self._command, self._patterns = effect._words
        self._aliases = _ALIASES.get(self._command, (self._command,))
        self._finder = None if effect.path is None else KeyFinder(JsonPath(effect.path))
        self._written: list[tuple[int, tuple[int, bytes], str | None]] = []

    def commanded(self, command: str, arguments: list[bytes], reply: Any, database: int) -> None:
        if command not in self._aliases or not _wrote(command, arguments, reply):
            return
        for key in self._keys(arguments):
            if self._bench.redis.may_lose:
                self._written.append((self._bench.now_us(), (database, arguments[0]), key))
            self._bench.record_effect(self._effect.name, key, self._effect.source)

    def _keys(self, arguments: list[bytes]) -> list[str | None]:
        """The keys that the command is an effect for; none if it is another command."""
        texts = [argument.decode("utf-8", "surrogateescape") for argument in arguments]
        patterns = self._patterns
        if len(texts) < len(patterns):
            return []
        found: list[str | None] = []
        for position, pattern in enumerate(patterns):
            match = pattern.fullmatch(texts[position])
            if match is None:
                return []
            if pattern.groups:
                found.append(match["key"])
        last = patterns[-1]
        step = _REPEATS.get(self._command)
        if last.groups and step is not None:
            matches = (last.fullmatch(text) for text in texts[len(patterns) - 1 + step :: step])
            found.extend(match["key"] for match in matches if match is not None)
        if self._finder is None:
            return found
        keys = [key for key in map(self._finder.key, texts[1:]) if key is not None]
        return [*keys] or [None]

    def lost(self, loss: Loss) -> None:
        kept = []
        for at_us, place, key in self._written:
            undone = at_us > loss.since_us if loss.kind == "failover" else place in loss.keys
            if undone:
                self._bench.record_effect_lost(self._effect.name, key)
            else:
                kept.append((at_us, place, key))
        self._written = kept


#: redis-py's ``incr()`` sends INCRBY, ``decr()`` DECRBY: by one they are what the scenario's author wrote.
_ALIASES = {"INCR": ("INCR", "INCRBY"), "DECR": ("DECR", "DECRBY")}


def _wrote(command: str, arguments: list[bytes], reply: Any) -> bool:
    """Whether a command that was not refused changed the dataset."""
    if command == "SET":
        options = {argument.upper() for argument in arguments[2:]}
        if b"GET" in options:  # the reply is the old value, whatever became of the new one
            return not (b"NX" in options and reply is not None) and not (b"XX" in options and reply is None)
        return reply is not None
    if reply is None:
        return False
    return not (reply == 0 and command in _ZERO_IS_NOTHING)


# -- SQLite

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class SqliteEffect(Effect):
    """A row inserted in a table of any SQLite database that the code under test opens, once it is committed."""

    table: str
    column: str
    name: str = ""
    source: ClassVar[str] = "sqlite"

    def __post_init__(self) -> None:
        for value, where in ((self.table, "table"), (self.column, "key")):
            if not isinstance(value, str) or not _IDENTIFIER.match(value):
                raise ScenarioError(
                    f"{value!r} is no SQL name",
                    field=f"effects.sqlite: {where}",
                    remedy='Name a table and its column, as in effects.sqlite("orders", key="order_id")',
                )
        object.__setattr__(self, "name", self.name or f"INSERT {self.table}")

    @property
    def key(self) -> str | None:
        return self.column

    def describe(self) -> str:
        return f"a row committed to the SQLite table {self.table}, key in column {self.column}"

    def observe(self, bench: Bench) -> Undo:
        from harness.sim.wire import sqlite as wire

        def inserted(value: object) -> None:
            bench.record_effect(self.name, None if value is None else _column_text(value), self.source)

        return wire.watch(self.table, self.column, inserted)


def _column_text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else key_text(value)


# -- queues


@dataclass(frozen=True)
class QueueEffect(Effect):
    """A message that the code under test sent to another queue."""

    queue: str
    path: str
    name: str = ""
    source: ClassVar[str] = "queue"

    def __post_init__(self) -> None:
        _text(self.queue, "effects.queue", "queue name")
        JsonPath(self.path, field="effects.queue: key")
        object.__setattr__(self, "name", self.name or f"send to {self.queue}")

    @property
    def key(self) -> str | None:
        return self.path

    def describe(self) -> str:
        return f"a message sent to the queue {self.queue}, key {self.path}"

    def observe(self, bench: Bench) -> Undo:
        finder = KeyFinder(JsonPath(self.path))

        def sent(queue: str, body: str, message_id: str, origin: str) -> None:
            if queue == self.queue and origin != "workload":
                bench.record_effect(self.name, finder.key(body), self.source)

        return bench.on_send(sent)


# -- the public values


def point(name: str) -> PointEffect:
    """``points.effect(name, key)``, called by the code under test."""
    return PointEffect(name)


def http(call: str, key: str | None = None, *, name: str = "") -> HttpEffect:
    """A call of a stub dependency, as ``"POST {http:payments}/charges"``.

    *key* is a JSON path in the request's body (JSON, or a form's fields);
    without it ``{key}`` stands in the call's path.
    """
    return HttpEffect(call, key, name)


def redis(command: str, key: str | None = None, *, name: str = "") -> RedisEffect:
    """A Redis write, as ``"SET order:{key}"``; or, with *key* a JSON path in an argument, ``"LPUSH shipped"``."""
    return RedisEffect(command, key, name)


def sqlite(table: str, key: str, *, name: str = "") -> SqliteEffect:
    """A row inserted in *table* and committed; *key* is the column of the message's key."""
    return SqliteEffect(table, key, name)


def queue(name: str, key: str) -> QueueEffect:
    """A message sent to the queue *name*; *key* is a JSON path in its body, or in what the body wraps."""
    return QueueEffect(name, key)
