"""Stub HTTP services: what the code under test calls beside its queue and its Redis.

A stub is made when its URL or host is first mentioned and answers 200 with
``{}`` until it is given a responder. The wire (:mod:`harness.sim.wire.http`)
brings the requests, after the faults of ``dependency.<name>`` have had their say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.errors import ScenarioError

if TYPE_CHECKING:
    from harness.sim.world import World

__all__ = ["HttpObserver", "HttpRequest", "HttpResponse", "HttpStubs", "Responder", "carry_out"]

#: The domain of the stubs; ``.internal`` is reserved for private use and never resolves in the public DNS.
DOMAIN = "stub.internal"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as a stub got it. ``path`` includes the query; header names are in lower case."""

    name: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One answer of a stub."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"{}"

    @classmethod
    def of(cls, answer: HttpResponse | Mapping[str, Any] | None) -> HttpResponse:
        """What a responder returned: a response, a mapping (sent as JSON with status 200), or nothing (``{}``)."""
        if answer is None:
            return cls(headers={"Content-Type": "application/json"})
        if isinstance(answer, HttpResponse):
            return answer
        return cls(headers={"Content-Type": "application/json"}, body=json.dumps(answer).encode())


#: Answers a request in no time: it must not wait.
Responder: TypeAlias = Callable[[HttpRequest], "HttpResponse | Mapping[str, Any] | None"]

#: Told each request that a stub carried out: ``(name, method, path, body, status)``.
HttpObserver: TypeAlias = Callable[[str, str, str, bytes, int], None]


class HttpStubs:
    """The stub services of one run, by name."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._responders: dict[str, Responder | None] = {}
        self._next_port = 50_000
        self.observers: list[HttpObserver] = []

    @property
    def names(self) -> list[str]:
        """The stubs that were mentioned so far, in order of mention."""
        return list(self._responders)

    def url(self, name: str) -> str:
        """The stub's base URL, without a slash at the end; makes the stub.

        Raises:
            ScenarioError: the name cannot stand in a host name.
        """
        if not _NAME.match(name):
            raise ScenarioError(
                f"{name!r} cannot name an HTTP stub",
                field=f"{{http:{name}}}",
                remedy="Use lower-case letters, digits and hyphens, as in {http:payments}",
            )
        self._responders.setdefault(name, None)
        return f"http://{name}.{DOMAIN}:80"

    def respond(self, name: str, responder: Responder | None) -> None:
        """Let *responder* answer the requests to stub *name* (``None``: again 200 with ``{}``)."""
        self.url(name)
        self._responders[name] = responder

    def name_of(self, host: str) -> str | None:
        """The stub that *host* leads to; ``None`` for a host that is no stub's."""
        name, _, domain = host.lower().rstrip(".").partition(".")
        if domain != DOMAIN or not _NAME.match(name):
            return None
        self._responders.setdefault(name, None)
        return name

    def local_port(self) -> int:
        """A port number for the client's end of a new connection: the same in every run."""
        self._next_port += 1
        return self._next_port

    def carry_out(self, request: HttpRequest) -> HttpResponse:
        """The stub's own work: ask the responder, tell the observers. A responder that fails answers 500."""
        return carry_out(request, self._responders.get(request.name), self.observers)


def carry_out(request: HttpRequest, responder: Responder | None, observers: Iterable[HttpObserver]) -> HttpResponse:
    """What a stub with *responder* answers; *observers* are told. A responder that fails answers 500."""
    try:
        response = HttpResponse.of(None if responder is None else responder(request))
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        response = HttpResponse(500, {"Content-Type": "text/plain"}, text.encode())
    for observer in observers:
        observer(request.name, request.method, request.path, request.body, response.status)
    return response
