"""Where two histories part."""

from __future__ import annotations

from typing import Any

from harness.explore.difference import first_difference, likely_cause
from harness.history import Event, History


def history(*events: dict[str, Any]) -> History:
    found: list[Event] = [
        {"n": n, "t": 0.0, "actor": "w", "kind": "effect", **event} for n, event in enumerate(events, 1)
    ]
    return History({"schema": "harness-history"}, found)


def test_equal_histories_have_no_difference() -> None:
    """The same events are the same history, whatever their headers say."""
    one, other = history({"key": "a"}), history({"key": "a"})
    other.header = {"seed": 7}
    assert first_difference(one, other) is None


def test_the_first_difference_is_found() -> None:
    """The first event that differs is given with its fields."""
    found = first_difference(history({"key": "a"}, {"key": "b"}), history({"key": "a"}, {"key": "c", "t": 1.0}))
    assert found is not None
    assert found.number == 2
    assert found.fields == ("key", "t")
    assert str(found).startswith("first difference at event 2: t=0.0 actor=w kind=effect key=b / t=1.0")


def test_a_shorter_history_differs_at_its_end() -> None:
    """A history that goes on differs where the other has ended."""
    found = first_difference(history({}), history({}, {}))
    assert found is not None
    assert (found.number, found.first) == (2, None)
    assert found.fields == ()
    assert "(ended)" in str(found)


def test_a_number_and_its_text_differ() -> None:
    """Histories are compared byte for byte: 1 and 1.0 are not the same."""
    assert first_difference(history({"x": 1}), history({"x": 1.0})) is not None


def test_likely_causes() -> None:
    """Each kind of difference has its usual cause."""

    def cause(first: dict[str, Any] | None, second: dict[str, Any] | None) -> str:
        pair = [history() if event is None else history(event) for event in (first, second)]
        found = first_difference(*pair)
        assert found is not None
        return likely_cause(found)

    assert "ended before the other" in cause({}, None)
    assert "real clock" in cause({"t": 1.0}, {"t": 2.0})
    assert "an id, a name or a body" in cause({"message": "a"}, {"message": "b"})
    assert "outlives a run" in cause({"x": 1}, {"x": 2})
    assert "the order of events" in cause({"actor": "a"}, {"actor": "b"})
