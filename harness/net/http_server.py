"""HTTP/1.1 on a :class:`~harness.net.reactor.Reactor`: parsed by httptools, bounded in everything.

A request is handed to the application with a function that answers it, now or
later; requests of one connection are answered in order. What is no HTTP, too
large or too slow is answered with 400, 413, 431 or 408 and the connection closed.
"""

from __future__ import annotations

import http
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Final

import httptools

from harness.net.reactor import READ, RESET_AT_CLOSE, WRITE, Reactor, Timer

__all__ = ["Answer", "Application", "HttpServer", "Limits", "Request", "Response"]

logger = logging.getLogger("harness.net")

_REASONS: Final = {status.value: status.phrase for status in http.HTTPStatus}
_CHUNK: Final = 65_536
_PAUSE_SECONDS: Final = 0.1
_OF_UPGRADES: Final = frozenset(("upgrade", "http2-settings"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may use. Sizes in bytes, times in seconds."""

    header_bytes: int = 65_536
    body_bytes: int = 16 * 1024 * 1024
    request_seconds: float = 15.0  # from the first byte of a request to its last
    idle_seconds: float = 60.0  # between requests
    connections: int = 4_096
    pipelined: int = 64


@dataclass(slots=True)
class Request:
    """One request. ``target`` is as sent; header names are lower-case, values Latin-1."""

    method: str
    target: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    version: str = "1.1"
    peer: str = ""
    on_gone: Callable[[], object] | None = None  # called if the client goes before the answer

    @property
    def path(self) -> str:
        """The target without its query, undecoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """What stands after the question mark."""
        return self.target.partition("?")[2]

    def header(self, name: str, default: str = "") -> str:
        """The first header *name* (lower-case)."""
        for key, value in self.headers:
            if key == name:
                return value
        return default


@dataclass(slots=True)
class Response:
    """One answer. ``Content-Length``, ``Date`` and ``Connection`` are added. ``reset``: none, the connection breaks."""

    status: int = 200
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()
    close: bool = False
    reset: bool = False


Answer = Callable[[Response], None]
Application = Callable[[Request, Answer], None]


class HttpServer:
    """Listens at once. The application is called on the reactor's thread.

    An application that raises is answered for with 500; ``on_error`` hears of it.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(
        self,
        reactor: Reactor,
        application: Application,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
        server_name: str = "",
        half_close: bool = True,
    ) -> None:
        self.reactor = reactor
        self.application = application
        self.limits = limits or Limits()
        self.server_name = server_name
        self.half_close = half_close  # whether a client that has sent its last still wants its answers
        self._connections: set[_Connection] = set()
        self._timer: Timer | None = None
        self._paused: Timer | None = None
        self._date = (0.0, "")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(512)
        except BaseException:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        self.host, self.port = self._socket.getsockname()[:2]
        reactor.watch(self._socket.fileno(), READ, self)
        self._tick()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def ready(self, mask: int) -> None:
        for _ in range(64):  # of a flood only so many a turn: others have a turn, too
            try:
                connection, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.error("no connection could be accepted: %s", error)
                self._pause()
                return
            if len(self._connections) >= self.limits.connections:
                connection.close()
                continue
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.add(_Connection(self, connection, str(address[0])))

    def _pause(self) -> None:
        """No descriptors: asked at once and for ever, the socket would use up a core. Others have to close first."""
        self.reactor.forget(self._socket.fileno())
        self._paused = self.reactor.call_later(_PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._paused = None
        self.reactor.watch(self._socket.fileno(), READ, self)

    def failed(self, error: Exception) -> None:
        logger.error("accepting connections failed: %s", error)

    def close(self) -> None:
        """Stop listening and close every connection. On the reactor's thread."""
        if self._timer is not None:
            self._timer.cancel()
        if self._paused is not None:
            self._paused.cancel()
        elif self._socket.fileno() >= 0:
            self.reactor.forget(self._socket.fileno())
        self._socket.close()
        for connection in list(self._connections):
            connection.close()

    def forget(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def head(self, response: Response, keep: bool) -> bytes:
        now = self.reactor.now()
        if now - self._date[0] >= 0.5:
            self._date = (now, formatdate(usegmt=True))
        lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}", f"Date: {self._date[1]}"]
        if self.server_name:
            lines.append(f"Server: {self.server_name}")
        lines.extend(f"{name}: {value}" for name, value in response.headers if "\n" not in value and "\r" not in value)
        if response.status != 204:
            lines.append(f"Content-Length: {len(response.body)}")
        if not keep:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")

    def _tick(self) -> None:
        now = self.reactor.now()
        for connection in [one for one in self._connections if one.deadline < now]:
            connection.too_slow()
        self._timer = self.reactor.call_later(1.0, self._tick)


class _Connection:
    """One client: parses what it sends, answers in order."""

    def __init__(self, server: HttpServer, connection: socket.socket, peer: str) -> None:
        self._server = server
        self._reactor = server.reactor
        self._limits = server.limits
        self._socket = connection
        self._fd = connection.fileno()
        self._peer = peer
        self._parser = httptools.HttpRequestParser(self)
        self._mask = READ
        self._out = bytearray()
        self._waiting: deque[_Exchange] = deque()
        self._closing = False  # after what is being answered
        self._ended = False  # the client has sent its last
        self._closed = False
        self._request: Request | None = None
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._raw_bytes = 0
        self._in_headers = False
        self.deadline = self._reactor.now() + self._limits.request_seconds
        self._reactor.watch(self._fd, READ, self)

    # Events

    def ready(self, mask: int) -> None:
        if mask & WRITE:
            self._flush()
        if mask & READ and not self._closed:
            self._read()

    def failed(self, error: Exception) -> None:
        self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._mask:
                self._reactor.forget(self._fd)
            self._socket.close()
            self._server.forget(self)
            for exchange in self._waiting:
                if exchange.response is None and exchange.request.on_gone is not None:
                    exchange.request.on_gone()
            self._waiting.clear()

    def too_slow(self) -> None:
        """The deadline has passed: a half request is answered with 408, an idle or deaf client is closed."""
        if self._waiting and not self._out:
            self.deadline = self._reactor.now() + self._limits.idle_seconds  # it waits for us, not we for it
        elif self._request is not None and not self._waiting:
            self._refuse(408)
        else:
            self.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._client_has_ended()
            return
        if self._closing:
            return  # what comes after a refusal is read and dropped, so that the refusal can be read
        if self._request is None and not self._waiting:
            self.deadline = self._reactor.now() + self._limits.request_seconds
        self._raw_bytes += len(data)
        try:
            self._feed(data)
            self._check_size()
        except _RefusedError as error:
            self._refuse(error.status)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause.status if isinstance(cause, _RefusedError) else 400)
        if len(self._waiting) >= self._limits.pipelined:
            self._watch()

    def _feed(self, data: bytes) -> None:
        """Parse. An upgrade of the protocol is ignored, as RFC 9110 (7.8) allows: the request counts as it is.

        The parser takes what follows such a head for the other protocol, and leaves the body: it reads the head again,
        without the fields that ask. Java's client asks for HTTP/2 in this way by default.
        """
        while True:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                request, self._request = self._current(), None
                if request.method == "CONNECT":
                    raise _RefusedError(400) from None
                self._parser = httptools.HttpRequestParser(self)
                data = _plain_head(request) + data[upgrade.args[0] :]

    def _client_has_ended(self) -> None:
        if (self._waiting or self._out) and self._server.half_close:
            self._ended = True
            self._watch()
        else:
            self.close()

    # httptools calls these

    def on_message_begin(self) -> None:
        self._request = Request("", "", version="1.1", peer=self._peer)
        self._header_bytes = self._body_bytes = self._raw_bytes = 0
        self._in_headers = True
        self._body = []

    def on_url(self, url: bytes) -> None:
        request = self._current()
        request.target += url.decode("latin-1")
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(len(name) + len(value))
        self._current().headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        request = self._current()
        self._in_headers = False
        request.method = self._parser.get_method().decode("latin-1")
        request.version = self._parser.get_http_version()
        length = request.header("content-length")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            raise _RefusedError(413)
        if request.header("expect").lower() == "100-continue" and not self._parser.should_upgrade():
            self._out += b"HTTP/1.1 100 Continue\r\n\r\n"
            self._flush()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            raise _RefusedError(413)
        self._body.append(body)

    def on_message_complete(self) -> None:
        request = self._current()
        if self._parser.should_upgrade():
            return
        request.body = b"".join(self._body)
        self._body = []
        self._request = None
        exchange = _Exchange(self, request, self._parser.should_keep_alive())
        self._waiting.append(exchange)
        self.deadline = self._reactor.now() + self._limits.idle_seconds
        try:
            self._server.application(request, exchange.answer)
        except Exception:
            logger.exception("%s %s could not be answered", request.method, request.path)
            exchange.answer(Response(500, b"internal error\n", (("Content-Type", "text/plain; charset=utf-8"),)))

    def _current(self) -> Request:
        if self._request is None:
            self._request = Request("", "", peer=self._peer)
        return self._request

    def _check_size(self) -> None:
        """The parser keeps a header, or a trailer, until its end has come: one that has none must not be kept."""
        if self._request is not None:
            limits = self._limits
            if self._in_headers and self._raw_bytes > limits.header_bytes:
                raise _RefusedError(431)
            if self._raw_bytes > limits.header_bytes + 2 * limits.body_bytes:
                raise _RefusedError(413)

    def _count_header(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.header_bytes:
            raise _RefusedError(431)

    # Answers

    def answered(self) -> None:
        """An exchange has its response: send what can be sent, in order."""
        if self._closed:
            return
        while self._waiting and self._waiting[0].response is not None:
            exchange = self._waiting.popleft()
            response = exchange.response
            assert response is not None
            if response.reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
                self.close()
                return
            keep = exchange.keep and not response.close and not self._closing
            self._out += self._server.head(response, keep)
            if exchange.request.method != "HEAD" and response.status not in (204, 304):
                self._out += response.body
            if not keep:
                self._closing = True
                self._waiting.clear()
        self.deadline = self._reactor.now() + self._limits.idle_seconds
        self._flush()

    def _refuse(self, status: int) -> None:
        self._request = None
        self._waiting.clear()
        text = f"{status} {_REASONS[status]}\n".encode()
        response = Response(status, text, (("Content-Type", "text/plain; charset=utf-8"),))
        self._out += self._server.head(response, False) + text
        self._closing = True
        self.deadline = self._reactor.now() + 2.0
        self._flush()

    def _flush(self) -> None:
        if self._out:
            try:
                sent = self._socket.send(self._out)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self.close()
                return
            del self._out[:sent]
        if (self._closing or self._ended) and not self._out and not self._waiting:
            self._end()
            return
        self._watch()

    def _end(self) -> None:
        """Send FIN, then read to the client's: a reset would take the answer away from a client that still writes."""
        if self._ended:
            self.close()
            return
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.deadline = self._reactor.now() + 2.0
        self._watch()

    def _watch(self) -> None:
        mask = WRITE if self._out else 0
        if not self._ended and len(self._waiting) < self._limits.pipelined:
            mask |= READ
        if mask == self._mask or self._closed:
            return
        if mask and self._mask:
            self._reactor.change(self._fd, mask, self)
        elif mask:
            self._reactor.watch(self._fd, mask, self)
        else:
            self._reactor.forget(self._fd)
        self._mask = mask


def _plain_head(request: Request) -> bytes:
    """The head of *request* without the fields that ask for another protocol."""
    lines = [f"{request.method} {request.target} HTTP/{request.version}"]
    for name, value in request.headers:
        if name == "connection":
            value = ", ".join(one for one in value.split(",") if one.strip().lower() not in _OF_UPGRADES)
        if name not in _OF_UPGRADES and (value or name != "connection"):
            lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class _Exchange:
    __slots__ = ("_connection", "keep", "request", "response")

    def __init__(self, connection: _Connection, request: Request, keep: bool) -> None:
        self._connection = connection
        self.request = request
        self.keep = keep
        self.response: Response | None = None

    def answer(self, response: Response) -> None:
        """Once; a second answer is ignored."""
        if self.response is None:
            self.response = response
            self._connection.answered()


class _RefusedError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
