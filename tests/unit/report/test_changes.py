"""Two reports side by side, and limits on what may become worse."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import UsageError
from harness.report.changes import Change, changes, parse_limit
from tests.unit.report.entries import entry, failed


def _with(name: str = "calm", *, recovery: float | None = None, **counts: int) -> dict[str, Any]:
    base = entry(name)
    return {**base, "recovery_seconds": recovery, "messages": {**base["messages"], **counts}}


def test_verdicts_are_sorted_into_what_they_mean() -> None:
    """Newly failing, newly passing, new and gone; a change among doubts is neither."""
    before = [entry("a"), failed("b"), entry("c", "inconclusive"), entry("gone")]
    now = [failed("a"), entry("b"), entry("c", "left out"), entry("new")]
    found = changes(before, now)
    assert found.newly_failing == [("a", "passed", "failed")]
    assert found.newly_passing == [("b", "failed", "passed")]
    assert found.other_verdicts == [("c", "inconclusive", "left out")]
    assert found.appeared == [("new", "passed")]
    assert found.gone == [("gone", "passed")]


def test_a_pass_that_can_no_longer_be_judged_is_newly_failing() -> None:
    """To be judged no more is not to pass."""
    assert changes([entry("a")], [entry("a", "inconclusive")]).newly_failing == [("a", "passed", "inconclusive")]


def test_the_same_report_has_no_change() -> None:
    """Nothing differs from itself."""
    assert changes([entry(), failed()], [entry(), failed()]).nothing


def test_figures_in_virtual_time_show_every_change() -> None:
    """Recovery and duplicates with their change, in words and in JSON."""
    found = changes([_with(recovery=10, duplicated=0)], [_with(recovery=12.5, duplicated=3)])
    assert [str(one) for one in found.figures] == ["calm: recovery 10 s → 12.5 s (+25 %)", "calm: duplicates 0 → 3"]
    assert found.to_json()["figures"][0]["percent"] == 25
    assert not found.nothing


def test_wall_clock_figures_need_five_runs_and_ranges_that_do_not_overlap() -> None:
    """One live run against one says nothing; five against five only where they are apart."""
    live = [{**_with(recovery=10 + n), "backend": "live"} for n in range(5)]
    slower = [{**_with(recovery=20 + n), "backend": "live"} for n in range(5)]
    alike = [{**_with(recovery=12 + n), "backend": "live"} for n in range(5)]
    one = changes(live[:1], slower[:1])
    assert not one.figures
    assert "1 and 1 times" in one.unjudged[0]
    assert not changes(live, alike).figures
    (change,) = changes(live, slower).figures
    assert (change.figure, change.before, change.now, change.virtual) == ("recovery", 12, 22, False)
    assert not parse_limit("recovery=+1%").broken_by(change)


@pytest.mark.parametrize(
    ("limit", "before", "now", "broken"),
    [
        ("recovery=+20%", 10, 12, False),
        ("recovery=+20%", 10, 12.1, True),
        ("recovery=20%", 10, 12.1, True),
        ("recovery=+1.5", 10, 11.5, False),
        ("recovery=+1.5", 10, 11.6, True),
        ("recovery=+20%", 0, 0.1, True),
        ("recovery=+20%", 10, None, True),
        ("recovery=+20%", None, 10, False),
        ("recovery=+20%", 10, 5, False),
    ],
)
def test_limits(limit: str, before: float | None, now: float | None, broken: bool) -> None:
    """Percent of before, or absolute; a recovery that no longer comes is past any limit."""
    assert parse_limit(limit).broken_by(Change("a", "recovery", before, now)) is broken
    assert not parse_limit(limit).broken_by(Change("a", "duplicates", before, now))


@pytest.mark.parametrize("text", ["recovery", "recovery=+x%", "recovery=-5", "speed=+1", "recovery=+5%%"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    """With the option's name and what to write."""
    with pytest.raises(UsageError, match="--fail-on"):
        parse_limit(text)
