"""Errors counted in CloudWatch, and alarms, against brute force, on histories made by chance.

Each definition here takes the whole history as a list and looks at it as often as it likes; the verdict has to be the
same one of three. Every test also makes sure that the histories it was given led to each of the three.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from harness import invariants
from harness.history import Event
from tests.budget import examples
from tests.histories import HistoryBuilder
from tests.properties.slow_definitions import ALL, compare

# Errors in CloudWatch

_ERRORS = ("handler", "tracked", "stored", "stored", "of a service", "other metric", "failed call")
_errors = st.lists(
    st.tuples(st.sampled_from(_ERRORS), st.integers(1, 3), st.sampled_from((0, 10, 60, 120))), max_size=10
)


def test_errors_counted_once() -> None:
    """Violated where errors are missing that had their time, or where there are more than happened."""
    seen: set[str] = set()

    @settings(max_examples=examples(500))
    @given(_errors, st.sampled_from((0, 60, 119, 120, 300)), st.booleans(), st.booleans())
    def run(steps: list[Any], rest: int, lossy: bool, repeats: bool) -> None:
        h = HistoryBuilder()
        now = 1
        for step, value, wait in steps:
            now += wait + 1
            counted = {"namespace": "Shop", "metric": "ErrorCount", "dimensions": {}, "value": value, "at": now}
            if step == "handler":
                h.handler("1", "error", at=now)
            elif step == "tracked":
                h.add("monitoring.count", **counted, source="tracked")
            elif step == "failed call":
                h.failed("aws.sqs.ReceiveMessage", at=now)
            else:
                counted["dimensions"] = {"Service": "orders"} if step == "of a service" else {}
                counted["metric"] = "Other" if step == "other metric" else "ErrorCount"
                h.add("monitoring.count", **counted, source="cloudwatch", samples=1)
        h.end(at=now + rest)
        spec = invariants.errors_counted_once().with_parameters(lossy=lossy, repeats=repeats)
        compare(spec, h, counted_once(h.events, lossy, repeats), seen)

    run()
    assert seen == ALL


def counted_once(events: list[Event], lossy: bool, repeats: bool) -> str:
    """Errors counted once, from its definition, with the default two minutes on the way."""
    due = events[-1]["t"] - 120
    ended = [e["t"] for e in events if e["kind"] == "handler.end" and e["outcome"] == "error"]
    counts = [e for e in events if e["kind"] == "monitoring.count" and e["metric"] == "ErrorCount"]
    tracked = [e for e in counts if e["source"] == "tracked"]
    told = [e for e in counts if e["source"] == "cloudwatch"]
    sums = [e for e in told if not e["dimensions"]]
    stored = sum(e["value"] for e in sums or told)
    if not ended and not tracked:
        return "inconclusive"
    happened_early = sum(1 for t in ended if t <= due)
    if tracked:
        all_tracked = sum(e["value"] for e in tracked)
        unseen = happened_early > all_tracked
        missing = unseen or stored < sum(e["value"] for e in tracked if e["t"] <= due)
        too_many = stored > all_tracked
    else:
        missing = stored < happened_early
        too_many = stored > len(ended) + sum(e["kind"] == "call.failed" for e in events)
    return "violated" if (missing and not lossy) or (too_many and not repeats) else "holds"
