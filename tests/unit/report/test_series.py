"""What a timeline shows is what the history says."""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.series import VIOLATED, nice_width, read_series
from tests.unit.report import synthetic


def _header(**fields: Any) -> dict[str, Any]:
    return {
        "system": {"sources": ["q"], "dead_letter_queues": ["d"], "effects": [{"name": "done"}]},
        "plan": {"faults": []},
        "duration": 10,
        **fields,
    }


def _events(*rows: tuple[float, str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"n": n, "t": t, "actor": "-", "kind": kind} | rest for n, (t, kind, rest) in enumerate(rows, 1)]


def test_backlog_and_in_flight_follow_a_message_through_its_life() -> None:
    """Sent, received, made visible by its timeout, received again, deleted: each is counted where it was."""
    events = _events(
        (0.0, "send", {"message": "a", "queue": "q"}),
        (2.0, "receive", {"message": "a", "queue": "q", "visible_at": 5.0}),
        (7.0, "receive", {"message": "a", "queue": "q", "visible_at": 30.0}),
        (8.0, "delete", {"message": "a", "queue": "q", "found": True}),
        (10.0, "run.end", {}),
    )
    series = read_series(_header(), events)
    width = series.level_width

    def at(levels: list[float], t: float) -> float:
        return levels[int(t / width)]

    assert [at(series.backlog, t) for t in (1.0, 3.0, 6.0, 7.5, 9.0)] == pytest.approx([1, 0, 1, 0, 0])
    assert [at(series.in_flight, t) for t in (1.0, 3.0, 6.0, 7.5, 9.0)] == pytest.approx([0, 1, 0, 1, 0])


def test_a_late_timeout_of_an_earlier_delivery_changes_nothing() -> None:
    """A visibility timeout that was extended does not bring the message back at its first deadline."""
    events = _events(
        (0.0, "send", {"message": "a", "queue": "q"}),
        (1.0, "receive", {"message": "a", "queue": "q", "visible_at": 3.0}),
        (2.0, "visibility", {"message": "a", "queue": "q", "visible_at": 9.0}),
        (10.0, "run.end", {}),
    )
    series = read_series(_header(), events)
    assert series.backlog[int(6 / series.level_width)] == 0
    assert series.backlog[int(9.5 / series.level_width)] == pytest.approx(1)


def test_dead_letters_are_counted_by_move_and_by_send() -> None:
    """Native redrive and a consumer's own dead letter both count and are marked, and are no backlog."""
    events = _events(
        (0.0, "send", {"message": "a", "queue": "q"}),
        (1.0, "move", {"message": "a", "queue": "q", "to": "d"}),
        (2.0, "send", {"message": "b", "queue": "d"}),
        (4.0, "run.end", {}),
    )
    series = read_series(_header(), events)
    assert series.dead_letters[-1] == pytest.approx(2)
    assert series.backlog[-1] == 0
    assert [mark.t for mark in series.mark_rows()["dead letter"]] == [1.0, 2.0]
    assert series.sent.total == 1


def test_purge_and_expiry_take_messages_away() -> None:
    """What was purged or expired is neither backlog nor in flight."""
    events = _events(
        (0.0, "send", {"message": "a", "queue": "q"}),
        (0.0, "send", {"message": "b", "queue": "q"}),
        (0.0, "send", {"message": "c", "queue": "q"}),
        (1.0, "expire", {"message": "a", "queue": "q"}),
        (2.0, "purge", {"queue": "q", "messages": ["b"]}),
        (4.0, "run.end", {}),
    )
    series = read_series(_header(), events)
    assert series.backlog[-1] == pytest.approx(1)
    assert "expired" in series.mark_rows()


def test_a_lambda_function_shows_what_failed_and_what_was_refused() -> None:
    """Answers that delete nothing are failures, the others are none; refusals and filters are marks."""
    answers = ("success", "partial", "error", "timeout", "malformed", "crash")
    events = _events(
        *((1.0 + n, "lambda.answer", {"function": "fn", "outcome": outcome}) for n, outcome in enumerate(answers)),
        (8.0, "lambda.throttled", {"function": "fn"}),
        (9.0, "lambda.filtered", {"function": "fn"}),
        (10.0, "run.end", {}),
    )
    series = read_series(_header(), events)
    assert series.failed.total == 4
    assert list(series.mark_rows()) == ["throttled", "filtered"]


def test_without_declared_effects_the_picture_says_acknowledged() -> None:
    """A history without effects shows deletes, under their own name: never as processed."""
    header = _header()
    header["system"] = {**header["system"], "effects": []}
    events = _events(
        (0.0, "send", {"message": "a", "queue": "q"}), (1.0, "delete", {"message": "a", "queue": "q", "found": True})
    )
    series = read_series(header, events)
    assert (series.processed_label, series.processed.total) == ("acknowledged", 1)


def test_breaker_bands_cover_the_run_without_gaps() -> None:
    """From a breaker's first event to the end each moment has one state."""
    model = synthetic.outage()
    model.crashes = []
    history = synthetic.history(model)
    series = read_series(history.header, history.events)
    (band,) = series.breakers
    assert band.spans[0].state == "closed"
    assert {span.state for span in band.spans} == {"closed", "open", "half_open"}
    for one, other in zip(band.spans, band.spans[1:], strict=False):
        assert one.end == other.start
    assert band.spans[-1].end == series.end


def test_a_breakers_band_ends_with_its_process() -> None:
    """A crash takes the breaker along; what is made after the restart has a band of its own."""
    worker = {"actor": "w.1/Thread-1"}
    events = _events(
        (1.0, "breaker.created", {"breaker": "pay", **worker}),
        (4.0, "process.crash", {"process": "w.1"}),
        (6.0, "breaker.created", {"breaker": "pay-2", **worker}),
        (9.0, "run.end", {}),
    )
    bands = {
        band.name: [(span.start, span.end) for span in band.spans] for band in read_series(_header(), events).breakers
    }
    assert bands == {"pay": [(1.0, 4.0)], "pay-2": [(6.0, 9.0)]}


def test_fault_windows_come_from_the_plan_and_strikes_from_the_events() -> None:
    """An n-th passing has no window; an open end lasts to the end of the run."""
    plan = {
        "faults": [
            synthetic.fault("aws.sqs.*", "throttled", start=2, end=4),
            synthetic.fault("redis.*", "refused", start=6),
            synthetic.fault("aws.sqs.DeleteMessage", "timeout", side="after", nth=3),
        ]
    }
    events = _events((5.0, "fault.strike", {"fault": 2, "point": "aws.sqs.DeleteMessage.after"}), (10.0, "run.end", {}))
    series = read_series(_header(plan=plan), events)
    windows = [lane.window for lane in series.faults]
    assert windows[0] is not None
    assert windows[1] is not None
    assert (windows[0].start, windows[0].end) == (2, 4)
    assert (windows[1].start, windows[1].end) == (6, 10)
    assert windows[2] is None
    assert series.faults[2].strikes == [5.0]


def test_a_process_fault_strikes_once_and_has_no_window() -> None:
    """A crash at a moment is no outage until the end of the run."""
    plan = {"faults": [synthetic.fault("process.worker", "crash", start=3)]}
    assert read_series(_header(plan=plan), _events((10.0, "run.end", {}))).faults[0].window is None


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("fault.end", {"fault": 0}),
        ("fault.strike", {"fault": 0}),
        ("process.resume", {"process": "w"}),
        ("process.start", {"process": "w", "incarnation": 2}),
    ],
)
def test_the_recovery_is_counted_from_the_last_disturbance(kind: str, fields: dict[str, Any]) -> None:
    """The end of a window, a strike, a resumption and a restart each move the start of the recovery."""
    plan = {"faults": [synthetic.fault("aws.sqs.*", "throttled", start=2, end=4)]}
    events = _events((4.0, "fault.end", {"fault": 0}), (7.0, kind, fields), (10.0, "run.end", {}))
    assert read_series(_header(plan=plan), events).faults_over == 7.0


def test_a_crash_lasts_until_the_process_starts_again() -> None:
    """The mark of a crash carries the moment of the restart, and none where there was none."""
    events = _events(
        (1.0, "process.crash", {"process": "w.1"}),
        (2.0, "process.crash", {"process": "w.2"}),
        (3.0, "process.start", {"process": "w.1", "incarnation": 2}),
        (9.0, "run.end", {}),
    )
    crashes = read_series(_header(), events).mark_rows()["crash"]
    assert [(mark.label, mark.until) for mark in crashes] == [("w.1", 3.0), ("w.2", None)]


def test_evidence_becomes_marks() -> None:
    """Each event that shows a violation is marked with the invariant's name."""
    events = _events((1.0, "send", {"message": "a", "queue": "q"}), (9.0, "run.end", {}))
    rows = read_series(_header(), events, evidence={"no-message-loss": [1]}).mark_rows()
    assert [(mark.t, mark.label) for mark in rows[VIOLATED]] == [(1.0, "no-message-loss")]


def test_a_few_broken_invariants_have_a_row_each() -> None:
    """Evidence of two invariants stands in two rows, named by the rows; that of many shares one."""
    events = _events(*((float(n), "effect", {"name": "x", "key": "1", "source": "point"}) for n in range(1, 7)))
    rows = read_series(_header(), events, evidence={"effects-once": [1, 3], "no-message-loss": [2]}).mark_rows()
    assert {name: [(mark.t, mark.label) for mark in marks] for name, marks in rows.items()} == {
        f"{VIOLATED}: effects-once": [(1.0, ""), (3.0, "")],
        f"{VIOLATED}: no-message-loss": [(2.0, "")],
    }
    many = read_series(_header(), events, evidence={f"i{n}": [n] for n in range(1, 7)}).mark_rows()
    assert list(many) == [VIOLATED]


def test_an_empty_history_gives_an_empty_picture() -> None:
    """No events at all is drawn as nothing, not as an error."""
    series = read_series(_header(), [])
    assert series.sent.total == 0
    assert set(series.backlog) == {0}


def test_a_level_is_a_mean_over_time() -> None:
    """A message that waits for a tenth of a bin counts as a tenth there, and whole bins between count fully."""
    events = _events(
        (0.0, "send", {"message": "a", "queue": "q"}),
        (4.002, "receive", {"message": "a", "queue": "q", "visible_at": 30.0}),
        (10.0, "run.end", {}),
    )
    series = read_series(_header(), events)
    assert series.level_width == 0.05
    assert series.backlog[78:82] == pytest.approx([1, 1, 0.04, 0])


def test_counts_are_conserved() -> None:
    """At each moment sent = waiting + in flight + dead letters + deleted, on a rich history."""
    history = synthetic.history(synthetic.outage())
    series = read_series(history.header, history.events)
    deleted = len(history.of("delete"))
    left = series.backlog[-1] + series.in_flight[-1] + series.dead_letters[-1]
    assert series.sent.total == pytest.approx(left + deleted)


@pytest.mark.parametrize(
    ("seconds", "bins", "width"), [(300, 240, 2), (3600, 240, 15), (6, 240, 0.05), (1e6, 100, 10800)]
)
def test_bins_are_round(seconds: float, bins: int, width: float) -> None:
    """The bin width is the smallest round one that needs no more bins than allowed."""
    assert nice_width(seconds, bins) == width
    assert seconds <= nice_width(seconds, bins) * bins
