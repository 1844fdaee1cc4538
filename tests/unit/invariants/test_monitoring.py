"""Monitoring's invariants on histories written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from harness import invariants
from harness.errors import ScenarioError
from harness.invariants.monitoring_truth import EXTRA_PERIODS
from harness.sim.services import cloudwatch_evaluation
from tests.histories import HistoryBuilder

ERRORS: dict[str, Any] = {"namespace": "Messaging/Errors", "metric": "ErrorCount"}


def tracked(h: HistoryBuilder, at: float, value: float = 1, **dimensions: str) -> int:
    return h.add("monitoring.count", at=at, source="tracked", value=value, dimensions=dimensions, **ERRORS)


def stored(h: HistoryBuilder, at: float, value: float, **dimensions: str) -> int:
    return h.add(
        "monitoring.count", at=at, source="cloudwatch", value=value, samples=1, dimensions=dimensions, **ERRORS
    )


class TestErrorsCountedOnce:
    def test_each_once(self) -> None:
        """What was counted is what CloudWatch has: holds; the sum without dimensions is the total, not more of it."""
        h = HistoryBuilder()
        for second in range(10):
            h.handler("1", "error", at=10 + second)
            tracked(h, 10 + second, ServiceName="orders")
        stored(h, 60, 10)
        stored(h, 60, 10, ServiceName="orders")
        verdict = h.judge(invariants.errors_counted_once())
        assert (verdict.status, verdict.detail) == ("holds", "10 errors happened, 10 in CloudWatch")

    def test_some_are_missing(self) -> None:
        """Counts that never arrive are lost, with the calls that failed as evidence."""
        h = HistoryBuilder()
        for second in range(10):
            tracked(h, 10 + second, ServiceName="orders")
        failed = h.failed("aws.cloudwatch.PutMetricData", at=30)
        stored(h, 60, 7)
        verdict = h.judge(invariants.errors_counted_once())
        assert verdict.status == "violated"
        assert "3 are lost" in verdict.detail
        assert failed in verdict.evidence

    def test_some_are_there_twice(self) -> None:
        """More in CloudWatch than happened: counted again."""
        h = HistoryBuilder()
        tracked(h, 10, ServiceName="orders")
        stored(h, 60, 2)
        verdict = h.judge(invariants.errors_counted_once())
        assert verdict.status == "violated"
        assert "counted again" in verdict.detail

    def test_handlers_errors_that_nobody_counted(self) -> None:
        """Errors with which handlers ended and that are not among the counted ones."""
        h = HistoryBuilder()
        for second in range(5):
            h.handler("1", "error", at=10 + second)
        tracked(h, 20, 2)
        stored(h, 60, 2)
        verdict = h.judge(invariants.errors_counted_once())
        assert verdict.status == "violated"
        assert "5 errors, 2 were counted" in verdict.detail

    def test_what_is_still_on_its_way(self) -> None:
        """Errors of the last two minutes may not have arrived; those before must have."""
        h = HistoryBuilder()
        tracked(h, 10)
        stored(h, 60, 1)
        tracked(h, 100)
        h.end(at=219)
        assert h.judge(invariants.errors_counted_once()).status == "holds"
        assert h.judge(invariants.errors_counted_once(pending=60)).status == "violated"

    def test_of_code_that_cannot_be_listened_to(self) -> None:
        """Without counted errors, those of handlers must be there; calls that failed may be among what is counted."""
        h = HistoryBuilder()
        for second in range(5):
            h.handler("1", "error", at=10 + second)
        h.failed("aws.sqs.ReceiveMessage", at=20)
        stored(h, 60, 6, ServiceName="orders")
        assert h.judge(invariants.errors_counted_once()).status == "holds"
        stored(h, 300, 1, ServiceName="orders")
        h.events.insert(-1, h.events.pop())  # before the end
        assert h.judge(invariants.errors_counted_once()).status == "violated"

    def test_another_metric(self) -> None:
        """Only the named metric counts."""
        h = HistoryBuilder()
        h.handler("1", "error", at=10)
        stored(h, 60, 1)
        assert h.judge(invariants.errors_counted_once(metric="Failures")).status == "violated"
        assert h.judge(invariants.errors_counted_once(namespace="Other")).status == "violated"

    def test_weakened(self) -> None:
        """Lossy: some may be missing. Repeats: some may be there again."""
        h = HistoryBuilder()
        tracked(h, 10, 5)
        stored(h, 60, 3)
        spec = invariants.errors_counted_once()
        assert h.judge(spec.with_parameters(lossy=True)).status == "holds"
        assert h.judge(spec.with_parameters(repeats=True)).status == "violated"

    def test_nothing_to_count(self) -> None:
        """A run without errors, or without an end, shows nothing."""
        h = HistoryBuilder()
        assert h.judge(invariants.errors_counted_once()).status == "inconclusive"


def put_alarm(h: HistoryBuilder, **changes: Any) -> int:
    facts: dict[str, Any] = {
        "alarm": "HighErrorRate",
        "created": True,
        "dimensions": {},
        "statistic": "Sum",
        "period": 60,
        "evaluation_periods": 2,
        "datapoints_to_alarm": 2,
        "threshold": 5.0,
        "comparison": "GreaterThanThreshold",
        "missing_data": "notBreaching",
        "actions": 1,
        **ERRORS,
        **changes,
    }
    return h.add("alarm.put", **facts)


def change(h: HistoryBuilder, at: float, to: str, alarm: str = "HighErrorRate") -> int:
    return h.add("alarm.state", at=at, actor="cloudwatch", alarm=alarm, to=to, reason="", **{"from": "OK"})


def outage(
    *, changes: dict[str, Any] | None = None, fires: float | None = 180, clears: float | None = 700, end: float = 1_500
) -> HistoryBuilder:
    """Ten errors a minute from 60 s to 600 s; the alarm fires and clears when told."""
    h = HistoryBuilder()
    put_alarm(h, at=1, **(changes or {}))
    moments: list[tuple[float, str]] = [(60 + 6 * step, "error") for step in range(90)]
    moments += [(at, to) for at, to in ((fires, "ALARM"), (clears, "OK")) if at is not None]
    for at, what in sorted(moments):
        if what == "error":
            tracked(h, at, ServiceName="orders")
        else:
            change(h, at, what)
    h.end(at=end)
    return h


class TestAlarmsFireAndClear:
    def test_fires_and_clears(self) -> None:
        """In ALARM when its two minutes are full, OK when they are over."""
        verdict = outage().judge(invariants.alarms_fire_and_clear())
        assert (verdict.status, verdict.detail) == ("holds", "HighErrorRate fired in time and cleared")

    def test_does_not_fire(self) -> None:
        """An alarm that stays silent while its metric is over the threshold, with the alarm as evidence."""
        h = outage(fires=None, clears=None)
        verdict = h.judge(invariants.alarms_fire_and_clear())
        assert verdict.status == "violated"
        assert "HighErrorRate did not fire" in verdict.detail
        assert 1 in verdict.evidence

    def test_fires_too_late(self) -> None:
        """Within three minutes of when its periods are full, or it is too late."""
        assert outage(fires=355).judge(invariants.alarms_fire_and_clear()).status == "holds"
        assert outage(fires=365).judge(invariants.alarms_fire_and_clear()).status == "violated"
        assert outage(fires=365).judge(invariants.alarms_fire_and_clear(within=240)).status == "holds"

    def test_does_not_clear(self) -> None:
        """In ALARM long after the last error."""
        verdict = outage(clears=None).judge(invariants.alarms_fire_and_clear())
        assert verdict.status == "violated"
        assert "does not clear" in verdict.detail

    def test_had_not_to_clear_yet(self) -> None:
        """A run that ends too early says so."""
        verdict = outage(clears=None, end=800).judge(invariants.alarms_fire_and_clear())
        assert verdict.status == "inconclusive"
        assert "let it go on for longer" in verdict.detail

    def test_is_never_due(self) -> None:
        """Errors under the threshold show nothing about the alarm."""
        h = outage(changes={"threshold": 1_000.0}, fires=None, clears=None)
        assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"

    def test_a_short_burst_is_no_outage(self) -> None:
        """One bad minute of two that are needed is no reason to fire."""
        h = HistoryBuilder()
        put_alarm(h, at=1)
        tracked(h, 65, 50)
        h.end(at=1_000)
        assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"

    def test_an_alarm_that_must_exist(self) -> None:
        """A named alarm that was never created is a violation, with the refused call as evidence."""
        h = HistoryBuilder()
        refused = h.failed("aws.cloudwatch.PutMetricAlarm")
        verdict = h.judge(invariants.alarms_fire_and_clear("HighErrorRate"))
        assert verdict.status == "violated"
        assert refused in verdict.evidence

    def test_an_alarm_that_was_deleted_does_not_exist(self) -> None:
        """Created and deleted again is not there."""
        h = HistoryBuilder()
        put_alarm(h)
        h.add("alarm.delete", alarm="HighErrorRate")
        assert h.judge(invariants.alarms_fire_and_clear("HighErrorRate")).status == "violated"

    @pytest.mark.parametrize(
        ("metric", "dimensions"),
        [
            ("ApproximateNumberOfMessages", {"QueueName": "orders-dlq"}),
            ("ApproximateNumberOfMessagesVisible", {}),
            ("ApproximateNumberOfMessagesVisible", {"QueueName": "https://sqs/1/orders-dlq"}),
            ("ApproximateNumberOfMessagesVisible", {"QueueName": "orders-dlq", "Region": "eu"}),
        ],
    )
    def test_an_alarm_that_is_blind(self, metric: str, dimensions: dict[str, str]) -> None:
        """A metric that SQS does not send, or the dimensions of no queue, can never fire."""
        h = HistoryBuilder()
        put_alarm(h, namespace="AWS/SQS", metric=metric, dimensions=dimensions, statistic="Maximum")
        verdict = h.judge(invariants.alarms_fire_and_clear())
        assert verdict.status == "violated"
        assert "can never fire" in verdict.detail

    def test_dimensions_that_are_only_some_of_the_metrics(self) -> None:
        """CloudWatch adds nothing up over dimensions: an alarm on some of them is due, and does not fire."""
        h = outage(changes={"dimensions": {"ServiceName": "payments"}}, fires=None, clears=None)
        assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"
        h = outage(changes={"dimensions": {"ServiceName": "orders"}}, fires=None, clears=None)
        assert h.judge(invariants.alarms_fire_and_clear()).status == "violated"

    def test_handlers_errors_where_nobody_counts(self) -> None:
        """Of unknown code the handler's errors are the truth for metrics of errors and for alarms that are required."""
        h = HistoryBuilder()
        put_alarm(h, at=1, metric="Failures", namespace="Shop")
        for step in range(90):
            h.handler("1", "error", at=60 + 6 * step)
        h.end(at=1_500)
        assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"
        assert h.judge(invariants.alarms_fire_and_clear("HighErrorRate")).status == "violated"

    def test_while_a_fault_strikes_cloudwatch_nothing_is_due(self) -> None:
        """Time in which CloudWatch itself is struck does not count; from then on the alarm has its time again."""
        h = among(outage(fires=None, clears=None), [_strike(60 + 30 * step) for step in range(20)])
        assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"

    def test_judged_by_what_cloudwatch_was_told(self) -> None:
        """Stored: errors that never reached CloudWatch are no reason to fire; what it has is."""
        spec = invariants.alarms_fire_and_clear().with_parameters(stored=True)
        h = outage(fires=None, clears=None)
        assert h.judge(spec).status == "inconclusive"
        told = HistoryBuilder()
        put_alarm(told, at=1)
        for minute in range(60, 600, 60):
            stored(told, minute + 1, 10)
        told.end(at=1_500)
        assert told.judge(spec).status == "violated"

    def test_the_depth_of_a_queue(self) -> None:
        """Dead letters above the threshold, sent or moved there; purged, the alarm has to clear."""
        watched = {
            "alarm": "DLQDepthHigh",
            "namespace": "AWS/SQS",
            "metric": "ApproximateNumberOfMessagesVisible",
            "dimensions": {"QueueName": "orders-dlq"},
            "statistic": "Maximum",
            "evaluation_periods": 1,
            "datapoints_to_alarm": 1,
            "threshold": 3.0,
        }

        def run(*, fires: bool, clears: bool) -> HistoryBuilder:
            h = HistoryBuilder()
            put_alarm(h, at=1, **watched)
            for number in range(3):
                h.dead_letter(f"d{number}", at=10 + number)
            h.send("m", at=20)
            h.receive("m", at=21)
            h.move("m", at=60.5)
            if fires:
                change(h, 120, "ALARM", "DLQDepthHigh")
            h.add("purge", at=400, queue="orders-dlq", messages=["d0", "d1", "d2", "m"])
            if clears:
                change(h, 480, "OK", "DLQDepthHigh")
            h.end(at=1_500)
            return h

        assert run(fires=True, clears=True).judge(invariants.alarms_fire_and_clear()).status == "holds"
        assert run(fires=False, clears=False).judge(invariants.alarms_fire_and_clear()).status == "violated"
        assert run(fires=True, clears=False).judge(invariants.alarms_fire_and_clear()).status == "violated"

    def test_messages_in_flight_are_not_visible(self) -> None:
        """Received messages are hidden until their time; deleted and expired ones are gone."""
        h = HistoryBuilder()
        put_alarm(
            h,
            at=1,
            namespace="AWS/SQS",
            metric="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": "orders"},
            statistic="Maximum",
            evaluation_periods=1,
            datapoints_to_alarm=1,
            threshold=1.0,
        )
        for number in range(4):
            h.send(f"m{number}", at=5)
            h.receive(f"m{number}", at=6, visible_at=10_000.0)
        h.delete("m0")
        h.expire("m1")
        h.end(at=1_500)
        assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"

    def test_what_cannot_be_judged(self) -> None:
        """Periods below a minute, averages of errors and expressions are left alone."""
        for changes in ({"period": 10}, {"statistic": "Average"}, {"metric": None, "namespace": None}):
            h = outage(changes=changes, fires=None, clears=None)
            assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"

    def test_an_alarm_that_is_put_again(self) -> None:
        """The same alarm put again goes on; with another threshold it begins anew, in its state."""
        h = HistoryBuilder()
        put_alarm(h, at=1)
        put_alarm(h, at=2, created=False)
        put_alarm(h, at=3, created=False, threshold=9.0)
        for step in range(90):
            if step == 20:
                change(h, 180, "ALARM")
            tracked(h, 60 + 6 * step)
        change(h, 700, "OK")
        h.end(at=1_500)
        assert h.judge(invariants.alarms_fire_and_clear()).status == "holds"


def among(h: HistoryBuilder, events: list[dict[str, Any]]) -> HistoryBuilder:
    """*h* with more events in their places."""
    *before, end = h.events
    merged = sorted([*before, *events], key=lambda event: event["t"])
    h.events = [{**event, "n": number} for number, event in enumerate([*merged, end], start=1)]
    return h


class TestTimes:
    def test_within_is_no_whole_minute(self) -> None:
        """Ninety seconds are ninety seconds: fired after 85 s is in time, after 95 s it is not."""
        spec = invariants.alarms_fire_and_clear(within=90)
        assert outage(fires=265).judge(spec).status == "holds"
        verdict = outage(fires=275).judge(spec)
        assert verdict.status == "violated"
        assert "90 s later it was INSUFFICIENT_DATA" in verdict.detail

    def test_clears_two_periods_later_than_its_own(self) -> None:
        """Errors until 600 s, two periods and two more: quiet from 840 s on, and three minutes to clear."""
        assert outage(clears=1_015).judge(invariants.alarms_fire_and_clear()).status == "holds"
        verdict = outage(clears=1_025).judge(invariants.alarms_fire_and_clear())
        assert verdict.status == "violated"
        assert "still in ALARM at 1020 s" in verdict.detail

    def test_cloudwatch_looks_no_further_back(self) -> None:
        """The simulated CloudWatch has the same number of further periods."""
        assert EXTRA_PERIODS == cloudwatch_evaluation.EXTRA_PERIODS

    @pytest.mark.parametrize(("at", "status"), [(119, "violated"), (121, "inconclusive"), (359, "inconclusive")])
    def test_one_strike(self, at: float, status: str) -> None:
        """A strike counts from a minute before the periods are full until the time to fire is over."""
        h = HistoryBuilder()
        put_alarm(h, at=1)
        for minute in (60, 120, 180, 240, 300):
            tracked(h, minute + 1, 10)
        h.end(at=1_500)
        assert among(h, [_strike(at)]).judge(invariants.alarms_fire_and_clear()).status == status

    def test_a_strike_after_the_time_to_fire_is_too_late(self) -> None:
        """Struck in the minute in which that time ends, but after it: no excuse."""
        h = outage(fires=None, clears=None)
        late = [_strike(361 + 30 * step) for step in range(36)]
        assert among(h, late).judge(invariants.alarms_fire_and_clear()).status == "violated"


DEPTH: dict[str, Any] = {
    "alarm": "DLQDepthHigh",
    "namespace": "AWS/SQS",
    "metric": "ApproximateNumberOfMessagesVisible",
    "dimensions": {"QueueName": "orders-dlq"},
    "statistic": "Maximum",
    "evaluation_periods": 5,
    "datapoints_to_alarm": 5,
    "threshold": 3.0,
}


class TestDepths:
    def test_what_was_there_before_the_alarm_changed(self) -> None:
        """An alarm put again looks back at a queue that was deep before: it may stay in ALARM for as long."""
        h = HistoryBuilder()
        put_alarm(h, at=1, **DEPTH)
        for number in range(5):
            h.dead_letter(f"d{number}", at=10 + number)
        change(h, 300, "ALARM", "DLQDepthHigh")
        h.add("purge", at=361, queue="orders-dlq", messages=[f"d{number}" for number in range(5)])
        put_alarm(h, at=362, created=False, **{**DEPTH, "threshold": 2.0})
        change(h, 780, "OK", "DLQDepthHigh")
        h.end(at=1_500)
        assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"

    def test_what_was_there_before_the_alarm_was_made(self) -> None:
        """CloudWatch may not have had the depth before there was an alarm: its periods fill from then on."""
        for fires, status in ((1_080, "inconclusive"), (1_090, "violated")):
            h = HistoryBuilder()
            for number in range(5):
                h.dead_letter(f"d{number}", at=10 + number)
            put_alarm(h, at=601, **DEPTH)
            change(h, fires, "ALARM", "DLQDepthHigh")
            h.end(at=1_500)
            assert h.judge(invariants.alarms_fire_and_clear()).status == status

    def test_a_queue_that_was_deep_before_the_alarm_was_made(self) -> None:
        """One deep minute of three is enough, and it was before: the alarm may rise, and stay until that is too old."""
        h = HistoryBuilder()
        for number in range(5):
            h.dead_letter(f"d{number}", at=10 + number)
        h.add("purge", at=361, queue="orders-dlq", messages=[f"d{number}" for number in range(5)])
        put_alarm(h, at=401, **{**DEPTH, "evaluation_periods": 3, "datapoints_to_alarm": 1})
        change(h, 420, "ALARM", "DLQDepthHigh")
        change(h, 660, "OK", "DLQDepthHigh")
        h.end(at=1_500)
        assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"

    def test_a_queue_that_was_made_by_the_code(self) -> None:
        """The queue of an alarm need not stand in the scenario: made or used in the run, it exists."""
        for kind in ("queue.create", "send"):
            h = HistoryBuilder()
            watched = {**DEPTH, "dimensions": {"QueueName": "late"}}
            put_alarm(h, **watched)
            assert h.judge(invariants.alarms_fire_and_clear()).status == "violated"
            h = HistoryBuilder()
            if kind == "send":
                h.send("m1", queue="late")
            else:
                h.add(kind, queue="late")
            put_alarm(h, **watched)
            assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"

    def test_a_message_that_is_never_visible_again(self) -> None:
        """A delivery without a time at which it ends (of Redis) is in flight until it is acknowledged."""
        h = HistoryBuilder()
        put_alarm(h, at=1, **{**DEPTH, "dimensions": {"QueueName": "orders"}, "threshold": 0.0})
        h.send("m1", at=5)
        h.receive("m1", at=6, visible_at=None)
        h.end(at=1_500)
        assert h.judge(invariants.alarms_fire_and_clear()).status == "inconclusive"


class TestStatistics:
    def test_how_many_values_is_not_their_sum(self) -> None:
        """Ten errors a minute in one value are one sample: an alarm on samples is not due for the sum of them."""
        for statistic, status in (("Sum", "violated"), ("SampleCount", "inconclusive")):
            h = HistoryBuilder()
            put_alarm(h, at=1, statistic=statistic)
            for minute in range(60, 600, 60):
                tracked(h, minute + 1, 10)
                stored(h, minute + 1, 10)
            h.end(at=1_500)
            assert h.judge(invariants.alarms_fire_and_clear()).status == status
            assert h.judge(invariants.alarms_fire_and_clear().with_parameters(stored=True)).status == status

    def test_samples_that_cloudwatch_was_told(self) -> None:
        """Where what CloudWatch has is judged, its samples are known."""
        h = HistoryBuilder()
        put_alarm(h, at=1, statistic="SampleCount")
        for second in range(60, 600, 5):
            stored(h, second, 1)
        h.end(at=1_500)
        assert h.judge(invariants.alarms_fire_and_clear().with_parameters(stored=True)).status == "violated"

    @pytest.mark.parametrize(("period", "status"), [(60, "violated"), (120, "inconclusive")])
    def test_windows_by_the_wall_clock(self, period: int, status: str) -> None:
        """Where a longer window begins by the clock cannot be seen; a minute is a minute."""
        h = outage(changes={"wall_clock": True, "period": period}, fires=None, clears=None)
        assert h.judge(invariants.alarms_fire_and_clear()).status == status


def _strike(at: float) -> dict[str, Any]:
    point = "aws.cloudwatch.PutMetricData.before"
    return {"t": at, "actor": "faults", "kind": "fault.strike", "fault": 0, "point": point, "fault_kind": "throttled"}


@pytest.mark.parametrize("value", [0, -1])
def test_parameters_that_make_no_sense(value: float) -> None:
    """Times are above zero."""
    with pytest.raises(ScenarioError):
        invariants.errors_counted_once(pending=value)
    with pytest.raises(ScenarioError):
        invariants.alarms_fire_and_clear(within=value)
