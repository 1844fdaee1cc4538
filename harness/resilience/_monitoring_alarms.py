"""The alarms of error monitoring, as CloudWatch accepts them, created once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from harness.resilience._listeners import logger
from harness.resilience.backoff import Exponential
from harness.resilience.errors import Classification, diagnose
from harness.resilience.retry import Retry

__all__ = ["ONCE", "PATIENCE", "AlarmOptions", "ensure_alarms", "error_alarms", "queue_name"]

#: PutMetricAlarm and DescribeAlarms have small quotas; a deployment of many workers exceeds them for some seconds.
PATIENCE = Retry(Exponential(0.5, cap=4, jitter="full"), max_retries=8, deadline=10, name="error-alarms")
#: Where another try comes at the next interval anyway.
ONCE = Retry(max_retries=0, name="error-alarms")

_COMPARED = (
    "ActionsEnabled",
    "AlarmActions",
    "AlarmDescription",
    "ComparisonOperator",
    "DatapointsToAlarm",
    "Dimensions",
    "EvaluationPeriods",
    "InsufficientDataActions",
    "MetricName",
    "Namespace",
    "OKActions",
    "Period",
    "Statistic",
    "Threshold",
    "TreatMissingData",
)


class AlarmOptions(TypedDict, total=False):
    """The figures of the alarms: above so many errors (100) in each of so many periods (2) of so many seconds (300),
    above so many dead letters (1,000) in so many periods (1) of so many seconds (300); how missing data is treated
    (``notBreaching``)."""

    error_threshold: float
    error_period: int
    error_periods: int
    depth_threshold: float
    depth_period: int
    depth_periods: int
    missing_data: str


def queue_name(queue: str) -> str:
    """The name of a queue that is given by its name, URL or ARN."""
    return queue.rpartition(":")[2] if queue.startswith("arn:") else queue.rstrip("/").rpartition("/")[2]


def error_alarms(
    namespace: str,
    metric: str,
    queues: Sequence[str],
    actions: Sequence[str],
    ok_actions: Sequence[str],
    options: AlarmOptions,
) -> list[dict[str, Any]]:
    """The parameters of PutMetricAlarm for each alarm."""
    common: dict[str, Any] = {
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": options.get("missing_data", "notBreaching"),
        "ActionsEnabled": True,
        "AlarmActions": list(actions),
        "OKActions": list(ok_actions),
        "InsufficientDataActions": [],
    }
    found = [
        {
            "AlarmName": "HighErrorRate",
            "AlarmDescription": f"Many errors of all kinds ({namespace} {metric})",
            "Namespace": namespace,
            "MetricName": metric,
            # The metric without dimensions: the sum that is published beside the single ones.
            "Dimensions": [],
            "Statistic": "Sum",
            "Period": options.get("error_period", 300),
            "EvaluationPeriods": options.get("error_periods", 2),
            "Threshold": float(options.get("error_threshold", 100)),
            **common,
        }
    ]
    for number, name in enumerate(dict.fromkeys(map(queue_name, queues))):
        found.append(
            {
                "AlarmName": "DLQDepthHigh" if number == 0 else f"DLQDepthHigh-{name}",
                "AlarmDescription": f"Many dead letters in {name}",
                "Namespace": "AWS/SQS",
                "MetricName": "ApproximateNumberOfMessagesVisible",
                "Dimensions": [{"Name": "QueueName", "Value": name}],
                "Statistic": "Maximum",
                "Period": options.get("depth_period", 300),
                "EvaluationPeriods": options.get("depth_periods", 1),
                "Threshold": float(options.get("depth_threshold", 1_000)),
                **common,
            }
        )
    return found


def ensure_alarms(cloudwatch: Any, wanted: Sequence[Mapping[str, Any]], retry: Retry) -> list[str]:
    """Create the alarms that are not there as *wanted*; returns their names. Raises what the client raises.

    Names are one account's: an alarm that watches something else under the
    wanted name is another service's and stays; ours gets a longer name.
    """
    names = [name for alarm in wanted for name in (str(alarm["AlarmName"]), _longer_name(alarm))]
    there: dict[str, Mapping[str, Any]] = {}
    try:
        answer = retry.execute(cloudwatch.describe_alarms, AlarmNames=names)
        there = {alarm["AlarmName"]: alarm for alarm in answer.get("MetricAlarms") or []}
    except Exception as error:
        if diagnose(error).classification is not Classification.PERMANENT:
            raise
        # Allowed to create but not to look: to create again is harmless, the state stays.
        logger.warning("alarms cannot be looked at, they are written anew: %s", error)
    used = []
    for alarm in wanted:
        name = str(alarm["AlarmName"])
        if name in there and not _watches_the_same(there[name], alarm):
            logger.warning("alarm %s is of another service, ours is %s", name, _longer_name(alarm))
            name = _longer_name(alarm)
        used.append(name)
        if not _same(there.get(name), alarm):
            retry.execute(cloudwatch.put_metric_alarm, **{**alarm, "AlarmName": name})
    return used


def _longer_name(alarm: Mapping[str, Any]) -> str:
    """The alarm's name with what it watches: the queue, or the namespace."""
    what = alarm["Dimensions"][0]["Value"] if alarm["Dimensions"] else alarm["Namespace"]
    name = str(alarm["AlarmName"])
    return name if name.endswith(f"-{what}") else f"{name}-{what}"


def _watches_the_same(there: Mapping[str, Any], alarm: Mapping[str, Any]) -> bool:
    return all(there.get(name) == alarm[name] for name in ("Namespace", "MetricName")) and (
        list(there.get("Dimensions") or ()) == list(alarm["Dimensions"])
    )


def _same(there: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    return there is not None and all((there.get(name) or None) == (wanted.get(name) or None) for name in _COMPARED)
