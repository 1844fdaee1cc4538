"""Joins unmodified HTTP clients to the run's stubs: cut at the socket.

``requests``, ``urllib3`` and ``http.client`` (so ``urllib.request`` too), and
on an event loop ``httpx`` and ``aiohttp``, open a connection to
``<name>.stub.internal`` and get an :class:`HttpSocket`: the server's end of
HTTP/1.1 over virtual time (TLS is left out). Any other host is refused by the
simulation.

One request passes ``dependency.<name>`` before and after its effect:

* ``Refused``, ``Reset``: the connection breaks (before: nothing happened);
* ``Lost``: silence until the client's own read timeout, in virtual time
  (without one: :data:`harness.sim.wire.stream.SILENCE_GIVES_UP_US`);
* ``Answer``: that status, headers and body instead of the stub's;
* ``Slow`` before: the request is carried out that much later, even if the
  client has given up by then; after: it is carried out, its answer is late.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from harness.sim import world as _world
from harness.sim.patches import sockets
from harness.sim.services.http import HttpRequest, HttpResponse
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow, Twist, Verdict
from harness.sim.wire import tls
from harness.sim.wire.stream import StreamSocket

if TYPE_CHECKING:
    from harness.sim.world import World

__all__ = ["HttpSocket", "connector", "install", "resolver", "uninstall"]

#: Limits of a request, as common servers have them (nginx: 4 x 8 KB of headers; apache: 64 KB; bodies are ours).
_MAX_HEAD = 65_536
_MAX_BODY = 64 * 1024 * 1024

_NO_BODY = frozenset({204, 304})


class BadRequest(Exception):
    """The bytes are no request that a server accepts; carries the status to answer with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Head:
    """The request line and headers of one request."""

    def __init__(self, raw: bytes) -> None:
        lines = raw.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[0].isalpha() or not parts[1]:
            raise BadRequest(400, f"not a request line: {lines[0][:80]!r}")
        self.method, target, version = parts
        if not version.startswith("HTTP/1."):
            raise BadRequest(505, f"version {version[:20]!r} is not served")
        if "://" in target:  # the absolute form, as sent to a proxy
            target = "/" + target.split("://", 1)[1].partition("/")[2]
        self.target = target
        self.headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise BadRequest(400, f"not a header: {line[:80]!r}")
            name, value = name.lower(), value.strip()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        connection = self.headers.get("connection", "").lower()
        self.keep_alive = "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)
        self.chunked = self.headers.get("transfer-encoding", "").lower().endswith("chunked")
        self.length = self._length()
        self.expects_continue = self.headers.get("expect", "").lower() == "100-continue"

    def _length(self) -> int:
        text = self.headers.get("content-length", "0")
        if self.chunked:
            if "content-length" in self.headers:
                raise BadRequest(400, "both Content-Length and Transfer-Encoding")
            return 0
        if not text.isascii() or not text.isdigit():
            raise BadRequest(400, f"Content-Length is {text[:20]!r}")
        if int(text) > _MAX_BODY:
            raise BadRequest(413, "the body is too large")
        return int(text)


def _unchunk(data: bytes, start: int) -> tuple[bytes, int] | None:
    """The body of chunks at *start* and where it ends; ``None`` while it is incomplete."""
    body = bytearray()
    position = start
    while True:
        end = data.find(b"\r\n", position)
        if end < 0:
            return None
        size_text = data[position:end].split(b";", 1)[0].strip()
        try:
            size = int(size_text, 16)
        except ValueError:
            raise BadRequest(400, f"chunk size {size_text[:20]!r}") from None
        if size < 0 or len(body) + size > _MAX_BODY:
            raise BadRequest(413, "the body is too large")
        position = end + 2
        if size == 0:
            return _after_trailer(data, position, bytes(body))
        if len(data) < position + size + 2:
            return None
        body += data[position : position + size]
        if data[position + size : position + size + 2] != b"\r\n":
            raise BadRequest(400, "a chunk is longer than it said")
        position += size + 2


def _after_trailer(data: bytes, position: int, body: bytes) -> tuple[bytes, int] | None:
    if data[position : position + 2] == b"\r\n":
        return body, position + 2
    end = data.find(b"\r\n\r\n", position)
    return None if end < 0 else (body, end + 4)


class HttpSocket(StreamSocket):
    """A client's connection to one stub."""

    def __init__(self, world: World, name: str, peer: tuple[str, int], timeout: float | None) -> None:
        super().__init__(world, peer, world.http.local_port(), timeout)
        self.name = name
        self._point = f"dependency.{name}"
        self._buffer = b""
        self._continued = False
        self._half_us = 1
        self._began_us = 0
        self._due_after: HttpRequest | None = None

    # -- requests

    def _received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            try:
                complete = self._next_request()
            except BadRequest as error:
                response = HttpResponse(error.status, {"Content-Type": "text/plain"}, str(error).encode())
                self._buffer = b""
                self._send(response, "GET", keep_alive=False)
                return
            if complete is None:
                return
            request, keep_alive = complete
            self._serve(request, keep_alive)
            if self.silent or self._ended:
                return

    def _next_request(self) -> tuple[HttpRequest, bool] | None:
        data = self._buffer.lstrip(b"\r\n") if self._buffer[:1] in (b"\r", b"\n") else self._buffer
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > _MAX_HEAD:
                raise BadRequest(431, "the headers are too large")
            first = data.split(b"\r\n", 1)[0]
            if len(data) > len(first) and len(first.split(b" ")) != 3:
                raise BadRequest(400, "not a request line")
            return None
        head = _Head(data[:end])
        start = end + 4
        if head.chunked:
            chunks = _unchunk(data, start)
            if chunks is None:
                self._wait_for_body(head)
                return None
            body, stop = chunks
        else:
            stop = start + head.length
            if len(data) < stop:
                self._wait_for_body(head)
                return None
            body = data[start:stop]
        self._buffer = data[stop:]
        self._continued = False
        return HttpRequest(self.name, head.method, head.target, head.headers, body), head.keep_alive

    def _wait_for_body(self, head: _Head) -> None:
        if head.expects_continue and not self._continued:
            self._continued = True
            self.deliver(b"HTTP/1.1 100 Continue\r\n\r\n", self._kernel.now_us + self._half_us)

    def _serve(self, request: HttpRequest, keep_alive: bool) -> None:
        hook = self._world.hook
        self._began_us = self._kernel.now_us
        verdict = hook.passing(self._point, "before")
        latency_us = max(2, hook.latency_us(self._point))
        self._half_us = latency_us - latency_us // 2
        self._kernel.sleep_us(latency_us // 2)
        self._check_writable()
        if isinstance(verdict, Twist):
            raise ValueError(f"a stub has no behaviour {verdict.kind!r}")
        if isinstance(verdict, Lost):
            self.fall_silent(self._point)
        elif isinstance(verdict, (Refused, Reset)):
            self._break(verdict)
        elif isinstance(verdict, Answer):
            self._answer_with(verdict, request, keep_alive)
        elif isinstance(verdict, Slow):
            self._carry_out_later(verdict.seconds, request, keep_alive)
        else:
            response = self._world.http.carry_out(request)
            self._finish(hook.passing(self._point, "after"), response, request, keep_alive)

    def _carry_out_later(self, seconds: float, request: HttpRequest, keep_alive: bool) -> None:
        def arrive() -> None:
            response = self._world.http.carry_out(request)
            if not self._closed:  # a caller that has given up has failed already
                self._refused(response)
            self._due_after = request
            self._send(response, request.method, keep_alive)

        self._kernel.call_at(self._kernel.now_us + max(1, round(seconds * 1_000_000)), arrive)

    def _finish(self, verdict: Verdict | None, response: HttpResponse, request: HttpRequest, keep_alive: bool) -> None:
        """The effect has happened; what becomes of its answer?"""
        if isinstance(verdict, Lost):
            self.fall_silent(self._point)
        elif isinstance(verdict, (Refused, Reset)):
            self._break(Reset())
        elif isinstance(verdict, Answer):
            self._answer_with(verdict, request, keep_alive)
        else:
            self._refused(response)
            late_us = round(verdict.seconds * 1_000_000) if isinstance(verdict, Slow) else 0
            self._send(response, request.method, keep_alive, late_us)

    def _about_to_read(self) -> None:
        request = self._due_after
        if request is not None and self._arrivals and self._arrivals[0][0] <= self._kernel.now_us:
            self._due_after = None
            verdict = self._world.hook.passing(self._point, "after")
            if isinstance(verdict, Lost):
                self.fall_silent(self._point)
            elif isinstance(verdict, (Refused, Reset)):
                self._break(Reset())
            elif isinstance(verdict, Answer):
                self._arrivals.clear()
                self._answer_with(verdict, request, keep_alive=False)
            elif isinstance(verdict, Slow):
                late_us = round(verdict.seconds * 1_000_000)
                self._arrivals = type(self._arrivals)((at_us + late_us, data) for at_us, data in self._arrivals)

    # -- answers

    def _answer_with(self, verdict: Answer, request: HttpRequest, keep_alive: bool) -> None:
        self._failed(str(verdict.status))
        body = verdict.body or verdict.message.encode()
        self._send(HttpResponse(verdict.status, verdict.headers, body), request.method, keep_alive)

    def _send(self, response: HttpResponse, method: str, keep_alive: bool, late_us: int = 0) -> None:
        data = _encode(response, method, keep_alive)
        self.deliver(data, self._kernel.now_us + self._half_us + late_us)
        if not keep_alive:
            self.end()

    def _refused(self, response: HttpResponse) -> None:
        """The stub itself is overloaded or broken: for the caller that is a failed call, like a fault's answer."""
        if response.status >= 500 or response.status == 429:
            self._failed(str(response.status))

    def _break(self, verdict: Refused | Reset) -> None:
        self._failed("ConnectionError")
        self.reset()
        if isinstance(verdict, Refused):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    def _gave_up(self, point: str | None) -> None:
        self._failed("TimeoutError")

    def _failed(self, error: str) -> None:
        took = (self._kernel.now_us - self._began_us) / 1e6
        self._world.record("call.failed", point=self._point, error=error, fault=None, took=took)


def _encode(response: HttpResponse, method: str, keep_alive: bool) -> bytes:
    try:
        reason = HTTPStatus(response.status).phrase
    except ValueError:
        reason = "Unknown"
    headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
    without_body = response.status in _NO_BODY or 100 <= response.status < 200
    lines = [f"HTTP/1.1 {response.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if "content-length" not in headers and not without_body:
        lines.append(f"Content-Length: {len(response.body)}")
    if not keep_alive and "connection" not in headers:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return head if method == "HEAD" or without_body else head + response.body


# -- the cut


def connector(host: str, port: int, timeout: float | None) -> HttpSocket | None:
    """What a connection to *host* gets inside a run: a stub's socket, or ``None`` for a host that is no stub's."""
    world = _world.current()
    if world is None or world.http is None:
        return None
    name = world.http.name_of(host)
    return None if name is None else HttpSocket(world, name, (host, port), timeout)


def resolver(host: str, port: int) -> str | None:
    """What a stub's host name resolves to inside a run: itself. ``None`` for a host that is no stub's."""
    world = _world.current()
    if world is None or world.http is None or world.http.name_of(host) is None:
        return None
    return host


_undo: list[Callable[[], object]] = []


def install() -> None:
    """Lead connections to stubs here, once for the process. The simulation's shims (``harness.sim.patches``) ask."""
    if _undo:
        return
    connector_before = sockets.set_connector(connector)
    resolver_before = sockets.set_resolver(resolver)
    _undo.append(lambda: sockets.set_connector(connector_before))
    _undo.append(lambda: sockets.set_resolver(resolver_before))
    _undo.append(tls.install())
    try:
        import urllib3.connection
    except ImportError:
        return
    _cut_wait_for_read(urllib3.connection)


def uninstall() -> None:
    """Give the libraries their own functions back."""
    while _undo:
        _undo.pop()()


def _cut_wait_for_read(owner: Any) -> None:
    """urllib3 asks the operating system whether a pooled connection has been dropped; ours has no descriptor."""
    original = owner.wait_for_read

    def wait_for_read(sock: Any, timeout: float | None = None) -> bool:
        wait_readable = getattr(sock, "wait_readable", None)
        if wait_readable is not None:
            return bool(wait_readable(timeout))
        return bool(original(sock, timeout))

    owner.wait_for_read = wait_for_read
    _undo.append(lambda: setattr(owner, "wait_for_read", original))
