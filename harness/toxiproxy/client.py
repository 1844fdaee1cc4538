"""A thin typed client for a Toxiproxy server, embedded or real.

For what toxiproxy-python cannot do: timeouts, updates, populate, errors with
their text, several servers at once. It keeps no state but the address.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlsplit

from harness.errors import EnvironmentFailed, HarnessError, UsageError
from harness.toxiproxy.toxics import EXTRA

__all__ = ["ProxyInfo", "ToxicInfo", "ToxiproxyClient", "ToxiproxyError", "UnsupportedToxicError"]

_TIMEOUT: Final = 10.0


class ToxiproxyError(HarnessError):
    """The server refused. ``status``: the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"toxiproxy answered {status}: {message}")
        self.status = status
        self.message = message


class UnsupportedToxicError(HarnessError):
    """A toxic, a schedule or an atomic call that only the embedded server has was asked of a real Toxiproxy."""

    def __init__(self, what: str, url: str) -> None:
        super().__init__(
            f"{what} is known to the embedded proxy only, and {url} is a real Toxiproxy. "
            "Run with --toxiproxy embedded, or leave it out"
        )


@dataclass(frozen=True)
class ToxicInfo:
    """A toxic as the server tells it."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class ProxyInfo:
    """A proxy as the server tells it. ``listen`` and ``upstream``: ``host:port``."""

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: tuple[ToxicInfo, ...] = field(default=())

    @property
    def port(self) -> int:
        """Where clients connect to."""
        return int(self.listen.rpartition(":")[2])


class ToxiproxyClient:
    """Every method raises :class:`ToxiproxyError` when refused and EnvironmentFailed when nobody answers.

    ``timeout``: seconds for connecting and for each answer.

    Raises:
        UsageError: *url* is no ``http://HOST:PORT``.
    """

    def __init__(self, url: str, *, timeout: float = _TIMEOUT) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        try:
            self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 8474
        except ValueError:
            parts = parts._replace(scheme="")
        if parts.scheme != "http":
            raise UsageError(
                f"{url!r} is no address of a Toxiproxy", field="--toxiproxy", remedy="Give http://HOST:PORT."
            )
        self.url = f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"
        self._timeout = timeout
        self._embedded: bool | None = None

    # Server

    def version(self) -> str:
        """The version of the server."""
        answer = self._ask("GET", "/version")
        return str(answer.get("version", "")) if isinstance(answer, dict) else str(answer)

    @property
    def embedded(self) -> bool:
        """Whether the server is the embedded one, which has more toxics, schedules and atomic calls."""
        if self._embedded is None:
            try:
                self._ask("GET", "/schedule")
                self._embedded = True
            except ToxiproxyError as error:
                if error.status != 404:
                    raise
                self._embedded = False
        return self._embedded

    def reset(self) -> None:
        """Enable every proxy and take every toxic away."""
        self._ask("POST", "/reset")

    # Proxies

    def proxies(self) -> dict[str, ProxyInfo]:
        """All of them by name."""
        return {name: _proxy(document) for name, document in self._ask("GET", "/proxies").items()}

    def proxy(self, name: str) -> ProxyInfo:
        """One of them."""
        return _proxy(self._ask("GET", _path(name)))

    def create(self, name: str, upstream: str, *, listen: str = "127.0.0.1:0", enabled: bool = True) -> ProxyInfo:
        """A new one, on a free port unless *listen* says which."""
        document = {"name": name, "listen": listen, "upstream": upstream, "enabled": enabled}
        return _proxy(self._ask("POST", "/proxies", document))

    def update(
        self, name: str, *, listen: str | None = None, upstream: str | None = None, enabled: bool | None = None
    ) -> ProxyInfo:
        """Change what is given."""
        given = {"listen": listen, "upstream": upstream, "enabled": enabled}
        document = {key: value for key, value in given.items() if value is not None}
        return _proxy(self._ask("PATCH", _path(name), document))

    def delete(self, name: str) -> None:
        """Close its port and its connections."""
        self._ask("DELETE", _path(name))

    def populate(self, proxies: Sequence[Mapping[str, Any]]) -> list[ProxyInfo]:
        """Make the proxies of a list; those that are there with the same addresses stay as they are."""
        return [_proxy(one) for one in self._ask("POST", "/populate", list(proxies))["proxies"] or []]

    # Toxics

    def toxics(self, proxy: str) -> list[ToxicInfo]:
        """Those of one proxy."""
        return [_toxic(one) for one in self._ask("GET", _path(proxy, "toxics"))]

    def add_toxic(
        self,
        proxy: str,
        type: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        stream: str = "downstream",
        toxicity: float = 1.0,
    ) -> ToxicInfo:
        """Raises UnsupportedToxicError for a type of ours on a real Toxiproxy."""
        if type in EXTRA and not self.embedded:
            raise UnsupportedToxicError(f"toxic {type}", self.url)
        document = {
            "name": name or f"{type}_{stream}",
            "type": type,
            "stream": stream,
            "toxicity": toxicity,
            "attributes": dict(attributes or {}),
        }
        return _toxic(self._ask("POST", _path(proxy, "toxics"), document))

    def update_toxic(
        self, proxy: str, name: str, attributes: Mapping[str, Any] | None = None, *, toxicity: float | None = None
    ) -> ToxicInfo:
        """Change what is given."""
        document: dict[str, Any] = {"attributes": dict(attributes or {})}
        if toxicity is not None:
            document["toxicity"] = toxicity
        return _toxic(self._ask("PATCH", _path(proxy, "toxics", name), document))

    def remove_toxic(self, proxy: str, name: str) -> None:
        """Take it away."""
        self._ask("DELETE", _path(proxy, "toxics", name))

    # The embedded server only

    def apply(self, proxies: Sequence[Mapping[str, Any]]) -> list[ProxyInfo]:
        """Several proxies and their toxics at once, all of it or nothing."""
        self._need_embedded("an atomic call")
        return [_proxy(one) for one in self._ask("POST", "/apply", list(proxies))["proxies"]]

    def schedule(self, steps: Sequence[Mapping[str, Any]]) -> None:
        """Toxics in time: steps with ``at`` in seconds from now. Takes the place of the last schedule."""
        self._need_embedded("a schedule")
        self._ask("POST", "/schedule", list(steps))

    def stop_schedule(self) -> None:
        """What of the schedule has not been done is forgotten."""
        self._need_embedded("a schedule")
        self._ask("DELETE", "/schedule")

    def _need_embedded(self, what: str) -> None:
        if not self.embedded:
            raise UnsupportedToxicError(what, self.url)

    def _ask(self, method: str, path: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document).encode()
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise EnvironmentFailed(
                f"no Toxiproxy answers at {self.url} ({method} {path}: {error or type(error).__name__}). "
                "Start one, or use --toxiproxy embedded"
            ) from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise ToxiproxyError(answer.status, _message(text))
        return _document(text) if text else None


def _document(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace").strip()


def _message(text: bytes) -> str:
    document = _document(text)
    return str(document.get("error", document)) if isinstance(document, dict) else str(document)


def _path(proxy: str, *more: str) -> str:
    return "/".join(["/proxies", quote(proxy, safe=""), *(quote(part, safe="") for part in more)])


def _proxy(document: Mapping[str, Any]) -> ProxyInfo:
    toxics = tuple(_toxic(one) for one in document.get("toxics") or ())
    return ProxyInfo(document["name"], document["listen"], document["upstream"], bool(document["enabled"]), toxics)


def _toxic(document: Mapping[str, Any]) -> ToxicInfo:
    return ToxicInfo(
        document["name"], document["type"], document["stream"], float(document["toxicity"]), document["attributes"]
    )
