"""Error monitoring: counts, requests, alarms, and the traps of the usual code."""

from __future__ import annotations

import gc
import os
import random
import threading
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.resilience import (
    CircuitBreaker,
    ConsumerEvent,
    ErrorMonitoring,
    PermanentError,
    PoisonMessageDetector,
    Retry,
    watch_monitoring,
)
from harness.resilience.backoff import Constant
from harness.resilience.monitoring import Counted, MonitoringEvent, Published, PublishFailed
from tests.budget import examples
from tests.unit.resilience.cloudwatch_fake import CloudWatchFake, client_error
from tests.unit.sim.services.cloudwatch_desk import CloudWatchDesk

DOWN = ConnectionError("no route to CloudWatch")


@pytest.fixture
def cloudwatch() -> CloudWatchFake:
    return CloudWatchFake()


def monitoring(cloudwatch: CloudWatchFake, **changes: Any) -> ErrorMonitoring:
    """One that publishes inline, on the fake's clocks."""
    given: dict[str, Any] = {
        "cloudwatch": cloudwatch,
        "wall_clock": cloudwatch.now,
        "clock": cloudwatch.monotonic,
        "random": random.Random(1),
        "background": False,
        **changes,
    }
    return ErrorMonitoring(**given)


# -- the guide's API --------------------------------------------------------------------


def test_the_guides_calls_work(cloudwatch: CloudWatchFake) -> None:
    """ErrorMonitoring(), cloudwatch set before use, three arguments in order; namespace, metric, unit, dimensions."""
    made = ErrorMonitoring()
    made.cloudwatch = cloudwatch
    made.track_error_metrics("Timeout", "orders", {"Region": "eu"})
    made.track_error_metrics("Timeout", "orders", [{"Name": "Region", "Value": "eu"}])
    made.track_error_metrics("Timeout", "orders")
    made._wall_clock = cloudwatch.now
    assert made.close()
    assert cloudwatch.errors(ServiceName="orders", ErrorType="Timeout", Region="eu") == 2
    assert cloudwatch.errors(ServiceName="orders", ErrorType="Timeout") == 1
    (_, sent) = cloudwatch.calls[0]
    assert sent["Namespace"] == "Messaging/Errors"
    assert {(datum["MetricName"], datum["Unit"]) for datum in sent["MetricData"]} == {("ErrorCount", "Count")}


def test_an_exception_gives_its_name_or_aws_code(cloudwatch: CloudWatchFake) -> None:
    """An error can be given as it was caught: its AWS code, else its class, is its type."""
    made = monitoring(cloudwatch)
    made.track_error_metrics(client_error("ThrottlingException"), "orders")
    made.track_error_metrics(ValueError("x"), "orders")
    made.track_error_metrics(KeyError, "orders")
    made.flush()
    for kind in ("ThrottlingException", "ValueError", "KeyError"):
        assert cloudwatch.errors(ServiceName="orders", ErrorType=kind) == 1


# -- traps ---------------------------------------------------------------------------------


def test_an_error_storm_is_no_api_storm(cloudwatch: CloudWatchFake) -> None:
    """Trap: one call an error. 50,000 errors of 20 kinds in five minutes are five requests."""
    made = monitoring(cloudwatch)
    for second in range(300):
        for number in range(167):
            made.track_error_metrics(f"E{number % 20}", "orders")
        cloudwatch.desk.pass_seconds(1)
        assert cloudwatch.count() <= second // 45 + 1
    made.flush()
    assert cloudwatch.count() <= 8
    assert cloudwatch.errors() == 300 * 167


def test_timestamps_are_utc(cloudwatch: CloudWatchFake) -> None:
    """Trap: naive local timestamps, which AWS's client takes for UTC. Ours say UTC, and the minute of the error."""
    made = monitoring(cloudwatch)
    cloudwatch.desk.pass_seconds(130)
    made.track_error_metrics("E", "orders")
    made.flush()
    (_, sent) = cloudwatch.calls[0]
    assert {datum["Timestamp"] for datum in sent["MetricData"]} == {datetime(2030, 1, 1, 0, 2, tzinfo=UTC)}


def test_the_total_stands_without_dimensions(cloudwatch: CloudWatchFake) -> None:
    """Trap: an alarm without dimensions sees only data without. The sum of all errors is published as such."""
    made = monitoring(cloudwatch)
    made.track_error_metrics("A", "orders")
    made.track_error_metrics("B", "payments")
    made.flush()
    assert cloudwatch.errors() == 2
    assert cloudwatch.errors(ServiceName="orders", ErrorType="A") == 1


def test_cloudwatch_down_loses_nothing(cloudwatch: CloudWatchFake) -> None:
    """Trap: counts lost while CloudWatch is down. They wait, keep their minutes, and arrive; one try an interval."""
    made = monitoring(cloudwatch)
    cloudwatch.down = DOWN
    for _ in range(30):
        made.track_error_metrics("E", "orders")
        cloudwatch.desk.pass_seconds(60)
    assert cloudwatch.count() <= 30
    assert made.pending == 30
    cloudwatch.down = None
    assert made.flush()
    assert (cloudwatch.errors(), made.pending) == (30, 0)
    (_, sent) = cloudwatch.calls[-1]
    assert len({datum["Timestamp"] for datum in sent["MetricData"]}) == 30


def test_counting_never_waits_and_never_raises(cloudwatch: CloudWatchFake) -> None:
    """Trap: the consumer hangs or dies with CloudWatch. While a request hangs, counting goes on."""
    entered, released = threading.Event(), threading.Event()

    def hang(**parameters: Any) -> None:
        entered.set()
        assert released.wait(10)

    cloudwatch.put_metric_data = hang  # type: ignore[method-assign,assignment]  # what hangs
    made = monitoring(cloudwatch)
    made.track_error_metrics("E", "orders")
    flusher = threading.Thread(target=made.flush)
    flusher.start()
    assert entered.wait(10)
    cloudwatch.desk.pass_seconds(600)
    made.track_error_metrics("E", "orders")  # due, and somebody else is at it
    assert made.flush(timeout=0) is False
    released.set()
    flusher.join(10)
    assert made.pending == 1


def test_memory_is_bounded_and_totals_stay_exact(cloudwatch: CloudWatchFake) -> None:
    """Trap: a type for each error. Beyond series_max they count as Other; beyond minutes_max time is coarser."""
    made = monitoring(cloudwatch, series_max=10, minutes_max=5)
    cloudwatch.down = DOWN
    for number in range(5_000):
        made.track_error_metrics(f"E{number}", "orders", {"OrderId": number})
        if number % 50 == 0:
            cloudwatch.desk.pass_seconds(60)
    assert len(made._counts) <= 5 * (2 * 10 + 2)
    assert made.pending == 5_000
    cloudwatch.down = None
    assert made.flush()
    assert cloudwatch.errors() == 5_000
    assert cloudwatch.errors(ServiceName="Other", ErrorType="Other") >= 4_900


def test_limits_of_a_request(cloudwatch: CloudWatchFake) -> None:
    """Trap: requests over CloudWatch's limits. Many series are split into requests of 1,000 and of less than 1 MB."""
    made = monitoring(cloudwatch, series_max=5_000)
    for number in range(2_500):
        made.track_error_metrics(f"E{number}", "orders", {"Detail": "x" * 900})
    assert made.flush()
    assert cloudwatch.errors() == 2_500
    assert max(len(sent["MetricData"]) for _, sent in cloudwatch.calls) <= 1_000
    assert 3 <= cloudwatch.count() <= 5


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"Plain": "v"}, {"Plain": "v"}),
        ({"Umlaut": "Münze"}, {"Umlaut": "M?nze"}),
        ({"Lines": "a\nb"}, {"Lines": "a?b"}),
        ({"Empty": ""}, {"Empty": "-"}),
        ({"Number": 5}, {"Number": "5"}),
        ({"Long": "x" * 2_000}, {"Long": "x" * 1_024}),
        ({":odd": "v"}, {"odd": "v"}),
        ({"ErrorType": "mine", "ServiceName": "mine"}, {}),
        ({f"d{n}": "v" for n in range(40)}, {f"d{n}": "v" for n in range(28)}),
    ],
)
def test_dimensions_that_cloudwatch_would_refuse(
    cloudwatch: CloudWatchFake, given: dict[str, Any], expected: dict[str, str]
) -> None:
    """Trap: one bad dimension and the whole request is refused. They are made acceptable when they are counted."""
    made = monitoring(cloudwatch)
    made.track_error_metrics("E", "orders", given)
    assert made.flush()
    assert cloudwatch.errors(ServiceName="orders", ErrorType="E", **expected) == 1


def test_a_refused_datum_does_not_block_the_others(cloudwatch: CloudWatchFake) -> None:
    """Trap: a request that is refused for one entry is sent again for ever. It is halved until the one is found."""
    bad = "ErrorOfALaterRule"
    put = cloudwatch.put_metric_data

    def strict(**parameters: Any) -> Any:
        if any({"Name": "ErrorType", "Value": bad} in datum["Dimensions"] for datum in parameters["MetricData"]):
            raise client_error("InvalidParameterValue")
        return put(**parameters)

    cloudwatch.put_metric_data = strict  # type: ignore[method-assign]  # a rule that nobody knows yet
    made = monitoring(cloudwatch)
    for number in range(100):
        made.track_error_metrics(f"E{number}", "orders")
    made.track_error_metrics(bad, "orders")
    assert made.flush()
    assert cloudwatch.errors() == 101
    assert (made.refused, made.pending) == (1, 0)


def test_what_is_no_fault_of_the_contents_is_kept(cloudwatch: CloudWatchFake) -> None:
    """Access denied, throttled or expired: nothing is dropped, somebody may repair it."""
    made = monitoring(cloudwatch)
    made.track_error_metrics("E", "orders")
    for code in ("AccessDenied", "Throttling", "ExpiredToken", "InternalFailure"):
        cloudwatch.down = client_error(code)
        assert made.flush() is False
        assert made.pending == 1


@pytest.mark.parametrize("offset", [-20 * 86_400, 5 * 3_600])
def test_a_clock_that_was_off_blocks_nothing(cloudwatch: CloudWatchFake, offset: float) -> None:
    """Trap: a time stamp beyond two weeks back or two hours ahead is refused for ever. It is brought into bounds."""
    shift = [offset]
    made = monitoring(cloudwatch, wall_clock=lambda: cloudwatch.now() + shift[0])
    made.track_error_metrics("E", "orders")
    shift[0] = 0
    assert made.flush()
    assert cloudwatch.errors() == 1


def test_a_lost_answer_counts_again(cloudwatch: CloudWatchFake) -> None:
    """What cannot be helped: a request that took effect and whose answer was lost is sent again and counts twice."""
    cloudwatch.lost = [TimeoutError("read timed out")]
    made = monitoring(cloudwatch)
    made.track_error_metrics("E", "orders")
    assert made.flush() is False
    assert made.flush()
    assert cloudwatch.errors() == 2


def test_the_default_client_does_not_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap: the client's own retries multiply lost answers and hold up the flush. Ours fails soon, once."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = ErrorMonitoring().cloudwatch
    config = client.meta.config
    assert (config.connect_timeout, config.read_timeout) == (2, 5)
    assert config.retries["total_max_attempts"] == 1


# -- an exception counts once ------------------------------------------------------------------


def raising(error: Exception) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


def test_one_error_seen_by_three_components_counts_once(cloudwatch: CloudWatchFake) -> None:
    """Trap: retry, breaker and consumer all report the same exception. Three failing attempts are three errors."""
    made = monitoring(cloudwatch)
    retry = Retry(
        Constant(0), max_retries=2, name="pay", listeners=[made.observe], retry_unknown=True, sleep=lambda s: None
    )
    breaker = CircuitBreaker(listeners=[made.observe], name="payments")

    def fail() -> None:
        raise TimeoutError("new each time")

    with pytest.raises(TimeoutError) as caught:
        breaker.call(retry.execute, fail)
    made.observe(ConsumerEvent("handler-failed", "https://sqs/1/orders", "m", 1, caught.value))
    made.track_error_metrics(caught.value, "orders")
    made.flush()
    assert cloudwatch.errors() == 3
    assert cloudwatch.errors(ServiceName="pay", ErrorType="TimeoutError") == 3


def test_the_same_object_raised_again_is_another_error(cloudwatch: CloudWatchFake) -> None:
    """A test double that raises one exception object three times has failed three times."""
    made = monitoring(cloudwatch)
    retry = Retry(Constant(0), max_retries=2, listeners=[made.observe], retry_unknown=True, sleep=lambda s: None)
    with pytest.raises(KeyError):
        retry.execute(raising(KeyError("one")))
    made.flush()
    assert cloudwatch.errors() == 3


def test_a_listener_that_also_watches_counts_once(cloudwatch: CloudWatchFake) -> None:
    """An event that comes by the component's listeners and by watch() is one event."""
    made = monitoring(cloudwatch)
    stop = made.watch()
    try:
        breaker = CircuitBreaker(listeners=[made.observe], failure_threshold=1, name="payments")
        with pytest.raises(ValueError, match="x"):
            breaker.call(raising(ValueError("x")))
    finally:
        stop()
    made.flush()
    assert cloudwatch.errors() == 1
    assert cloudwatch.sum("EventCount", ServiceName="payments", Event="CircuitBreakerOpened") == 1


def test_after_watching_nothing_is_counted(cloudwatch: CloudWatchFake) -> None:
    """watch() ends with the function it returns."""
    made = monitoring(cloudwatch)
    made.watch()()
    with pytest.raises(ValueError, match="x"):
        CircuitBreaker().call(raising(ValueError("x")))
    assert made.pending == 0


def test_two_monitorings_count_for_themselves(cloudwatch: CloudWatchFake) -> None:
    """Each monitoring counts an exception once, whatever another one did."""
    error = ValueError("x")
    for made in (monitoring(cloudwatch), monitoring(cloudwatch)):
        made.track_error_metrics(error, "orders")
        assert made.pending == 1


def test_what_consumers_report(cloudwatch: CloudWatchFake) -> None:
    """Failures of any kind are errors of the queue; a dead letter, poison, a possible duplicate are events beside."""
    made = monitoring(cloudwatch)
    url = "https://sqs.us-east-1.amazonaws.com/1/orders"
    for event in (
        ConsumerEvent("receive-failed", url, error=client_error("RequestThrottled")),
        ConsumerEvent("handler-failed", url, "m", 1, PermanentError("x")),
        ConsumerEvent("dead-letter-failed", url, "m", 1, detail="none took it"),
        ConsumerEvent("dead-lettered", url, "m", 1),
        ConsumerEvent("poison", url, "m", 1),
        ConsumerEvent("possibly-duplicated", url, "m", 1),
        ConsumerEvent("handled", url, "m", 1),
        ConsumerEvent("deleted", url, "m", 1),
    ):
        made.observe(event)
    made.flush()
    assert cloudwatch.errors() == 3
    for kind in ("RequestThrottled", "PermanentError", "DeadLetterFailed"):
        assert cloudwatch.errors(ServiceName="orders", ErrorType=kind) == 1
    for what in ("DeadLettered", "PoisonMessage", "PossiblyDuplicated"):
        assert cloudwatch.sum("EventCount", ServiceName="orders", Event=what) == 1


def test_what_poison_detectors_report(cloudwatch: CloudWatchFake) -> None:
    """A detector that has lost Redis, and a message that the quarantine refuses, are events."""

    class Down:
        def register_script(self, text: str) -> Any:
            return raising(ConnectionError("redis"))

    made = monitoring(cloudwatch, service_name="orders")
    detector = PoisonMessageDetector(Down(), listeners=[made.observe])
    assert detector.quarantine_poison_message({"MessageId": "m", "Body": "b"}, "bad") is False
    made.flush()
    assert cloudwatch.errors() == 0
    assert cloudwatch.sum("EventCount", ServiceName="orders", Event="PoisonDetectionDegraded") == 1
    assert cloudwatch.sum("EventCount", ServiceName="orders", Event="QuarantineRefused") == 1


# -- alarms -----------------------------------------------------------------------------------


def test_the_alarms_are_accepted_and_watch_the_right_metrics(cloudwatch: CloudWatchFake) -> None:
    """Trap: alarms without namespace and statistic, and a depth metric that AWS/SQS does not have."""
    made = monitoring(
        cloudwatch, dead_letter_queues=["https://sqs.eu/1/orders-dlq"], alarm_actions=["arn:aws:sns:eu:1:ops"]
    )
    assert made.create_error_alarms() == ["HighErrorRate", "DLQDepthHigh"]
    errors, depth = cloudwatch.desk.described("HighErrorRate"), cloudwatch.desk.described("DLQDepthHigh")
    expected = {
        "Namespace": "Messaging/Errors",
        "MetricName": "ErrorCount",
        "Statistic": "Sum",
        "Dimensions": [],
        "Threshold": 100.0,
        "Period": 300,
        "EvaluationPeriods": 2,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": ["arn:aws:sns:eu:1:ops"],
    }
    assert {name: errors[name] for name in expected} == expected
    expected.update(
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Statistic="Maximum",
        Dimensions=[{"Name": "QueueName", "Value": "orders-dlq"}],
        Threshold=1000.0,
        EvaluationPeriods=1,
    )
    assert {name: depth[name] for name in expected} == expected


def test_the_alarm_fires_on_what_is_published(cloudwatch: CloudWatchFake) -> None:
    """More than 100 errors in each of two periods: ALARM, and OK when it is over."""
    made = monitoring(cloudwatch)
    made.create_error_alarms()
    for _ in range(700):
        made.track_error_metrics("E", "orders")
        cloudwatch.desk.pass_seconds(1)
    assert cloudwatch.desk.described("HighErrorRate")["StateValue"] == "ALARM"
    made.flush()
    cloudwatch.desk.pass_seconds(1_800)
    assert cloudwatch.desk.described("HighErrorRate")["StateValue"] == "OK"


@pytest.mark.parametrize(
    ("first", "second", "apart", "fires"),
    [(101, 101, 300, True), (100, 100, 300, False), (200, 0, 300, False), (200, 200, 900, False)],
)
def test_the_rate_is_above_its_threshold_in_both_periods(
    cloudwatch: CloudWatchFake, first: int, second: int, apart: int, fires: bool
) -> None:
    """Exactly 100 errors are not above 100, and two bad periods with a good one between them are not two in a row."""
    made = monitoring(cloudwatch)
    made.create_error_alarms()
    for number in (first, second):
        for _ in range(number):
            made.track_error_metrics("E", "orders")
        made.flush()
        cloudwatch.desk.pass_seconds(apart)
    cloudwatch.desk.pass_seconds(600)
    states = [event["to"] for event in cloudwatch.desk.of("alarm.state")]
    assert ("ALARM" in states) is fires


def test_dlq_depth_high_by_what_sqs_measures() -> None:
    """1,000 dead letters are not above 1,000; one more fires within a period, and an empty queue clears it."""
    cloudwatch = CloudWatchFake()
    desk = cloudwatch.desk = CloudWatchDesk(measured=True)
    desk.sqs.create_queue("orders-dlq")
    made = monitoring(cloudwatch, dead_letter_queues=["https://sqs.us-east-1.amazonaws.com/1/orders-dlq"])
    made.create_error_alarms()
    url = desk.sqs.queue_url("orders-dlq")

    def dead_letters(number: int) -> None:
        for _ in range(number):
            desk.sqs.call("SendMessage", {"QueueUrl": url, "MessageBody": "x"}, region="us-east-1")

    dead_letters(1_000)
    desk.pass_seconds(900)
    assert desk.described("DLQDepthHigh")["StateValue"] == "OK"
    dead_letters(1)
    desk.pass_seconds(360)
    assert desk.described("DLQDepthHigh")["StateValue"] == "ALARM"
    desk.sqs.call("PurgeQueue", {"QueueUrl": url}, region="us-east-1")
    desk.pass_seconds(900)
    assert desk.described("DLQDepthHigh")["StateValue"] == "OK"


def test_two_services_in_one_account(cloudwatch: CloudWatchFake) -> None:
    """Trap: alarm names are the account's, so that the second service's alarm takes the first one's place."""
    orders = monitoring(cloudwatch, namespace="Orders", dead_letter_queues=["orders-dlq"])
    payments = monitoring(cloudwatch, namespace="Payments", dead_letter_queues=["payments-dlq"])
    for _ in range(2):
        assert orders.create_error_alarms() == ["HighErrorRate", "DLQDepthHigh"]
        assert payments.create_error_alarms() == ["HighErrorRate-Payments", "DLQDepthHigh-payments-dlq"]
    assert cloudwatch.count("PutMetricAlarm") == 4
    assert cloudwatch.desk.described("HighErrorRate")["Namespace"] == "Orders"
    assert cloudwatch.desk.described("HighErrorRate-Payments")["Namespace"] == "Payments"
    payments.create_error_alarms(depth_threshold=10)
    assert cloudwatch.count("PutMetricAlarm") == 5
    assert cloudwatch.desk.described("DLQDepthHigh")["Dimensions"] == [{"Name": "QueueName", "Value": "orders-dlq"}]


def test_creating_alarms_again_changes_nothing(cloudwatch: CloudWatchFake) -> None:
    """Idempotent: the second time nothing is put; a changed figure puts that alarm only."""
    made = monitoring(cloudwatch, dead_letter_queues=["arn:aws:sqs:us-east-1:1:orders-dlq"])
    made.create_error_alarms()
    made.create_error_alarms()
    assert cloudwatch.count("PutMetricAlarm") == 2
    made.create_error_alarms(error_threshold=50)
    assert cloudwatch.count("PutMetricAlarm") == 3
    assert cloudwatch.desk.described("HighErrorRate")["Threshold"] == 50.0


def test_without_a_queue_there_is_no_alarm_on_its_depth(
    cloudwatch: CloudWatchFake, caplog: pytest.LogCaptureFixture
) -> None:
    """The guide's bare call still works; the alarm that cannot be made without a queue is named in the log."""
    assert monitoring(cloudwatch).create_error_alarms() == ["HighErrorRate"]
    assert "dead_letter_queues" in caplog.text


def test_an_alarm_for_each_queue(cloudwatch: CloudWatchFake) -> None:
    """The first queue's alarm has the guide's name, the others their own; a queue twice is one."""
    made = monitoring(cloudwatch, dead_letter_queues=["a-dlq", "b-dlq", "https://sqs/1/a-dlq"])
    assert made.create_error_alarms() == ["HighErrorRate", "DLQDepthHigh", "DLQDepthHigh-b-dlq"]


def test_alarms_when_looking_is_not_allowed(cloudwatch: CloudWatchFake) -> None:
    """Allowed to put and not to describe: they are put."""
    cloudwatch.describe_alarms = raising_keywords(client_error("AccessDenied"))  # type: ignore[method-assign]  # refuses
    assert monitoring(cloudwatch).create_error_alarms() == ["HighErrorRate"]
    assert cloudwatch.count("PutMetricAlarm") == 1


def raising_keywords(error: Exception) -> Callable[..., Any]:
    def call(**parameters: Any) -> Any:
        raise error

    return call


def test_alarms_wait_for_a_cloudwatch_that_is_down(cloudwatch: CloudWatchFake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap: a consumer that does not start because its alarms cannot be made. They are made when CloudWatch is back."""
    once = Retry(max_retries=0)
    monkeypatch.setattr("harness.resilience.monitoring.PATIENCE", once)
    made = monitoring(cloudwatch)
    cloudwatch.down = client_error("ServiceUnavailable", operation="DescribeAlarms")
    assert made.create_error_alarms() == ["HighErrorRate"]
    assert made.alarms_pending
    cloudwatch.desk.pass_seconds(60)
    made.track_error_metrics("E", "orders")
    assert made.alarms_pending
    cloudwatch.down = None
    cloudwatch.desk.pass_seconds(60)
    made.track_error_metrics("E", "orders")
    assert not made.alarms_pending
    assert cloudwatch.desk.described("HighErrorRate")["Threshold"] == 100.0


def test_alarms_that_are_not_allowed_are_told_at_once(cloudwatch: CloudWatchFake) -> None:
    """What will not pass with time is raised where the alarms are asked for."""
    cloudwatch.down = client_error("AccessDenied", operation="PutMetricAlarm")
    with pytest.raises(Exception, match="AccessDenied"):
        monitoring(cloudwatch).create_error_alarms()


# -- listeners, exporters, life ---------------------------------------------------------------------


def test_listeners_are_told(cloudwatch: CloudWatchFake) -> None:
    """Counted, published with how many errors, failed; by its own listeners and by watch_monitoring."""
    own: list[MonitoringEvent] = []
    all_of_them: list[MonitoringEvent] = []
    made = monitoring(cloudwatch, listeners=[own.append])
    stop = watch_monitoring(all_of_them.append)
    try:
        made.track_error_metrics("E", "orders")
        cloudwatch.down = DOWN
        made.flush()
        cloudwatch.down = None
        made.flush()
    finally:
        stop()
    assert own == all_of_them
    assert [type(event) for event in own] == [Counted, PublishFailed, Published]
    assert own[0] == Counted(made, "ErrorCount", {"ErrorType": "E", "ServiceName": "orders"}, 1)
    assert own[2] == Published(made, 2, 1)


def test_an_exporter_or_listener_that_fails_harms_nobody(cloudwatch: CloudWatchFake) -> None:
    """What raises in an exporter or listener is logged; the count stands."""

    class Broken:
        def count(self, metric: str, dimensions: Any, number: int) -> None:
            raise RuntimeError("broken")

    made = monitoring(cloudwatch, exporters=[Broken()], listeners=[raising_positional])
    made.track_error_metrics("E", "orders")
    assert made.pending == 1


def raising_positional(event: object) -> None:
    raise RuntimeError("broken")


def test_without_publishing_nothing_waits(cloudwatch: CloudWatchFake) -> None:
    """publish=False: exporters only; no client is made, nothing is kept."""
    counted: list[tuple[str, dict[str, str]]] = []

    class Exporter:
        def count(self, metric: str, dimensions: Any, number: int) -> None:
            counted.append((metric, dict(dimensions)))

    made = ErrorMonitoring(publish=False, exporters=[Exporter()])
    made.track_error_metrics("E", "orders")
    assert made.flush()
    assert made.pending == 0
    assert counted == [("ErrorCount", {"ErrorType": "E", "ServiceName": "orders"})]


def test_the_background_thread_publishes_and_ends(cloudwatch: CloudWatchFake) -> None:
    """One thread, made at the first count, ends with close(), which publishes what is left."""
    made = monitoring(cloudwatch, background=True)
    assert made._thread is None
    made.track_error_metrics("E", "orders")
    thread = made._thread
    assert thread is not None
    assert thread.is_alive()
    assert thread.daemon
    made.track_error_metrics("E", "orders")
    assert made._thread is thread
    with made:
        pass
    thread.join(10)
    assert not thread.is_alive()
    assert cloudwatch.errors() == 2


def test_counts_from_many_threads(cloudwatch: CloudWatchFake) -> None:
    """Eight threads count and flush at the same time: no count is lost or doubled."""
    made = monitoring(cloudwatch)

    def work(number: int) -> None:
        for step in range(500):
            made.track_error_metrics(f"E{number}", "orders")
            if step % 100 == 0:
                made.flush()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert made.flush()
    assert cloudwatch.errors() == 4_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_count_its_parents_errors(cloudwatch: CloudWatchFake) -> None:
    """Trap: a fork copies what waits, and both publish it. The child starts from nothing."""
    made = monitoring(cloudwatch)
    made.track_error_metrics("E", "orders")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, bytes([made.pending]))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"\x00"
    assert made.pending == 1


def test_it_can_be_collected(cloudwatch: CloudWatchFake) -> None:
    """What is registered for the exit and for forks does not keep a monitoring alive."""
    made = monitoring(cloudwatch)
    made.track_error_metrics("E", "orders")
    reference = weakref.ref(made)
    del made
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("options", [{"flush_interval": 0}, {"series_max": 1}, {"minutes_max": 0}])
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    """An interval of nothing and bounds below two are refused."""
    with pytest.raises(ValueError, match="flush_interval"):
        ErrorMonitoring(**options)


# -- by rule --------------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("error"), st.sampled_from("ABCDEFGH"), st.sampled_from(["orders", "payments"])),
    st.tuples(st.just("pass"), st.integers(1, 4_000), st.none()),
    st.tuples(st.sampled_from(["down", "up", "flush"]), st.none(), st.none()),
)


@settings(max_examples=examples(200), deadline=None)
@given(steps=st.lists(STEP, max_size=60), series_max=st.integers(2, 6), minutes_max=st.integers(2, 4))
def test_nothing_is_lost_or_counted_twice(steps: list[Any], series_max: int, minutes_max: int) -> None:
    """Whatever happens when, with CloudWatch down now and then: what was counted is what arrives."""
    cloudwatch = CloudWatchFake()
    made = monitoring(cloudwatch, series_max=series_max, minutes_max=minutes_max)
    happened = 0
    for what, value, service in steps:
        if what == "error":
            made.track_error_metrics(value, service)
            happened += 1
        elif what == "pass":
            cloudwatch.desk.pass_seconds(value)
        elif what == "flush":
            made.flush()
        else:
            cloudwatch.down = DOWN if what == "down" else None
        assert cloudwatch.errors() + made.pending == happened
    cloudwatch.down = None
    assert made.flush()
    named = sum(event["value"] for event in cloudwatch.desk.of("monitoring.count") if event["dimensions"])
    assert (cloudwatch.errors(), named) == (happened, happened)
