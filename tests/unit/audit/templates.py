"""A template that is as it should be, to break in one place, and how a change is put into it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.audit import Audit, audit
from harness.audit.cloudformation import _Loader
from harness.audit.queues import read_file

__all__ = ["GOOD", "audited", "merged", "parsed", "with_resource"]

GOOD = """\
Resources:
  Orders:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 180
      ReceiveMessageWaitTimeSeconds: 20
      RedrivePolicy:
        deadLetterTargetArn: !GetAtt OrdersDead.Arn
        maxReceiveCount: 5
  OrdersDead:
    Type: AWS::SQS::Queue
    Properties:
      MessageRetentionPeriod: 1209600
  NotEmpty:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Namespace: AWS/SQS
      MetricName: ApproximateNumberOfMessagesVisible
      Dimensions: [{Name: QueueName, Value: !GetAtt OrdersDead.QueueName}]
      Statistic: Maximum
      Period: 60
      EvaluationPeriods: 1
      ComparisonOperator: GreaterThanThreshold
      Threshold: 0
  Charge:
    Type: AWS::Lambda::Function
    Properties:
      Timeout: 30
      ReservedConcurrentExecutions: 20
  ChargeOrders:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      EventSourceArn: !GetAtt Orders.Arn
      FunctionName: !Ref Charge
      BatchSize: 10
      FunctionResponseTypes: [ReportBatchItemFailures]
      ScalingConfig: {MaximumConcurrency: 20}
"""


def parsed(text: str) -> dict[str, Any]:
    """A template, with the short forms written out."""
    found: dict[str, Any] = yaml.load(text, _Loader)
    return found


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """*base* with *change* put into it, mapping by mapping; ``None`` takes a key out."""
    found = dict(copy.deepcopy(base))
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
            found[key] = merged(found[key], value)
        else:
            found[key] = value
    return found


def with_resource(name: str, **properties: Any) -> dict[str, Any]:
    """The good template with other properties of one resource."""
    return merged(parsed(GOOD), {"Resources": {name: {"Properties": properties}}})


def audited(template: Mapping[str, Any] | str, folder: Path, **parameters: str) -> Audit:
    """What an audit says of a template."""
    path = folder / "template.yaml"
    path.write_text(template if isinstance(template, str) else yaml.safe_dump(dict(template), sort_keys=False))
    return audit(read_file(path, parameters))
