"""Metrics of the simulated CloudWatch: what is taken, what is refused, what comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.sim.services.cloudwatch_desk import EPOCH, CloudWatchDesk


@pytest.fixture
def desk() -> CloudWatchDesk:
    return CloudWatchDesk()


def refused(desk: CloudWatchDesk, **datum: Any) -> tuple[str, str, int, str]:
    error = desk.refused("PutMetricData", Namespace="N", MetricData=[{"MetricName": "m", **datum}])
    return error.code, error.shape, error.status, error.message


# -- as recorded -----------------------------------------------------------------------


def test_values_and_counts_of_different_length(desk: CloudWatchDesk) -> None:
    """[put_metric_data_validation] Values and Counts must be of the same size."""
    assert refused(desk, Values=[1.0, 10.0], Counts=[2.0]) == (
        "InvalidParameterValue",
        "InvalidParameterValueException",
        400,
        "The parameters MetricData.member.1.Values and MetricData.member.1.Counts must be of the same size.",
    )


@pytest.mark.parametrize(
    ("other", "value"),
    [("Values", [1.0]), ("StatisticValues", {"SampleCount": 1.0, "Sum": 1.0, "Minimum": 1.0, "Maximum": 1.0})],
)
def test_value_and_another_form_of_it(desk: CloudWatchDesk, other: str, value: Any) -> None:
    """[put_metric_data_validation] Value excludes Values and StatisticValues."""
    assert refused(desk, Value=1.0, **{other: value}) == (
        "InvalidParameterCombination",
        "InvalidParameterCombinationException",
        400,
        f"The parameters MetricData.member.1.Value and MetricData.member.1.{other} are mutually exclusive and you have "
        "specified both.",
    )


def test_more_data_points_than_allowed(desk: CloudWatchDesk) -> None:
    """[invalid_amount_of_datapoints] GetMetricStatistics gives at most 1,440 points."""
    error = desk.refused(
        "GetMetricStatistics",
        Namespace="N",
        MetricName="m",
        StartTime=EPOCH - timedelta(days=1),
        EndTime=EPOCH,
        Period=1,
        Statistics=["Sum"],
    )
    assert error.code == "InvalidParameterCombination"
    assert error.message == (
        "You have requested up to 86400 datapoints, which exceeds the limit of 1440. You may reduce the datapoints "
        "requested by increasing Period, or decreasing the time range."
    )


def test_a_start_that_is_not_before_the_end(desk: CloudWatchDesk) -> None:
    """[invalid_amount_of_datapoints] StartTime must be less than EndTime."""
    error = desk.refused(
        "GetMetricStatistics",
        Namespace="N",
        MetricName="m",
        StartTime=EPOCH,
        EndTime=EPOCH,
        Period=60,
        Statistics=["Sum"],
    )
    assert (error.code, error.message) == (
        "InvalidParameterValue",
        "The parameter StartTime must be less than the parameter EndTime.",
    )


def test_values_with_counts_add_up(desk: CloudWatchDesk) -> None:
    """[put_metric_data_values_list] Values [1, 10] with Counts [2, 4]: sample count 6, sum 42, maximum 10."""
    desk.put({"Values": [1.0, 10.0], "Counts": [2.0, 4.0]})
    (point,) = desk.statistics("SampleCount", "Sum", "Maximum")
    assert (point["SampleCount"], point["Sum"], point["Maximum"]) == (6.0, 42.0, 10.0)


def test_units_are_series_of_their_own(desk: CloudWatchDesk) -> None:
    """[handle_different_units] One name with three units: three data points without a unit, one with it."""
    desk.put({"Value": 1.0}, {"Value": 5.0, "Unit": "Count"}, {"Value": 6.0, "Unit": "Seconds"})
    assert sorted((point["Unit"], point["Sum"]) for point in desk.statistics()) == [
        ("Count", 5.0),
        ("None", 1.0),
        ("Seconds", 6.0),
    ]
    assert [point["Sum"] for point in desk.statistics(Unit="Seconds")] == [6.0]


def query(desk: CloudWatchDesk, **changes: Any) -> list[dict[str, Any]]:
    stat: dict[str, Any] = {"Metric": {"Namespace": "N", "MetricName": "m"}, "Period": 60, "Stat": "Sum", **changes}
    answer = desk.call(
        "GetMetricData",
        MetricDataQueries=[{"Id": "q", "MetricStat": stat}],
        StartTime=desk.now - timedelta(hours=1),
        EndTime=desk.now + timedelta(minutes=1),
    )
    assert answer["Messages"] == []
    results: list[dict[str, Any]] = answer["MetricDataResults"]
    return results


def test_a_query_with_a_unit_finds_that_unit(desk: CloudWatchDesk) -> None:
    """[get_metric_data_with_different_units] GetMetricData with the unit Seconds gives that series."""
    desk.put({"Value": 1.0}, {"Value": 6.0, "Unit": "Seconds"})
    assert [result["Values"] for result in query(desk, Unit="Seconds")] == [[6.0]]


def test_a_query_without_data_is_complete_and_empty(desk: CloudWatchDesk) -> None:
    """GetMetricData of a metric without data: no values, StatusCode Complete, the metric's name as label."""
    assert query(desk) == [{"Id": "q", "Label": "m", "Timestamps": [], "Values": [], "StatusCode": "Complete"}]


def test_dimensions_match_exactly(desk: CloudWatchDesk) -> None:
    """A query without dimensions finds only data without: CloudWatch adds nothing up over dimensions."""
    desk.put({"Value": 3.0, "Dimensions": [{"Name": "A", "Value": "1"}, {"Name": "B", "Value": "2"}]})
    assert query(desk)[0]["Values"] == []
    partly = {"Metric": {"Namespace": "N", "MetricName": "m", "Dimensions": [{"Name": "A", "Value": "1"}]}}
    assert query(desk, **partly)[0]["Values"] == []
    turned = [{"Name": "B", "Value": "2"}, {"Name": "A", "Value": "1"}]
    assert [point["Sum"] for point in desk.statistics(Dimensions=turned)] == [3.0]


def test_the_label_and_the_unit_none(desk: CloudWatchDesk) -> None:
    """GetMetricStatistics labels with the metric's name, and says None where no unit was sent."""
    desk.put({"Value": 1.0})
    answer = desk.call(
        "GetMetricStatistics",
        Namespace="N",
        MetricName="m",
        StartTime=EPOCH,
        EndTime=EPOCH + timedelta(minutes=1),
        Period=60,
        Statistics=["Average"],
    )
    assert answer == {"Label": "m", "Datapoints": [{"Timestamp": EPOCH, "Average": 1.0, "Unit": "None"}]}


# -- limits that are documented ----------------------------------------------------------


@pytest.mark.parametrize(
    "datum",
    [
        {"Values": [float(n) for n in range(151)]},
        {"Value": 1.0, "Dimensions": [{"Name": f"d{n}", "Value": "v"} for n in range(31)]},
        {"Value": 2.0**361},
        {"Value": float("nan")},
        {"Value": float("inf")},
        {"Value": 1.0, "Timestamp": EPOCH - timedelta(days=15)},
        {"Value": 1.0, "Timestamp": EPOCH + timedelta(hours=3)},
        {"Value": 1.0, "Dimensions": [{"Name": "A", "Value": " "}]},
        {"Value": 1.0, "Dimensions": [{"Name": "A", "Value": "Münze"}]},
        {"Value": 1.0, "Dimensions": [{"Name": "A", "Value": "a\nb"}]},
        {"Value": 1.0, "Dimensions": [{"Name": "A", "Value": "1"}, {"Name": "A", "Value": "2"}]},
        {"Value": 1.0, "StorageResolution": 30},
        {"StatisticValues": {"SampleCount": 1.0, "Sum": 1.0, "Minimum": 2.0, "Maximum": 1.0}},
    ],
)
def test_what_is_over_a_limit_is_refused(desk: CloudWatchDesk, datum: dict[str, Any]) -> None:
    """Limits of PutMetricData: a request with one bad datum is refused as a whole."""
    data = [{"MetricName": "m", "Value": 1.0}, {"MetricName": "m", **datum}]
    assert desk.refused("PutMetricData", Namespace="N", MetricData=data).code.startswith("InvalidParameter")
    assert desk.statistics() == []


def test_a_thousand_metrics_and_a_megabyte(desk: CloudWatchDesk) -> None:
    """1,000 entries are taken, 1,001 are not, and neither is more than 1 MB."""
    desk.put(*[{"Value": 1.0}] * 1_000)
    data = [{"MetricName": "m", "Value": 1.0}] * 1_001
    assert "1000" in desk.refused("PutMetricData", Namespace="N", MetricData=data).message
    wide = {
        "MetricName": "m",
        "Value": 1.0,
        "Dimensions": [{"Name": "d" + "x" * 254, "Value": "v" * 1_000}],
    }
    assert desk.refused("PutMetricData", Namespace="N", MetricData=[wide] * 900).status == 413


def test_edges_that_are_taken(desk: CloudWatchDesk) -> None:
    """Two weeks back, two hours ahead, 150 values and 30 dimensions are within the limits."""
    desk.put(
        {"Value": 1.0, "Timestamp": EPOCH - timedelta(days=14)},
        {"Value": 1.0, "Timestamp": EPOCH + timedelta(hours=2)},
        {"Values": [float(n) for n in range(150)]},
        {"Value": 1.0, "Dimensions": [{"Name": f"d{n}", "Value": "v"} for n in range(30)]},
    )
    assert len(desk.of("monitoring.count")) == 2


def test_the_namespaces_of_aws_are_its_own(desk: CloudWatchDesk) -> None:
    """Nobody else writes to AWS/SQS."""
    data = [{"MetricName": "m", "Value": 1.0}]
    assert desk.refused("PutMetricData", Namespace="AWS/SQS", MetricData=data).code == "InvalidParameterValue"


def test_resolution(desk: CloudWatchDesk) -> None:
    """Data of standard resolution stands at its minute, of high resolution at its second."""
    desk.pass_seconds(95)
    desk.put({"Value": 1.0}, {"Value": 2.0, "StorageResolution": 1})
    points = desk.statistics(Period=5, StartTime=EPOCH, EndTime=EPOCH + timedelta(minutes=2))
    assert [(point["Timestamp"], point["Sum"]) for point in points] == [
        (EPOCH + timedelta(seconds=60), 1.0),
        (EPOCH + timedelta(seconds=95), 2.0),
    ]


def test_percentiles(desk: CloudWatchDesk) -> None:
    """Percentiles come from values; a statistic set hides them."""
    desk.put({"Values": [float(n) for n in range(1, 101)]})
    (point,) = desk.statistics(Statistics=[], ExtendedStatistics=["p50", "p99"])
    assert point["ExtendedStatistics"] == {"p50": 50.0, "p99": 99.0}
    desk.put({"StatisticValues": {"SampleCount": 2.0, "Sum": 3.0, "Minimum": 1.0, "Maximum": 2.0}})
    (point,) = desk.statistics(Statistics=[], ExtendedStatistics=["p50"])
    assert "ExtendedStatistics" not in point


def test_list_metrics(desk: CloudWatchDesk) -> None:
    """By namespace, name and dimensions, a page of 500 at a time, and recently active ones on request."""
    for number in range(0, 700, 100):
        desk.put(*[{"MetricName": f"m{number + more:03d}", "Value": 1.0} for more in range(100)])
    first = desk.call("ListMetrics", Namespace="N")
    assert len(first["Metrics"]) == 500
    second = desk.call("ListMetrics", Namespace="N", NextToken=first["NextToken"])
    assert len(second["Metrics"]) == 200
    assert "NextToken" not in second
    assert desk.call("ListMetrics", MetricName="m007")["Metrics"] == [
        {"Namespace": "N", "MetricName": "m007", "Dimensions": []}
    ]
    desk.put({"MetricName": "d", "Value": 1.0, "Dimensions": [{"Name": "A", "Value": "1"}]})
    assert len(desk.call("ListMetrics", Dimensions=[{"Name": "A"}])["Metrics"]) == 1
    assert desk.call("ListMetrics", Dimensions=[{"Name": "A", "Value": "2"}])["Metrics"] == []
    desk.pass_seconds(4 * 3_600)
    assert desk.call("ListMetrics", RecentlyActive="PT3H")["Metrics"] == []
    assert desk.refused("ListMetrics", NextToken="?").code == "InvalidNextToken"


def test_quotas(desk: CloudWatchDesk) -> None:
    """The 501st PutMetricData of a second is throttled; a second later there is room for 500 again."""
    desk.cw.quotas = True
    for _ in range(500):
        desk.put({"Value": 1.0})
    error = desk.refused("PutMetricData", Namespace="N", MetricData=[{"MetricName": "m", "Value": 1.0}])
    assert (error.code, error.message) == ("Throttling", "Rate exceeded")
    desk.pass_seconds(1)
    desk.put({"Value": 1.0})
    assert desk.statistics()[0]["Sum"] == 501.0


def test_memory_is_bounded(desk: CloudWatchDesk) -> None:
    """What is older than 15 days is gone with its series; seconds older than three hours become minutes."""
    desk.put({"Value": 1.0, "StorageResolution": 1}, {"MetricName": "old", "Value": 1.0})
    desk.pass_seconds(1)
    desk.put({"Value": 1.0, "StorageResolution": 1})
    desk.pass_seconds(4 * 3_600)
    desk.put({"Value": 1.0})
    start = {"StartTime": EPOCH, "EndTime": EPOCH + timedelta(minutes=1)}
    assert [point["Sum"] for point in desk.statistics(Period=5, **start)] == [2.0]
    desk.pass_seconds(16 * 86_400)
    desk.put({"MetricName": "new", "Value": 1.0})
    assert [metric["MetricName"] for metric in desk.call("ListMetrics")["Metrics"]] == ["new"]


# -- expressions --------------------------------------------------------------------------


def computed(desk: CloudWatchDesk, expression: str) -> list[float]:
    metrics = [
        {
            "Id": name,
            "MetricStat": {"Metric": {"Namespace": "N", "MetricName": name}, "Period": 60, "Stat": "Sum"},
            "ReturnData": False,
        }
        for name in ("a", "b")
    ]
    answer = desk.call(
        "GetMetricData",
        MetricDataQueries=[*metrics, {"Id": "e", "Expression": expression}],
        StartTime=EPOCH,
        EndTime=EPOCH + timedelta(minutes=5),
        ScanBy="TimestampAscending",
    )
    (result,) = answer["MetricDataResults"]
    values: list[float] = result["Values"]
    return values


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a + b * 2", [21.0]),
        ("(a + b) / b", [1.1]),
        ("a ^ 2", [1.0, 4.0]),
        ("SUM([a, b])", [11.0, 2.0]),
        ("AVG([a, b]) + 0", [5.5, 2.0]),
        ("MAX([a, b])", [10.0, 2.0]),
        ("a / FILL(b, 4)", [0.1, 0.5]),
        ("a / (b - b)", []),
    ],
)
def test_simple_expressions(desk: CloudWatchDesk, expression: str, expected: list[float]) -> None:
    """Arithmetic on metrics by the minute: only where all that it needs is there; FILL fills in."""
    desk.put({"MetricName": "a", "Value": 1.0}, {"MetricName": "b", "Value": 10.0})
    desk.put({"MetricName": "a", "Value": 2.0, "Timestamp": EPOCH + timedelta(minutes=1)})
    assert computed(desk, expression) == pytest.approx(expected)


@pytest.mark.parametrize("expression", ["RATE(a)", "ANOMALY_DETECTION_BAND(a)", "a > b", "SELECT x", "a +", "A + 1"])
def test_other_expressions_are_refused_by_name(desk: CloudWatchDesk, expression: str) -> None:
    """What cannot be computed as AWS would is refused, never computed otherwise."""
    with pytest.raises(Exception, match="harness: the simulated CloudWatch has no expression"):
        computed(desk, expression)


def test_queries_that_are_wrong(desk: CloudWatchDesk) -> None:
    """Ids twice, ids that nobody has, circles, neither metric nor expression: ValidationError."""
    stat = {"Metric": {"Namespace": "N", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    for queries in (
        [{"Id": "a", "MetricStat": stat}, {"Id": "a", "MetricStat": stat}],
        [{"Id": "a", "Expression": "b + 1"}],
        [{"Id": "a", "Expression": "b"}, {"Id": "b", "Expression": "a"}],
        [{"Id": "a"}],
        [{"Id": "A", "MetricStat": stat}],
    ):
        error = desk.refused(
            "GetMetricData", MetricDataQueries=queries, StartTime=EPOCH, EndTime=desk.now + timedelta(1)
        )
        assert error.code == "ValidationError"


def test_operations_that_are_not_there_say_so(desk: CloudWatchDesk) -> None:
    """Nothing pretends to be CloudWatch's answer where the simulation has none."""
    assert "PutCompositeAlarm" in desk.refused("PutCompositeAlarm").message
    assert desk.refused("PutDashboard").code == "NotSimulated"
