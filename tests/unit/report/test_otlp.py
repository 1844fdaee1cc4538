"""Spans out and in: what the delivery invariants say of a history they say of its spans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli.judging import entry_of
from harness.errors import HistoryError
from harness.history import History
from harness.report import otlp, otlp_history
from tests.unit.report import synthetic


def _statuses(history: History) -> dict[str, str]:
    return {one["name"]: one["verdict"] for one in entry_of(history, "x")["invariants"]}


def _keyed(model: synthetic.Model) -> History:
    """A synthetic history in which every event of a message has its key, as a run's have."""
    history = synthetic.history(model)
    for index, event in enumerate(history.events):
        if "message" in event:
            history.events[index] = {**event, "key": event["message"][1:]}
    return history


def _through_spans(history: History, folder: Path, **options: Any) -> History:
    file = folder / "spans.jsonl"
    file.write_bytes(otlp.dumps(history.header, history.events))
    assert otlp_history.is_otlp(file)
    return otlp_history.load(file, **options)


def test_a_whole_run_passes_as_spans(tmp_path: Path) -> None:
    """Nothing was lost: as spans neither, with as many sends, deliveries, effects and acknowledgements."""
    history = _keyed(synthetic.outage())
    found = _through_spans(history, tmp_path)
    assert _statuses(found) == dict.fromkeys(otlp_history.INVARIANTS, "holds")
    for kind in ("send", "receive", "effect", "delete", "move"):
        assert len(found.of(kind)) == len(history.of(kind)), kind


def test_a_lost_message_is_found_in_spans(tmp_path: Path) -> None:
    """Settled and never processed: lost, by its key."""
    history = _keyed(synthetic.short())
    history.events[:] = [event for event in history.events if not (event["kind"] == "effect" and event["key"] == "4")]
    entry = entry_of(_through_spans(history, tmp_path), "x")
    assert entry["messages"]["lost"] == 1
    broken = {one["name"]: one["detail"] for one in entry["invariants"] if one["verdict"] == "violated"}
    assert '"4"' in broken["no-message-loss"]


def test_processed_twice_is_counted_and_forbidden_on_request(tmp_path: Path) -> None:
    """A second effect is a duplicate; only with *once* it breaks an invariant."""
    history = _keyed(synthetic.short())
    again = next(index for index, event in enumerate(history.events) if event["kind"] == "effect")
    history.events.insert(again, history.events[again])
    numbered = History(history.header, [{**event, "n": n} for n, event in enumerate(history.events, 1)])
    entry = entry_of(_through_spans(numbered, tmp_path), "x")
    assert (entry["messages"]["duplicated"], entry["verdict"]) == (1, "passed")
    assert _statuses(_through_spans(numbered, tmp_path, once=True))["effects-once"] == "violated"


def test_ids_kinds_and_times_are_as_the_protocol_says() -> None:
    """32 and 16 hexadecimal digits, no id twice, times as texts of nanoseconds, one trace for a message."""
    history = _keyed(synthetic.short())
    found = [span for _, span in otlp.spans(history.header, history.events)]
    assert len({span["spanId"] for span in found}) == len(found)
    traces: dict[str, set[str]] = {}
    for span in found:
        assert int(span["traceId"], 16)
        assert (len(span["traceId"]), len(span["spanId"])) == (32, 16)
        assert int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
        attributes = {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}
        assert span["name"].startswith(attributes["messaging.operation.type"])
        traces.setdefault(attributes["messaging.message.id"], set()).add(span["traceId"])
    assert all(len(one) == 1 for one in traces.values())
    assert {span["kind"] for span in found} == {3, 4, 5}


def _span(step: str, message: str, t: int, **more: Any) -> dict[str, Any]:
    attributes = {"messaging.operation.type": step, "messaging.message.id": message, "messaging.destination.name": "q"}
    values = [{"key": name, "value": {"stringValue": value}} for name, value in attributes.items()]
    time = {"startTimeUnixNano": str(t), "endTimeUnixNano": str(t)}
    return {"traceId": "0" * 32, "spanId": "0" * 16, "name": step, "kind": 1, **time, "attributes": values, **more}


def _file(folder: Path, *spans: dict[str, Any]) -> Path:
    file = folder / "spans.json"
    file.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}))
    return file


def test_without_settling_spans_processing_acknowledges(tmp_path: Path) -> None:
    """Instrumentations that do not see deletes: what was processed is done, what failed is not."""
    sent = [_span("send", message, 0) for message in "ab"]
    failed = _span("process", "b", 2, status={"code": 2})
    history = otlp_history.load(_file(tmp_path, *sent, _span("process", "a", 1), failed))
    entry = entry_of(history, "x")
    assert (entry["messages"]["processed"], entry["messages"]["in_queue"]) == (1, 1)
    assert _statuses(history)["not-stuck"] == "violated"


def test_older_names_of_attributes_are_read(tmp_path: Path) -> None:
    """``publish``, ``messaging.operation`` and a request over several lines of a file."""
    lines = []
    for step, t in (("publish", 0), ("receive", 1), ("process", 2)):
        span = _span(step, "a", t)
        span["attributes"][0]["key"] = "messaging.operation"
        lines.append(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}))
    file = tmp_path / "spans.jsonl"
    file.write_text("\n".join(lines))
    assert _statuses(otlp_history.load(file)) == dict.fromkeys(otlp_history.INVARIANTS, "holds")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"resourceSpans": 3}', "is no OTLP request"),
        ('{"resourceSpans": []}', "has no span that sends"),
        ('{"resourceSpans": []}\n{"broken', "line 2"),
        ('{"resourceSpans": [{"scopeSpans": [{"spans": [3]}]}]}', "is no OTLP request"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """With the file, the line and what to give instead."""
    file = tmp_path / "spans.jsonl"
    file.write_text(text)
    with pytest.raises(HistoryError, match=message):
        otlp_history.load(file)


def test_a_span_without_a_time_is_refused(tmp_path: Path) -> None:
    """It cannot be put in order."""
    span = _span("send", "a", 0)
    del span["startTimeUnixNano"]
    with pytest.raises(HistoryError, match="no valid time"):
        otlp_history.load(_file(tmp_path, span))
