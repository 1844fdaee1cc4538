"""Redis as fakeredis's clients serve it in somebody's test: its commands made fault points, fakeredis untouched.

fakeredis's connections are wrapped where redis-py hands them bytes and reads
answers, so that redis-py's own retries and reconnects stay under test:

* ``refused``: the connection cannot be made, or breaks;
* ``timeout``: no answer; the client gives up after its ``socket_timeout``, or
  after five seconds where the test's client has none;
* ``loading``, ``readonly``, ``out-of-memory``: the error line instead of the
  answer, for commands that a real server would refuse so. Inside MULTI the
  whole transaction is then discarded, as a server does.

Nothing is put back: this is for a process that ends with the test.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections import deque
from collections.abc import Callable
from typing import Any

import redis.asyncio
import redis.exceptions

from harness.sim.services import redis as _service
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow, Verdict
from harness.sim.wire import mocked_privates
from harness.sim.wire.redis import CONNECT, point_of
from harness.sim.wire.resp import RequestParser
from harness.sim.world import World

__all__ = ["KINDS", "install"]

#: Kinds of fault that can strike here: a server that loses its data belongs to a simulated Redis.
KINDS = frozenset({"refused", "timeout", "loading", "readonly", "out-of-memory"})

_PATIENCE_S = 5.0

#: What reading the answer to one request gives: fakeredis's own (``None``), or an error instead of it.
Expected = Exception | None

#: Told of each command that was carried out, by its name in capitals.
Listener = Callable[[str], object]


def install(world: World, listener: Listener) -> bool:
    """Let commands of fakeredis's clients pass the points of *world*; false where fakeredis is not installed.

    Raises:
        EnvironmentFailed: this version of fakeredis cannot be served.
    """
    try:
        kinds = list(mocked_privates.fake_connections())
    except ImportError:
        return False
    for kind, is_async in kinds:
        _retry_as_clients_do(kind, is_async)
        (_wrap_async if is_async else _wrap)(kind, world, listener)
    return True


def _retry_as_clients_do(kind: Any, is_async: bool) -> None:
    """Let a fake connection retry as a client's own does: fakeredis makes its pool without the client's default."""
    client = redis.asyncio.Redis if is_async else redis.Redis
    default = inspect.signature(client.__init__).parameters["retry"].default
    if default is None or default is inspect.Parameter.empty:
        return
    original = kind.__init__

    def __init__(self: Any, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        if options.get("retry") is None and not options.get("retry_on_error") and not options.get("retry_on_timeout"):
            self.retry = copy.deepcopy(default)

    kind.__init__ = __init__


class _Trip:
    """One round trip: which bytes go out, what is answered, and how it may end.

    ``failure`` is raised once the bytes that go out have taken effect;
    ``wait_us`` is how long the client waits before that.
    """

    def __init__(self, connection: Any, world: World) -> None:
        self._world = world
        self._timeout_s = getattr(connection, "socket_timeout", None) or _PATIENCE_S
        self.out: list[bytes] = []
        self.expected: list[Expected] = []
        self.failure: Exception | None = None
        self.wait_us = 0
        self.carried_out: list[str] = []
        self._points: list[str] = []

    def go(self, requests: list[list[bytes]]) -> None:
        """Pass the points of *requests* before they arrive."""
        names = [fields[0].upper() for fields in requests]
        refused: Exception | None = None
        for fields, name in zip(requests, names, strict=True):
            point = point_of(fields)
            verdict = None if point is None else self._world.hook.passing(point, "before")
            if isinstance(verdict, (Lost, Refused, Reset)):
                self._break(verdict)
                return
            if isinstance(verdict, Slow):
                self.wait_us += round(verdict.seconds * 1_000_000)
            text = name.decode("ascii", "replace")
            if isinstance(verdict, Answer) and _service.refuses(verdict.message, text):
                refused = error_of(verdict.message)
                self.expected.append(refused)
                continue
            if name == b"EXEC" and refused is not None and b"MULTI" in names:
                fields = [b"DISCARD"]
                self.expected.append(redis.exceptions.ExecAbortError("Transaction discarded because of: errors"))
                self.out.append(_packed(fields))
                continue
            self.out.append(_packed(fields))
            self.expected.append(None)
            if point is not None:
                self._points.append(point)
                self.carried_out.append(text)

    def come_back(self) -> None:
        """Pass the points again once everything has taken effect."""
        for point in self._points:
            verdict = self._world.hook.passing(point, "after")
            if isinstance(verdict, (Lost, Refused, Reset)) and self.failure is None:
                self._break(verdict)
            elif isinstance(verdict, Slow):
                self.wait_us += round(verdict.seconds * 1_000_000)

    def _break(self, verdict: Verdict) -> None:
        if isinstance(verdict, Lost):
            self.wait_us += round(self._timeout_s * 1_000_000)
            self.failure = redis.exceptions.TimeoutError("Timeout reading from socket")
        else:
            self.failure = redis.exceptions.ConnectionError("Connection reset by peer")


def error_of(line: str) -> Exception:
    """The exception that redis-py makes of an error line."""
    code, _, text = line.partition(" ")
    kinds = {
        "LOADING": redis.exceptions.BusyLoadingError,
        "READONLY": redis.exceptions.ReadOnlyError,
        "OOM": redis.exceptions.OutOfMemoryError,
    }
    return kinds[code](text) if code in kinds else redis.exceptions.ResponseError(line)


def _packed(fields: list[bytes]) -> bytes:
    parts = [b"*%d\r\n" % len(fields)]
    for field in fields:
        parts += [b"$%d\r\n" % len(field), field, b"\r\n"]
    return b"".join(parts)


def _requests(command: Any) -> list[list[bytes]]:
    data = command if isinstance(command, (bytes, bytearray)) else b"".join(command)
    return RequestParser().feed(bytes(data))


def _connected(world: World, timeout_s: float | None) -> tuple[Exception | None, int]:
    """What becomes of a new connection: an error or none, after so many microseconds."""
    for side in ("before", "after"):
        verdict = world.hook.passing(CONNECT, side)
        if isinstance(verdict, (Refused, Reset)):
            return redis.exceptions.ConnectionError("Error 111 connecting: Connection refused."), 0
        if isinstance(verdict, Lost):
            wait_us = round((timeout_s or _PATIENCE_S) * 1_000_000)
            return redis.exceptions.TimeoutError("Timeout connecting to server"), wait_us
    return None, world.hook.latency_us(CONNECT)


def _wrap(kind: Any, world: World, listener: Listener) -> None:
    connect, read = kind._connect, kind.read_response
    pending: dict[int, deque[Expected]] = {}

    def _connect(self: Any) -> Any:
        error, wait_us = _connected(world, getattr(self, "socket_connect_timeout", None))
        world.kernel.sleep_us(max(1, wait_us))
        if error is not None:
            raise error
        pending[id(self)] = deque()
        return connect(self)

    def send_packed_command(self: Any, command: Any, check_health: bool = True) -> None:
        if not self._sock:
            self.connect()
        trip = _Trip(self, world)
        trip.go(_requests(command))
        world.kernel.sleep_us(max(1, world.hook.latency_us(CONNECT)))
        if trip.out:
            super(kind, self).send_packed_command(trip.out, check_health=False)
            for name in trip.carried_out:
                listener(name)
            trip.come_back()
        pending.setdefault(id(self), deque()).extend(trip.expected)
        if trip.wait_us:
            world.kernel.sleep_us(trip.wait_us)
        if trip.failure is not None:
            self.disconnect()
            raise trip.failure

    def read_response(self: Any, *arguments: Any, **options: Any) -> Any:
        waiting = pending.get(id(self))
        error = waiting.popleft() if waiting else None
        if error is None:
            return read(self, *arguments, **options)
        if isinstance(error, redis.exceptions.ExecAbortError):
            read(self, *arguments, **options)  # DISCARD's own answer
        raise error

    kind._connect, kind.read_response, kind.send_packed_command = _connect, read_response, send_packed_command


def _wrap_async(kind: Any, world: World, listener: Listener) -> None:
    connect, read = kind._connect, kind.read_response
    pending: dict[int, deque[Expected]] = {}

    async def _connect(self: Any) -> Any:
        error, wait_us = _connected(world, getattr(self, "socket_connect_timeout", None))
        await _pause(world, wait_us)
        if error is not None:
            raise error
        pending[id(self)] = deque()
        return await connect(self)

    async def send_packed_command(self: Any, command: Any, check_health: bool = True) -> None:
        if not self.is_connected:
            await self.connect()
        trip = _Trip(self, world)
        trip.go(_requests(command))
        await _pause(world, world.hook.latency_us(CONNECT))
        if trip.out:
            await super(kind, self).send_packed_command(trip.out, check_health=False)
            for name in trip.carried_out:
                listener(name)
            trip.come_back()
        pending.setdefault(id(self), deque()).extend(trip.expected)
        if trip.wait_us:
            await _pause(world, trip.wait_us)
        if trip.failure is not None:
            await self.disconnect(nowait=True)
            raise trip.failure

    async def read_response(self: Any, *arguments: Any, **options: Any) -> Any:
        waiting = pending.get(id(self))
        error = waiting.popleft() if waiting else None
        if error is None:
            return await read(self, *arguments, **options)
        if isinstance(error, redis.exceptions.ExecAbortError):
            await read(self, *arguments, **options)  # DISCARD's own answer
        raise error

    kind._connect, kind.read_response, kind.send_packed_command = _connect, read_response, send_packed_command


async def _pause(world: World, us: int) -> None:
    """Wait on the loop where time is virtual; elsewhere the run's own clock moves alone."""
    if world.kernel.current is None:
        world.kernel.sleep_us(max(1, us))
    else:
        await asyncio.sleep(max(1, us) / 1_000_000)
