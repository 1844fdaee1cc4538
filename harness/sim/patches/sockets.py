"""Sockets and DNS: inside a run they lead to simulated peers, or are refused.

A wire gives the peers: :func:`set_connector` with ``fn(host, port, timeout)``,
which returns an object that behaves like a connected socket (``sendall``,
``recv``, ``settimeout``, ``close``, ...), raises what a failed connect would
raise, or returns ``None`` for an address that it does not know;
:func:`set_resolver` with ``fn(host, port)``, which returns the address that
stands for a host name, or ``None``.

A non-blocking connect is made by a courier, an actor of the same process;
``select`` and selectors (:mod:`harness.sim.patches.select`) tell when it has
come to an end. ``socketpair`` gives two ends of one simulated connection.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Any, TypeAlias

from harness.sim import descriptors, lines, real, world
from harness.sim.patches.refusal import inside_actor, refuse
from harness.sim.wire.pair import socketpair

__all__ = [
    "Connector",
    "Resolver",
    "SimulatedSocket",
    "attributes",
    "pairs",
    "set_connector",
    "set_resolver",
]

Connector: TypeAlias = Callable[[str, int, float | None], Any]
Resolver: TypeAlias = Callable[[str, int], str | None]

_connector: Connector | None = None
_resolver: Resolver | None = None

_HOSTNAME = "simulation"
_SERVICES = {"http": 80, "https": 443, "redis": 6379}
_REMEDY = "Declare it as a dependency of the scenario (http=..., effects=...), or hand the code a stub"


def set_connector(connector: Connector | None) -> Connector | None:
    """Where connections inside a run lead to; returns the connector that was in force."""
    global _connector
    before, _connector = _connector, connector
    return before


def set_resolver(resolver: Resolver | None) -> Resolver | None:
    """What answers for DNS inside a run; returns the resolver that was in force."""
    global _resolver
    before, _resolver = _resolver, resolver
    return before


def _connect(host: str, port: int, timeout: float | None) -> Any:
    peer = _connector(host, port, timeout) if _connector is not None else None
    if peer is None:
        refuse(f"a real connection to {host}:{port}", _REMEDY)
    return peer


class SimulatedSocket:
    """What ``socket.socket()`` gives inside a run; after ``connect()`` it leads to the simulated peer."""

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1) -> None:
        self.family = socket.AF_INET if family == -1 else family
        self.type = socket.SOCK_STREAM if type == -1 else type
        self.proto = 0 if proto == -1 else proto
        self._timeout: float | None = socket.getdefaulttimeout()
        self._peer: Any = None
        self._closed = False
        self._connecting = False
        self._failure: Exception | None = None  # how a connect that nobody waited for ended
        self._unknown: str | None = None  # the address that it found to lead nowhere
        self.watchers: list[descriptors.Watcher] = []
        self.number = -1

    @property  # type: ignore[misc]  # isinstance() looks here too, and clients ask whether this is a socket
    def __class__(self) -> type:
        return socket.socket

    def connect(self, address: Any, /) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if self._connecting:
            raise OSError(errno.EALREADY, "Operation already in progress")
        if self._peer is not None:
            raise OSError(errno.EISCONN, "Transport endpoint is already connected")
        if self.type & socket.SOCK_STREAM != socket.SOCK_STREAM:
            refuse(f"a real connection to {address!r}", _REMEDY)
        if isinstance(address, tuple):
            host, port = str(address[0]), int(address[1])
        else:  # the path of a Unix socket
            host, port = address.decode() if isinstance(address, bytes) else str(address), 0
        if self._timeout == 0:
            self._connect_later(host, port)
            raise BlockingIOError(errno.EINPROGRESS, "Operation now in progress")
        self._adopt(_connect(host, port, self._timeout))

    def _adopt(self, peer: Any) -> None:
        self._peer = peer
        peer.settimeout(self._timeout)
        if hasattr(peer, "watchers"):
            peer.watchers = self.watchers

    def _connect_later(self, host: str, port: int) -> None:
        """Let a courier connect."""
        run = world.current()
        actor = run.kernel.current if run is not None else None
        assert run is not None
        assert actor is not None
        self._connecting = True
        context = lines.carried(actor)

        def connect() -> None:
            try:
                peer = context.run(_connector, host, port, None) if _connector is not None else None
            except Exception as error:
                self._failure = error
            else:
                if peer is None:
                    self._unknown = f"{host}:{port}"
                elif self._closed:
                    peer.close()
                else:
                    self._adopt(peer)
            self._connecting = False
            for watcher in self.watchers:
                watcher.changed()

        run.kernel.spawn(actor.process, connect, lines.courier_name(actor))

    def readable(self) -> bool:
        """Whether a read would not wait. A failed connect is told at once."""
        if self._connecting:
            return False
        if self._failure is not None or self._unknown is not None or self._peer is None:
            return True
        ready: bool = self._peer.readable()
        return ready

    def writable(self) -> bool:
        """Whether a write would not wait: once connected, or once the connect has failed."""
        return not self._connecting

    def ready_at_us(self) -> int | None:
        """When a read would not wait any more, as things stand."""
        at_us: int | None = self._peer.ready_at_us() if self._peer is not None else None
        return at_us

    def connect_ex(self, address: Any, /) -> int:
        try:
            self.connect(address)
        except OSError as error:
            if error.errno is None:
                raise
            return error.errno
        return 0

    def settimeout(self, timeout: float | None, /) -> None:
        self._timeout = timeout
        if self._peer is not None:
            self._peer.settimeout(timeout)

    def gettimeout(self) -> float | None:
        return self._timeout

    def setblocking(self, flag: bool, /) -> None:
        self.settimeout(None if flag else 0.0)

    def getblocking(self) -> bool:
        return self._timeout != 0.0

    def setsockopt(self, *args: Any) -> None:
        """Accepted; a simulated connection has no options."""

    def getsockopt(self, level: int, name: int, size: int = 0, /) -> Any:
        if (level, name) == (socket.SOL_SOCKET, socket.SO_TYPE):
            return int(self.type)
        if (level, name) == (socket.SOL_SOCKET, socket.SO_ERROR):
            if self._unknown is not None:
                refuse(f"a real connection to {self._unknown}", _REMEDY)
            failure, self._failure = self._failure, None
            if failure is not None and getattr(failure, "errno", None) is None:
                raise failure
            return getattr(failure, "errno", 0)
        return bytes(size) if size else 0

    def fileno(self) -> int:
        """A number that only the simulation's own ``select``, ``poll`` and selectors know."""
        return -1 if self._closed else descriptors.number_of(self)

    def close(self) -> None:
        self._closed = True
        descriptors.forget(self)
        if self._peer is not None:
            self._peer.close()

    def __enter__(self) -> SimulatedSocket:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def bind(self, address: Any, /) -> None:
        refuse(f"a real listening socket on {address!r}", _REMEDY)

    def sendto(self, *args: Any) -> int:
        refuse("a real datagram", _REMEDY)

    def __getattr__(self, name: str) -> Any:
        peer = self.__dict__.get("_peer")
        if peer is not None:
            return getattr(peer, name)
        if self.__dict__.get("_unknown") is not None:
            refuse(f"a real connection to {self._unknown}", _REMEDY)
        if hasattr(socket.socket, name):
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        raise AttributeError(f"'socket' object has no attribute {name!r}")


def _new(cls: type, *args: Any, **kwargs: Any) -> Any:
    if not inside_actor():
        return _socket_new(cls, *args, **kwargs)
    fileno = kwargs.pop("fileno", args[3] if len(args) > 3 else None)
    if fileno is not None:
        refuse("a socket of a real file descriptor", _REMEDY)
    return SimulatedSocket(*args[:3], **kwargs)


_socket_new: Callable[..., Any] = socket.socket.__new__


def _address_of(host: str, port: int) -> str:
    """The address that stands for *host*: a number as it is, localhost, or what the resolver says."""
    found = _resolver(host, port) if _resolver is not None else None
    if found is not None:
        return found
    if host in ("", "localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        refuse(f"a real DNS look-up of {host}", _REMEDY)


def _port_of(port: Any) -> int:
    if port is None:
        return 0
    if isinstance(port, bytes):
        port = port.decode()
    if isinstance(port, str) and not port.isdecimal():
        if port not in _SERVICES:
            raise socket.gaierror(socket.EAI_SERVICE, "Servname not supported for ai_socktype")
        return _SERVICES[port]
    return int(port)


class _Sockets:
    """The shims of the functions of module ``socket``; bound methods, as the originals bind to no instance."""

    def create_connection(
        self,
        address: tuple[str, int],
        timeout: Any = real.DEFAULT_TIMEOUT,
        source_address: Any = None,
        *,
        all_errors: bool = False,
    ) -> Any:
        if not inside_actor():
            return real.create_connection(address, timeout, source_address, all_errors=all_errors)
        limit = socket.getdefaulttimeout() if timeout is real.DEFAULT_TIMEOUT else timeout
        peer = _connect(str(address[0]), int(address[1]), limit)
        peer.settimeout(limit)
        return peer

    def getaddrinfo(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        if not inside_actor():
            return real.getaddrinfo(host, port, family, type, proto, flags)
        number = _port_of(port)
        name = "" if host is None else host.decode() if isinstance(host, bytes) else str(host)
        address = _address_of(name, number)
        kind = socket.SocketKind(type) if type else socket.SOCK_STREAM
        protocol = proto or (socket.IPPROTO_UDP if kind == socket.SOCK_DGRAM else socket.IPPROTO_TCP)
        if ":" in address:
            return [(socket.AF_INET6, kind, protocol, "", (address, number, 0, 0))]
        return [(socket.AF_INET, kind, protocol, "", (address, number))]

    def gethostbyname(self, host: str, /) -> str:
        if not inside_actor():
            return real.gethostbyname(host)
        return "127.0.0.1" if host == _HOSTNAME else _address_of(host, 0)

    def gethostname(self) -> str:
        return _HOSTNAME if inside_actor() else real.gethostname()

    def getfqdn(self, name: str = "") -> str:
        if not inside_actor():
            return real.getfqdn(name)
        return name if name not in ("", "0.0.0.0", "::") else _HOSTNAME

    def socketpair(self, *args: Any, **kwargs: Any) -> Any:
        run = world.current()
        if run is not None and run.kernel.current is not None:
            return socketpair(run)
        return real.socketpair(*args, **kwargs)


_sockets = _Sockets()


def pairs() -> list[tuple[object, object]]:
    """Functions to be replaced wherever they are kept."""
    return [
        (real.create_connection, _sockets.create_connection),
        (real.getaddrinfo, _sockets.getaddrinfo),
        (real.gethostbyname, _sockets.gethostbyname),
        (real.gethostname, _sockets.gethostname),
        (real.socketpair, _sockets.socketpair),
        (real.getfqdn, _sockets.getfqdn),
    ]


def attributes() -> list[tuple[Any, str, object]]:
    """Names to be set: (owner, name, shim)."""
    return [(socket.socket, "__new__", staticmethod(_new))]
