"""Addresses as ``host:port``: read, kept to loopback, resolved without holding up the event loop."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from harness.net.reactor import Reactor
from harness.toxiproxy.errors import ApiError, invalid

__all__ = ["Address", "Resolver", "parse"]

_LOCAL_NAMES = ("localhost", "ip6-localhost")


@dataclass(frozen=True, slots=True)
class Address:
    """``host`` may be a name, ``port`` 0 means any free one (to listen on only)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def literal(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The IP address, if the host is one."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def certainly_remote(self) -> bool:
        """Whether it is an IP address outside loopback. Of a name that shows when it is resolved."""
        literal = self.literal
        return literal is not None and not literal.is_loopback


def parse(text: str, *, listen: bool = False, allow_remote: bool = False) -> Address:
    """The address that *text* names. Without a host one listens on 127.0.0.1.

    Raises:
        ApiError: it is none (500, as from Toxiproxy; 400 for an upstream), or not on loopback (400).
    """
    host, colon, port = text.rpartition(":")
    if text == "" and listen:
        host, colon, port = "", ":", "0"
    wrong = ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        wrong = f"address {text}: too many colons in address"
    if not colon:
        wrong = f"address {text}: missing port in address"
    elif not wrong and not ((port.isascii() and port.isdigit()) or not port):
        wrong = f"lookup tcp/{port}: unknown port"
    elif not wrong and int(port[:9] or 0) > 65_535:
        wrong = f"address {port}: invalid port"
    if wrong:
        raise ApiError(500, f"listen tcp: {wrong}") if listen else invalid(f"upstream: {wrong}")
    number = int(port or 0)
    if not host or host.lower() in _LOCAL_NAMES:
        host = "127.0.0.1"
    address = Address(host, number)
    if address.certainly_remote and not allow_remote:
        what = "listen" if listen else "upstream"
        raise invalid(f"{what} {text} is not on loopback; start the proxy with --allow-remote to let it")
    return address


class Resolver:
    """Names to socket addresses: at once for IP addresses, on a thread of its own for anything else."""

    def __init__(self, reactor: Reactor, *, allow_remote: bool = False) -> None:
        self._reactor = reactor
        self._allow_remote = allow_remote
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="resolve")

    def resolve(self, address: Address, done: Callable[[tuple[int, tuple[str, int]] | None, str], object]) -> None:
        """Calls ``done((family, sockaddr), "")`` or ``done(None, why)``, on the reactor's thread, now or later."""
        literal = address.literal
        if literal is not None:
            done((socket.AF_INET6 if literal.version == 6 else socket.AF_INET, (address.host, address.port)), "")
            return
        future = self._pool.submit(socket.getaddrinfo, address.host, address.port, 0, socket.SOCK_STREAM)

        def found() -> None:
            try:
                results = future.result()
            except (OSError, UnicodeError) as error:
                done(None, f"lookup {address.host}: {error}")
                return
            family, _, _, _, sockaddr = results[0]
            target = Address(str(sockaddr[0]), int(sockaddr[1]))
            if target.certainly_remote and not self._allow_remote:
                done(None, f"{address} is {target.host}, which is not on loopback; --allow-remote lets it")
                return
            done((family, (target.host, target.port)), "")

        future.add_done_callback(lambda _: self._reactor.post(found))

    def close(self) -> None:
        """Let go of the threads; a lookup that hangs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)
