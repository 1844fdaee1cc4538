"""Spans of a real system as a history, so that the delivery invariants can judge it.

A message is sent by a producer span, received, processed and settled by spans
of those operation types (``messaging.operation.type``, or the older
``messaging.operation``). *Processed* without an error is its effect. Where no
span of a queue settles, as with instrumentations that do not see deletes, a
message that was processed counts as acknowledged there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import HistoryError
from harness.history import SCHEMA, VERSION, Event, History
from harness.report.otlp import KEY

__all__ = ["EFFECT", "INVARIANTS", "is_otlp", "load"]

#: The name of the effect that a span of processing stands for.
EFFECT = "processed"
#: What spans can show.
INVARIANTS = ("no-message-loss", "at-least-once", "not-stuck")

_TYPES = {"publish": "send", "create": "create", "deliver": "process", "ack": "settle"}
_ORDER = {"send": 0, "receive": 1, "process": 2, "settle": 3}
_ERROR = 2
_REMEDY = "Give OTLP's JSON, one request a line, as the Collector's file exporter writes it"


def is_otlp(path: Path) -> bool:
    """Whether the file begins like OTLP's JSON of spans."""
    try:
        with path.open("rb") as file:
            return b'"resourceSpans"' in file.read(4096)
    except OSError:
        return False


def load(path: Path, *, dead_letter_queues: Sequence[str] = (), key: str = KEY, once: bool = False) -> History:
    """The history that a file of spans tells.

    *dead_letter_queues* are names of queues; without any, those whose name
    ends in ``dlq`` or has ``dead`` in it. *key* is the attribute with the
    message's key; where a span has none, the message's id is its key. With
    *once* a message may be processed once only (effects-once).

    Raises:
        HistoryError: it cannot be read, is no OTLP JSON, or has no span that sends a message.
    """
    found = sorted(_steps(path, key), key=lambda one: (one["ns"], _ORDER[one["type"]]))
    if not any(one["type"] == "send" for one in found):
        raise HistoryError("has no span that sends a message", file=str(path), remedy=_REMEDY)
    queues = sorted({one["queue"] for one in found})
    dead = [name for name in queues if name in dead_letter_queues] or [
        name for name in queues if not dead_letter_queues and (name.lower().endswith("dlq") or "dead" in name.lower())
    ]
    invariants = (*INVARIANTS, "effects-once") if once else INVARIANTS
    return History(_header(path, queues, dead, invariants), list(_events(found)))


def _header(path: Path, queues: Sequence[str], dead: Sequence[str], invariants: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "scenario": path.stem,
        "sentence": "Spans of a real system.",
        "seed": None,
        "backend": "live",
        "plan": {"version": 1, "faults": []},
        "system": {
            "queues": [{"name": name} for name in queues],
            "sources": [name for name in queues if name not in dead],
            "dead_letter_queues": list(dead),
            "processes": [],
            "effects": [{"name": EFFECT, "source": "span", "key": None}],
        },
        "workload": [],
        "invariants": [{"name": name, "parameters": {}, "optional": False} for name in invariants],
        "weakened": [],
    }


def _steps(path: Path, key: str) -> Iterator[dict[str, Any]]:
    """What each span of a message says happened: when, which step, of what."""
    for number, span, service in _spans(path):
        attributes = {one.get("key"): _plain(one.get("value")) for one in span.get("attributes") or ()}
        named = attributes.get("messaging.operation.type") or attributes.get("messaging.operation")
        step = (
            _TYPES.get(str(named), str(named))
            if named
            else ("send" if span.get("kind") in (4, "SPAN_KIND_PRODUCER") else "")
        )
        message = attributes.get("messaging.message.id") or attributes.get("messaging.message_id")
        if step not in _ORDER or message is None:
            continue
        try:
            ns = int(span["startTimeUnixNano"] if step == "send" else span["endTimeUnixNano"])
        except (KeyError, TypeError, ValueError):
            raise HistoryError(
                "has no valid time", file=str(path), field=f"line {number}, span {span.get('spanId')}", remedy=_REMEDY
            ) from None
        yield {
            "ns": ns,
            "type": step,
            "message": str(message),
            "key": None if attributes.get(key) is None else str(attributes[key]),
            "queue": str(
                attributes.get("messaging.destination.name") or attributes.get("messaging.destination") or "queue"
            ),
            "actor": service,
            "failed": (span.get("status") or {}).get("code") in (_ERROR, "STATUS_CODE_ERROR"),
            "error": str(attributes.get("error.type") or "error"),
        }


def _spans(path: Path) -> Iterator[tuple[int, Mapping[str, Any], str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HistoryError(f"cannot be read ({error})", file=str(path), remedy=_REMEDY) from None
    try:
        documents = [(1, json.loads(text))]
    except ValueError:
        documents = [
            (number, _line(path, number, line)) for number, line in enumerate(text.splitlines(), 1) if line.strip()
        ]
    for number, document in documents:
        try:
            for resource in document["resourceSpans"]:
                names = {
                    one["key"]: _plain(one["value"]) for one in (resource.get("resource") or {}).get("attributes") or ()
                }
                for scope in resource.get("scopeSpans") or ():
                    for span in scope.get("spans") or ():
                        if not isinstance(span, dict):
                            raise TypeError
                        yield number, span, str(names.get("service.name") or "service")
        except (KeyError, TypeError, AttributeError):
            raise HistoryError(
                "is no OTLP request of spans", file=str(path), field=f"line {number}", remedy=_REMEDY
            ) from None


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise HistoryError(f"is not JSON ({error})", file=str(path), field=f"line {number}", remedy=_REMEDY) from None


def _plain(value: Any) -> Any:
    """An attribute's value: the one field that its ``AnyValue`` has."""
    return next(iter(value.values()), None) if isinstance(value, Mapping) else None


def _events(steps: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    settling = {one["queue"] for one in steps if one["type"] == "settle"}
    keys = {one["message"]: one["key"] for one in steps if one["type"] == "send" and one["key"] is not None}
    start = steps[0]["ns"]
    receives: dict[str, int] = {}
    number = 0
    in_queue: dict[str, str] = {}

    def event(one: Mapping[str, Any], kind: str, **fields: Any) -> Event:
        nonlocal number
        number += 1
        message = one["message"]
        key = one["key"] or keys.get(message) or message
        return {"n": number, "t": round((one["ns"] - start) / 1e9, 6), "actor": one["actor"], "kind": kind,
                "message": message, "key": key, **fields}  # fmt: skip

    number += 1
    yield {"n": 1, "t": 0.0, "actor": "-", "kind": "run.start"}
    for one in steps:
        message, queue = one["message"], one["queue"]
        if one["type"] == "send":
            if message in in_queue:
                yield event(one, "move", queue=in_queue[message], to=queue, receive_count=receives.get(message, 0))
            else:
                yield event(one, "send", queue=queue, bytes=0, origin="workload", length=0, digest="")
            in_queue[message] = queue
        elif one["type"] == "receive":
            receives[message] = receives.get(message, 0) + 1
            yield event(one, "receive", queue=queue, receive_count=receives[message], handle="", visible_at=0.0)
        elif one["type"] == "process" and one["failed"]:
            yield event(one, "handler.end", outcome="error", error=one["error"], took=0.0)
        elif one["type"] == "process":
            yield event(one, "effect", name=EFFECT, source="span")
            if queue not in settling:
                yield event(one, "delete", queue=queue, handle="", found=True)
        else:
            yield event(one, "delete", queue=queue, handle="", found=True)
    last = round((steps[-1]["ns"] - start) / 1e9, 6)
    yield {"n": number + 1, "t": last, "actor": "-", "kind": "run.end", "reason": "quiet", "queues": {}, "points": {}}
