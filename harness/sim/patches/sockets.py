"""Sockets and DNS: inside a run they lead to simulated peers, or are refused.

A wire gives the peers: :func:`set_connector` with ``fn(host, port, timeout)``,
which returns an object that behaves like a connected socket (``sendall``,
``recv``, ``settimeout``, ``close``, ...), raises what a failed connect would
raise, or returns ``None`` for an address that it does not know;
:func:`set_resolver` with ``fn(host, port)``, which returns the address that
stands for a host name, or ``None``.
"""

from __future__ import annotations

import asyncio.selector_events
import errno
import ipaddress
import select
import selectors
import socket
from collections.abc import Callable
from typing import Any, TypeAlias

from harness.sim import real, world
from harness.sim.patches.refusal import inside_actor, refuse
from harness.sim.patches.time import to_us

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
_LATER = "Nothing simulated can be waited for in this way yet; use threads and blocking calls"


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
    """What ``socket.socket()`` gives inside a run: no file descriptor; after ``connect()`` the simulated peer."""

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1) -> None:
        self.family = socket.AF_INET if family == -1 else family
        self.type = socket.SOCK_STREAM if type == -1 else type
        self.proto = 0 if proto == -1 else proto
        self._timeout: float | None = socket.getdefaulttimeout()
        self._peer: Any = None
        self._closed = False

    @property  # type: ignore[misc]  # isinstance() looks here too, and clients ask whether this is a socket
    def __class__(self) -> type:
        return socket.socket

    def connect(self, address: Any, /) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if not isinstance(address, tuple) or self.type & socket.SOCK_STREAM != socket.SOCK_STREAM:
            refuse(f"a real connection to {address!r}", _REMEDY)
        self._peer = _connect(str(address[0]), int(address[1]), self._timeout)
        self._peer.settimeout(self._timeout)

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
        return bytes(size) if size else 0

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self._closed = True
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
        if inside_actor():
            refuse("a pair of real sockets", _REMEDY)
        return real.socketpair(*args, **kwargs)

    def select(self, rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None, /) -> Any:
        run = world.current()
        if run is None or run.kernel.current is None:
            return real.select(rlist, wlist, xlist, timeout)
        if rlist or wlist or xlist or timeout is None:
            refuse("select.select", _LATER)
        run.kernel.sleep_us(to_us(timeout))  # the old way to sleep
        return [], [], []


_sockets = _Sockets()


def _refusing(function: Callable[..., Any], what: str) -> Callable[..., Any]:
    def shim(*args: Any, _function: Callable[..., Any] = function, **kwargs: Any) -> Any:
        if inside_actor():
            refuse(what, _LATER)
        return _function(*args, **kwargs)

    shim.__name__ = shim.__qualname__ = getattr(function, "__name__", "shim")
    return shim


def _new_loop(cls: type, *args: Any, **kwargs: Any) -> Any:
    """Refuses an event loop before there is anything of it."""
    if inside_actor():
        refuse("an asyncio event loop", _LATER)
    return object.__new__(cls)


def pairs() -> list[tuple[object, object]]:
    """Functions to be replaced wherever they are kept."""
    return [
        (real.create_connection, _sockets.create_connection),
        (real.getaddrinfo, _sockets.getaddrinfo),
        (real.gethostbyname, _sockets.gethostbyname),
        (real.gethostname, _sockets.gethostname),
        (real.socketpair, _sockets.socketpair),
        (real.getfqdn, _sockets.getfqdn),
        (real.select, _sockets.select),
    ]


def attributes() -> list[tuple[Any, str, object]]:
    """Names to be set: (owner, name, shim)."""
    loop: Any = asyncio.selector_events.BaseSelectorEventLoop
    found: list[tuple[Any, str, object]] = [
        (socket.socket, "__new__", staticmethod(_new)),
        (loop, "__new__", staticmethod(_new_loop)),
        (selectors.SelectSelector, "__init__", _refusing(selectors.SelectSelector.__init__, "a selector")),
    ]
    if hasattr(select, "poll"):  # a function; the others are types, which programs compare with
        found.append((select, "poll", _refusing(select.poll, "select.poll")))
    kinds: list[Any] = [kind for kind in vars(selectors).values() if isinstance(kind, type)]
    for kind in kinds:
        if hasattr(kind, "_selector_cls"):
            found.append((kind, "__init__", _refusing(kind.__init__, "a selector")))
    return found
