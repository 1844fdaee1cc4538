"""The replay of the catalogue, killed at each of its calls: its journal keeps every order to one return."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness import runner
from harness.faults.plan import Fault
from harness.loading import load

SCENARIO = load(Path(__file__).resolve().parents[2] / "scenarios" / "replay_after_bad_deployment.py")[0]


@pytest.mark.parametrize(
    ("operation", "side", "nth"),
    [
        ("SendMessageBatch", "before", 1),
        ("SendMessageBatch", "before", 3),
        ("DeleteMessageBatch", "before", 1),
        ("DeleteMessageBatch", "before", 3),
        ("DeleteMessageBatch", "after", 2),
        ("ChangeMessageVisibilityBatch", "before", 1),
    ],
)
def test_killed_and_started_again(operation: str, side: Any, nth: int) -> None:
    """Whatever call it dies at, each dead letter returns once, and no order is lost or charged twice."""
    fault = Fault(f"aws.sqs.{operation}", "crash", side=side, nth=nth, restart_after=5)
    result = runner.run(SCENARIO, faults=[*SCENARIO.plan, fault])
    assert result.unstruck == []
    assert result.verdict == "passed", [(one.name, one.status, one.detail) for one in result.verdicts]
    returned = Counter(
        event["key"]
        for event in result.history
        if event["kind"] == "send" and event["queue"] == "orders" and event["origin"] == "process"
    )
    assert set(returned.values()) == {1}
    dead = {event["key"] for event in result.history if event["kind"] == "send" and event["queue"] == "orders-dlq"}
    assert set(returned) == dead
    assert result.messages.lost == 0
