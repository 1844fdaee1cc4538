"""TLS inside a run is left out: connections lead to simulated peers, which speak in plain.

A blocking client's socket is handed back as it is. What wraps a pair of
buffers instead (asyncio's transports, anyio) gets a :class:`PlainObject`,
which passes bytes through.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable
from typing import Any

from harness.sim.patches.refusal import inside_actor

__all__ = ["PlainObject", "install"]

_CIPHER = ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)


class PlainObject:
    """Stands for an ``ssl.SSLObject``: the handshake is done at once, nothing is encrypted."""

    session = None
    session_reused = False

    def __init__(
        self, context: ssl.SSLContext, incoming: Any, outgoing: Any, server_side: bool, server_hostname: Any
    ) -> None:
        self.context = context
        self.server_side = server_side
        self.server_hostname = server_hostname
        self._incoming = incoming
        self._outgoing = outgoing

    def do_handshake(self) -> None:
        """Done."""

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        data: bytes = self._incoming.read(len)
        if not data and not self._incoming.eof:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "The operation did not complete (read)")
        if buffer is None:
            return data
        buffer[: data.__len__()] = data
        return data.__len__()

    def write(self, data: Any) -> int:
        written: int = self._outgoing.write(data)
        return written

    def pending(self) -> int:
        waiting: int = self._incoming.pending
        return waiting

    def unwrap(self) -> None:
        """The end of TLS: nothing to say good-bye to."""

    def getpeercert(self, binary_form: bool = False) -> Any:
        return b"" if binary_form else {"subjectAltName": (("DNS", self.server_hostname),)}

    def selected_alpn_protocol(self) -> None:
        return None

    def cipher(self) -> tuple[str, str, int]:
        return _CIPHER

    def shared_ciphers(self) -> list[tuple[str, str, int]]:
        return [_CIPHER]

    def compression(self) -> None:
        return None

    def version(self) -> str:
        return "TLSv1.3"

    def get_channel_binding(self, cb_type: str = "tls-unique") -> None:
        return None


def install() -> Callable[[], None]:
    """Leave the handshake out in a run; returns the undo."""
    sockets, buffers = ssl.SSLContext.wrap_socket, ssl.SSLContext.wrap_bio

    @functools.wraps(sockets)
    def wrap_socket(self: ssl.SSLContext, sock: Any, *arguments: Any, **named: Any) -> Any:
        if getattr(sock, "wait_readable", None) is not None:
            return sock
        return sockets(self, sock, *arguments, **named)

    @functools.wraps(buffers)
    def wrap_bio(
        self: ssl.SSLContext,
        incoming: Any,
        outgoing: Any,
        server_side: bool = False,
        server_hostname: Any = None,
        session: Any = None,
    ) -> Any:
        if inside_actor():
            return PlainObject(self, incoming, outgoing, server_side, server_hostname)
        return buffers(self, incoming, outgoing, server_side, server_hostname, session)

    ssl.SSLContext.wrap_socket = wrap_socket  # type: ignore[method-assign]  # the cut
    ssl.SSLContext.wrap_bio = wrap_bio  # type: ignore[method-assign]  # the cut

    def undo() -> None:
        ssl.SSLContext.wrap_socket = sockets  # type: ignore[method-assign]
        ssl.SSLContext.wrap_bio = buffers  # type: ignore[method-assign]

    return undo
