"""Events from everywhere are put in order at the end."""

from __future__ import annotations

from harness.environments.live.clock import LiveClock
from harness.environments.live.recorder import LiveRecorder


def test_events_are_numbered_by_time_and_equal_times_keep_their_order() -> None:
    """What the server saw earlier stands earlier, however late it was told."""
    clock = LiveClock()
    record = LiveRecorder(clock)
    record("effect", at=clock.began + 2.0, name="done", key="1", actor="w")
    record("effect", at=clock.began + 2.0, name="done", key="2", actor="w")
    record.add([{"n": 7, "t": 1.0, "actor": "server", "kind": "receive", "message": "m"}])
    assert [(one["n"], one["t"], one.get("key")) for one in record.in_order()] == [
        (1, 1.0, None),
        (2, 2.0, "1"),
        (3, 2.0, "2"),
    ]


def test_a_message_has_its_key_wherever_it_is_mentioned() -> None:
    """The send tells it; receives and deletes of that message get it too."""
    record = LiveRecorder(LiveClock())
    record.add(
        [
            {"t": 1.0, "kind": "send", "message": "m", "key": "7"},
            {"t": 2.0, "kind": "receive", "message": "m"},
            {"t": 3.0, "kind": "receive", "message": "other"},
        ]
    )
    assert [one.get("key") for one in record.in_order()] == ["7", "7", None]


def test_nothing_is_written_after_the_end_and_secrets_never() -> None:
    """A thread that is late changes no history; free text is redacted."""
    record = LiveRecorder(LiveClock())
    record("process.exit", error="password=hunter2", actor="w")
    record.closed = True
    record("effect", name="late", key="1", actor="w")
    (event,) = record.in_order()
    assert "hunter2" not in event["error"]


def test_an_event_before_the_start_counts_as_at_the_start() -> None:
    """No time is negative."""
    clock = LiveClock()
    record = LiveRecorder(clock)
    record("point", at=clock.began - 5)
    assert record.in_order()[0]["t"] == 0.0
