"""Queues that live in Redis: which keys hold a scenario's messages, and in which state a message is there.

A history speaks of messages, deliveries and acknowledgements, whatever
carries them. These values say how Redis's data map to that::

    RedisList("jobs", processing="jobs:processing:*")   # RPUSH; BLMOVE to a worker's list; LREM
    RedisList("jobs")                                   # RPUSH; BLPOP: delivered and acknowledged in one
    RedisStream("orders", group="workers")              # XADD; XREADGROUP, XCLAIM, XAUTOCLAIM; XACK

They stand in ``Scenario.queues`` beside SQS queues, and a workload sends to
them by name. The name is the key in Redis; ``env.queue_url(name)`` and
``{queue:NAME}`` give it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from harness.errors import ScenarioError

__all__ = ["RedisList", "RedisQueue", "RedisStream"]


def _require(condition: bool, field: str, value: object, remedy: str) -> None:
    if not condition:
        raise ScenarioError(f"is {value!r}", field=field, remedy=remedy)


def _key(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 512 and not any(sign in value for sign in "{}\r\n")


def _check(queue: RedisList | RedisStream) -> None:
    """What lists and streams have in common."""
    where = f"{type(queue).__name__}({queue.name!r})"
    _require(_key(queue.name), f"{where}.name", queue.name, "Give the key in Redis, without braces and line ends")
    timeout = queue.visibility_timeout
    _require(
        isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and 0 < timeout <= 43_200,
        f"{where}.visibility_timeout",
        timeout,
        "Give seconds above 0: after how long the consumers take back a message that nobody has acknowledged",
    )
    _require(
        queue.dead_letter is None or (_key(queue.dead_letter) and queue.dead_letter != queue.name),
        f"{where}.dead_letter",
        queue.dead_letter,
        "Give another key in Redis",
    )
    _require(
        isinstance(queue.database, int) and not isinstance(queue.database, bool) and queue.database >= 0,
        f"{where}.database",
        queue.database,
        "Give the number of a Redis database, 0 or more",
    )


@dataclass(frozen=True)
class RedisList:
    """A queue that is a Redis list, and the keys that its messages pass through.

    The list *name* holds what waits; so does every key that fits a pattern
    of *waiting* (a schedule, a list of delayed messages). A message is in
    flight while it stands in a key that fits a pattern of *processing* (``*``
    for anything). A message that leaves them all is acknowledged; without
    *processing* that is the moment in which it is popped. Keys may be lists,
    sets, sorted sets or hashes (whose fields count). *dead_letter* is the key
    where messages rest that were given up.

    Args:
        push: the end at which the workload adds: "right" (RPUSH) or "left" (LPUSH).
        bodies: the hashes that hold the bodies by element, where elements are ids; the first that has one counts.
        identity: what names the message in an element, where that is not all of it.
        key: finds a message's key in its body as Redis holds it, where that is not JSON with the workload's key in it.
        visibility_timeout: seconds after which the consumers take back what nobody has acknowledged. Redis knows no
            such timeout: it tells the harness how long a run must go on before a message is stuck.
        fifo: the consumers promise to handle messages in the order of sending; fifo-order holds them to it.
    """

    name: str
    processing: str | tuple[str, ...] = ()
    dead_letter: str | None = None
    waiting: str | tuple[str, ...] = ()
    push: str = "right"
    bodies: str | tuple[str, ...] = ()
    identity: Callable[[bytes], bytes] | None = None
    key: Callable[[bytes], str | None] | None = None
    visibility_timeout: float = 30
    fifo: bool = False
    database: int = 0
    #: SQS moves messages by itself after so many receives and forgets them after a time; a list does neither.
    max_receives: ClassVar[None] = None
    retention: ClassVar[None] = None

    def __post_init__(self) -> None:
        for name in ("processing", "waiting", "bodies"):
            value = getattr(self, name)
            patterns = (value,) if isinstance(value, str) else tuple(value)
            for one in patterns:
                _require(
                    _key(one), f"RedisList({self.name!r}).{name}", one, "Give a key in Redis; * stands for anything"
                )
            object.__setattr__(self, name, patterns)
        _check(self)
        _require(
            self.push in ("right", "left"), f"RedisList({self.name!r}).push", self.push, 'Choose "right" or "left"'
        )

    def dead_letters(self) -> RedisList:
        """The queue of its dead letters, where the scenario does not declare it."""
        assert self.dead_letter is not None
        return RedisList(
            self.dead_letter,
            bodies=self.bodies,
            identity=self.identity,
            key=self.key,
            visibility_timeout=self.visibility_timeout,
            database=self.database,
        )


@dataclass(frozen=True)
class RedisStream:
    """A queue that is a Redis stream, as the consumer group *group* sees it.

    XADD sends; XREADGROUP, XCLAIM and XAUTOCLAIM deliver; XACK acknowledges.
    An entry that is deleted or trimmed before it was acknowledged is lost to
    the group. *dead_letter* is the stream where entries rest that were given
    up.

    Args:
        field: the field that holds the body; ``None``: the body is an object whose members are the entry's fields.
        create_group: make the group before the run, from the beginning of the stream; else the consumers do.
        visibility_timeout: seconds after which the consumers claim what nobody has acknowledged (XAUTOCLAIM's
            min-idle-time, XCLAIM likewise). It tells the harness how long a run must go on before a message is stuck.
        fifo: the consumers promise to handle messages in the order of sending; fifo-order holds them to it.
    """

    name: str
    group: str
    dead_letter: str | None = None
    field: str | None = "data"
    create_group: bool = True
    visibility_timeout: float = 30
    fifo: bool = False
    database: int = 0
    #: A stream neither counts deliveries against a limit nor forgets entries after a time.
    max_receives: ClassVar[None] = None
    retention: ClassVar[None] = None

    def __post_init__(self) -> None:
        _check(self)
        _require(
            isinstance(self.group, str) and bool(self.group),
            f"RedisStream({self.name!r}).group",
            self.group,
            "Give the name of the consumer group",
        )
        _require(
            self.field is None or (isinstance(self.field, str) and bool(self.field)),
            f"RedisStream({self.name!r}).field",
            self.field,
            "Give a field's name, or None where the body's members are the fields",
        )

    def dead_letters(self) -> RedisStream:
        """The queue of its dead letters, where the scenario does not declare it."""
        assert self.dead_letter is not None
        return RedisStream(
            self.dead_letter,
            group=self.group,
            field=self.field,
            create_group=False,
            visibility_timeout=self.visibility_timeout,
            database=self.database,
        )

    def fields(self, body: object, text: str, queue: str) -> dict[str, str]:
        """The fields of the entry for a message of the workload; *text* is its body as text.

        Raises:
            ScenarioError: the body's members are to be the fields, and it has none.
        """
        if self.field is not None:
            return {self.field: text}
        if not isinstance(body, Mapping) or not body:
            raise ScenarioError(
                f"gives {type(body).__name__}",
                field=f"Workload(to={queue!r}).body",
                remedy="With RedisStream(field=None) a body is a mapping of an entry's fields, and not empty",
            )
        return {str(name): value if isinstance(value, str) else _plain(value) for name, value in body.items()}


def _plain(value: object) -> str:
    import json

    return json.dumps(value, sort_keys=True, separators=(",", ":"))


RedisQueue: TypeAlias = RedisList | RedisStream
