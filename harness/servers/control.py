"""The control API under ``/_harness/``: what no other local SQS gives.

========================== ==================================================================
``GET    /_harness/health``   what runs here: version, calls, queues, clock
``GET    /_harness/faults``   the fault plan in force, and what it has struck
``PUT    /_harness/faults``   another plan; its seconds count from now
``PATCH  /_harness/faults``   more faults; the clock of all of them begins anew
``DELETE /_harness/faults``   none
``GET    /_harness/clock``    the time of the services, in seconds since 1970, and its speed
``PUT    /_harness/clock``    ``{"speed": 0 | 1 | x, "advance": seconds, "mode": "real" | "frozen"}``
``GET    /_harness/history``  events as JSON Lines; ``?after=n``, ``?follow=seconds``, ``?header=1``
``POST   /_harness/effects``  ``{"name", "key"}`` or an array of them: this happened
``POST   /_harness/check``    judge; ``{"invariants": [names], "final": bool}``: final, or is work under way?
``POST   /_harness/reset``    everything back to empty; answers when that was, by the machine's monotonic clock
``POST   /_harness/send``     ``{"queue", "body", "key", ...}``: a message of the outside world, past every fault
``GET PUT /_harness/settings`` ``{"key": JSON path, "wait_rules": bool}``
========================== ==================================================================

``/_localstack/chaos/faults`` (GET, POST, PATCH, DELETE) and
``/_localstack/chaos/effects`` take the rules of LocalStack's chaos API.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from harness.errors import HarnessError, UsageError
from harness.faults.plan import FaultPlan
from harness.net.http_server import Answer, Request, Response
from harness.servers.server_faults import rules_of, without
from harness.servers.server_history import specs_named, still_open
from harness.sim.services.errors import ServiceError

if TYPE_CHECKING:
    from harness.servers.aws_server import AwsServer

__all__ = ["Control"]

_JSON = (("Content-Type", "application/json"),)
_LINES = (("Content-Type", "application/x-ndjson"),)
_LONGEST_FOLLOW = 60.0
_LONGEST_NAME = 1024

Route = Callable[[Request], "Response | None"]


class Control:
    """Answers the control API of one server."""

    def __init__(self, server: AwsServer) -> None:
        self._server = server
        self._routes: Mapping[str, Mapping[str, Route]] = {
            "/_harness/health": {"GET": self._health},
            "/_harness/faults": {
                "GET": self._faults,
                "PUT": self._put_faults,
                "PATCH": self._patch_faults,
                "DELETE": self._delete_faults,
            },
            "/_harness/clock": {"GET": self._clock, "PUT": self._put_clock, "PATCH": self._put_clock},
            "/_harness/effects": {"POST": self._post_effects},
            "/_harness/check": {"POST": self._check, "GET": self._check},
            "/_harness/reset": {"POST": self._reset},
            "/_harness/send": {"POST": self._send},
            "/_harness/settings": {"GET": self._settings, "PUT": self._put_settings, "PATCH": self._put_settings},
            "/_localstack/chaos/faults": {
                "GET": self._rules,
                "POST": self._put_rules,
                "PATCH": self._add_rules,
                "DELETE": self._delete_rules,
            },
            "/_localstack/chaos/effects": {"GET": self._latency, "POST": self._put_latency},
            "/_localstack/health": {"GET": self._localstack_health},
        }

    def __call__(self, request: Request, answer: Answer) -> None:
        path = request.path.rstrip("/")
        if request.header("user-agent").startswith("Mozilla/") and request.method != "GET":
            answer(_error(403, "browsers may only read"))  # a page of somebody's must not change a test's server
            return
        try:
            if path == "/_harness/history":
                if request.method != "GET":
                    raise _NotAllowed
                self._history(request, answer)
                return
            methods = self._routes.get(path)
            if methods is None:
                answer(_error(404, f"there is no {path}; the paths are {', '.join(self._routes)}, /_harness/history"))
                return
            route = methods.get(request.method)
            if route is None:
                raise _NotAllowed
            answer(route(request) or Response(204))
        except _NotAllowed:
            answer(_error(405, f"{request.method} is not for {path}"))
        except HarnessError as error:
            answer(_error(400, str(error)))

    # What runs here

    def _health(self, request: Request) -> Response:
        server = self._server
        return _json(
            {
                "status": "ok",
                "version": metadata.version("resilience-harness"),
                "services": ["sqs", "sns", "cloudwatch", "sts"],
                "queues": server.sqs.inventory(),
                "calls": server.calls,
                "events": server.history.count,
                "clock": self._clock_now(),
            }
        )

    def _localstack_health(self, request: Request) -> Response:
        return _json({"services": dict.fromkeys(("sqs", "sns", "cloudwatch"), "running"), "edition": "harness"})

    def _reset(self, request: Request) -> Response:
        self._server.reset()
        return _json({"monotonic": time.monotonic()})

    def _send(self, request: Request) -> Response:
        document = _object(request, {"queue", "body", "attributes", "group", "deduplication", "key"})
        queue, body, key = document.get("queue"), document.get("body"), document.get("key")
        if not isinstance(queue, str) or not isinstance(body, str):
            raise UsageError("queue and body must be texts", field="body")
        if key is not None:
            self._server.history.keys.learn_body(body, str(key))
        try:
            message = self._server.sqs.put(
                queue,
                body,
                attributes=_attributes(document.get("attributes")),
                group=_text_or_none(document.get("group"), "group"),
                dedup=_text_or_none(document.get("deduplication"), "deduplication"),
                key=None if key is None else str(key),
                origin="workload",
            )
        except (ServiceError, KeyError) as error:
            raise UsageError(f"the message was not accepted: {error}", field="send") from None
        return _json({"MessageId": message}, 201)

    def _settings(self, request: Request) -> Response:
        return _json({"key": self._server.history.keys.path, "wait_rules": self._server.sqs.wait_rules})

    def _put_settings(self, request: Request) -> Response:
        document = _object(request, {"key", "wait_rules"})
        if "key" in document:
            self._server.history.keys.set_path(_text_or_none(document["key"], "key"))
        if "wait_rules" in document:
            if not isinstance(document["wait_rules"], bool):
                raise UsageError("must be true or false", field="wait_rules")
            self._server.sqs.wait_rules = document["wait_rules"]
        return self._settings(request)

    # Faults

    def _faults(self, request: Request) -> Response:
        faults = self._server.faults
        return _json({**faults.plan.to_json(), "struck": faults.strikes(), **faults.table()})

    def _put_faults(self, request: Request) -> Response:
        self._server.faults.set_plan(FaultPlan.from_json(_body(request)))
        return self._faults(request)

    def _patch_faults(self, request: Request) -> Response:
        more = FaultPlan.from_json(_body(request))
        self._server.faults.set_plan(FaultPlan([*self._server.faults.plan, *more]))
        return self._faults(request)

    def _delete_faults(self, request: Request) -> None:
        self._server.faults.set_plan(FaultPlan())

    def _rules(self, request: Request) -> Response:
        return _json([rule.to_json() for rule in self._server.faults.rules])

    def _put_rules(self, request: Request) -> Response:
        self._server.faults.rules = rules_of(_body(request))
        return self._rules(request)

    def _add_rules(self, request: Request) -> Response:
        self._server.faults.rules = [*self._server.faults.rules, *rules_of(_body(request))]
        return self._rules(request)

    def _delete_rules(self, request: Request) -> Response:
        gone = rules_of(_body(request)) if request.body else self._server.faults.rules
        self._server.faults.rules = without(self._server.faults.rules, gone)
        return self._rules(request)

    def _latency(self, request: Request) -> Response:
        return _json({"latency": self._server.faults.latency_ms})

    def _put_latency(self, request: Request) -> Response:
        latency = _object(request, {"latency"}).get("latency", 0)
        if not isinstance(latency, (int, float)) or isinstance(latency, bool) or not 0 <= latency <= 3_600_000:
            raise UsageError(f"must be milliseconds, not {latency!r}", field="latency")
        self._server.faults.latency_ms = float(latency)
        return self._latency(request)

    # Clock

    def _clock_now(self) -> dict[str, Any]:
        clock = self._server.clock
        return {"now": clock.now_us() / 1_000_000, "speed": clock.speed, "mode": "real" if clock.speed else "frozen"}

    def _clock(self, request: Request) -> Response:
        return _json(self._clock_now())

    def _put_clock(self, request: Request) -> Response:
        document = _object(request, {"speed", "advance", "mode"})
        mode = document.get("mode")
        if mode not in (None, "real", "frozen"):
            raise UsageError(f"must be real or frozen, not {mode!r}", field="mode")
        if mode is not None and "speed" not in document:
            document["speed"] = 1.0 if mode == "real" else 0.0
        if "speed" in document:
            self._server.clock.set_speed(document["speed"])
        if "advance" in document:
            self._server.clock.advance(document["advance"])
        return self._clock(request)

    # History, effects, verdicts

    def _history(self, request: Request, answer: Answer) -> None:
        """Events after ``after``; with ``follow`` the answer waits so many seconds for one if there is none."""
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        after = _number(query.get("after", "0"), "after", 10**12)
        follow = _number(query.get("follow", "0"), "follow", _LONGEST_FOLLOW)
        history = self._server.history
        first: list[bytes] = []
        if query.get("header", "0") not in ("0", ""):
            document = history.header(self._server.faults.plan, self._server.queues(), specs_named(None))
            first = [json.dumps(document).encode()]

        def send() -> None:
            answer(Response(200, b"".join(line + b"\n" for line in [*first, *history.lines(int(after))]), _LINES))

        if history.lines(int(after)) or not follow:
            send()
            return

        def come() -> None:
            if come in history.readers:
                history.readers.remove(come)
                timer.cancel()
                send()

        history.readers.append(come)
        timer = self._server.reactor.call_later(follow, come)

    def _post_effects(self, request: Request) -> Response:
        document = _body(request)
        effects = document if isinstance(document, list) else [document]
        checked = [_effect(one, number) for number, one in enumerate(effects, 1)]
        return _json({"events": [self._server.history.effect(name, key) for name, key in checked]}, 201)

    def _check(self, request: Request) -> Response:
        document = _object(request, {"invariants", "final"}) if request.body else {}
        names, final = document.get("invariants"), document.get("final", False)
        if not isinstance(final, bool):
            raise UsageError("must be true or false", field="final")
        if names is not None and not (isinstance(names, list) and all(isinstance(one, str) for one in names)):
            raise UsageError("must be an array of names", field="invariants")
        server = self._server
        inventory = server.sqs.inventory()
        verdicts = server.history.judge(server.faults.plan, server.queues(), inventory, specs_named(names))
        if not final:
            verdicts = still_open(verdicts, inventory)
        worst = {one.status for one in verdicts}
        verdict = "failed" if "violated" in worst else "inconclusive" if "inconclusive" in worst else "passed"
        return _json(
            {
                "verdict": verdict if verdicts else "inconclusive",
                "invariants": [
                    {"name": one.name, "verdict": one.status, "detail": one.detail, "evidence": list(one.evidence)}
                    for one in verdicts
                ],
                "events": server.history.count,
            }
        )


class _NotAllowed(Exception):
    """The path is right, the method is not."""


def _json(document: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(document).encode() + b"\n", _JSON)


def _error(status: int, message: str) -> Response:
    return _json({"error": message, "status": status}, status)


def _body(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"is not JSON: {error}", field="body") from None


def _object(request: Request, known: set[str]) -> dict[str, Any]:
    document = _body(request)
    if not isinstance(document, dict):
        raise UsageError("must be a JSON object", field="body")
    for name in document:
        if name not in known:
            raise UsageError(f"there is no field {name!r}", field="body", remedy=f"Use {', '.join(sorted(known))}.")
    return document


def _effect(document: Any, number: int) -> tuple[str, str]:
    field = f"effect {number}"
    if not isinstance(document, dict) or set(document) - {"name", "key"} or "key" not in document:
        raise UsageError('must be {"name", "key"}', field=field)
    name, key = document.get("name", "handled"), document["key"]
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise UsageError(f"name must be a text, not {name!r}", field=field)
    if isinstance(key, bool) or not isinstance(key, (str, int, float)) or len(str(key)) > _LONGEST_NAME:
        raise UsageError(f"key must be a text or a number, not {key!r}", field=field)
    return name, str(key)


def _text_or_none(value: Any, field: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise UsageError(f"must be a text or null, not {value!r}", field=field)


def _attributes(value: Any) -> dict[str, Any] | None:
    """Message attributes, binary ones in base64."""
    if value is None:
        return None
    try:
        return {
            name: {key: b64decode(one) if key == "BinaryValue" else one for key, one in attribute.items()}
            for name, attribute in value.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise UsageError(f"must be as SQS has them: {error}", field="attributes") from None


def _number(text: str, field: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise UsageError(f"must be a number from 0 to {most:g}, not {text!r}", field=field)
    return number
