"""Analysis and replay under real clients of boto3 over moto: another SQS than ours takes every request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from harness.resilience import DLQAnalyzer
from harness.resilience.dlq import dead_letter_request
from harness.resilience.envelope import Envelope

BINARY = {"b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("sqs", region_name="us-east-1")


@pytest.mark.parametrize("ending", ["", ".fifo"])
def test_analysis_and_replay(sqs: Any, ending: str) -> None:
    """Read, given back, edited and returned with attributes, marks and FIFO ids; the rejected stay visible."""
    attributes = {"FifoQueue": "true"} if ending else {}
    main = sqs.create_queue(QueueName=f"main{ending}", Attributes=attributes)["QueueUrl"]
    dlq = sqs.create_queue(QueueName=f"dlq{ending}", Attributes=attributes)["QueueUrl"]
    for n in range(4):
        message = {
            "MessageId": f"m{n}",
            "Body": json.dumps({"n": n}),
            "MessageAttributes": BINARY,
            "Attributes": {"MessageGroupId": f"g{n}", "MessageDeduplicationId": f"d{n}"} if ending else {},
        }
        sqs.send_message(**dead_letter_request(Envelope.of(message, "timeout", queue=main), dlq))
    analyzer = DLQAnalyzer(dlq, sqs=sqs, wait_seconds=0)
    assert analyzer.analyze_failed_messages()["error_patterns"] == {"timeout": 4}
    report = analyzer.replay(
        None, lambda letter: json.loads(letter["originalMessage"])["n"] < 3, edit={"fixed": True}, limit=3
    )
    assert (report.sent, report.edited, report.not_given_back) == (3, 3, 0)
    received = sqs.receive_message(
        QueueUrl=main, MaxNumberOfMessages=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )["Messages"]
    assert sorted(json.loads(message["Body"])["n"] for message in received) == [0, 1, 2]
    for one in received:
        assert one["MessageAttributes"]["b"] == BINARY["b"]
        assert one["MessageAttributes"]["ReplayEdited"]["StringValue"] == "true"
        if ending:
            number = json.loads(one["Body"])["n"]
            assert one["Attributes"]["MessageDeduplicationId"] == f"d{number}"
    assert analyzer.analyze_failed_messages()["total_messages"] == 1
