"""One proxy: a port that listens, its toxics, and the connections that go through it."""

from __future__ import annotations

import errno
import logging
import os
import socket
from dataclasses import dataclass, field
from typing import Any

from harness.net.reactor import READ, RESET_AT_CLOSE, Reactor, Timer
from harness.toxiproxy import errors
from harness.toxiproxy.address import Address, Resolver, parse
from harness.toxiproxy.chain import DIRECTIONS, Chain, Toxic
from harness.toxiproxy.connection import Connection
from harness.toxiproxy.errors import ApiError
from harness.toxiproxy.splice import PipePool

__all__ = ["Proxy", "Surroundings"]

logger = logging.getLogger("harness.toxiproxy")

_ACCEPTS_A_TURN = 64
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(frozen=True)
class Surroundings:
    """What all proxies of a server share. ``seed``: of toxicity and of random toxics."""

    reactor: Reactor
    resolver: Resolver
    pipes: PipePool
    seed: str = "0"
    allow_remote: bool = False
    lingering: set[Connection] = field(default_factory=set)


@dataclass
class Counters:
    """Bytes of closed connections, by direction, and connections so far."""

    received: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0))
    sent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0))
    connections: int = 0


class Proxy:
    """Not listening until :meth:`enable`. Everything here belongs to the reactor's thread.

    Raises:
        ApiError: an address is none, or not on loopback.
    """

    def __init__(self, surroundings: Surroundings, name: str, listen: str, upstream: str) -> None:
        self.name = name
        self.reactor = surroundings.reactor
        self.resolver = surroundings.resolver
        self.pipes = surroundings.pipes
        self.seed = surroundings.seed
        self.allow_remote = surroundings.allow_remote
        self.lingering = surroundings.lingering
        self.chain = Chain()
        self.counters = Counters()
        self.listen = parse(listen, listen=True, allow_remote=self.allow_remote)
        self._listen_text = listen  # as it was given, until there is a port
        self.upstream_text = upstream
        self.upstream = parse(upstream, allow_remote=self.allow_remote)
        self.connections: set[Connection] = set()
        self._socket: socket.socket | None = None
        self._listening = False
        self._retry: Timer | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "listen": self._listen_text or str(self.listen),
            "upstream": self.upstream_text,
            "enabled": self.enabled,
            "toxics": self.chain.to_json(),
        }

    # Listening

    @property
    def enabled(self) -> bool:
        """Whether it has its port."""
        return self._socket is not None

    def enable(self) -> None:
        """Raises ApiError (500) where the port cannot be had."""
        if self._socket is None:
            self._take_over(self._bound(self.listen))

    def disable(self) -> None:
        """New connections are refused, live ones closed (FIN)."""
        self._let_go_of_port()
        self.close_connections()

    def close_connections(self) -> None:
        """Close the live ones (FIN)."""
        for connection in list(self.connections):
            connection.close()

    def update(self, listen: str, upstream: str, enabled: bool) -> None:
        """All of it or nothing. Another address closes the live connections.

        Raises:
            ApiError: an address is wrong, or the new port cannot be had; then everything is as before.
        """
        new_listen = parse(listen, listen=True, allow_remote=self.allow_remote)
        new_upstream = parse(upstream, allow_remote=self.allow_remote)
        moves = new_listen != self.listen
        if enabled and (moves or not self.enabled):
            bound = self._bound(new_listen)  # before anything else: if it fails, nothing has changed
            self._let_go_of_port()
            self._take_over(bound)
        elif moves:
            self.listen, self._listen_text = new_listen, listen
        if moves or upstream != self.upstream_text:
            self.upstream, self.upstream_text = new_upstream, upstream
            self.close_connections()
        if not enabled:
            self.disable()

    def same_as(self, listen: str, upstream: str) -> bool:
        """Whether a proxy of these addresses would be this one."""
        return (
            parse(listen, listen=True, allow_remote=self.allow_remote) == self.listen and upstream == self.upstream_text
        )

    def _bound(self, address: Address, *, listens: bool = True) -> socket.socket:
        literal = address.literal
        try:
            if literal is None:
                raise OSError(errno.EADDRNOTAVAIL, "listen on an IP address or localhost")
            family = socket.AF_INET6 if literal.version == 6 else socket.AF_INET
            bound = socket.socket(family, socket.SOCK_STREAM)
            try:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                bound.bind((address.host, address.port))
                if listens:
                    bound.listen(512)
            except BaseException:
                bound.close()
                raise
        except OSError as error:
            raise _cannot_bind(address, error) from None
        bound.setblocking(False)
        return bound

    def _take_over(self, bound: socket.socket) -> None:
        host, port = bound.getsockname()[:2]
        self.listen, self._listen_text = Address(host, port), ""
        self._socket = bound
        self._listening = True
        self.reactor.watch(bound.fileno(), READ, self)
        self._refuse_or_listen()

    def _let_go_of_port(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._socket is not None:
            if self._listening:
                self.reactor.forget(self._socket.fileno())
            self._listening = False
            self._socket.close()
            self._socket = None

    def _refuse_or_listen(self) -> None:
        """A socket that is bound and does not listen keeps the port and refuses connections."""
        refuse = self.chain.one_of_type("refuse")
        refuses = refuse is not None and refuse.toxicity >= 1
        if self._socket is None or refuses != self._listening:
            return
        if refuses:
            self._let_go_of_port()
            self._socket = self._bound(self.listen, listens=False)
        else:
            try:
                self._socket.listen(512)
            except OSError as error:  # another one of this user has bound the port as well, and was quicker
                self._let_go_of_port()
                raise _cannot_bind(self.listen, error) from None
            self._listening = True
            self.reactor.watch(self._socket.fileno(), READ, self)

    # Connections

    def ready(self, mask: int) -> None:
        for _ in range(_ACCEPTS_A_TURN):
            if self._socket is None:
                return
            try:
                accepted, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._cannot_accept(error)
                return
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.counters.connections += 1
            self._begin(accepted, self.counters.connections)

    def failed(self, error: Exception) -> None:
        logger.error("%s: a connection could not be begun: %s", self.name, error)

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        for direction, count in connection.sent.items():
            self.counters.sent[direction] += count
        for direction, count in connection.received.items():
            self.counters.received[direction] += count

    def _begin(self, accepted: socket.socket, number: int) -> None:
        refuse = self.chain.one_of_type("refuse")
        if refuse is not None and refuse.drawn(refuse.rng(f"{self.seed}/{self.name}/{number}")):
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            accepted.close()
            return
        connection = Connection(self, accepted, number)
        if not connection.closed:
            self.connections.add(connection)

    def _cannot_accept(self, error: OSError) -> None:
        logger.error("%s: no connection could be accepted: %s", self.name, error)
        if error.errno in _OUT_OF_DESCRIPTORS and self._socket is not None and self._listening:
            # Level-triggered, it would be asked again at once and for ever: wait until others have closed.
            self.reactor.forget(self._socket.fileno())
            self._listening = False
            self._retry = self.reactor.call_later(0.1, self._listen_again)

    def _listen_again(self) -> None:
        self._retry = None
        if self._socket is not None and not self._listening:
            self._listening = True
            self.reactor.watch(self._socket.fileno(), READ, self)
            self._refuse_or_listen()

    # Toxics

    def add_toxic(self, toxic: Toxic) -> None:
        """Raises ApiError (409) if there is one of that name."""
        self.chain.add(toxic)
        for connection in list(self.connections):
            connection.toxic_added(toxic)
        self._refuse_or_listen()

    def update_toxic(self, name: str, document: Any) -> Toxic:
        """Raises ApiError (404, 400)."""
        toxic = self.chain.find(name)
        toxic.updated(document)
        for connection in list(self.connections):
            connection.toxic_updated(toxic)
        self._refuse_or_listen()
        return toxic

    def remove_toxic(self, name: str) -> None:
        """Raises ApiError (404)."""
        self._remove(self.chain.find(name))

    def remove_toxics(self) -> None:
        """All of them."""
        for toxic in list(self.chain):
            self._remove(toxic)

    def _remove(self, toxic: Toxic) -> None:
        self.chain.remove(toxic)
        for connection in list(self.connections):
            connection.toxic_removed(toxic)
        self._refuse_or_listen()

    def bytes_of(self, direction: str) -> tuple[int, int]:
        """Bytes received and sent so far, with those of live connections."""
        received = self.counters.received[direction] + sum(c.received.get(direction, 0) for c in self.connections)
        sent = self.counters.sent[direction] + sum(c.sent[direction] for c in self.connections)
        return received, sent


def _cannot_bind(address: Address, error: OSError) -> ApiError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return ApiError(500, f"listen tcp {address}: bind: {reason}")


def check_names(name: str, upstream: str) -> None:
    """Raises ApiError (400) for a proxy without a name or an upstream, or with a name that no route leads to."""
    if not name:
        raise errors.missing_field("name")
    if not upstream:
        raise errors.missing_field("upstream")
    if "/" in name:
        raise errors.invalid(f"name {name!r} has a slash: no route would lead to it")
