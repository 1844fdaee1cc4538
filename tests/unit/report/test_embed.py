"""What a page holds of a run can be unpacked whole and cannot end its element."""

from __future__ import annotations

import re

import pytest

from harness.report import embed
from tests.unit.report import synthetic
from tests.unit.report.entries import entry, failed


def test_every_event_comes_back() -> None:
    """Columns and other fields give each event again."""
    history = synthetic.history(synthetic.outage())
    found = embed.unpack(embed.pack(entry(), history.header, history.events))
    assert len(found["events"]) == len(history)
    for event, (t, actor, kind, message, cause, rest) in zip(history.events, found["events"], strict=True):
        assert (t, found["actors"][actor], found["kinds"][kind]) == (event["t"], event["actor"], event["kind"])
        assert (found["messages"][message] if message >= 0 else None) == event.get("message")
        assert cause == event.get("cause", 0)
        assert {"n", "t", "actor", "kind", "message", "cause"}.isdisjoint(rest)
        assert rest.items() <= event.items()


def test_what_the_script_needs_of_the_header_is_there() -> None:
    """Queues by their part, faults in words with their windows, evidence by invariant."""
    history = synthetic.history(synthetic.outage())
    found = embed.unpack(embed.pack(failed(), history.header, history.events))
    assert (found["sources"], found["dead"], found["effects"]) == (["orders"], ["orders-dlq"], True)
    assert found["plan"][0]["window"] == [60, 120]
    assert found["plan"][1]["window"] is None
    assert found["evidence"] == {"no-message-loss": {"verdict": "violated", "events": [12, 40]}}


def test_the_text_is_inert_and_the_same_each_time() -> None:
    """Letters, digits, plus, slash and equals signs only, whatever a body says."""
    history = synthetic.history(synthetic.short())
    history.events[0] = {**history.events[0], "body": "</script><script>alert(1)</script>"}
    text = embed.pack(entry(), history.header, history.events)
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", text)
    assert text == embed.pack(entry(), history.header, history.events)


def test_too_many_events_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has a limit and says how many it leaves out."""
    history = synthetic.history(synthetic.short())
    monkeypatch.setattr(embed, "EVENTS_MAX", 10)
    found = embed.unpack(embed.pack(entry(), history.header, history.events))
    assert (len(found["events"]), found["unshown"]) == (10, len(history) - 10)


def test_a_run_without_events_is_packed() -> None:
    """Nothing happened, and that can be shown."""
    assert embed.unpack(embed.pack(entry(), {}, []))["events"] == []
