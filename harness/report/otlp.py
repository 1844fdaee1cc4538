"""OpenTelemetry spans: a history as spans by the messaging conventions, and spans of a real system as a history.

The file holds OTLP's JSON encoding, one ``ExportTraceServiceRequest`` a line,
as the Collector's file exporter writes it; a file that is one such object is
read too. Spans of a message:

========  ========  =======================================================
type      kind      of
========  ========  =======================================================
send      producer  a send to a queue
receive   client    a delivery, linked to the send
process   consumer  a delivery that took effect, or a handler that failed
settle    client    an acknowledgement
========  ========  =======================================================

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ gives
names, attributes and kinds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.history import Event, Header

__all__ = ["KEY", "Span", "dumps", "request", "spans"]

Span = Mapping[str, Any]

#: The attribute with the message's key in the workload.
KEY = "harness.message.key"

#: Second 0 of a run on the processes' wall clocks: 2030-01-01T00:00:00Z.
_EPOCH_S = 1_893_456_000
_INTERNAL, _CLIENT, _PRODUCER, _CONSUMER = 1, 3, 4, 5
_ERROR = 2


def dumps(header: Header, events: Iterable[Event]) -> bytes:
    """The history as one line of OTLP JSON."""
    import orjson

    return orjson.dumps(request(header, events), option=orjson.OPT_APPEND_NEWLINE)


def request(header: Header, events: Iterable[Event]) -> dict[str, Any]:
    """The ``ExportTraceServiceRequest``: one resource for each process."""
    by_service: dict[str, list[Span]] = {}
    for service, span in spans(header, events):
        by_service.setdefault(service, []).append(span)
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes({"service.name": service, "harness.seed": header.get("seed")})},
                "scopeSpans": [{"scope": {"name": "harness"}, "spans": found}],
            }
            for service, found in by_service.items()
        ]
    }


def spans(header: Header, events: Iterable[Event]) -> Iterator[tuple[str, Span]]:
    """Each span with the process it belongs to, in the order in which they end."""
    yield from _Writer(header).read(events)


class _Writer:
    def __init__(self, header: Header) -> None:
        self._run = f"{header.get('scenario')}\x00{header.get('seed')}"
        self._sent: dict[str, tuple[str, str]] = {}  # message -> its trace, the span of its send
        self._received: dict[str, Event] = {}  # message -> its last delivery
        self._holds: dict[tuple[str, str], str] = {}  # process, key -> the message that it has in hand
        self._queue: dict[str, str] = {}

    def read(self, events: Iterable[Event]) -> Iterator[tuple[str, Span]]:
        for event in events:
            kind, message = event["kind"], event.get("message")
            service = str(event["actor"]).partition("/")[0]
            if kind == "send" and message is not None:
                yield service, self._send(event, message)
            elif kind == "receive" and message is not None:
                self._received[message] = event
                self._holds[service, str(event.get("key", message))] = message
                yield service, self._span(event, "receive", _CLIENT, message, event["t"], links=True)
            elif kind == "effect":
                held = self._holds.get((service, str(event.get("key"))))
                if held is not None:
                    begun = self._received[held]["t"]
                    more = {"harness.effect": event.get("name")}
                    yield service, self._span(event, "process", _CONSUMER, held, begun, more=more)
            elif kind == "handler.end" and event.get("outcome") == "error" and message in self._received:
                yield service, self._span(event, "process", _CONSUMER, message, self._received[message]["t"])
            elif kind == "delete" and message is not None and event.get("found", True):
                yield service, self._span(event, "settle", _CLIENT, message, event["t"])
            elif kind == "move" and message is not None:
                self._queue[message] = event["to"]
                yield "sqs", self._span(event, "send", _PRODUCER, message, event["t"], links=True)

    def _send(self, event: Event, message: str) -> Span:
        trace = self._id(16, "trace", str(event.get("key", message)))
        self._queue[message] = str(event.get("queue"))
        span = self._span(event, "send", _PRODUCER, message, event["t"], trace=trace)
        self._sent[message] = (trace, span["spanId"])
        return span

    def _span(
        self,
        event: Event,
        type_: str,
        kind: int,
        message: str,
        begun: float,
        *,
        trace: str = "",
        links: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> Span:
        queue = self._queue.get(message, str(event.get("queue", "")))
        sent_trace, parent = self._sent.get(message, ("", ""))
        error = event.get("error") if event["kind"] == "handler.end" else None
        attributes = {
            "messaging.system": "aws_sqs",
            "messaging.destination.name": queue,
            "messaging.operation.name": type_,
            "messaging.operation.type": type_,
            "messaging.message.id": message,
            "messaging.message.body.size": event.get("bytes"),
            KEY: event.get("key"),
            "harness.event": event["n"],
            "harness.receive_count": event.get("receive_count"),
            "error.type": None if error is None else str(error).partition(":")[0],
            **(more or {}),
        }
        span: dict[str, Any] = {
            "traceId": trace or sent_trace or self._id(16, "trace", message),
            "spanId": self._id(8, "span", str(event["n"])),
            "name": f"{type_} {queue}".strip(),
            "kind": kind,
            "startTimeUnixNano": _nanoseconds(begun),
            "endTimeUnixNano": _nanoseconds(event["t"]),
            "attributes": _attributes(attributes),
        }
        if parent and not links:
            span["parentSpanId"] = parent
        if parent and links:
            span["links"] = [{"traceId": sent_trace, "spanId": parent}]
        if error is not None:
            span["status"] = {"code": _ERROR, "message": str(error)}
        return span

    def _id(self, size: int, *parts: str) -> str:
        text = "\x00".join((self._run, *parts))
        return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=size).hexdigest()


def _nanoseconds(t: float) -> str:
    return str(_EPOCH_S * 10**9 + round(t * 10**6) * 1000)


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}  # OTLP's JSON writes 64-bit numbers as texts
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": str(value)}
