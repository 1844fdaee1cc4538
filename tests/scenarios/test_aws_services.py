"""What the scenarios that lean on other AWS services really went through."""

from __future__ import annotations

import json
from pathlib import Path

from harness import runner
from harness.loading import load
from harness.result import Result

CATALOGUE = Path(__file__).resolve().parents[2] / "scenarios"


def ran(name: str) -> Result:
    return runner.run(load(CATALOGUE / f"{name}.py")[0])


def test_large_dead_letters_were_in_s3_and_came_back() -> None:
    """Of three dead letters of a megabyte two went to S3 (one met its outage), and all orders took effect."""
    result = ran("claim_check_in_s3")
    letters = [event for event in result.history if event["kind"] == "send" and event["queue"] == "orders-dlq"]
    claims = [one for one in letters if one["body"].startswith("{") and json.loads(one["body"]).get("payloadReference")]
    assert len(claims) == 2
    assert len([one for one in letters if one["bytes"] > 1_000_000]) == 1
    assert result.faults["aws.s3.GetObject.after"]["passed"] == 2
    assert result.messages.processed == 60


def test_a_claim_was_refused_by_the_condition_and_once_its_answer_was_lost() -> None:
    """The table's conditional writes did their work: some were refused, some took effect unheard."""
    result = ran("idempotency_in_dynamodb")
    failed = [event["error"] for event in result.history if event["kind"] == "call.failed"]
    assert "ConditionalCheckFailedException" in failed
    assert "ProvisionedThroughputExceededException" in failed or "ThrottlingException" in failed
    assert result.faults["aws.dynamodb.PutItem.after"]["struck"] > 5


def test_the_first_region_takes_orders_again_after_its_outage() -> None:
    """Down: everything goes west. Back: what was stuck in the east is charged there, and new orders go east."""
    result = ran("region_down_fail_over")
    events = list(result.history)
    sent = [
        (event["t"], event["queue"]) for event in events if event["kind"] == "send" and event["origin"] == "process"
    ]
    assert {queue for at, queue in sent if 41 < at < 160} == {"orders-west"}
    assert {queue for at, queue in sent if at > 200} == {"orders-east"}
    assert any(event["kind"] == "assert.sometimes" and event["held"] for event in events)
    twice = [event["key"] for event in events if event["kind"] == "send" and event["queue"] == "orders-east"]
    assert set(twice) & {
        event.get("key") for event in events if event["kind"] == "send" and event["queue"] == "orders-west"
    }
    assert not any(
        "ReceiveMessage@us-west-2" in event.get("point", "") for event in events if event["kind"] == "call.failed"
    )
