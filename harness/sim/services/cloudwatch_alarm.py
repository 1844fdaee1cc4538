"""One alarm: its configuration, checked, its state, and what AWS tells of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.sim.services.cloudwatch_core import MINUTE_S, SECOND_US, Parameters, dimensions_of, moment
from harness.sim.services.cloudwatch_errors import not_in_enum, not_simulated, validation_error
from harness.sim.services.cloudwatch_evaluation import COMPARISONS, TREATMENTS, State, Treatment
from harness.sim.services.cloudwatch_metrics import STATISTICS, UNITS, check_queries, check_statistic
from harness.sim.services.cloudwatch_series import MetricName

__all__ = ["ACTION_LISTS", "Alarm", "Points", "check_alarm"]

#: An alarm's evaluation range, newest first: the beginning of a period, and its value if it has one.
Points = Sequence[tuple[int, float | None]]

ACTION_LISTS: Mapping[State, str] = {
    "OK": "OKActions",
    "ALARM": "AlarmActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ARN = re.compile(r"arn:[\w-]+:[\w-]*:[\w-]*:[\w-]*:.+")
_ACTIONS_MAX = 5
_DAY_S = 86_400
_SINGLE_METRIC = ("MetricName", "Namespace", "Dimensions", "Period", "Unit", "Statistic", "ExtendedStatistic")
_NOT_HERE = ("ThresholdMetricId", "EvaluationCriteria", "EvaluationInterval", "WarmUpConfiguration")

#: How AWS writes a region in a notification; others are written by their id.
_REGIONS: Mapping[str, str] = {
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-2": "US West (Oregon)",
    "eu-central-1": "EU (Frankfurt)",
    "eu-west-1": "EU (Ireland)",
    "ap-northeast-1": "Asia Pacific (Tokyo)",
}


def check_alarm(given: Parameters) -> None:
    """Refuse a configuration that CloudWatch refuses, or that the simulation does not have.

    No refusal of PutMetricAlarm is recorded: the rules are documented, the texts are not AWS's.

    Raises:
        CloudWatchError: the text names the parameter.
    """
    name = given.get("AlarmName") or ""
    if not 1 <= len(name) <= 255 or _CONTROL.search(name):
        raise validation_error("AlarmName must have 1 to 255 characters and no ASCII control character.")
    for parameter in _NOT_HERE:
        if given.get(parameter) is not None:
            raise not_simulated(f"{parameter} of an alarm")
    operator = given.get("ComparisonOperator")
    if operator not in COMPARISONS:
        if operator and ("Lower" in operator or "Upper" in operator):
            raise not_simulated("anomaly detection")
        raise not_in_enum(operator, "comparisonOperator", tuple(COMPARISONS))
    if given.get("Threshold") is None:
        raise validation_error("Threshold is required for an alarm on a static threshold.")
    treatment = given.get("TreatMissingData")
    if treatment is not None and treatment not in TREATMENTS:
        raise not_in_enum(treatment, "treatMissingData", TREATMENTS)
    for actions in ACTION_LISTS.values():
        arns = given.get(actions) or ()
        if len(arns) > _ACTIONS_MAX:
            raise validation_error(f"{actions} must not have more than {_ACTIONS_MAX} entries.")
        for arn in arns:
            if not _ARN.fullmatch(arn):
                raise validation_error(f"Invalid arn syntax: {arn}")
    _check_metric(given)
    _check_periods(given)


def _check_metric(given: Parameters) -> None:
    queries = given.get("Metrics")
    if (queries is None) == (given.get("MetricName") is None):
        raise validation_error("Exactly one of MetricName and Metrics must be specified.")
    if queries is not None:
        for parameter in _SINGLE_METRIC:
            if given.get(parameter):
                raise validation_error(f"The parameters Metrics and {parameter} are mutually exclusive.")
        check_queries(queries)
        if sum(query.get("ReturnData") is not False for query in queries) != 1:
            raise validation_error("Exactly one element of the metrics list should return data.")
        if len({query["MetricStat"]["Period"] for query in queries if query.get("MetricStat")}) != 1:
            raise not_simulated("alarm on metrics of different periods")
        return
    if not given.get("Namespace"):
        raise validation_error("Namespace must be specified together with MetricName.")
    if (given.get("Statistic") is None) == (given.get("ExtendedStatistic") is None):
        raise validation_error("Exactly one of Statistic and ExtendedStatistic must be specified with MetricName.")
    if given.get("Statistic") is not None and given["Statistic"] not in STATISTICS:
        raise not_in_enum(given["Statistic"], "statistic", STATISTICS)
    if given.get("ExtendedStatistic") is not None:
        check_statistic(given["ExtendedStatistic"])
    if given.get("Unit") is not None and given["Unit"] not in UNITS:
        raise not_in_enum(given["Unit"], "unit", tuple(sorted(UNITS)))
    if given.get("Period") is None:
        raise validation_error("Period must be specified together with MetricName.")


def _check_periods(given: Parameters) -> None:
    period = period_of(given)
    if period not in (10, 20, 30) and (period < MINUTE_S or period % MINUTE_S):
        raise validation_error("Period must be 10, 20, 30 or a multiple of 60.")
    periods = given.get("EvaluationPeriods") or 0
    if periods < 1:
        raise validation_error("EvaluationPeriods must be at least 1.")
    longest = 7 * _DAY_S if period >= 3_600 else _DAY_S
    if period * periods > longest:
        raise validation_error(
            f"Metrics cannot be checked across more than {longest} seconds (EvaluationPeriods * Period)."
        )
    to_alarm = given.get("DatapointsToAlarm")
    if to_alarm is not None and not 1 <= to_alarm <= periods:
        raise validation_error("DatapointsToAlarm must be between 1 and EvaluationPeriods.")
    wall: Parameters | None = (given.get("EvaluationWindow") or {}).get("WallClockWindow")
    if wall is not None and wall.get("Timezone") not in (None, "UTC"):
        raise not_simulated(f"wall clock window in the time zone {wall['Timezone']}")
    if wall is not None and period not in (60, 300, 3_600, 86_400, 604_800):
        raise validation_error("The period of a wall clock window must be 60, 300, 3600, 86400 or 604800.")


def period_of(given: Parameters) -> int:
    """The period of a configuration, in seconds."""
    if given.get("Metrics") is None:
        return int(given["Period"])
    return int(next(query["MetricStat"]["Period"] for query in given["Metrics"] if query.get("MetricStat")))


class Alarm:
    """An alarm and its state. Times are microseconds since 1970 on the service's clock."""

    def __init__(self, given: Parameters, region: str, account: str, now_us: int) -> None:
        self.name: str = given["AlarmName"]
        self.region = region
        self.account = account
        self.arn = f"arn:aws:cloudwatch:{region}:{account}:alarm:{self.name}"
        self.state: State = "INSUFFICIENT_DATA"
        self.reason = "Unchecked: Initial alarm creation"
        self.reason_data: str | None = None
        self.updated_us = self.transitioned_us = now_us
        self.configure(given, now_us)

    def configure(self, given: Parameters, now_us: int) -> None:
        """Take over a configuration (checked before) instead of the one in force. The state stays."""
        self.given = given
        self.configured_us = now_us
        self.enabled = given.get("ActionsEnabled") is not False
        self.period = period_of(given)
        self.periods: int = given["EvaluationPeriods"]
        self.to_alarm: int = given.get("DatapointsToAlarm") or self.periods
        self.threshold = float(given["Threshold"])
        self.breaches, self._compared = COMPARISONS[given["ComparisonOperator"]]
        self.treatment: Treatment = given.get("TreatMissingData") or "missing"
        if given.get("Namespace") == "AWS/DynamoDB":
            self.treatment = "ignore"
        self.statistic: str = given.get("Statistic") or given.get("ExtendedStatistic") or ""
        self.metric: MetricName | None = None
        if given.get("Metrics") is None:
            self.metric = MetricName(
                self.region, given["Namespace"], given["MetricName"], dimensions_of(given.get("Dimensions"))
            )
        self.aligned = (given.get("EvaluationWindow") or {}).get("WallClockWindow") is not None

    # -- telling ---------------------------------------------------------------------

    def described(self) -> dict[str, Any]:
        """One entry of DescribeAlarms' MetricAlarms."""
        given = self.given
        answer: dict[str, Any] = {"AlarmName": self.name, "AlarmArn": self.arn}
        if given.get("AlarmDescription") is not None:
            answer["AlarmDescription"] = given["AlarmDescription"]
        answer["AlarmConfigurationUpdatedTimestamp"] = moment(self.configured_us)
        answer["ActionsEnabled"] = self.enabled
        for actions in ("OKActions", "AlarmActions", "InsufficientDataActions"):
            answer[actions] = list(given.get(actions) or ())
        answer["StateValue"] = self.state
        answer["StateReason"] = self.reason
        if self.reason_data is not None:
            answer["StateReasonData"] = self.reason_data
        answer["StateUpdatedTimestamp"] = moment(self.updated_us)
        for name in ("MetricName", "Namespace", "Statistic", "ExtendedStatistic"):
            if given.get(name) is not None:
                answer[name] = given[name]
        if self.metric is not None:
            answer["Dimensions"] = [dict(pair) for pair in given.get("Dimensions") or ()]
        for name in (
            "Period",
            "Unit",
            "EvaluationPeriods",
            "DatapointsToAlarm",
            "Threshold",
            "ComparisonOperator",
            "TreatMissingData",
            "EvaluateLowSampleCountPercentile",
            "Metrics",
            "EvaluationWindow",
        ):
            if given.get(name) is not None:
                answer[name] = given[name]
        answer["Threshold"] = self.threshold
        answer["StateTransitionedTimestamp"] = moment(self.transitioned_us)
        return answer

    def facts(self) -> dict[str, Any]:
        """The configuration as a history holds it."""
        given = self.given
        return {
            "alarm": self.name,
            "namespace": given.get("Namespace"),
            "metric": given.get("MetricName"),
            "dimensions": {pair["Name"]: pair["Value"] for pair in given.get("Dimensions") or ()},
            "statistic": self.statistic or None,
            "period": self.period,
            "evaluation_periods": self.periods,
            "datapoints_to_alarm": self.to_alarm,
            "threshold": self.threshold,
            "comparison": given["ComparisonOperator"],
            "missing_data": self.treatment,
            "actions": len(given.get("AlarmActions") or ()),
            **({"wall_clock": True} if self.aligned else {}),
        }

    def why(self, state: State, points: Points) -> str:
        """StateReason of *state* after an evaluation of *points*."""
        used, filled = self._used(points)
        if state == "INSUFFICIENT_DATA":
            return f"Insufficient Data: {_count(self.periods, 'datapoint')} {_was(self.periods)} unknown."
        treated = {"breaching": "Breaching", "notBreaching": "NonBreaching"}.get(self.treatment, "Missing")
        missing = f"{_count(filled, 'missing datapoint')} {_was(filled)} treated as [{treated}]."
        if not used:
            return f"Threshold Crossed: no datapoints were received for {_count(filled, 'period')} and {missing}"
        telling = [point for point in used if self.breaches(point[1], self.threshold) == (state == "ALARM")]
        if not telling:
            return f"Threshold Crossed: {missing}"  # not recorded
        used = telling
        listed = ", ".join(f"{value} ({moment(at_s * SECOND_US):%d/%m/%y %H:%M:%S})" for at_s, value in used)
        negated = "" if state == "ALARM" else "not "
        number = len(used)
        text = f"[{listed}] {_was(number)} {negated}{self._compared} the threshold ({self.threshold})"
        if self.given.get("DatapointsToAlarm") is not None:
            times = _count(self.to_alarm, "datapoint")
            change = "OK -> ALARM" if state == "ALARM" else "ALARM -> OK"
            text = (
                f"Threshold Crossed: {number} out of the last {self.periods} datapoints {text} "
                f"(minimum {times} for {change} transition)"
            )
        else:
            text = f"Threshold Crossed: {_count(number, 'datapoint')} {text}"
        return f"{text} and {missing}" if filled and self.treatment in ("breaching", "notBreaching") else f"{text}."

    def why_data(self, points: Points, samples: Mapping[int, float], now_us: int) -> str:
        """StateReasonData: the evaluation in JSON."""
        used, _ = self._used(points)
        data: dict[str, Any] = {"version": "1.0", "queryDate": _stamp(now_us)}
        if used:
            data["startDate"] = _stamp(used[-1][0] * SECOND_US)
        if self.given.get("Unit") is not None:
            data["unit"] = self.given["Unit"]
        if self.statistic:
            data["statistic"] = self.statistic
        data["period"] = self.period
        data["recentDatapoints"] = [value for _, value in reversed(used)]
        data["threshold"] = self.threshold
        if used:
            data["evaluatedDatapoints"] = [
                {"timestamp": _stamp(at_s * SECOND_US), "sampleCount": samples.get(at_s, 1.0), "value": value}
                for at_s, value in used
            ]
        return json.dumps(data, separators=(",", ":"))

    def _used(self, points: Points) -> tuple[list[tuple[int, float]], int]:
        """The real data points that decided, newest first, and how many were filled in."""
        real = [(at_s, value) for at_s, value in points if value is not None]
        return real[: self.periods], max(0, self.periods - len(real))

    def notification(self, before: State) -> dict[str, Any]:
        """The message of an action of this alarm, which has just left *before*."""
        given = self.given
        trigger: dict[str, Any] = {}
        if self.metric is not None:
            trigger = {
                "MetricName": self.metric.name,
                "Namespace": self.metric.namespace,
                "StatisticType": "Statistic" if given.get("Statistic") else "ExtendedStatistic",
                "Statistic": self.statistic.upper() if given.get("Statistic") else self.statistic,
                "Unit": given.get("Unit"),
                "Dimensions": [{"value": value, "name": name} for name, value in self.metric.dimensions],
            }
        trigger.update(
            Period=self.period,
            EvaluationPeriods=self.periods,
            ComparisonOperator=given["ComparisonOperator"],
            Threshold=self.threshold,
            TreatMissingData=given.get("TreatMissingData") or "",
            EvaluateLowSampleCountPercentile=given.get("EvaluateLowSampleCountPercentile") or "",
        )
        return {
            "AlarmName": self.name,
            "AlarmDescription": given.get("AlarmDescription"),
            "AWSAccountId": self.account,
            "AlarmConfigurationUpdatedTimestamp": _stamp(self.configured_us),
            "NewStateValue": self.state,
            "NewStateReason": self.reason,
            "StateChangeTime": _stamp(self.updated_us),
            "ActionExecutedAfterMuteWindow": False,
            "Region": _REGIONS.get(self.region, self.region),
            "AlarmArn": self.arn,
            "OldStateValue": before,
            **{actions: list(given.get(actions) or ()) for actions in ACTION_LISTS.values()},
            "Trigger": trigger,
        }


def _stamp(us: int) -> str:
    return f"{moment(us):%Y-%m-%dT%H:%M:%S}.{us // 1_000 % 1_000:03d}+0000"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _was(number: int) -> str:
    return "was" if number == 1 else "were"
