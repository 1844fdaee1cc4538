"""CloudWatch under unmodified boto3 clients: protocols, compression, errors, the short cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore import httpsession
from botocore.exceptions import ClientError

from harness.sim import patches
from harness.sim.kernel import EPOCH_US
from harness.sim.services.cloudwatch import CloudWatchService
from harness.sim.services.timebase import KernelTimebase
from harness.sim.verdicts import Answer, Lost
from harness.sim.wire import botocore as wire
from tests.unit.sim.wire.aws import Run, client, short_cut

EPOCH = datetime.fromtimestamp(EPOCH_US / 1e6, UTC)
ALARM: dict[str, Any] = {
    "AlarmName": "a",
    "Namespace": "N",
    "MetricName": "m",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 5,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}


@pytest.fixture(scope="module", autouse=True)
def cut() -> Iterator[None]:
    patches.install()
    wire.install()
    yield
    wire.uninstall()
    patches.uninstall()


@pytest.fixture
def run() -> Run:
    return make_run()


def make_run() -> Run:
    made = Run()
    made.world.makers["cloudwatch"] = lambda: CloudWatchService(KernelTimebase(made.kernel), made.world.record)
    return made


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every request that went the full path."""
    seen: list[Any] = []
    send = httpsession.URLLib3Session.send

    def noted(self: Any, request: Any) -> Any:
        seen.append(request)
        return send(self, request)

    monkeypatch.setattr(httpsession.URLLib3Session, "send", noted)
    return seen


@pytest.fixture
def query_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients made from here on speak the query protocol, as older versions of botocore do."""
    monkeypatch.setattr("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", ("query",))


def use(cloudwatch: Any) -> list[Any]:
    """A round through the operations; what they answered, without what differs by protocol."""
    answers: list[Any] = []
    cloudwatch.put_metric_alarm(**ALARM, Dimensions=[{"Name": "Q", "Value": "v & <w>"}])
    cloudwatch.put_metric_data(
        Namespace="N",
        MetricData=[
            {"MetricName": "m", "Values": [1.0, 10.5], "Counts": [2, 4], "Unit": "Count"},
            {"MetricName": "m", "Value": 3, "Timestamp": EPOCH + timedelta(seconds=61), "StorageResolution": 1},
        ],
    )
    answers.append(cloudwatch.list_metrics(Namespace="N")["Metrics"])
    times = {"StartTime": EPOCH, "EndTime": EPOCH + timedelta(minutes=5)}
    answers.append(
        cloudwatch.get_metric_statistics(
            Namespace="N", MetricName="m", Period=60, Statistics=["Sum", "Maximum"], Unit="Count", **times
        )["Datapoints"]
    )
    stat = {"Metric": {"Namespace": "N", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    answers.append(
        cloudwatch.get_metric_data(MetricDataQueries=[{"Id": "q", "MetricStat": stat}], **times)["MetricDataResults"]
    )
    cloudwatch.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="why")
    alarm = cloudwatch.describe_alarms()["MetricAlarms"][0]
    answers.append({name: alarm[name] for name in ("StateValue", "StateReason", "Threshold", "Dimensions", "Period")})
    items = cloudwatch.describe_alarm_history(HistoryItemType="StateUpdate")["AlarmHistoryItems"]
    answers.append([(item["HistorySummary"], json.loads(item["HistoryData"])["newState"]) for item in items])
    cloudwatch.delete_alarms(AlarmNames=["a"])
    return answers


def test_both_protocols_say_the_same(query_protocol: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that speaks query gets the same answers as one that speaks JSON, on the short cut and past it."""
    spoken = client(service="cloudwatch")
    assert spoken.meta.service_model.resolved_protocol == "query"
    by_query = make_run().go(lambda: use(spoken))
    monkeypatch.undo()
    spoken = client(service="cloudwatch")
    assert spoken.meta.service_model.resolved_protocol == "json"
    for enabled in (True, False):
        with short_cut(enabled):
            assert make_run().go(lambda: use(spoken)) == by_query
    assert by_query[1] == [{"Timestamp": EPOCH, "Sum": 44.0, "Maximum": 10.5, "Unit": "Count"}]
    assert by_query[2][0]["Values"] == [3.0, 44.0]


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_errors_keep_their_code(protocol: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """[exception_serializing_with_no_shape_in_spec] boto3 shows the old code, the typed exception, status and text."""
    monkeypatch.setattr("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", (protocol,))
    cloudwatch = client(service="cloudwatch")

    def main() -> list[Any]:
        found: list[Any] = []
        with pytest.raises(cloudwatch.exceptions.ResourceNotFound) as unknown:
            cloudwatch.set_alarm_state(AlarmName="x", StateValue="OK", StateReason="r")
        found.append(unknown.value.response)
        data = [{"MetricName": "m", "Values": [1.0], "Counts": [1.0, 2.0]}]
        with pytest.raises(cloudwatch.exceptions.InvalidParameterValueException) as wrong:
            cloudwatch.put_metric_data(Namespace="N", MetricData=data)
        found.append(wrong.value.response)
        return found

    unknown, wrong = run.go(main)
    assert unknown["Error"]["Code"] == "ResourceNotFound"
    assert unknown["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert wrong["Error"]["Code"] == "InvalidParameterValue"
    assert "must be of the same size" in wrong["Error"]["Message"]


def test_the_namespaces_of_json_errors(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """[exception_serializing_with_no_shape_in_spec] __type names the service, or the framework for its validation."""
    bodies: list[bytes] = []
    monkeypatch.setattr(
        "harness.sim.wire.botocore._response",
        lambda request, reply, original=wire._response: bodies.append(reply.body) or original(request, reply),  # type: ignore[func-returns-value]  # append for its effect
    )
    cloudwatch = client(service="cloudwatch")

    def main() -> None:
        for name, value in (("x", "OK"), ("x", "INVALID")):
            with pytest.raises(ClientError):
                cloudwatch.set_alarm_state(AlarmName=name, StateValue=value, StateReason="r")

    with short_cut(False):
        run.go(main)
    assert [json.loads(body)["__type"] for body in bodies] == [
        "com.amazonaws.cloudwatch.v2010_08_01#ResourceNotFound",
        "com.amazon.coral.validate#ValidationException",
    ]


def test_compressed_requests(run: Run, sent: list[Any]) -> None:
    """botocore compresses PutMetricData from 10 KB on; the wire reads it."""
    cloudwatch = client(service="cloudwatch")
    data = [{"MetricName": "m" * 100, "Value": 1.0} for _ in range(200)]

    def main() -> Any:
        with short_cut(False):
            cloudwatch.put_metric_data(Namespace="N", MetricData=data)
        times = {"StartTime": EPOCH, "EndTime": EPOCH + timedelta(minutes=5)}
        return cloudwatch.get_metric_statistics(
            Namespace="N", MetricName="m" * 100, Period=60, Statistics=["Sum"], **times
        )["Datapoints"]

    assert run.go(main)[0]["Sum"] == 200.0
    assert sent[0].headers["Content-Encoding"] in ("gzip", b"gzip")


def test_what_takes_the_short_cut(run: Run, sent: list[Any]) -> None:
    """PutMetricData and the like need no bytes; answers with times do, because botocore's parser places them."""
    cloudwatch = client(service="cloudwatch")
    berlin = timezone(timedelta(hours=1))

    def main() -> None:
        for at in (EPOCH, EPOCH.astimezone(berlin) + timedelta(seconds=61, microseconds=999_999)):
            cloudwatch.put_metric_data(Namespace="N", MetricData=[{"MetricName": "m", "Value": 1, "Timestamp": at}])
        cloudwatch.put_metric_alarm(**ALARM)
        cloudwatch.list_metrics()
        assert sent == []
        cloudwatch.describe_alarms()
        cloudwatch.put_metric_data(
            Namespace="N", MetricData=[{"MetricName": "m", "Value": 1, "Timestamp": datetime(2030, 1, 1)}]
        )
        assert len(sent) == 2  # the serialiser decides what a naive time means
        cloudwatch.delete_alarms(AlarmNames=["a"])

    run.go(main)
    (metric, series), *_ = run.world.services["cloudwatch"].store.metrics("us-east-1")  # type: ignore[attr-defined]
    assert metric.name == "m"
    assert [at for at, _ in series[0].between(0, 1 << 40)] == [EPOCH_US // 1_000_000, EPOCH_US // 1_000_000 + 60]


def test_histories_are_the_same_either_way() -> None:
    """On the short cut and past it: the same events at the same times."""
    events = []
    for enabled in (True, False):
        with short_cut(enabled):
            made = make_run()
            made.go(lambda: use(client(service="cloudwatch")) and None)
            events.append(made.events)
    assert events[0] == events[1]


def test_faults_strike_cloudwatch(run: Run) -> None:
    """Throttled: botocore retries. An answer that is lost has taken effect, and the retry counts again."""
    run.faults.plan[("aws.cloudwatch.PutMetricData", "before")] = [Answer(400, "Throttling", "Rate exceeded")]
    run.faults.plan[("aws.cloudwatch.PutMetricData", "after")] = [Lost()]
    cloudwatch = client(service="cloudwatch")

    def main() -> Any:
        cloudwatch.put_metric_data(Namespace="N", MetricData=[{"MetricName": "m", "Value": 1}])

    run.go(main)
    assert [event["value"] for event in run.of("monitoring.count")] == [1.0, 1.0]
    assert [event["error"] for event in run.of("call.failed")] == ["Throttling", "ReadTimeoutError"]


def test_a_service_is_made_at_its_first_call(run: Run) -> None:
    """A run that never calls CloudWatch never makes it."""
    assert run.go(lambda: client().list_queues()) is not None
    assert "cloudwatch" not in run.world.services


def test_a_clock_that_is_off(run: Run) -> None:
    """CloudWatch refuses a signature that is an hour off, as AWS does."""

    def main() -> str:
        process = run.kernel.current.process  # type: ignore[union-attr]  # a process runs this
        process.clock_offset_us = 3_600_000_000
        with pytest.raises(ClientError) as caught:
            client(service="cloudwatch").put_metric_data(Namespace="N", MetricData=[{"MetricName": "m", "Value": 1}])
        return str(caught.value.response["Error"]["Code"])

    assert run.go(main) == "SignatureDoesNotMatch"
