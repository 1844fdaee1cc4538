"""A change of a setting, as the file or the command line has it that it is made in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from harness.audit.estate import Estate

__all__ = ["TERRAFORM", "Change", "in_words"]

Kind = Literal["queue", "mapping", "function", "redrive", "alarm", "metric", "words"]

#: How Terraform's AWS provider calls what CloudFormation calls so.
TERRAFORM: Final = {
    "VisibilityTimeout": "visibility_timeout_seconds",
    "MessageRetentionPeriod": "message_retention_seconds",
    "DelaySeconds": "delay_seconds",
    "ReceiveMessageWaitTimeSeconds": "receive_wait_time_seconds",
    "MaximumMessageSize": "max_message_size",
    "BatchSize": "batch_size",
    "MaximumBatchingWindowInSeconds": "maximum_batching_window_in_seconds",
    "FunctionResponseTypes": "function_response_types",
    "ReservedConcurrentExecutions": "reserved_concurrent_executions",
    "MetricName": "metric_name",
}


@dataclass(frozen=True)
class Change:
    """What to set on *target* (an id of the estate); *settings* as CloudFormation names them, dots for what is within.

    ``redrive`` gives a queue a dead-letter queue, ``alarm`` one an alarm; ``words`` says in words what only its owner
    can decide.
    """

    kind: Kind
    target: str
    settings: Mapping[str, Any]


def in_words(change: Change, estate: Estate) -> str:
    """The change in the syntax of the estate's source, ready to be put there."""
    if change.kind == "words":
        return "; ".join(f"{name}: {words}" for name, words in change.settings.items())
    if estate.syntax == "cloudformation":
        return _cloudformation(change)
    if estate.syntax == "terraform":
        return _terraform(change)
    return _command(change, estate)


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``{"A.B": 1}`` as ``{"A": {"B": 1}}``."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        *within, last = name.split(".")
        at = found
        for part in within:
            at = at.setdefault(part, {})
        at[last] = value
    return found


def _yaml(value: Mapping[str, Any], depth: int = 0) -> list[str]:
    lines: list[str] = []
    for name, each in value.items():
        if isinstance(each, dict):
            lines += [f"{'  ' * depth}{name}:", *_yaml(each, depth + 1)]
        else:
            lines.append(f"{'  ' * depth}{name}: {json.dumps(each) if isinstance(each, list) else each}")
    return lines


def _cloudformation(change: Change) -> str:
    target, settings = change.target, _nested(change.settings)
    if change.kind == "redrive":
        settings = {
            "RedrivePolicy": {
                "deadLetterTargetArn": f"!GetAtt {target}DeadLetters.Arn",
                "maxReceiveCount": change.settings["maxReceiveCount"],
            }
        }
        more = {
            f"{target}DeadLetters": {
                "Type": "AWS::SQS::Queue",
                "Properties": {"MessageRetentionPeriod": 1_209_600},
            }
        }
        return "\n".join(_yaml({target: {"Properties": settings}, **more}))
    if change.kind == "alarm":
        alarm = {
            "Type": "AWS::CloudWatch::Alarm",
            "Properties": {
                "Namespace": "AWS/SQS",
                "MetricName": change.settings["MetricName"],
                "Dimensions": f"[{{Name: QueueName, Value: !GetAtt {target}.QueueName}}]",
                "Statistic": "Maximum",
                "Period": 60,
                "EvaluationPeriods": 1,
                "ComparisonOperator": "GreaterThanThreshold",
                "Threshold": 0,
                "TreatMissingData": "notBreaching",
            },
        }
        return "\n".join(_yaml({f"{target}Alarm": alarm}))
    *outer, inner = target.split(".Events.")  # SAM's events stand within their function
    within: dict[str, Any] = {"Properties": settings}
    for function in outer:
        within = {"Properties": {"Events": {inner: within}}}
        inner = function
    return "\n".join(_yaml({inner: within}))


def _terraform(change: Change) -> str:
    target = change.target
    if change.kind == "redrive":
        count = change.settings["maxReceiveCount"]
        name = target.rsplit(".", 1)[-1].split("[")[0]
        return (
            f'resource "aws_sqs_queue" "{name}_dead_letters" {{\n  message_retention_seconds = 1209600\n}}\n'
            f"# {target}\n"
            f"redrive_policy = jsonencode({{ deadLetterTargetArn = aws_sqs_queue.{name}_dead_letters.arn, "
            f"maxReceiveCount = {count} }})"
        )
    if change.kind == "alarm":
        name = target.rsplit(".", 1)[-1].split("[")[0]
        lines = {
            "alarm_name": f'"{name}-not-empty"',
            "namespace": '"AWS/SQS"',
            "metric_name": f'"{change.settings["MetricName"]}"',
            "dimensions": f"{{ QueueName = {target}.name }}",
            "statistic": '"Maximum"',
            "period": "60",
            "evaluation_periods": "1",
            "comparison_operator": '"GreaterThanThreshold"',
            "threshold": "0",
            "treat_missing_data": '"notBreaching"',
        }
        body = "".join(f"  {key} = {value}\n" for key, value in lines.items())
        return f'resource "aws_cloudwatch_metric_alarm" "{name}_not_empty" {{\n{body}}}'
    return "\n".join([f"# {target}", *(_terraform_line(name, value) for name, value in change.settings.items())])


def _terraform_line(name: str, value: Any) -> str:
    if name == "RedrivePolicy.maxReceiveCount":
        return f"redrive_policy = jsonencode({{ deadLetterTargetArn = ..., maxReceiveCount = {value} }})"
    if name == "ScalingConfig.MaximumConcurrency":
        return f"scaling_config {{\n  maximum_concurrency = {value}\n}}"
    return f"{TERRAFORM[name]} = {json.dumps(value)}"


def _command(change: Change, estate: Estate) -> str:
    """The command of the AWS command line."""
    target, settings = change.target, change.settings
    queue = estate.queue(target)
    name = queue.name if queue is not None else target
    if change.kind == "queue":
        attributes: dict[str, str] = {}
        for key, value in settings.items():
            if key == "RedrivePolicy.maxReceiveCount":
                dead_letter = queue.dead_letter if queue is not None else "ARN"
                policy = {"deadLetterTargetArn": _arn(str(dead_letter), estate), "maxReceiveCount": value}
                attributes["RedrivePolicy"] = json.dumps(policy)
            else:
                attributes[key] = str(value)
        return f"aws sqs set-queue-attributes --queue-url {target} --attributes '{json.dumps(attributes)}'"
    if change.kind == "redrive":
        dead = name.removesuffix(".fifo") + "-dead-letters" + (".fifo" if name.endswith(".fifo") else "")
        fifo = ',"FifoQueue":"true"' if name.endswith(".fifo") else ""
        return (
            f'aws sqs create-queue --queue-name {dead} --attributes \'{{"MessageRetentionPeriod":"1209600"{fifo}}}\'; '
            f"then set RedrivePolicy of {target} to its ARN with maxReceiveCount {settings['maxReceiveCount']}"
        )
    if change.kind in ("alarm", "metric"):
        alarm = f"{name}-not-empty" if change.kind == "alarm" else target
        return (
            f"aws cloudwatch put-metric-alarm --alarm-name {alarm} --namespace AWS/SQS --metric-name "
            f"{settings['MetricName']} --dimensions Name=QueueName,Value={name} --statistic Maximum --period 60 "
            "--evaluation-periods 1 --comparison-operator GreaterThanThreshold --threshold 0 "
            "--treat-missing-data notBreaching"
        )
    if change.kind == "function":
        number = settings["ReservedConcurrentExecutions"]
        return f"aws lambda put-function-concurrency --function-name {target} --reserved-concurrent-executions {number}"
    flags = {
        "BatchSize": "--batch-size {}",
        "MaximumBatchingWindowInSeconds": "--maximum-batching-window-in-seconds {}",
        "ScalingConfig.MaximumConcurrency": "--scaling-config MaximumConcurrency={}",
    }
    words = [
        "--function-response-types ReportBatchItemFailures"
        if key == "FunctionResponseTypes"
        else flags[key].format(value)
        for key, value in settings.items()
    ]
    return f"aws lambda update-event-source-mapping --uuid {target} {' '.join(words)}"


def _arn(dead_letter: str, estate: Estate) -> str:
    queue = estate.queue(dead_letter)
    return dead_letter if queue is None or dead_letter.startswith("arn:") else f"ARN of {queue.name}"
