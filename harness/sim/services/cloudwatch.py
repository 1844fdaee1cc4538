"""The in-memory CloudWatch: metrics, and alarms that are really evaluated, on whatever clock it is given.

============================  =====================================================
``cloudwatch.py``             the service: one call of an operation by its name
``cloudwatch_metrics.py``     PutMetricData, GetMetricStatistics, GetMetricData, ListMetrics
``cloudwatch_alarms.py``      the operations on alarms; evaluation, history, actions
``cloudwatch_alarm.py``       one alarm: its configuration and what AWS tells of it
``cloudwatch_evaluation.py``  how a state follows from data points
``cloudwatch_series.py``      data points, aggregated
``cloudwatch_math.py``        simple metric math
``cloudwatch_sqs.py``         the metrics of AWS/SQS
``cloudwatch_core.py``        time, quotas, pages
``cloudwatch_errors.py``      the errors
============================  =====================================================

Rules come from AWS's recorded answers where there are any, else from its
documentation; what neither says is marked in the code as not recorded.

Not simulated, and refused by name: composite alarms, anomaly detection,
Metrics Insights, dashboards, metric streams, entities, trimmed statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.sim.services.cloudwatch_alarms import ActionObserver, Alarms
from harness.sim.services.cloudwatch_core import Parameters
from harness.sim.services.cloudwatch_errors import CloudWatchError, not_simulated
from harness.sim.services.cloudwatch_sqs import QueueMeter
from harness.sim.verdicts import Verdict

if TYPE_CHECKING:
    from harness.sim.services.sqs import SqsService

__all__ = ["ActionObserver", "CloudWatchError", "CloudWatchService"]

_Operation: TypeAlias = Callable[["CloudWatchService", Parameters, str], dict[str, Any]]


class CloudWatchService(Alarms):
    """Every metric and alarm of one account, in every region.

    ``call`` takes and returns what boto3 takes and returns, without
    ``ResponseMetadata``. ``measure(sqs)`` makes the metrics of AWS/SQS;
    ``action_observers`` are told each action of an alarm.
    """

    def call(
        self, operation: str, parameters: dict[str, Any], *, region: str, twist: Verdict | None = None
    ) -> dict[str, Any]:
        """Carry out an operation.

        Raises:
            CloudWatchError: CloudWatch refuses the call.
        """
        method = _OPERATIONS.get(operation)
        if method is None:
            raise not_simulated(f"operation {operation}")
        self._spend(operation, region)
        return method(self, parameters, region)

    def measure(self, sqs: SqsService, past: Iterable[Mapping[str, Any]] = (), origin_us: int = 0) -> None:
        """Make the metrics of every queue of *sqs* from now on, and count what *past* tells since *origin_us*."""
        meter = QueueMeter(sqs, self.put_value)
        meter.recall(past, origin_us)
        sqs.meter = meter.count
        self._by_the_minute.append(meter.sample)
        self._wind()


_OPERATIONS: dict[str, _Operation] = {
    "DeleteAlarms": CloudWatchService._delete_alarms,
    "DescribeAlarmHistory": CloudWatchService._describe_alarm_history,
    "DescribeAlarms": CloudWatchService._describe_alarms,
    "DescribeAlarmsForMetric": CloudWatchService._describe_alarms_for_metric,
    "DisableAlarmActions": CloudWatchService._disable_alarm_actions,
    "EnableAlarmActions": CloudWatchService._enable_alarm_actions,
    "GetMetricData": CloudWatchService._get_metric_data,
    "GetMetricStatistics": CloudWatchService._get_metric_statistics,
    "ListMetrics": CloudWatchService._list_metrics,
    "PutMetricAlarm": CloudWatchService._put_metric_alarm,
    "PutMetricData": CloudWatchService._put_metric_data,
    "SetAlarmState": CloudWatchService._set_alarm_state,
}
