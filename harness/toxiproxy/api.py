"""The HTTP API: Toxiproxy's routes, status codes and bodies, and three routes of ours beside them.

Ours: ``POST /apply`` (proxies and toxics, all or nothing), ``GET``, ``POST`` and
``DELETE /schedule`` (toxics in time). Every answer is made at once: nothing here
waits for a connection's bytes.
"""

from __future__ import annotations

import logging
import posixpath
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes, urlsplit

from harness.net.http_server import Answer, Request, Response
from harness.toxiproxy.chain import Toxic
from harness.toxiproxy.collection import Collection, PopulateError
from harness.toxiproxy.errors import ApiError
from harness.toxiproxy.go_json import decode, encode
from harness.toxiproxy.proxy import Proxy
from harness.toxiproxy.schedule import Schedule

__all__ = ["VERSION", "Api"]

logger = logging.getLogger("harness.toxiproxy")

#: The version of Toxiproxy that this API is compatible with.
VERSION: Final = "2.12.0"

_JSON: Final = (("Content-Type", "application/json"),)
_ERROR: Final = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))

Parts = tuple[str, ...]
Route = Callable[[Request, Parts], Response]


class Api:
    """Answers requests. ``metrics`` gives the text of ``GET /metrics``; None: there is no such route."""

    def __init__(
        self, collection: Collection, schedule: Schedule, metrics: Callable[[], tuple[str, bytes]] | None = None
    ) -> None:
        self._collection = collection
        self._schedule = schedule
        self._metrics = metrics
        self._routes: Mapping[tuple[str, ...], Mapping[str, Route]] = {
            ("reset",): {"POST": self._reset},
            ("proxies",): {"GET": self._index, "POST": self._create},
            ("populate",): {"POST": self._populate},
            ("proxies", "*"): {
                "GET": self._show, "POST": self._update, "PATCH": self._update, "DELETE": self._delete,
            },
            ("proxies", "*", "toxics"): {"GET": self._toxic_index, "POST": self._toxic_create},
            ("proxies", "*", "toxics", "*"): {
                "GET": self._toxic_show,
                "POST": self._toxic_update,
                "PATCH": self._toxic_update,
                "DELETE": self._toxic_delete,
            },
            ("version",): {"GET": self._version},
            ("apply",): {"POST": self._apply},
            ("schedule",): {
                "GET": self._schedule_show, "POST": self._schedule_start, "DELETE": self._schedule_stop,
            },
        }  # fmt: skip

    def __call__(self, request: Request, answer: Answer) -> None:
        answer(self.respond(request))

    def respond(self, request: Request) -> Response:
        """The answer to *request*."""
        path = _path_of(request.path)
        clean = _cleaned(path)
        if clean != path:
            query = f"?{request.query}" if request.query else ""
            return Response(301, b"", (("Location", clean + query),))
        parts = tuple(map(_unquoted, path.strip("/").split("/"))) if not path.endswith("/") else ()
        if path == "/metrics" and self._metrics is not None:
            kind, text = self._metrics()
            return Response(200, text, (("Content-Type", kind),))
        methods = self._match(parts) if path.count("%2F") + path.count("%2f") == 0 else None
        if methods is None:
            return Response(404, b"404 page not found\n", _ERROR)
        route = methods.get(request.method)
        if route is None:
            return Response(405)
        response = self._guarded(route, request, parts)
        response.headers = (*response.headers, ("X-Toxiproxy-Request-Id", secrets.token_hex(10)))
        return response

    def _match(self, parts: Parts) -> Mapping[str, Route] | None:
        for pattern, methods in self._routes.items():
            if len(pattern) == len(parts) and all(
                wanted == part or (wanted == "*" and part) for wanted, part in zip(pattern, parts, strict=True)
            ):
                return methods
        return None

    def _guarded(self, route: Route, request: Request, parts: Parts) -> Response:
        if request.header("user-agent").startswith("Mozilla/"):
            return Response(403, b"User agent not allowed\n", _ERROR)
        try:
            return route(request, parts)
        except PopulateError as error:
            document = {
                "error": error.message,
                "status": error.status,
                "proxies": None if error.proxies is None else [proxy.to_json() for proxy in error.proxies],
            }
            return Response(error.status, encode(document), _JSON)
        except ApiError as error:
            return Response(error.status, encode({"error": error.message, "status": error.status}) + b"\n", _ERROR)
        except OSError as error:
            logger.exception("%s %s failed", request.method, request.path)
            return Response(500, encode({"error": str(error), "status": 500}) + b"\n", _ERROR)

    # Proxies

    def _index(self, request: Request, parts: Parts) -> Response:
        proxies = self._collection.proxies
        return _json({name: proxies[name].to_json() for name in sorted(proxies)})

    def _create(self, request: Request, parts: Parts) -> Response:
        return _json(self._collection.create(decode(request.body)).to_json(), 201)

    def _populate(self, request: Request, parts: Parts) -> Response:
        try:
            document = decode(request.body)
        except ApiError as error:
            raise PopulateError(error, None) from None
        proxies = self._collection.populate(document)
        return _json({"proxies": _listed(proxies)}, 201)

    def _apply(self, request: Request, parts: Parts) -> Response:
        return _json({"proxies": _listed(self._collection.apply(decode(request.body)))})

    def _show(self, request: Request, parts: Parts) -> Response:
        return _json(self._collection.get(parts[1]).to_json())

    def _update(self, request: Request, parts: Parts) -> Response:
        self._collection.get(parts[1])
        return _json(self._collection.update(parts[1], decode(request.body)).to_json())

    def _delete(self, request: Request, parts: Parts) -> Response:
        self._collection.delete(parts[1])
        return Response(204)

    def _reset(self, request: Request, parts: Parts) -> Response:
        self._schedule.stop()
        self._collection.reset()
        return Response(204)

    # Toxics

    def _toxic_index(self, request: Request, parts: Parts) -> Response:
        return _json(self._collection.get(parts[1]).chain.to_json())

    def _toxic_create(self, request: Request, parts: Parts) -> Response:
        proxy = self._collection.get(parts[1])
        toxic = Toxic.read(decode(request.body), proxy.chain)
        proxy.add_toxic(toxic)
        return _json(toxic.to_json())

    def _toxic_show(self, request: Request, parts: Parts) -> Response:
        return _json(self._collection.get(parts[1]).chain.find(parts[3]).to_json())

    def _toxic_update(self, request: Request, parts: Parts) -> Response:
        proxy = self._collection.get(parts[1])
        proxy.chain.find(parts[3])
        return _json(proxy.update_toxic(parts[3], decode(request.body)).to_json())

    def _toxic_delete(self, request: Request, parts: Parts) -> Response:
        self._collection.get(parts[1]).remove_toxic(parts[3])
        return Response(204)

    # Others

    def _version(self, request: Request, parts: Parts) -> Response:
        text = f'{{"version": "{VERSION}"}}\n'.encode()
        return Response(200, text, (("Content-Type", "application/json;charset=utf-8"),))

    def _schedule_show(self, request: Request, parts: Parts) -> Response:
        return _json(self._schedule.to_json())

    def _schedule_start(self, request: Request, parts: Parts) -> Response:
        self._schedule.start(decode(request.body))
        return _json(self._schedule.to_json(), 201)

    def _schedule_stop(self, request: Request, parts: Parts) -> Response:
        self._schedule.stop()
        return Response(204)


def _json(document: Any, status: int = 200) -> Response:
    return Response(status, encode(document), _JSON)


def _listed(proxies: list[Proxy] | None) -> list[dict[str, Any]] | None:
    return None if proxies is None else [proxy.to_json() for proxy in proxies]


def _path_of(target: str) -> str:
    """The path of a target, which may be a whole URL."""
    if target.lower().startswith(("http://", "https://")):
        return urlsplit(target).path or "/"
    return target


def _unquoted(part: str) -> str:
    return unquote_to_bytes(part.encode("latin-1")).decode("utf-8", "replace")


def _cleaned(path: str) -> str:
    """*path* without double slashes and dots, as Toxiproxy's router redirects to."""
    if not path.startswith("/"):
        path = f"/{path}"
    clean = posixpath.normpath(path)
    if clean.startswith("//"):
        clean = clean[1:]
    return clean + "/" if path.endswith("/") and clean != "/" else clean
