"""Alarms of the simulated CloudWatch: configuration, evaluation, history, actions."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.sim.services.cloudwatch_desk import EPOCH, CloudWatchDesk

TOPIC = "arn:aws:sns:us-east-1:000000000000:ops"


@pytest.fixture
def desk() -> CloudWatchDesk:
    return CloudWatchDesk()


# -- as recorded -----------------------------------------------------------------------


def test_a_new_alarm_has_insufficient_data(desk: CloudWatchDesk) -> None:
    """[describe_minimal_metric_alarm] A new alarm is INSUFFICIENT_DATA for its creation, with AWS's defaults."""
    desk.alarm()
    assert desk.described() == {
        "AlarmName": "a",
        "AlarmArn": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:a",
        "AlarmConfigurationUpdatedTimestamp": EPOCH,
        "ActionsEnabled": True,
        "OKActions": [],
        "AlarmActions": [],
        "InsufficientDataActions": [],
        "StateValue": "INSUFFICIENT_DATA",
        "StateReason": "Unchecked: Initial alarm creation",
        "StateUpdatedTimestamp": EPOCH,
        "MetricName": "m",
        "Namespace": "N",
        "Statistic": "Sum",
        "Dimensions": [],
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "StateTransitionedTimestamp": EPOCH,
    }


def test_unknown_names_give_empty_lists(desk: CloudWatchDesk) -> None:
    """DescribeAlarms always gives both lists; unknown names are no error, nor is deleting them."""
    assert desk.call("DescribeAlarms", AlarmNames=["x"]) == {"CompositeAlarms": [], "MetricAlarms": []}
    assert desk.call("DeleteAlarms", AlarmNames=["x"]) == {}


def test_treatment_and_unit_only_if_given(desk: CloudWatchDesk) -> None:
    """TreatMissingData and Unit appear only if they were given."""
    desk.alarm()
    assert not {"TreatMissingData", "Unit"} & set(desk.described())
    desk.alarm(TreatMissingData="ignore", Unit="Count")
    assert (desk.described()["TreatMissingData"], desk.described()["Unit"]) == ("ignore", "Count")


def test_an_alarm_evaluates_itself(desk: CloudWatchDesk) -> None:
    """[put_metric_alarm] Period 10, Average of 21 and 22 over 21 -> ALARM, with AWS's reason, data and history."""
    desk.pass_seconds(60)
    desk.alarm(Period=10, Statistic="Average", Threshold=21.0, Unit="Seconds", AlarmActions=[TOPIC])
    desk.put(
        {"Value": 21.0, "Unit": "Seconds", "StorageResolution": 1},
        {"Value": 22.0, "Unit": "Seconds", "StorageResolution": 1},
    )
    desk.pass_seconds(10)
    alarm = desk.described()
    reason = "Threshold Crossed: 1 datapoint [21.5 (01/01/30 00:01:00)] was greater than the threshold (21.0)."
    assert (alarm["StateValue"], alarm["StateReason"]) == ("ALARM", reason)
    data = json.loads(alarm["StateReasonData"])
    assert data == {
        "version": "1.0",
        "queryDate": "2030-01-01T00:01:10.000+0000",
        "startDate": "2030-01-01T00:01:00.000+0000",
        "unit": "Seconds",
        "statistic": "Average",
        "period": 10,
        "recentDatapoints": [21.5],
        "threshold": 21.0,
        "evaluatedDatapoints": [{"timestamp": "2030-01-01T00:01:00.000+0000", "sampleCount": 2.0, "value": 21.5}],
    }
    items = desk.call("DescribeAlarmHistory", AlarmName="a", HistoryItemType="StateUpdate")["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in items] == ["Alarm updated from INSUFFICIENT_DATA to ALARM"]
    told = json.loads(items[0]["HistoryData"])
    assert told["oldState"] == {"stateValue": "INSUFFICIENT_DATA", "stateReason": "Unchecked: Initial alarm creation"}
    assert told["newState"] == {"stateValue": "ALARM", "stateReason": reason, "stateReasonData": data}


def test_missing_data_that_breaches(desk: CloudWatchDesk) -> None:
    """[breaching_alarm_actions] TreatMissingData=breaching without any point over 2 periods -> ALARM, its action."""
    desk.alarm(EvaluationPeriods=2, TreatMissingData="breaching", AlarmActions=[TOPIC])
    desk.pass_seconds(60)
    assert desk.described()["StateReason"] == (
        "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints were treated as "
        "[Breaching]."
    )
    assert [arn for arn, _ in desk.actions] == [TOPIC]


def test_missing_data_by_default_is_insufficient(desk: CloudWatchDesk) -> None:
    """Left out, missing data leads back to INSUFFICIENT_DATA once nothing is left in the evaluation range."""
    desk.alarm()
    desk.put({"Value": 1.0})
    desk.pass_seconds(60)
    assert desk.state == "OK"
    desk.pass_seconds(180)
    assert desk.state == "INSUFFICIENT_DATA"
    assert desk.described()["StateReason"] == "Insufficient Data: 1 datapoint was unknown."


def test_a_state_that_is_no_state(desk: CloudWatchDesk) -> None:
    """[set_alarm_invalid_input] SetAlarmState refuses another value, with the framework's text."""
    desk.alarm()
    error = desk.refused("SetAlarmState", AlarmName="a", StateValue="INVALID", StateReason="x")
    assert (error.code, error.shape, error.status) == ("ValidationError", "ValidationException", 400)
    assert error.message == (
        "1 validation error detected: Value 'INVALID' at 'stateValue' failed to satisfy constraint: "
        "Member must satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]"
    )


def test_the_state_of_an_unknown_alarm(desk: CloudWatchDesk) -> None:
    """[set_alarm_invalid_input] SetAlarmState of an unknown alarm: ResourceNotFound, 404, no text."""
    error = desk.refused("SetAlarmState", AlarmName="x", StateValue="OK", StateReason="x")
    assert (error.code, error.shape, error.status, error.message) == ("ResourceNotFound", "ResourceNotFound", 404, "")


def test_a_state_that_is_set_holds_until_the_next_evaluation(desk: CloudWatchDesk) -> None:
    """[set_alarm] SetAlarmState changes the state at once, runs actions if it differs, and the alarm goes back."""
    desk.alarm(AlarmActions=[TOPIC], TreatMissingData="notBreaching")
    desk.pass_seconds(60)
    for _ in range(2):
        desk.call("SetAlarmState", AlarmName="a", StateValue="ALARM", StateReason="testing")
    assert (desk.state, desk.described()["StateReason"]) == ("ALARM", "testing")
    assert len(desk.actions) == 1
    desk.pass_seconds(60)
    assert desk.state == "OK"


def test_disabled_actions(desk: CloudWatchDesk) -> None:
    """[enable_disable_alarm_actions] With actions disabled the state still changes, and no action runs."""
    desk.alarm(AlarmActions=[TOPIC], OKActions=[TOPIC])
    desk.call("DisableAlarmActions", AlarmNames=["a", "unknown"])
    assert desk.described()["ActionsEnabled"] is False
    desk.call("SetAlarmState", AlarmName="a", StateValue="ALARM", StateReason="x")
    assert (desk.state, desk.actions) == ("ALARM", [])
    desk.call("EnableAlarmActions", AlarmNames=["a"])
    desk.call("SetAlarmState", AlarmName="a", StateValue="OK", StateReason="x")
    assert [arn for arn, _ in desk.actions] == [TOPIC]


def test_the_message_of_an_action(desk: CloudWatchDesk) -> None:
    """An action carries what AWS sends to SNS, field for field."""
    desk.alarm(
        AlarmActions=[TOPIC],
        Dimensions=[{"Name": "Q", "Value": "v"}],
        Statistic="Maximum",
        AlarmDescription="d",
        TreatMissingData="breaching",
    )
    desk.pass_seconds(60)
    (_, message) = desk.actions[0]
    assert message == {
        "AlarmName": "a",
        "AlarmDescription": "d",
        "AWSAccountId": "000000000000",
        "AlarmConfigurationUpdatedTimestamp": "2030-01-01T00:00:00.000+0000",
        "NewStateValue": "ALARM",
        "NewStateReason": message["NewStateReason"],
        "StateChangeTime": "2030-01-01T00:01:00.000+0000",
        "ActionExecutedAfterMuteWindow": False,
        "Region": "US East (N. Virginia)",
        "AlarmArn": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:a",
        "OldStateValue": "INSUFFICIENT_DATA",
        "OKActions": [],
        "AlarmActions": [TOPIC],
        "InsufficientDataActions": [],
        "Trigger": {
            "MetricName": "m",
            "Namespace": "N",
            "StatisticType": "Statistic",
            "Statistic": "MAXIMUM",
            "Unit": None,
            "Dimensions": [{"value": "v", "name": "Q"}],
            "Period": 60,
            "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 5.0,
            "TreatMissingData": "breaching",
            "EvaluateLowSampleCountPercentile": "",
        },
    }
    (event,) = desk.of("alarm.action")
    assert (event["alarm"], event["state"], event["action"]) == ("a", "ALARM", TOPIC)


# -- rules that are documented -------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"Namespace": None},
        {"Statistic": None},
        {"Namespace": None, "Statistic": None},
        {"ExtendedStatistic": "p99"},
        {"MetricName": None},
        {"Period": None},
        {"Period": 45},
        {"Period": 90},
        {"EvaluationPeriods": 0},
        {"DatapointsToAlarm": 2},
        {"Period": 300, "EvaluationPeriods": 300},
        {"Period": 3_600, "EvaluationPeriods": 169},
        {"Threshold": None},
        {"ComparisonOperator": "Above"},
        {"TreatMissingData": "maybe"},
        {"AlarmName": "a\nb"},
        {"AlarmActions": ["ops@example.com"]},
        {"AlarmActions": [TOPIC] * 6},
        {"Unit": "Errors"},
        {"Statistic": "Median"},
    ],
)
def test_what_put_metric_alarm_refuses(desk: CloudWatchDesk, changes: dict[str, Any]) -> None:
    """An alarm without namespace or statistic, with a period or name that is none, and so on, is not created."""
    from harness.sim.services.errors import ServiceError

    with pytest.raises(ServiceError) as caught:
        desk.alarm(**changes)
    assert caught.value.code == "ValidationError"
    assert desk.call("DescribeAlarms")["MetricAlarms"] == []
    assert desk.of("alarm.put") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"Period": 10},
        {"Period": 3_600, "EvaluationPeriods": 168},
        {"Statistic": None, "ExtendedStatistic": "p99.9"},
        {"EvaluationPeriods": 3, "DatapointsToAlarm": 2},
    ],
)
def test_what_it_accepts(desk: CloudWatchDesk, changes: dict[str, Any]) -> None:
    """The edges of what is allowed."""
    desk.alarm(**changes)
    assert desk.described()["AlarmName"] == "a"


def test_an_alarm_on_the_wrong_dimensions_never_sees_data(desk: CloudWatchDesk) -> None:
    """An alarm without dimensions does not see data with some."""
    desk.alarm()
    desk.put({"Value": 100.0, "Dimensions": [{"Name": "ServiceName", "Value": "orders"}]})
    desk.pass_seconds(60)
    assert desk.state == "INSUFFICIENT_DATA"


def test_the_window_slides_by_the_minute(desk: CloudWatchDesk) -> None:
    """A period of five minutes is looked at every minute, over the five minutes before."""
    desk.alarm(Period=300, TreatMissingData="notBreaching")
    desk.pass_seconds(150)
    desk.put({"Value": 6.0})
    desk.pass_seconds(30)
    assert (desk.seconds, desk.state) == (180.0, "ALARM")


def test_a_wall_clock_window_is_aligned(desk: CloudWatchDesk) -> None:
    """A wall clock window of five minutes is judged when it is over."""
    desk.alarm(Period=300, TreatMissingData="notBreaching", EvaluationWindow={"WallClockWindow": {}})
    desk.pass_seconds(150)
    desk.put({"Value": 6.0})
    desk.pass_seconds(149)
    assert desk.state == "OK"
    desk.pass_seconds(1)
    assert desk.state == "ALARM"
    assert desk.of("alarm.put")[0]["wall_clock"]


def test_evaluation_periods_and_datapoints_to_alarm(desk: CloudWatchDesk) -> None:
    """2 out of 3: two breaching minutes among three are enough, one is not."""
    desk.alarm(EvaluationPeriods=3, DatapointsToAlarm=2)
    states = []
    for value in (9.0, 1.0, 9.0, 1.0, 1.0):
        desk.put({"Value": value})
        desk.pass_seconds(60)
        states.append(desk.state)
    assert states == ["OK", "OK", "ALARM", "OK", "OK"]


def test_old_data_is_looked_at_again(desk: CloudWatchDesk) -> None:
    """When a metric stops, its last data points are evaluated again for as long as they are in the range."""
    desk.alarm(EvaluationPeriods=2, TreatMissingData="notBreaching")
    for _ in range(2):
        desk.put({"Value": 9.0})
        desk.pass_seconds(60)
    states = []
    for _ in range(4):
        states.append(desk.state)
        desk.pass_seconds(60)
    assert states == ["ALARM", "ALARM", "ALARM", "OK"]


def test_late_data_is_seen_at_the_next_evaluation(desk: CloudWatchDesk) -> None:
    """Data for a minute that has passed changes what the alarm sees."""
    desk.alarm(TreatMissingData="notBreaching")
    desk.pass_seconds(125)
    assert desk.state == "OK"
    desk.put({"Value": 9.0, "Timestamp": EPOCH + timedelta(seconds=70)})
    desk.pass_seconds(60)
    assert desk.state == "ALARM"


def test_an_update_leaves_the_state(desk: CloudWatchDesk) -> None:
    """PutMetricAlarm on an alarm that is there overwrites its configuration and leaves its state."""
    desk.alarm(TreatMissingData="breaching")
    desk.pass_seconds(60)
    desk.alarm(Threshold=7.0)
    alarm = desk.described()
    assert (alarm["StateValue"], alarm["Threshold"]) == ("ALARM", 7.0)
    assert "TreatMissingData" not in alarm
    assert [event["created"] for event in desk.of("alarm.put")] == [True, False]
    items = desk.call("DescribeAlarmHistory", HistoryItemType="ConfigurationUpdate")["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in items] == ['Alarm "a" updated', 'Alarm "a" created']


def test_a_configuration_is_a_copy(desk: CloudWatchDesk) -> None:
    """What the caller does to its parameters afterwards changes no alarm."""
    given = desk.alarm(AlarmActions=[TOPIC])
    given["AlarmActions"].append("other")
    assert desk.described()["AlarmActions"] == [TOPIC]


def test_dynamodb_ignores_missing_data(desk: CloudWatchDesk) -> None:
    """Alarms on AWS/DynamoDB keep their state without data, whatever was asked for."""
    desk.alarm(Namespace="AWS/DynamoDB", TreatMissingData="breaching")
    desk.pass_seconds(120)
    assert desk.state == "INSUFFICIENT_DATA"


def test_deleted_alarms_are_not_evaluated(desk: CloudWatchDesk) -> None:
    """After DeleteAlarms nothing is evaluated, no timer stands, and the history is still there."""
    desk.alarm(TreatMissingData="breaching")
    desk.call("DeleteAlarms", AlarmNames=["a", "unknown"])
    desk.pass_seconds(300)
    assert desk.of("alarm.state") == []
    assert desk.clock._agenda == []
    assert len(desk.call("DescribeAlarmHistory", AlarmName="a")["AlarmHistoryItems"]) == 2


def test_without_alarms_there_is_no_timer(desk: CloudWatchDesk) -> None:
    """Metric data alone sets no timer."""
    desk.put({"Value": 1.0})
    assert desk.clock._agenda == []


def test_a_short_period_added_later_is_evaluated_in_time(desk: CloudWatchDesk) -> None:
    """An alarm of ten seconds beside one of a minute is evaluated every ten seconds."""
    desk.alarm(AlarmName="slow")
    desk.pass_seconds(5)
    desk.alarm(Period=10, TreatMissingData="breaching")
    desk.pass_seconds(5)
    assert desk.state == "ALARM"
    assert desk.described("slow")["StateValue"] == "INSUFFICIENT_DATA"


def test_an_alarm_on_an_expression(desk: CloudWatchDesk) -> None:
    """An alarm can watch a quotient of two metrics."""
    metrics = [
        {
            "Id": name,
            "MetricStat": {"Metric": {"Namespace": "N", "MetricName": name}, "Period": 60, "Stat": "Sum"},
            "ReturnData": False,
        }
        for name in ("errors", "calls")
    ]
    for name in ("MetricName", "Namespace", "Statistic", "Period"):
        assert desk.refused(
            "PutMetricAlarm", **{**desk_parameters(), name: "N", "Metrics": [*metrics, {"Id": "e", "Expression": "1"}]}
        )
    rate = {"Id": "rate", "Expression": "errors / calls"}
    desk.call("PutMetricAlarm", **{**desk_parameters(), "Threshold": 0.5}, Metrics=[*metrics, rate])
    desk.put({"MetricName": "errors", "Value": 6.0}, {"MetricName": "calls", "Value": 10.0})
    desk.pass_seconds(60)
    assert desk.state == "ALARM"
    desk.put({"MetricName": "errors", "Value": 1.0}, {"MetricName": "calls", "Value": 10.0})
    desk.pass_seconds(60)
    assert desk.state == "OK"


def desk_parameters() -> dict[str, Any]:
    return {
        "AlarmName": "a",
        "EvaluationPeriods": 1,
        "Threshold": 5.0,
        "ComparisonOperator": "GreaterThanThreshold",
    }


def test_describe_alarms_by_everything(desk: CloudWatchDesk) -> None:
    """By name, prefix, state and action, in pages."""
    for number in range(60):
        desk.alarm(AlarmName=f"n{number:02d}", AlarmActions=[TOPIC] if number == 7 else [])
    first = desk.call("DescribeAlarms")
    assert len(first["MetricAlarms"]) == 50
    assert len(desk.call("DescribeAlarms", NextToken=first["NextToken"])["MetricAlarms"]) == 10
    assert len(desk.call("DescribeAlarms", MaxRecords=5)["MetricAlarms"]) == 5
    assert len(desk.call("DescribeAlarms", AlarmNamePrefix="n0")["MetricAlarms"]) == 10
    assert [
        alarm["AlarmName"] for alarm in desk.call("DescribeAlarms", ActionPrefix="arn:aws:sns")["MetricAlarms"]
    ] == ["n07"]
    desk.call("SetAlarmState", AlarmName="n03", StateValue="OK", StateReason="x")
    assert [alarm["AlarmName"] for alarm in desk.call("DescribeAlarms", StateValue="OK")["MetricAlarms"]] == ["n03"]
    assert desk.call("DescribeAlarms", AlarmTypes=["CompositeAlarm"])["MetricAlarms"] == []
    assert desk.refused("DescribeAlarms", AlarmNames=["n01"], AlarmNamePrefix="n").code == "ValidationError"


def test_describe_alarms_for_a_metric(desk: CloudWatchDesk) -> None:
    """By metric and exact dimensions, narrowed by statistic and period."""
    desk.alarm(AlarmName="plain")
    desk.alarm(AlarmName="named", Dimensions=[{"Name": "Q", "Value": "v"}], Period=300)
    found = desk.call("DescribeAlarmsForMetric", Namespace="N", MetricName="m")["MetricAlarms"]
    assert [alarm["AlarmName"] for alarm in found] == ["plain"]
    wanted = {"Namespace": "N", "MetricName": "m", "Dimensions": [{"Name": "Q", "Value": "v"}]}
    assert len(desk.call("DescribeAlarmsForMetric", **wanted, Period=300)["MetricAlarms"]) == 1
    assert desk.call("DescribeAlarmsForMetric", **wanted, Period=60)["MetricAlarms"] == []


def test_history_by_time_and_order(desk: CloudWatchDesk) -> None:
    """The history is cut by time and turned by ScanBy."""
    desk.alarm(TreatMissingData="breaching")
    desk.pass_seconds(120)
    items = desk.call("DescribeAlarmHistory", ScanBy="TimestampAscending")["AlarmHistoryItems"]
    assert [item["HistoryItemType"] for item in items] == ["ConfigurationUpdate", "StateUpdate"]
    late = desk.call("DescribeAlarmHistory", StartDate=EPOCH + timedelta(seconds=30))["AlarmHistoryItems"]
    assert [item["HistoryItemType"] for item in late] == ["StateUpdate"]
    early = desk.call("DescribeAlarmHistory", EndDate=EPOCH + timedelta(seconds=30))["AlarmHistoryItems"]
    assert [item["HistoryItemType"] for item in early] == ["ConfigurationUpdate"]


def test_regions_are_apart(desk: CloudWatchDesk) -> None:
    """Metrics and alarms of one region are not seen in another."""
    desk.alarm()
    desk.put({"Value": 9.0})
    assert desk.call("DescribeAlarms", region="eu-west-1")["MetricAlarms"] == []
    assert desk.call("ListMetrics", region="eu-west-1")["Metrics"] == []


def test_three_alarms_a_second(desk: CloudWatchDesk) -> None:
    """PutMetricAlarm is throttled beyond three a second, as many workers that start together find out."""
    desk.cw.quotas = True
    for _ in range(3):
        desk.alarm()
    assert desk.refused("PutMetricAlarm", **desk_parameters()).code == "Throttling"


def test_what_alarms_cannot_do_here_is_refused_by_name(desk: CloudWatchDesk) -> None:
    """Anomaly detection, PromQL and warm-up are not simulated, and say so."""
    for changes in (
        {"ComparisonOperator": "LessThanLowerThreshold"},
        {"EvaluationCriteria": {"PromQLCriteria": {"Query": "up"}}},
        {"WarmUpConfiguration": {"WarmUpPeriodDurationInMinutes": 5}},
    ):
        error = desk.refused("PutMetricAlarm", **{**desk_parameters(), "MetricName": "m", **changes})
        assert error.code == "NotSimulated"
