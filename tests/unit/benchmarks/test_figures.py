"""The measurements of ``make bench`` run, and give figures that can be right."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from benchmarks import asyncio_switch, overhead, preemption, sqs_backlog
from benchmarks.throughput import ROOT, _part

_SMALL = """
import json, sys
from benchmarks import throughput
what = sys.argv[1]
found = throughput.plans(20) if what == "plans" else throughput.hour(short_cut=what == "hour", messages=60)
print(json.dumps(found))
"""


def _measured(what: str) -> dict[str, Any]:
    outcome = subprocess.run([sys.executable, "-c", _SMALL, what], capture_output=True, text=True, cwd=ROOT, check=True)
    found: dict[str, Any] = json.loads(outcome.stdout)
    return found


def test_the_cost_of_giving_way_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way to give way has a figure of real CPU time, though it happens in virtual time."""
    monkeypatch.setattr(asyncio_switch, "_TIMES", 80)
    monkeypatch.setattr(asyncio_switch, "_ROUNDS", 2)
    found = asyncio_switch.report()
    assert len(found) == 7
    assert all(0.1 < us < 5_000 for us in found.values())
    asyncio_switch.show(found)


def test_the_cost_of_preemption_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passing a place and holding somebody up each have a figure, and each level has its plans a second."""
    for name, number in (("LOOPS", 2_000), ("ROUNDS", 2), ("PLANS", 2)):
        monkeypatch.setattr(preemption, name, number)
    found = preemption.measure()
    assert found["ns_a_place"] > 0
    assert found["us_a_switch"] > 0
    assert all(found[f"plans_per_second_{level}"] > 1 for level in ("off", "calls", "statements"))
    preemption.show(found)


def test_plans_are_counted_and_accounted_for() -> None:
    """The figure of plans a second is positive, and its parts are all of the time."""
    found = _measured("plans")
    assert found["plans_per_second_cpu_best"] >= found["plans_per_second_cpu"] > 0
    assert found["noise"] >= 1
    assert found["events"] > 60
    assert found["calls_per_plan"] > 1_000
    assert sum(found["where"].values()) == pytest.approx(100, abs=1)


def test_both_ways_of_the_wire_give_the_same_history() -> None:
    """The hour on the short cut and on the full wire path has the same events."""
    short, wire = _measured("hour"), _measured("hour-wire")
    assert short["events"] == wire["events"] > 200


def test_backlog_rows_cover_every_call_of_both_queue_types() -> None:
    """Each call has a figure at each backlog, and the ratio of the last to the first."""
    rows = sqs_backlog.report((5, 60))
    assert {(row["queue"], row["call"]) for row in rows} == {
        (queue, call)
        for queue in ("standard", "fifo")
        for call in ("send", "receive", "change", "delete", "attributes")
    }
    assert all(row["us"][5] > 0 and row["ratio"] > 0 for row in rows)


def test_overhead_counts_our_own_and_names_what_is_missing() -> None:
    """Ours are measured in every group; a peer is measured or named as missing."""
    groups, missing = overhead.collect(0.001)
    for group, makers in (("retry", overhead.RETRIES), ("breaker", overhead.BREAKERS), ("async", overhead.ASYNC)):
        assert set(makers) <= {*groups[group], *missing}
        assert any(name.startswith("ours") for name in groups[group])
    assert all(figure > 0 for figures in groups.values() for figure in figures.values())


def test_overhead_is_below_every_peer_that_is_here() -> None:
    """Every form of ours costs less per successful call than each library beside it, measured in the same run."""
    groups, _ = overhead.collect(0.02)
    for figures in groups.values():
        assert "not below" not in overhead.verdict(figures)


def test_the_verdict_names_what_is_not_below_the_fastest_peer() -> None:
    """The slowest of ours against the fastest of theirs; a loop written by hand is no peer."""
    figures = {"ours: a": 10.0, "ours: b": 30.0, "a loop written by hand": 5.0, "tenacity": 20.0, "backoff": 25.0}
    assert overhead.verdict(figures) == "not below tenacity (20 ns): ours: b"
    assert "below every peer" in overhead.verdict(figures | {"ours: b": 15.0})
    assert overhead.verdict({"ours: a": 1.0}) == "no peer to compare with"


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("/x/harness/sim/services/sqs.py", "SQS service"),
        ("/x/harness/sim/scheduler.py", "kernel and shims"),
        ("/x/site-packages/botocore/client.py", "botocore"),
        ("~", "built-ins and library"),
    ],
)
def test_time_is_told_by_part(file: str, part: str) -> None:
    """A file belongs to the innermost part that its path names."""
    assert _part(file) == part
