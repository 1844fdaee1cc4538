"""A template's queues in a scenario are the queues of the template."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest

import harness
from harness import Process, Scenario, Workload, effects, from_template
from harness.errors import UsageError
from tests.unit.audit.templates import GOOD

TEMPLATE = """\
Parameters: {Hidden: {Type: Number, Default: 7}}
Resources:
  Orders:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: orders.fifo
      FifoQueue: true
      ContentBasedDeduplication: true
      VisibilityTimeout: !Ref Hidden
      DelaySeconds: 3
      MessageRetentionPeriod: 86400
      ReceiveMessageWaitTimeSeconds: 10
      MaximumMessageSize: 2048
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 4}
  Dead:
    Type: AWS::SQS::Queue
    Properties: {FifoQueue: true}
"""


def test_every_setting_is_taken_over(tmp_path: Path) -> None:
    """Names, times, sizes, types and redrive policies; a queue without a name has its logical id."""
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE)
    orders, dead = from_template(path)
    assert (orders.name, orders.visibility_timeout, orders.delay, orders.retention) == ("orders.fifo", 7, 3, 86_400)
    assert (orders.wait, orders.content_based_deduplication) == (10, True)
    assert (orders.dead_letter, orders.max_receives) == ("Dead.fifo", 4)
    assert orders.aws_attributes()["MaximumMessageSize"] == "2048"
    assert (dead.name, dead.dead_letter) == ("Dead.fifo", None)
    assert from_template(path, {"Hidden": "60"})[0].visibility_timeout == 60


def test_a_setting_that_cannot_be_told_is_refused(tmp_path: Path) -> None:
    """By file, field and what to do; a simulation of a guess would prove nothing."""
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE.replace(", Default: 7", ""))
    with pytest.raises(UsageError) as refused:
        from_template(path)
    assert "template.yaml: Orders.VisibilityTimeout: cannot be told: the parameter Hidden" in str(refused.value)


def _worker(env: Any) -> None:
    sqs, url = boto3.client("sqs"), os.environ["QUEUE_URL"]
    while True:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []):
            harness.points.effect("charged", message["Body"])


def test_a_run_with_them(tmp_path: Path) -> None:
    """The template's own redrive policy moves the message that is never deleted, after five receives."""
    path = tmp_path / "template.yaml"
    path.write_text(GOOD)
    scenario = Scenario(
        name="of-a-template",
        queues=from_template(path),
        processes=[Process("worker", _worker, environ={"QUEUE_URL": "{queue:Orders}"})],
        workload=Workload(to="Orders", messages=1, body=lambda n: str(n)),
        effects=effects.point("charged"),
        duration=3600,
    )
    result = harness.run(scenario)
    kinds = Counter(event["kind"] for event in result.history)
    assert kinds["receive"] == 5
    (move,) = [event for event in result.history if event["kind"] == "move"]
    assert (move["queue"], move["to"], move["receive_count"]) == ("Orders", "OrdersDead", 5)
