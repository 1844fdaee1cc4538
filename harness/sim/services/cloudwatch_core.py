"""What every operation of CloudWatch needs: time, the store, quotas, names, pages."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from harness.sim.services.cloudwatch_errors import invalid_next_token, invalid_value, throttled
from harness.sim.services.cloudwatch_series import Dimensions, Store

if TYPE_CHECKING:
    from harness.sim.services.timebase import Timebase
    from harness.sim.world import Recorder

__all__ = ["MINUTE_S", "SECOND_US", "Core", "Parameters", "dimensions_of", "moment", "seconds_of"]

Parameters: TypeAlias = dict[str, Any]
T = TypeVar("T")

SECOND_US = 1_000_000
MINUTE_S = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: Calls a second that an account may make in a region: "CloudWatch service quotas", Amazon CloudWatch user guide.
QUOTAS: Mapping[str, float] = {
    "DeleteAlarms": 3,
    "DescribeAlarmHistory": 20,
    "DescribeAlarms": 9,
    "DescribeAlarmsForMetric": 9,
    "DisableAlarmActions": 3,
    "EnableAlarmActions": 3,
    "GetMetricData": 50,
    "GetMetricStatistics": 400,
    "ListMetrics": 25,
    "PutMetricAlarm": 3,
    "PutMetricData": 500,
    "SetAlarmState": 3,
}


def seconds_of(value: datetime) -> int:
    """A timestamp as it comes over the wire: whole seconds since 1970, cut off, in UTC."""
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(seconds=1)


def moment(us: int) -> datetime:
    """Microseconds since 1970 as a timestamp, to the millisecond as CloudWatch gives it."""
    return _EPOCH + timedelta(milliseconds=us // 1_000)


def dimensions_of(given: Sequence[Mapping[str, str]] | None) -> Dimensions:
    """Dimensions in the order of their names: CloudWatch does not care for the order."""
    return tuple(sorted((pair["Name"], pair["Value"]) for pair in given or ()))


class Core:
    """State and common parts of the service; the operations are in its subclasses.

    Args:
        timebase: the service's clock.
        record: where events go.
        account, region: of the alarms, where a call names none.
    """

    def __init__(
        self,
        timebase: Timebase,
        record: Recorder,
        *,
        account: str = "000000000000",
        region: str = "us-east-1",
    ) -> None:
        self.account = account
        self.region = region
        #: Whether calls beyond AWS's quotas are throttled.
        self.quotas = True
        self.store = Store()
        self._timebase = timebase
        self._record = record
        self._allowance: dict[tuple[str, str], tuple[float, int]] = {}  # by operation and region: calls left, as of

    def _now_s(self) -> int:
        return self._timebase.now_us() // SECOND_US

    def _spend(self, operation: str, region: str) -> None:
        """Count a call against its quota.

        Raises:
            CloudWatchError: there have been too many.
        """
        quota = QUOTAS.get(operation)
        if quota is None or not self.quotas:
            return
        now_us = self._timebase.now_us()
        left, as_of_us = self._allowance.get((operation, region), (quota, now_us))
        left = min(quota, left + quota * (now_us - as_of_us) / SECOND_US)
        if left < 1:
            self._allowance[operation, region] = (left, now_us)
            raise throttled()
        self._allowance[operation, region] = (left - 1, now_us)

    @staticmethod
    def _page(
        items: Sequence[T], parameters: Parameters, size: int, *, parameter: str | None = None
    ) -> tuple[Sequence[T], dict[str, str]]:
        """One page of *items*, and the token for the next one where there is more."""
        if parameter is not None and parameters.get(parameter) is not None:
            wanted = parameters[parameter]
            if not 1 <= wanted <= size:
                raise invalid_value(f"The parameter {parameter} must be between 1 and {size}.")  # not recorded
            size = wanted
        start = 0
        token = parameters.get("NextToken")
        if token:
            try:
                start = int(b64decode(token, validate=True))
            except (Base64Error, ValueError):
                raise invalid_next_token() from None
        page = items[start : start + size]
        if start + size >= len(items):
            return page, {}
        return page, {"NextToken": b64encode(str(start + size).encode("ascii")).decode("ascii")}
