"""Reports name the rules of SQS that verdicts rest on and that nobody recorded on AWS."""

from __future__ import annotations

import json
from typing import Any

from harness.report import index, json_result
from harness.report.unconfirmed import unconfirmed_rules


def entry(*judged: tuple[str, str], points: tuple[str, ...] = ("aws.sqs.ReceiveMessage",)) -> dict[str, Any]:
    return {
        "name": "a-run",
        "verdict": "passed",
        "messages": {},
        "faults": {point: {"passed": 1, "struck": 0} for point in points},
        "invariants": [{"name": name, "verdict": verdict, "detail": "", "evidence": []} for name, verdict in judged],
    }


def test_named_once_with_all_who_rest_on_them() -> None:
    """A rule stands once, by number, with each invariant that rests on it; confirmed rules are not named."""
    found = unconfirmed_rules(entry(("not-stuck", "holds"), ("backlog-drains", "violated")))
    assert [(one["number"], one["id"], one["invariants"]) for one in found] == [
        (521, "back-after-three-receives", ["not-stuck", "backlog-drains"])
    ]
    assert "goes to the back" in found[0]["rule"]


def test_who_claims_nothing_rests_on_nothing() -> None:
    """An inconclusive invariant names no rule, nor does a run without SQS, nor one that was left out."""
    assert unconfirmed_rules(entry(("not-stuck", "inconclusive"))) == []
    assert unconfirmed_rules(entry(("not-stuck", "holds"), points=("redis.GET",))) == []
    assert unconfirmed_rules({"name": "x", "verdict": "left out"}) == []


def test_in_the_json() -> None:
    """The JSON of a run has them, and no such field where there are none."""
    some, none = json.loads(json_result.dumps([entry(("not-stuck", "holds")), entry()]))["scenarios"]
    assert some["unconfirmed"][0]["id"] == "back-after-three-receives"
    assert "unconfirmed" not in none


def test_in_the_page() -> None:
    """The page says how many there are, and lists each."""
    page = index.render([entry(("not-stuck", "holds"))])
    assert "Not confirmed on AWS: 1 rule of SQS" in page
    assert "<code>back-after-three-receives</code>" in page
    assert "Not confirmed" not in index.render([entry()])
