"""Joins real ``redis.asyncio`` clients to the run's Redis: its connections open simulated sockets.

The library's own code makes the connection, on the loop's transports; only
where it leads to is decided here. The address that a client names is the run's
Redis from then on, as with the blocking clients (:mod:`harness.sim.wire.redis`,
where the points and what faults do are told).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.sim import world as _world
from harness.sim.patches import sockets
from harness.sim.wire.redis import connect

__all__ = ["install", "uninstall"]

_undo: list[Callable[[], object]] = []

#: How much later than the client itself its connect gives up, so that the client meets its own timeout.
_AFTER_THE_CLIENT_S = 0.001


def install() -> None:
    """Lead the connections of ``redis.asyncio`` to the run's Redis, once for the process. After the wire of HTTP."""
    if _undo:
        return
    import redis.asyncio.connection as library

    _cut(library.Connection, lambda connection: (str(connection.host), int(connection.port)))
    _cut(library.UnixDomainSocketConnection, lambda connection: (str(connection.path), 0))
    connector = sockets.set_connector(None)
    sockets.set_connector(_connector(connector))
    resolver = sockets.set_resolver(None)
    sockets.set_resolver(_resolver(resolver))
    _undo.append(lambda: sockets.set_connector(connector))
    _undo.append(lambda: sockets.set_resolver(resolver))


def uninstall() -> None:
    """Give the library its own functions back."""
    while _undo:
        _undo.pop()()


def _addresses(world: _world.World) -> dict[tuple[str, int], float | None]:
    """The addresses that stand for the run's Redis, with the time that a client allows for connecting."""
    addresses: dict[tuple[str, int], float | None] = world.wires.setdefault("redis.addresses", {})
    return addresses


def _cut(owner: Any, address_of: Callable[[Any], tuple[str, int]]) -> None:
    original = owner.__dict__["_connect"]

    async def _connect(self: Any) -> None:
        world = _world.current()
        if world is not None and world.redis is not None:
            _addresses(world)[address_of(self)] = self.socket_connect_timeout
        await original(self)

    owner._connect = _connect
    _undo.append(lambda: setattr(owner, "_connect", original))


def _connector(others: sockets.Connector | None) -> sockets.Connector:
    def connector(host: str, port: int, timeout: float | None) -> Any:
        world = _world.current()
        if world is not None and world.redis is not None and (host, port) in _addresses(world):
            patience = _addresses(world)[host, port]
            if patience is not None:
                patience += _AFTER_THE_CLIENT_S
            return connect(world, (host, port), patience, timeout)
        return None if others is None else others(host, port, timeout)

    return connector


def _resolver(others: sockets.Resolver | None) -> sockets.Resolver:
    def resolver(host: str, port: int) -> str | None:
        world = _world.current()
        if world is not None and (host, port) in _addresses(world):
            return host
        return None if others is None else others(host, port)

    return resolver
