"""A history as a Perfetto trace: for ui.perfetto.dev and trace_processor.

An actor is a track, a call or a handled message a slice, a message a flow
from its send to its end, and backlog, messages in flight, dead letters and
breakers (0 closed, 1 half-open, 2 open) are counters. The file is a protobuf
``Trace`` of ``TrackEvent`` packets, written here field by field: see
https://perfetto.dev/docs/reference/synthetic-track-event for their meaning.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.history import Event, Header
from harness.report.series import QueueLevels

__all__ = ["dumps"]

_SEQUENCE = 1
_BEGIN, _END, _INSTANT, _COUNTER = 1, 2, 3, 4
_STATES = {"closed": 0, "half-open": 1, "half_open": 1, "open": 2}
_LEVELS = ("waiting", "in flight", "dead letters")
_SKIPPED = frozenset({"n", "t", "actor", "kind", "handle"})


def dumps(header: Header, events: Iterable[Event]) -> bytes:
    """The trace's bytes; the same history gives the same bytes. Timestamps are nanoseconds since the run's start."""
    return b"".join(_field(1, packet) for packet in _packets(header, list(events)))


# -- protobuf


def _varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF  # negative numbers are two's complement of 64 bits
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _fixed64(number: int, value: int) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<Q", value)


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode("utf-8", "replace"))


# -- the messages of a trace


def _id(*parts: str) -> int:
    """A number for a track or a flow: the same for the same parts, never 0."""
    return int.from_bytes(hashlib.blake2b("\x00".join(parts).encode("utf-8", "replace"), digest_size=8).digest()) | 1


def _descriptor(uuid: int, name: str, *, parent: int = 0, counter: bool = False) -> bytes:
    data = _number(1, uuid) + _text(2, name)
    data += _number(5, parent) if parent else b""
    data += _field(8, b"") if counter else b""
    return _number(10, _SEQUENCE) + _field(60, data)


def _event(t: float, type_: int, track: int, *rest: bytes) -> bytes:
    body = _number(9, type_) + _number(11, track) + b"".join(rest)
    return _number(8, round(t * 1e9)) + _number(10, _SEQUENCE) + _field(11, body)


def _annotations(event: Event) -> bytes:
    """The event's fields, as a viewer shows them beside a slice."""
    found = b""
    for name, value in event.items():
        if name in _SKIPPED or value is None:
            continue
        if isinstance(value, bool):
            shown = _number(2, int(value))
        elif isinstance(value, int):
            shown = _number(4, value)
        elif isinstance(value, float):
            shown = _double(5, value)
        else:
            shown = _text(6, str(value))
        found += _field(4, _text(10, name) + shown)
    return found + _field(4, _text(10, "event") + _number(4, event["n"]))


@dataclass
class _Slice:
    """Something that took time on an actor's track."""

    start: float
    end: float
    name: str
    event: Event


@dataclass
class _Lanes:
    """The tracks of one actor: as many as it takes for slices to nest."""

    tracks: list[tuple[int, list[float]]] = field(default_factory=list)  # track, ends of the slices that are open

    def place(self, one: _Slice, actor: str) -> tuple[int, bool]:
        """The track for a slice, and whether it is new. Slices come ordered by their start, longer ones first."""
        for track, ends in self.tracks:
            while ends and ends[-1] <= one.start:
                ends.pop()
            if not ends or ends[-1] >= one.end:
                ends.append(one.end)
                return track, False
        track = _id("track", actor, str(len(self.tracks)))
        self.tracks.append((track, [one.end]))
        return track, True


def _packets(header: Header, events: list[Event]) -> Iterator[bytes]:
    """Descriptors first, then events in the order of time, as a reader of one sequence expects them."""
    root = _id("run")
    yield _descriptor(root, str(header.get("scenario") or "run"))
    actors = {actor: _id("actor", actor) for actor in sorted({event["actor"] for event in events})}
    for actor, track in actors.items():
        yield _descriptor(track, actor if actor != "-" else "the run", parent=root)
    timed: list[tuple[float, int, bytes]] = []
    lanes: dict[str, _Lanes] = {}
    for one in sorted(_slices(events), key=lambda one: (one.start, -one.end)):
        actor = one.event["actor"]
        track, new = lanes.setdefault(actor, _Lanes()).place(one, actor)
        if new:
            yield _descriptor(track, f"{actor}: calls", parent=actors[actor])
        flow = _flow(one.event)
        timed.append(
            (
                one.start,
                1,
                _event(one.start, _BEGIN, track, _text(22, "call"), _text(23, one.name), flow, _annotations(one.event)),
            )
        )
        timed.append((one.end, 0 if one.end > one.start else 2, _event(one.end, _END, track)))
    for event in events:
        parts = (
            _text(22, event["kind"].partition(".")[0]),
            _text(23, _title(event)),
            _flow(event),
            _annotations(event),
        )
        timed.append((event["t"], 1, _event(event["t"], _INSTANT, actors[event["actor"]], *parts)))
    counters: dict[str, int] = {}
    for t, name, value in _counts(header, events):
        if name not in counters:
            counters[name] = _id("counter", name)
            yield _descriptor(counters[name], name, parent=root, counter=True)
        timed.append((t, 1, _event(t, _COUNTER, counters[name], _number(30, value))))
    timed.sort(key=lambda one: (one[0], one[1]))
    yield from (packet for _, _, packet in timed)


def _slices(events: Iterable[Event]) -> Iterator[_Slice]:
    handling: dict[tuple[str, Any], Event] = {}
    for event in events:
        kind, took = event["kind"], event.get("took")
        if kind == "handler.start":
            handling[event["actor"], event.get("key")] = event
        elif kind == "handler.end":
            begun = handling.pop((event["actor"], event.get("key")), None)
            start = begun["t"] if begun is not None else event["t"] - (took or 0.0)
            yield _Slice(start, event["t"], f"handle {event.get('key', '')}".strip(), event)
        elif kind in ("call.failed", "lambda.answer") and isinstance(took, (int, float)):
            yield _Slice(max(0.0, event["t"] - took), event["t"], str(event.get("point") or kind), event)


def _title(event: Event) -> str:
    about = event.get("key") or event.get("point") or event.get("breaker") or event.get("process") or ""
    return f"{event['kind']} {about}".strip()


def _flow(event: Event) -> bytes:
    """The flow of the message: all events of one key, or of one message without a key, are joined."""
    about = event.get("key") if event.get("key") is not None else event.get("message")
    return b"" if about is None else _fixed64(47, _id("flow", str(about)))


def _counts(header: Header, events: list[Event]) -> Iterator[tuple[float, str, int]]:
    system: Mapping[str, Any] = header.get("system") or {}
    end = max((event["t"] for event in events), default=0.0)
    levels = QueueLevels(frozenset(system.get("dead_letter_queues") or ()), max(end, 1.0), max(end, 1.0))
    shown: dict[str, int] = {}
    for event in events:
        levels.step(event)
        now = dict(zip(_LEVELS, (levels.waiting.value, levels.flight.value, levels.dead_letters.value), strict=True))
        if event["kind"] == "breaker.transition":
            now[f"breaker {event['breaker']}"] = _STATES.get(str(event["to"]), 0)
        for name, value in now.items():
            if shown.get(name) != value:
                shown[name] = value
                yield event["t"], name, value
