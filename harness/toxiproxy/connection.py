"""One proxied connection: the client's socket, the upstream's, and a link each way."""

from __future__ import annotations

import errno
import logging
import socket
from typing import Final, Protocol

from harness.net.reactor import READ, WRITE, Reactor, Timer
from harness.toxiproxy.address import Address, Resolver
from harness.toxiproxy.chain import Chain, Toxic
from harness.toxiproxy.endpoint import Endpoint
from harness.toxiproxy.link import Link
from harness.toxiproxy.splice import PipePool

__all__ = ["Connection"]

logger = logging.getLogger("harness.toxiproxy")

_LINGER_SECONDS: Final = 5.0  # that a peer has to take what was sent before a close
_CONNECT_SECONDS: Final = 30.0
_HALF_CLOSED_SECONDS: Final = 30.0  # between two looks at a connection that one side has ended


class Host(Protocol):
    """The proxy, as its connections see it."""

    name: str
    seed: str
    reactor: Reactor
    resolver: Resolver
    pipes: PipePool
    chain: Chain
    upstream: Address
    lingering: set[Connection]  # of all proxies: closed, but for what their peers have not taken yet

    def forget(self, connection: Connection) -> None:
        """*connection* is closed."""
        ...


class Connection:
    """Begins to connect as soon as it is made. ``number``: the proxy's connections are numbered from 1."""

    __slots__ = (
        "_closing", "_connecting", "_deaf", "_host", "_timer", "client", "closed", "links", "number", "pipes",
        "reactor", "server",
    )  # fmt: skip

    def __init__(self, host: Host, accepted: socket.socket, number: int) -> None:
        self.reactor = host.reactor
        self.pipes = host.pipes
        self.number = number
        self.closed = False
        self.client = Endpoint(host.reactor, accepted, self)
        self.server: Endpoint | None = None
        self.links: dict[str, Link] = {}
        self._host = host
        self._connecting: _Connecting | None = None
        self._closing = False
        self._deaf: Toxic | None = None
        self._timer: Timer | None = None
        self._deaf = self._drawn("half_open")
        if self._deaf is not None:
            self.client.read_on()
            return
        slow = self._drawn("slow_connect")
        if slow is not None and slow.values["delay"]:
            self._timer = self.reactor.call_later(slow.values["delay"] / 1000, self._connect)
        else:
            self._connect()

    @property
    def sent(self) -> dict[str, int]:
        """Bytes passed on, by direction."""
        return {"upstream": self.server.sent if self.server else 0, "downstream": self.client.sent}

    @property
    def received(self) -> dict[str, int]:
        """Bytes read, by direction."""
        return {direction: link.received for direction, link in self.links.items()}

    # Toxics

    def toxic_added(self, toxic: Toxic) -> None:
        link = self.links.get(toxic.direction)
        if link is not None and not self._closing:
            link.add(toxic)
            self._adjust(link)

    def toxic_updated(self, toxic: Toxic) -> None:
        link = self.links.get(toxic.direction)
        if link is not None and not self._closing:
            link.update(toxic)
            self._adjust(link)

    def toxic_removed(self, toxic: Toxic) -> None:
        if toxic is self._deaf:
            self.close(reset=True)
            return
        link = self.links.get(toxic.direction)
        if link is not None and not self._closing:
            link.remove(toxic)
            self._adjust(link)

    def _adjust(self, link: Link) -> None:
        if not (self.closed or link.open):
            link.source.read_off()

    def _drawn(self, kind: str) -> Toxic | None:
        """The toxic of a type that acts on whole connections, if it strikes this one."""
        toxic = self._host.chain.one_of_type(kind)
        if toxic is None:
            return None
        return toxic if toxic.drawn(toxic.rng(self._seed)) else None

    @property
    def _seed(self) -> str:
        return f"{self._host.seed}/{self._host.name}/{self.number}"

    # Connecting

    def _connect(self) -> None:
        self._timer = self.reactor.call_later(_CONNECT_SECONDS, lambda: self._refused("no answer"))
        self._host.resolver.resolve(self._host.upstream, self._resolved)

    def _resolved(self, target: tuple[int, tuple[str, int]] | None, why: str) -> None:
        if self.closed:
            return
        if target is None:
            self._refused(why)
            return
        family, address = target
        try:
            upstream = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            self._refused(str(error.strerror))
            return
        upstream.setblocking(False)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        outcome = upstream.connect_ex(address)
        if outcome == 0:
            self._connected(upstream)
        elif outcome == errno.EINPROGRESS:
            self._connecting = _Connecting(self.reactor, upstream, self)
        else:
            upstream.close()
            self._refused(errno.errorcode.get(outcome, str(outcome)))

    def connecting_ended(self, upstream: socket.socket, outcome: int) -> None:
        """The attempt is over: *outcome* is its error number, 0 for none."""
        self._connecting = None
        if outcome:
            upstream.close()
            self._refused(errno.errorcode.get(outcome, str(outcome)))
        else:
            self._connected(upstream)

    def _connected(self, upstream: socket.socket) -> None:
        self._stop_timer()
        self.server = Endpoint(self.reactor, upstream, self)
        pairs = {"upstream": (self.client, self.server), "downstream": (self.server, self.client)}
        for direction, (source, sink) in pairs.items():
            toxics = self._host.chain.of(direction)
            self.links[direction] = Link(self, source, sink, toxics, f"{self._seed}/{direction}")
        for link in self.links.values():
            if not self.closed and link.open:
                link.source.read_on()

    def _refused(self, why: str) -> None:
        logger.warning("%s: no connection to upstream %s: %s", self._host.name, self._host.upstream, why)
        self.close()

    # The endpoints' owner

    def readable(self, endpoint: Endpoint) -> None:
        if self._closing or self._deaf is not None:
            self._swallow(endpoint)
        else:
            self.links["upstream" if endpoint is self.client else "downstream"].readable()

    def drained(self, endpoint: Endpoint) -> None:
        if self._closing:
            if self._drained:
                self._close_now()
        else:
            self.links["downstream" if endpoint is self.client else "upstream"].resume()

    def broken(self, endpoint: Endpoint) -> None:
        self.close(reset=True)

    def _swallow(self, endpoint: Endpoint) -> None:
        try:
            if endpoint.socket.recv(65_536):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close(reset=True)
            return
        if self._deaf is not None:
            self.close()
        else:
            endpoint.read_off()

    # The end

    def link_ended(self, link: Link) -> None:
        """One direction has ended; with the other one the connection does."""
        if all(one.ended for one in self.links.values()):
            self.close()
        elif self._timer is None and not self._closing:
            link.source.watch_over()
            self._timer = self.reactor.call_later(_HALF_CLOSED_SECONDS, self._look_after)

    def _look_after(self) -> None:
        """Half-closed: the peer that has ended may have gone for good, and then nobody is left to wait for."""
        self._timer = None
        if any(link.ended and link.source.gone for link in self.links.values()):
            self.close(reset=True)
        else:
            self._timer = self.reactor.call_later(_HALF_CLOSED_SECONDS, self._look_after)

    def close(self, *, reset: bool = False) -> None:
        """Close both sides: at once, or when what was sent on is taken (5 s at most)."""
        if self.closed or (self._closing and not reset):
            return
        self._stop_timer()
        self._closing = True
        for link in self.links.values():
            if not reset:
                link.stop_splicing()  # what has been taken from a source is owed to its sink
            link.drop()
        if self.closed:
            return  # one of the sinks was gone
        if reset:
            self._close_now(reset=True)
            return
        if self._drained:
            self._close_now()
            return
        for endpoint in self._endpoints():
            endpoint.finish()
            endpoint.read_on()  # what comes is dropped; an unread byte would turn the close into a reset
        if not self.closed:
            self._host.lingering.add(self)
            self._timer = self.reactor.call_later(_LINGER_SECONDS, self.close_now)
            if self._drained:
                self._close_now()

    def close_now(self) -> None:
        """Close both sides, whatever still waits."""
        self._closing = True
        for link in self.links.values():
            link.drop()
        self._close_now()

    @property
    def _drained(self) -> bool:
        return not any(endpoint.waiting for endpoint in self._endpoints())

    def _close_now(self, *, reset: bool = False) -> None:
        if self.closed:
            return
        self.closed = True
        self._stop_timer()
        if self._connecting is not None:
            self._connecting.give_up()
            self._connecting = None
        for endpoint in self._endpoints():
            endpoint.close(reset=reset)
        self._host.lingering.discard(self)
        self._host.forget(self)

    def _endpoints(self) -> tuple[Endpoint, ...]:
        return (self.client,) if self.server is None else (self.client, self.server)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Connecting:
    """Waits for a non-blocking connect."""

    def __init__(self, reactor: Reactor, upstream: socket.socket, connection: Connection) -> None:
        self._reactor = reactor
        self._socket = upstream
        self._connection = connection
        reactor.watch(upstream.fileno(), WRITE | READ, self)

    def ready(self, mask: int) -> None:
        self._reactor.forget(self._socket.fileno())
        self._connection.connecting_ended(self._socket, self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def failed(self, error: Exception) -> None:
        self._connection.close()

    def give_up(self) -> None:
        self._reactor.forget(self._socket.fileno())
        self._socket.close()
