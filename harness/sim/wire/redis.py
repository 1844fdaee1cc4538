"""Joins real redis-py clients to the run's Redis: cut at the connection's socket.

``Connection._connect`` gives a :class:`RedisSocket` inside a run; parser,
connection pool, retry and reconnect code of redis-py stay as they are and are
under test. TLS and Unix sockets lead to the same server in plain.

Points: ``redis.CONNECT`` for a new connection, ``redis.<COMMAND>`` for each
command (``INCRBY key 1``, as redis-py's ``incr()`` sends it, is ``redis.INCR``).
Commands about the connection itself (HELLO, AUTH, SELECT, CLIENT, QUIT,
RESET) pass no point: they belong to CONNECT. One round trip, be it one
command or a pipeline, takes one latency. In a pipeline every command passes
*before* as it arrives, and *after* once the whole pipeline has taken effect,
since its bytes are sent together.

What a caller sees of a verdict:

* ``Refused`` at CONNECT: connection refused; later: the connection breaks.
* ``Lost``: silence. The client's ``socket_timeout`` (``socket_connect_timeout``
  at CONNECT) runs out in virtual time; without one it waits as long as Linux
  would (:mod:`harness.sim.wire.stream`). The connection stays silent.
* ``Answer``: the error line instead of the answer, if a real server in that
  state would refuse the command; else the command is carried out.
* ``Reset``: the connection breaks; ``Slow``: that much later.
* ``Twist("flush")`` and ``Twist("failover", {"lost_seconds": n})``: the server loses data, the command is carried out.
"""

from __future__ import annotations

import errno
import functools
import gc
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.sim import world as _world
from harness.sim.services import redis as _service
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow, Twist, Verdict
from harness.sim.wire.resp import ProtocolError, RequestParser
from harness.sim.wire.stream import CONNECT_GIVES_UP_US, StreamSocket

if TYPE_CHECKING:
    from harness.sim.world import World

__all__ = ["CONNECT", "RedisSocket", "connect", "install", "point_of", "uninstall"]

CONNECT = "redis.CONNECT"

_ABOUT_THE_CONNECTION = frozenset({b"HELLO", b"AUTH", b"SELECT", b"CLIENT", b"QUIT", b"RESET"})

#: redis-py's ``incr()`` and ``decr()`` send these; by one they are what the caller wrote.
_BY_ONE = {b"INCRBY": b"INCR", b"DECRBY": b"DECR"}


class RedisSocket(StreamSocket):
    """A client's connection to the run's Redis."""

    def __init__(self, world: World, peer: tuple[str, int], timeout: float | None) -> None:
        super().__init__(world, peer, world.redis.local_port(), timeout)
        self._requests = RequestParser()
        self._session = world.redis.session(self._answer, self.end, self._wanted, self._local)
        self._under_way = False  # a round trip has begun and nothing was read yet
        self._half_us = 0  # half the latency of the latest round trip
        self._began_us = 0  # when it began
        self._due_after: str | None = (
            None  # the point whose "after" is passed when the blocked command's answer is read
        )

    # -- the server's answers

    def _answer(self, data: bytes) -> None:
        self.deliver(data, self._kernel.now_us + self._half_us)

    def _wanted(self) -> bool:
        return self.alive and not self._reset and not self._ended

    def _hung_up(self) -> None:
        self._session.close()

    # -- the client's requests

    def _received(self, data: bytes) -> None:
        try:
            requests = self._requests.feed(data)
        except ProtocolError as error:
            self._session.refuse(f"ERR {error}")
            self.end()
            return
        if not requests:
            return
        carried_out: list[str] = []
        for position, fields in enumerate(requests):
            point = point_of(fields)
            verdict = self._passing(point, "before")
            if not self._under_way:
                self._under_way = True
                self._began_us = self._kernel.now_us
                self._half_us = max(1, self._world.hook.latency_us(point or CONNECT) // 2)
                self._kernel.sleep_us(self._half_us)
            self._check_writable()  # meanwhile, or by the hook's doing, the connection may have broken
            if not self._go_on(verdict, point, fields, requests[position:]):
                break
            if point is not None and not self._answered_with_error(verdict, fields):
                carried_out.append(point)
        for point in carried_out:
            if point != self._due_after:
                self._act_after(self._passing(point, "after"), point)

    def _passing(self, point: str | None, side: str) -> Verdict | None:
        return None if point is None else self._world.hook.passing(point, side)

    def _go_on(self, verdict: Verdict | None, point: str | None, fields: list[bytes], rest: list[list[bytes]]) -> bool:
        """Carry out one command under *verdict*; false if the rest of the pipeline never arrives."""
        if verdict is not None and point is not None:
            if isinstance(verdict, Lost):
                self.fall_silent(point)
                return False
            if isinstance(verdict, (Refused, Reset)):
                self._break(point)
            if self._answered_with_error(verdict, fields):
                self._refuse(verdict, point)
                return True
            if isinstance(verdict, Slow) and not self._slow(verdict, point, rest):
                return False
            if isinstance(verdict, Twist):
                self._lose_data(verdict)
                self._check_writable()
        self._carry_out(fields, point)
        return True

    @staticmethod
    def _answered_with_error(verdict: Verdict | None, fields: list[bytes]) -> bool:
        return isinstance(verdict, Answer) and _service.refuses(verdict.message, _name(fields))

    def _refuse(self, verdict: Verdict | None, point: str) -> None:
        assert isinstance(verdict, Answer)
        if self._session.in_transaction:
            self._session.fail_transaction()
        self._session.refuse(verdict.message)
        self._failed(point, verdict.message.split(" ", 1)[0])

    def _carry_out(self, fields: list[bytes], point: str | None) -> None:
        self._session.execute(fields)
        if self._session.is_blocked and self._due_after is None:
            self._due_after = point

    def _slow(self, verdict: Slow, point: str, rest: list[list[bytes]]) -> bool:
        """The request takes longer to arrive. The client may have given up by then; it takes effect all the same."""
        late_us = round(verdict.seconds * 1_000_000)
        if not self._timeout or late_us < self._timeout * 1_000_000:
            self._kernel.sleep_us(max(1, late_us))
            self._check_writable()
            return True
        session = self._session

        def arrive() -> None:
            for fields in rest:
                session.execute(fields)

        self._kernel.call_at(self._kernel.now_us + late_us, arrive)
        self.fall_silent(point)
        return False

    def _lose_data(self, verdict: Twist) -> None:
        server = self._world.redis
        if verdict.kind == "failover":
            server.failover(float(verdict.parameters["lost_seconds"]))
        elif verdict.kind in ("flush", "flushed"):
            server.flush()
        else:
            raise ValueError(f"Redis has no behaviour {verdict.kind!r}; there are flush and failover")

    def _act_after(self, verdict: Verdict | None, point: str) -> None:
        """The effect has happened; what becomes of its answer?"""
        if verdict is None or self.silent:
            return
        if isinstance(verdict, Lost):
            self.fall_silent(point)
        elif isinstance(verdict, (Refused, Reset)):
            self._break(point)
        elif isinstance(verdict, Slow):
            late_us = round(verdict.seconds * 1_000_000)
            self._arrivals = type(self._arrivals)((at_us + late_us, data) for at_us, data in self._arrivals)
        elif isinstance(verdict, Twist):
            self._lose_data(verdict)
        elif _service.refuses(verdict.message, point.removeprefix("redis.")):
            self._arrivals.clear()
            self._refuse(verdict, point)

    def _break(self, point: str) -> None:
        self._failed(point, "ConnectionError")
        self.reset()
        self._session.close()
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    # -- reading

    def _about_to_read(self) -> None:
        self._under_way = False  # the next write begins another round trip
        point = self._due_after
        if point is not None and self._arrivals and self._arrivals[0][0] <= self._kernel.now_us:
            self._due_after = None
            self._act_after(self._passing(point, "after"), point)

    def _gave_up(self, point: str | None) -> None:
        if point is not None:
            self._failed(point, "TimeoutError")

    def _failed(self, point: str, error: str) -> None:
        took = (self._kernel.now_us - self._began_us) / 1e6
        self._world.record("call.failed", point=point, error=error, fault=None, took=took)


def _name(fields: list[bytes]) -> str:
    return fields[0].decode("utf-8", "replace").upper()


def point_of(fields: list[bytes]) -> str | None:
    """The command's point without its side; ``None`` for commands about the connection itself."""
    name = fields[0]
    if len(fields) == 3 and fields[2] == b"1":
        name = _BY_ONE.get(name.upper(), name)
    return _named(name)


@functools.lru_cache(maxsize=1024)
def _named(name: bytes) -> str | None:
    name = name.upper()
    return None if name in _ABOUT_THE_CONNECTION else f"redis.{name.decode('utf-8', 'replace')}"


def connect(world: World, peer: tuple[str, int], connect_timeout: float | None, timeout: float | None) -> RedisSocket:
    """Connect to the run's Redis in virtual time.

    Raises:
        OSError: a fault refused, lost or broke it, as the operating system would say it.
    """
    hook, kernel = world.hook, world.kernel
    if kernel.closing:
        kernel.refuse()
    began_us = kernel.now_us
    verdict = hook.passing(CONNECT, "before")
    latency_us = max(2, hook.latency_us(CONNECT))
    kernel.sleep_us(latency_us // 2)
    _act_on_connect(world, verdict, connect_timeout, began_us)
    sock = RedisSocket(world, peer, timeout)
    verdict = hook.passing(CONNECT, "after")
    kernel.sleep_us(latency_us - latency_us // 2)
    try:
        _act_on_connect(world, verdict, connect_timeout, began_us)
    except OSError:
        sock.close()
        raise
    return sock


def _act_on_connect(world: World, verdict: Verdict | None, connect_timeout: float | None, began_us: int) -> None:
    if isinstance(verdict, (Refused, Reset)):
        _connect_failed(world, "ConnectionError", began_us)
        if isinstance(verdict, Reset):
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    if isinstance(verdict, (Lost, Slow)):
        limit_us = CONNECT_GIVES_UP_US if connect_timeout is None else round(connect_timeout * 1_000_000)
        late_us = round(verdict.seconds * 1_000_000) if isinstance(verdict, Slow) else limit_us
        world.kernel.sleep_us(max(1, min(late_us, limit_us)))
        if late_us >= limit_us:
            _connect_failed(world, "TimeoutError", began_us)
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")


def _connect_failed(world: World, error: str, began_us: int) -> None:
    took = (world.kernel.now_us - began_us) / 1e6
    world.record("call.failed", point=CONNECT, error=error, fault=None, took=took)


# -- the cut

_originals: dict[tuple[Any, str], Any] = {}

#: Connections of redis-py that hold a real socket: a run must not talk through one.
_real: weakref.WeakSet[Any] = weakref.WeakSet()


def install() -> None:
    """Cut redis-py at its sockets, once for the process. Outside a run the originals are called."""
    if _originals:
        return
    import redis.connection as library

    from harness.sim.services import redis_standins

    redis_standins.install()
    _cut(library.Connection, _peer)
    _cut(library.SSLConnection, _peer)
    _cut(library.UnixDomainSocketConnection, lambda connection: (connection.path, 0))
    _patch_hiredis()
    for candidate in gc.get_objects():
        # By type(): isinstance() asks lazy objects for their __class__, which may run anybody's code.
        if issubclass(type(candidate), library.AbstractConnection) and candidate._sock is not None:
            _real.add(candidate)
    _service.on_new_server.append(_forget_real_sockets)


def uninstall() -> None:
    """Give redis-py and fakeredis their own functions back."""
    if not _originals:
        return
    from harness.sim.services import redis_standins

    for (owner, name), original in _originals.items():
        setattr(owner, name, original)
    _originals.clear()
    _service.on_new_server.remove(_forget_real_sockets)
    redis_standins.uninstall()


def _peer(connection: Any) -> tuple[str, int]:
    return str(connection.host), int(connection.port)


def _cut(owner: Any, peer_of: Callable[[Any], tuple[str, int]]) -> None:
    original = owner.__dict__["_connect"]

    def _connect(self: Any) -> Any:
        world = _world.current()
        if world is None or world.redis is None:
            sock = original(self)
            _real.add(self)
            return sock
        return connect(world, peer_of(self), self.socket_connect_timeout, self.socket_timeout)

    _originals[owner, "_connect"] = original
    owner._connect = _connect


def _patch_hiredis() -> None:
    """hiredis's parser asks the operating system whether a socket is readable; ours has no descriptor to ask about."""
    import redis._parsers.hiredis as parser

    can_read = getattr(parser, "_socket_can_read", None)
    is_closed = getattr(parser, "_socket_is_closed", None)
    if can_read is None or is_closed is None:
        return

    def _socket_can_read(sock: Any, timeout: float) -> bool:
        return sock.wait_readable(timeout) if isinstance(sock, StreamSocket) else bool(can_read(sock, timeout))

    def _socket_is_closed(sock: Any) -> bool:
        return sock.at_end() if isinstance(sock, StreamSocket) else bool(is_closed(sock))

    _originals[parser, "_socket_can_read"] = can_read
    _originals[parser, "_socket_is_closed"] = is_closed
    parser._socket_can_read = _socket_can_read
    parser._socket_is_closed = _socket_is_closed


def _forget_real_sockets(server: object) -> None:
    for connection in list(_real):
        connection.disconnect()
    _real.clear()
