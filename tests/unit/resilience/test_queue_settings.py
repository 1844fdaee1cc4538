"""Settings that defeat dead-lettering are found and named with their remedy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.resilience.queue_settings import check_queues, find_problems

ARN = "arn:aws:sqs:us-east-1:1:dlq"


def attributes(**changes: Any) -> dict[str, str]:
    values = {
        "VisibilityTimeout": "30",
        "MessageRetentionPeriod": "345600",
        "MaximumMessageSize": "1048576",
        "QueueArn": "arn:aws:sqs:us-east-1:1:main",
    }
    return {**values, **{name: str(value) for name, value in changes.items()}}


def redrive(count: object, arn: str = ARN) -> str:
    return json.dumps({"maxReceiveCount": count, "deadLetterTargetArn": arn})


GOOD = attributes(RedrivePolicy=redrive(5))
DEAD = attributes(QueueArn=ARN, MessageRetentionPeriod=1_209_600)


def test_good_settings_have_no_problems() -> None:
    """Settings that work are not complained about."""
    assert find_problems(GOOD, DEAD, max_receives=3, handler_seconds=10) == []
    assert find_problems(attributes(), None) == []


@pytest.mark.parametrize(
    ("main", "dead", "keywords", "words"),
    [
        (attributes(RedrivePolicy=redrive(1)), DEAD, {}, "maxReceiveCount is 1"),
        (attributes(RedrivePolicy=redrive("2")), DEAD, {"max_receives": 4}, "without an envelope"),
        (GOOD, attributes(QueueArn=ARN), {}, "vanish"),
        (GOOD, attributes(QueueArn=ARN, MessageRetentionPeriod=1_209_600, MaximumMessageSize=262_144), {}, "262144"),
        (GOOD, DEAD, {"handler_seconds": 45, "heartbeat": False}, "visibility timeout is 30 s"),
    ],
)
def test_each_problem_is_found(main: dict[str, str], dead: dict[str, str], keywords: Any, words: str) -> None:
    """Each setting that defeats dead-lettering is one sentence with the value."""
    (problem,) = find_problems(main, dead, **keywords)
    assert words in problem


def test_retention_matters_only_for_the_queue_that_native_redrive_uses() -> None:
    """A dead letter that a consumer sends is a new message: a short retention of another queue takes nothing."""
    main = attributes(RedrivePolicy=redrive(5, "arn:aws:sqs:us-east-1:1:other"))
    assert find_problems(main, attributes(QueueArn=ARN)) == []
    fifo = "arn:aws:sqs:us-east-1:1:dlq.fifo"  # a FIFO queue starts the retention anew
    assert find_problems(attributes(RedrivePolicy=redrive(5, fifo)), attributes(QueueArn=fifo)) == []


def test_heartbeat_makes_slow_handlers_good() -> None:
    """A handler slower than the visibility timeout is no problem where a heartbeat extends it."""
    assert find_problems(GOOD, DEAD, handler_seconds=45) == []


@pytest.mark.parametrize("policy", ["", "{", "[]", "{}", '{"maxReceiveCount": "many", "deadLetterTargetArn": 1}'])
def test_unreadable_policies_are_none(policy: str) -> None:
    """A redrive policy that cannot be read is taken for none."""
    assert find_problems(attributes(RedrivePolicy=policy), DEAD, max_receives=9) == []


def test_queues_are_asked() -> None:
    """check_queues asks both queues for what it needs."""
    asked: list[str] = []

    class Sqs:
        def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:  # boto3's names
            asked.append(QueueUrl)
            return {"Attributes": attributes(RedrivePolicy=redrive(1)) if QueueUrl == "main" else DEAD}

    assert len(check_queues(Sqs(), "main", "dlq")) == 1
    assert asked == ["main", "dlq"]
