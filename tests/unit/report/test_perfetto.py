"""The Perfetto trace is valid protobuf with nested slices, flows and counters, checked by a decoder of its own."""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import Any

import pytest

from harness.report import perfetto
from tests.unit.report import synthetic

Fields = dict[int, list[Any]]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def _decode(data: bytes) -> Fields:
    """A message's fields by number: numbers, eight bytes as they are, or bytes."""
    found: Fields = defaultdict(list)
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            found[tag >> 3].append(value)
        elif kind == 1:
            found[tag >> 3].append(data[at : at + 8])
            at += 8
        else:
            assert kind == 2
            size, at = _varint(data, at)
            found[tag >> 3].append(data[at : at + size])
            at += size
    assert at == len(data)
    return found


def _trace(model: synthetic.Model) -> tuple[list[Fields], dict[int, str]]:
    history = synthetic.history(model)
    data = perfetto.dumps(history.header, history.events)
    packets = [_decode(one) for one in _decode(data)[1]]
    descriptors = [_decode(packet[60][0]) for packet in packets if 60 in packet]
    return packets, {one[1][0]: one[2][0].decode() for one in descriptors}


def _track_events(packets: list[Fields]) -> list[tuple[int, Fields]]:
    return [(packet[8][0], _decode(packet[11][0])) for packet in packets if 11 in packet]


def test_every_event_is_an_instant_on_its_actors_track() -> None:
    """As many instants as events, in the order of time, each on the track that bears its actor's name."""
    history = synthetic.history(synthetic.short())
    packets, tracks = _trace(synthetic.short())
    instants = [(t, event) for t, event in _track_events(packets) if event[9] == [3]]
    assert len(instants) == len(history)
    assert [t for t, _ in instants] == sorted(t for t, _ in instants)
    for (t, event), original in zip(instants, history.events, strict=True):
        assert t == round(original["t"] * 1e9)
        assert tracks[event[11][0]] == ("the run" if original["actor"] == "-" else original["actor"])


def test_slices_nest_on_each_track() -> None:
    """Each end closes the slice that began last on its track, and nothing is left open."""
    packets, _ = _trace(synthetic.outage())
    open_: dict[int, int] = defaultdict(int)
    begun = 0
    for _, event in _track_events(packets):
        track = event[11][0]
        if event[9] == [1]:
            open_[track] += 1
            begun += 1
        elif event[9] == [2]:
            open_[track] -= 1
            assert open_[track] >= 0
    assert begun > 50
    assert set(open_.values()) == {0}


def test_overlapping_work_of_one_actor_gets_tracks_of_its_own() -> None:
    """Two handlers of one actor that overlap without nesting stand on two tracks."""
    raw = [
        (0.0, "handler.start", "a", {}),
        (1.0, "handler.start", "b", {}),
        (2.0, "handler.end", "a", {"outcome": "ok", "took": 2.0}),
        (3.0, "handler.end", "b", {"outcome": "ok", "took": 2.0}),
    ]
    events = [
        {"n": n, "t": t, "actor": "w", "kind": kind, "key": key, **more}
        for n, (t, kind, key, more) in enumerate(raw, 1)
    ]
    packets = [_decode(one) for one in _decode(perfetto.dumps({}, events))[1]]
    begins = [event for _, event in _track_events(packets) if event[9] == [1]]
    assert len({event[11][0] for event in begins}) == 2
    assert [event[23][0] for event in begins] == [b"handle a", b"handle b"]


def test_a_message_is_one_flow_and_levels_are_counters() -> None:
    """Events of one message share a flow; backlog and breakers are counted."""
    packets, tracks = _trace(synthetic.outage())
    assert {"waiting", "in flight", "dead letters", "breaker payments"} <= set(tracks.values())
    counts = [event for _, event in _track_events(packets) if event[9] == [4]]
    values = [event[30][0] for event in counts if tracks[event[11][0]] == "breaker payments"]
    assert set(values) == {0, 1, 2}
    history = synthetic.history(synthetic.short())
    flows: dict[bytes, int] = defaultdict(int)
    for _, event in _track_events(_trace(synthetic.short())[0]):
        for flow in event[47]:
            assert struct.unpack("<Q", flow)[0]
            flows[flow] += 1
    assert len(flows) >= len(history.of("send"))
    assert min(flows.values()) >= 1


def test_the_same_history_gives_the_same_bytes() -> None:
    """No clock, no address, no order of a set is in it."""
    history = synthetic.history(synthetic.short())
    assert perfetto.dumps(history.header, history.events) == perfetto.dumps(history.header, history.events)


def test_perfettos_own_schema_reads_it() -> None:
    """Where Perfetto's Python package is installed, its parser agrees with ours."""
    schema = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    history = synthetic.history(synthetic.outage())
    trace = schema.Trace()
    trace.ParseFromString(perfetto.dumps(history.header, history.events))
    instants = [packet for packet in trace.packet if packet.track_event.type == schema.TrackEvent.TYPE_INSTANT]
    assert len(instants) == len(history)
