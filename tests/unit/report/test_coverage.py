"""Two numbers, never one score: what was not run counts against the first, what broke against the second."""

from __future__ import annotations

from typing import Any

from harness.report.coverage import coverage, gaps
from tests.unit.report.entries import entry, one_of_each


def _run(name: str, verdict: str, *classes: str, **fields: Any) -> dict[str, Any]:
    return entry(name, verdict, fault_classes=dict.fromkeys(classes, 1), **fields)


def test_only_what_struck_in_a_judged_run_is_covered() -> None:
    """An inconclusive run, an error and a class that never struck count as 0."""
    found = coverage(
        [
            _run("a", "passed", "aws.timeout"),
            _run("b", "inconclusive", "aws.throttled"),
            _run("c", "error", "sqs.delay"),
        ]
    )
    assert found.judged == found.held == ("aws.timeout",)
    assert {"aws.throttled", "sqs.delay", "process.crash"} <= set(found.enumerable)
    assert found.coverage == 1 / len(found.enumerable)
    assert found.survival == 1.0


def test_a_class_survives_only_if_every_run_that_it_struck_held() -> None:
    """One failed run outweighs any number that passed."""
    runs = [_run(f"good-{n}", "passed", "aws.timeout", "sqs.delay") for n in range(9)]
    found = coverage([*runs, _run("bad", "failed", "aws.timeout")])
    assert found.held == ("sqs.delay",)
    assert found.broken == ("aws.timeout",)
    assert found.survival == 0.5


def test_classes_of_layers_that_nobody_uses_are_not_counted() -> None:
    """Without a call to Redis no fault of Redis could strike; live kinds count for live runs only."""
    simulated = set(coverage([entry()]).enumerable)
    assert not any(name.startswith("redis.") for name in simulated)
    points = {"network.sqs": {"passed": 1, "struck": 0}}
    live = set(coverage([entry(faults=points, backend="live")]).enumerable)
    assert "network.corrupt" in live
    assert "network.corrupt" not in set(coverage([entry(faults=points)]).enumerable)


def test_nothing_run_is_no_number() -> None:
    """No division by nothing, and no hundred percent of nothing."""
    found = coverage([])
    assert (found.coverage, found.survival) == (None, None)
    assert coverage([entry()]).survival is None


def test_gaps_name_what_was_not_tested() -> None:
    """Points never struck in any run, classes without a judged run, runs without a verdict."""
    entries = one_of_each()
    entries[0]["faults"] = {
        "aws.sqs.DeleteMessage.after": {"passed": 20, "struck": 0},
        "redis.GET.before": {"passed": 3, "struck": 0},
        "redis.SET.before": {"passed": 0, "struck": 0},
    }
    entries[0]["weakened"] = [{"invariant": "effects-once", "to": "less", "why": "so"}]
    found = gaps(entries, coverage(entries))
    assert list(found.points) == [("redis.GET.before", 3)]  # the other was struck in another run
    assert [name for name, _, _ in found.unjudged] == ["broken", "vague", "elsewhere"]
    assert list(found.weakened) == [("calm", "effects-once", "less")]
    assert "redis.refused" in found.classes
    assert any(name == "network.corrupt" for name, _ in found.outside)
