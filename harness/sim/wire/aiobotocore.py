"""Joins unmodified ``aiobotocore`` (and so ``aioboto3``) clients to the run's services.

Cut at the session's ``send``, for the class: aiohttp's and, where this
version has it, httpx's. The request takes the same way as boto3's
(:mod:`harness.sim.wire.botocore`), carried by a courier while the event loop
goes on. Retries, signing and parsing are aiobotocore's own.

Who cancels a call hangs up: a request that is on its way is carried out all
the same, a long poll that waits is given up by the service.
"""

from __future__ import annotations

import contextvars
import importlib
from collections.abc import Callable
from typing import Any

from harness.errors import EnvironmentFailed
from harness.sim import world as _world
from harness.sim.aside import aside, hang_up
from harness.sim.wire import botocore as wire

__all__ = ["install", "uninstall"]

_undo: list[Callable[[], object]] = []
_absent = False

#: The operation that a task makes a request of: (operation model, request context).
_operation: contextvars.ContextVar[tuple[Any, dict[str, Any]] | None] = contextvars.ContextVar(
    "harness_aws_operation", default=None
)


def install() -> None:
    """Put the wire in; once more is nothing. Nothing either where aiobotocore is not installed.

    Raises:
        EnvironmentFailed: this version of aiobotocore cannot be simulated.
    """
    global _absent
    if _undo or _absent:
        return
    try:
        library = importlib.import_module("aiobotocore")
        endpoint = importlib.import_module("aiobotocore.endpoint")
        sessions = [importlib.import_module("aiobotocore.httpsession").AIOHTTPSession]
        answers = importlib.import_module("aiobotocore.awsrequest")
    except ImportError:
        _absent = True  # each run asks, and looking through the folders takes a tenth of a millisecond
        return
    try:
        sessions.append(importlib.import_module("aiobotocore.httpxsession").HttpxSession)
    except (ImportError, AttributeError):  # an older version, or httpx is not there
        pass
    wanted = [
        (endpoint.AioEndpoint, "_send_request"),
        (answers, "AioAWSResponse"),
        *((one, "send") for one in sessions),
    ]
    missing = [f"{owner.__name__}.{name}" for owner, name in wanted if not hasattr(owner, name)]
    if missing:
        raise EnvironmentFailed(
            f"aiobotocore {library.__version__} cannot be simulated: {', '.join(missing)} is not there. "
            "Install aiobotocore 3.10 or later"
        )
    _replace(endpoint.AioEndpoint, "_send_request", _remember_operation(endpoint.AioEndpoint._send_request))
    for session in sessions:
        _replace(session, "send", _cut(session.send, answers.AioAWSResponse))


def uninstall() -> None:
    """Take the wire out; once more is nothing."""
    global _absent
    _absent = False
    while _undo:
        _undo.pop()()


def _replace(owner: Any, name: str, value: Any) -> None:
    before = vars(owner)[name]
    setattr(owner, name, value)
    _undo.append(lambda: setattr(owner, name, before))


def _remember_operation(original: Callable[..., Any]) -> Callable[..., Any]:
    """While a task makes a request, the wire knows which operation its bytes are."""

    async def _send_request(self: Any, request_dict: dict[str, Any], operation_model: Any) -> Any:
        if _world.current() is None:
            return await original(self, request_dict, operation_model)
        before = _operation.get()
        _operation.set((operation_model, request_dict["context"]))
        try:
            return await original(self, request_dict, operation_model)
        finally:
            _operation.set(before)

    return _send_request


class _Patience:
    """How long a session waits for an answer, as the wire of botocore asks for it."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout


def _cut(original: Callable[..., Any], answer: Callable[..., Any]) -> Callable[..., Any]:
    async def send(self: Any, request: Any) -> Any:
        world = _world.current()
        if world is None or world.kernel.current is None:
            return await original(self, request)
        patience = _Patience(_read_timeout(self._timeout))
        known = _operation.get()
        made = await aside(lambda: wire.send_for(world, patience, request, known), hung_up=hang_up)
        body: bytes | None = made._content if isinstance(made._content, bytes) else None
        if body is None:
            body = made.raw.read()
        headers = {name.lower(): value for name, value in made.headers.items()}
        response = answer(made.url, made.status_code, headers, _Raw(body))
        if not request.stream_output:
            response._content = body
        return response

    return send


def _read_timeout(timeout: Any) -> float | None:
    """The time between two bytes that an ``aiohttp.ClientTimeout`` or an ``httpx.Timeout`` allows, in seconds."""
    for name in ("sock_read", "read"):
        if hasattr(timeout, name):
            seconds = getattr(timeout, name)
            return None if seconds is None else float(seconds)
    return float(timeout) if isinstance(timeout, (int, float)) else None


class _Raw:
    """A body that has arrived, read as one reads aiohttp's response and its ``content``."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.content = self
        self.closed = False

    async def read(self, amt: int | None = None) -> bytes:
        size = len(self._body) if amt is None or amt < 0 else amt
        data, self._body = self._body[:size], self._body[size:]
        return data

    aread = read

    def at_eof(self) -> bool:
        return not self._body

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True
