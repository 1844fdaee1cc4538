"""Metrics: PutMetricData, GetMetricStatistics, GetMetricData, ListMetrics."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness.sim.services.cloudwatch_core import (
    MINUTE_S,
    SECOND_US,
    Core,
    Parameters,
    dimensions_of,
    moment,
    seconds_of,
)
from harness.sim.services.cloudwatch_errors import (
    invalid_combination,
    invalid_value,
    missing_parameter,
    not_in_enum,
    not_simulated,
    too_large,
    validation_error,
)
from harness.sim.services.cloudwatch_math import Expression, Unsupported
from harness.sim.services.cloudwatch_series import MetricName, Statistics, percentile_rank

__all__ = ["STATISTICS", "UNITS", "Metrics", "Queries", "check_statistic"]

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
UNITS = frozenset(
    {"Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"}
    | {f"{size}{rest}" for size in ("Bytes", "Bits") for rest in ("", "/Second")}
    | {
        f"{size}{what}{rest}"
        for size in ("Kilo", "Mega", "Giga", "Tera")
        for what in ("bytes", "bits")
        for rest in ("", "/Second")
    }
)

_BYTES_MAX = 1_048_576
_METRICS_MAX = 1_000
_VALUES_MAX = 150
_DIMENSIONS_MAX = 30
_VALUE_MAX = 2.0**360
_PAST_S = 14 * 86_400
_AHEAD_S = 2 * 3_600
_POINTS_MAX = 1_440
_QUERIES_MAX = 500
_PAGE_POINTS = 100_800
#: A new metric is listed when it is this old: "up to fifteen minutes" is what AWS says; the simulation is prompt.
_LISTED_AFTER_US = 0
_RECENT_S = 3 * 3_600


def check_statistic(statistic: str) -> None:
    """Refuse a statistic that cannot be had.

    Raises:
        CloudWatchError: it is none, or one that the simulation does not have.
    """
    if statistic in STATISTICS:
        return
    try:
        percentile_rank(statistic)
    except KeyError:
        if statistic[:2].upper() in ("TM", "WM", "TC", "TS", "PR", "IQ"):
            raise not_simulated(f"statistic {statistic}") from None
        raise validation_error(f"The statistic {statistic} is invalid.") from None  # not recorded


class Metrics(Core):
    """The operations on metrics."""

    # -- PutMetricData -----------------------------------------------------------

    def _put_metric_data(self, parameters: Parameters, region: str) -> dict[str, Any]:
        namespace = parameters.get("Namespace")
        if not namespace:
            raise missing_parameter("Namespace")
        if namespace.startswith(("AWS/", ":")):
            raise invalid_value(f"The value {namespace} for parameter Namespace is invalid.")
        if parameters.get("EntityMetricData"):
            raise not_simulated("EntityMetricData")
        data: list[Parameters] = parameters.get("MetricData") or []
        if not data:
            raise missing_parameter("MetricData")
        if len(data) > _METRICS_MAX:
            raise invalid_value(f"The collection MetricData must not have a size greater than {_METRICS_MAX}.")
        size = _size_of(parameters)
        if size > _BYTES_MAX:
            # AWS does not say whether that counts before or after compression; this is the stricter reading.
            raise too_large(size, _BYTES_MAX)
        now_us = self._timebase.now_us()
        for number, datum in enumerate(data, start=1):
            _check_datum(datum, f"MetricData.member.{number}", now_us // SECOND_US)
        stored: dict[tuple[MetricName, str], list[float]] = {}
        for datum in data:
            metric = MetricName(region, namespace, datum["MetricName"], dimensions_of(datum.get("Dimensions")))
            statistics = _statistics(datum)
            self._store_datum(metric, datum, statistics, now_us)
            sums = stored.setdefault((metric, datum.get("Unit") or "None"), [0.0, 0.0])
            sums[0] += statistics.total
            sums[1] += statistics.count
        for (metric, _), (total, count) in stored.items():
            self._record(
                "monitoring.count",
                source="cloudwatch",
                namespace=namespace,
                metric=metric.name,
                dimensions=dict(metric.dimensions),
                value=total,
                samples=count,
            )
        return {}

    def _store_datum(self, metric: MetricName, datum: Parameters, statistics: Statistics, now_us: int) -> None:
        at = datum.get("Timestamp")
        at_s = seconds_of(at) if at is not None else now_us // SECOND_US
        series = self.store.series(metric, datum.get("Unit") or "None", now_us)
        series.bucket(at_s, datum.get("StorageResolution") or MINUTE_S).merge(statistics)
        self.store.prune(now_us // SECOND_US)

    def put_value(self, metric: MetricName, unit: str, at_s: int, value: float, count: float = 1) -> None:
        """Store a data point of a service's own, as AWS's services do; no quota, no event."""
        self.store.series(metric, unit, self._timebase.now_us()).bucket(at_s, MINUTE_S).add(float(value), count)

    # -- GetMetricStatistics --------------------------------------------------------

    def _get_metric_statistics(self, parameters: Parameters, region: str) -> dict[str, Any]:
        start_s, end_s = seconds_of(parameters["StartTime"]), seconds_of(parameters["EndTime"])
        period: int = parameters["Period"]
        if start_s >= end_s:
            raise invalid_value("The parameter StartTime must be less than the parameter EndTime.")
        _check_period(period)
        plain: list[str] = parameters.get("Statistics") or []
        extended: list[str] = parameters.get("ExtendedStatistics") or []
        if not plain and not extended:
            # Not recorded.
            raise missing_parameter("Statistics")
        for statistic in (*plain, *extended):
            check_statistic(statistic)
        points = -(-(end_s - start_s) // period)
        if points > _POINTS_MAX:
            raise invalid_combination(
                f"You have requested up to {points} datapoints, which exceeds the limit of {_POINTS_MAX}. You may "
                "reduce the datapoints requested by increasing Period, or decreasing the time range."
            )
        name: str = parameters["MetricName"]
        metric = MetricName(region, parameters["Namespace"], name, dimensions_of(parameters.get("Dimensions")))
        answers = []
        for unit, series in self.store.find(metric, parameters.get("Unit")):
            for begin_s, statistics in series.periods(_rounded(start_s, period), end_s, period):
                answer: dict[str, Any] = {"Timestamp": moment(begin_s * SECOND_US)}
                answer.update((one, statistics.get(one)) for one in STATISTICS if one in plain)
                answer["Unit"] = unit
                found = {one: value for one in extended if (value := statistics.get(one)) is not None}
                if found:
                    answer["ExtendedStatistics"] = found
                answers.append(answer)
        return {"Label": name, "Datapoints": answers}

    # -- ListMetrics ------------------------------------------------------------------

    def _list_metrics(self, parameters: Parameters, region: str) -> dict[str, Any]:
        recent = parameters.get("RecentlyActive")
        if recent is not None and recent != "PT3H":
            raise not_in_enum(recent, "recentlyActive", ("PT3H",))
        filters: Sequence[Mapping[str, str]] = parameters.get("Dimensions") or ()
        now_us = self._timebase.now_us()
        found = []
        for metric, series in self.store.metrics(region):
            if parameters.get("Namespace") not in (None, metric.namespace):
                continue
            if parameters.get("MetricName") not in (None, metric.name):
                continue
            own = dict(metric.dimensions)
            if not all(one["Name"] in own and one.get("Value") in (None, own[one["Name"]]) for one in filters):
                continue
            if recent is not None and all(one.last_s < now_us // SECOND_US - _RECENT_S for one in series):
                continue
            if any(one.first_us + _LISTED_AFTER_US <= now_us for one in series):
                found.append(_described(metric))
        page, token = self._page(found, parameters, 500)
        return {"Metrics": list(page), **token}


class Queries(Metrics):
    """GetMetricData: several metrics at once, and simple arithmetic on them."""

    def _get_metric_data(self, parameters: Parameters, region: str) -> dict[str, Any]:
        queries: list[Parameters] = parameters["MetricDataQueries"]
        if len(queries) > _QUERIES_MAX:
            raise validation_error(
                f"The collection MetricDataQueries must not have a size greater than {_QUERIES_MAX}."
            )
        start_s, end_s = seconds_of(parameters["StartTime"]), seconds_of(parameters["EndTime"])
        if start_s >= end_s:
            raise validation_error("The parameter StartTime must be less than the parameter EndTime.")
        order = parameters.get("ScanBy") or "TimestampDescending"
        if order not in ("TimestampDescending", "TimestampAscending"):
            raise not_in_enum(order, "scanBy", ("TimestampDescending", "TimestampAscending"))
        check_queries(queries)
        values = self.query(queries, region, start_s, end_s)
        results = []
        for query in queries:
            if query.get("ReturnData") is False:
                continue
            points = sorted(values[query["Id"]].items(), reverse=order == "TimestampDescending")
            results.append(
                {
                    "Id": query["Id"],
                    "Label": query.get("Label") or _label(query),
                    "Timestamps": [moment(at_s * SECOND_US) for at_s, _ in points],
                    "Values": [value for _, value in points],
                    "StatusCode": "Complete",
                }
            )
        limit = parameters.get("MaxDatapoints") or _PAGE_POINTS
        if sum(len(result["Values"]) for result in results) > limit:
            raise not_simulated("pages of GetMetricData; ask for less at a time")
        return {"MetricDataResults": results, "Messages": []}

    def query(
        self, queries: Sequence[Parameters], region: str, start_s: int, end_s: int
    ) -> dict[str, dict[int, float]]:
        """The value of each query (checked before) in each period that has one, by the period's beginning."""
        found: dict[str, dict[int, float]] = {}
        expressions: list[tuple[str, Expression]] = []
        for query in queries:
            stat = query.get("MetricStat")
            if stat is None:
                expressions.append((query["Id"], Expression(query["Expression"])))
                continue
            found[query["Id"]] = self._points(stat, region, start_s, end_s)
        while expressions:
            ready = [(name, one) for name, one in expressions if one.names <= found.keys()]
            for name, expression in ready:
                found[name] = expression.over_time(found)
            expressions = [pair for pair in expressions if pair[0] not in found]
        return found

    def _points(self, stat: Parameters, region: str, start_s: int, end_s: int) -> dict[int, float]:
        given: Parameters = stat["Metric"]
        metric = MetricName(
            region, given.get("Namespace") or "", given.get("MetricName") or "", dimensions_of(given.get("Dimensions"))
        )
        period = stat["Period"]
        merged: dict[int, Statistics] = {}
        for _, series in self.store.find(metric, stat.get("Unit")):
            for begin_s, statistics in series.periods(_rounded(start_s, period), end_s, period):
                merged.setdefault(begin_s, Statistics()).merge(statistics)
        values = ((begin_s, statistics.get(stat["Stat"])) for begin_s, statistics in merged.items())
        return {begin_s: value for begin_s, value in values if value is not None}


def check_queries(queries: Sequence[Parameters]) -> None:
    """Refuse queries that are wrong or that the simulation does not have.

    Raises:
        CloudWatchError: the text names the query. No such answer of AWS is recorded.
    """
    ids = [query["Id"] for query in queries]
    names: dict[str, frozenset[str]] = {}
    for query in queries:
        name = query["Id"]
        if ids.count(name) > 1:
            raise validation_error(f"The values for parameter id in MetricDataQueries are not unique: {name}.")
        if not (name[:1].islower() and name.replace("_", "a").isalnum()):
            raise validation_error(f"The value {name} for parameter Id is not matching the expected pattern.")
        stat = query.get("MetricStat")
        if (stat is None) == (query.get("Expression") is None):
            raise validation_error(f"Exactly one of MetricStat and Expression must be given for {name}.")
        if stat is not None:
            _check_period(stat["Period"])
            check_statistic(stat["Stat"])
            continue
        try:
            names[name] = Expression(query["Expression"]).names
        except Unsupported as error:
            raise not_simulated(f"expression {query['Expression']!r} ({error})") from None
    known = {query["Id"] for query in queries if query.get("MetricStat") is not None}
    while names:
        ready = [name for name, needed in names.items() if needed <= known]
        if not ready:
            raise validation_error(f"Expressions refer to unknown ids or to themselves: {', '.join(sorted(names))}.")
        known.update(ready)
        for name in ready:
            del names[name]


def _label(query: Parameters) -> str:
    stat = query.get("MetricStat")
    return str(stat["Metric"].get("MetricName", "")) if stat is not None else str(query["Id"])


def _described(metric: MetricName) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in metric.dimensions]
    return {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions}


def _rounded(start_s: int, period: int) -> int:
    """A start time, rounded down to the whole minute, or to the period where that is shorter."""
    return start_s - start_s % min(period, MINUTE_S)


def _check_period(period: int) -> None:
    # The texts are not recorded.
    if period not in (1, 5, 10, 20, 30) and (period < 1 or period % MINUTE_S):
        raise invalid_value("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")


def _check_datum(datum: Parameters, where: str, now_s: int) -> None:
    """One entry of MetricData, in the order in which what is recorded of it was refused."""
    if not datum.get("MetricName"):
        raise missing_parameter(f"{where}.MetricName")
    dimensions = datum.get("Dimensions") or ()
    if len(dimensions) > _DIMENSIONS_MAX:
        raise invalid_value(f"The collection {where}.Dimensions must not have a size greater than {_DIMENSIONS_MAX}.")
    for number, pair in enumerate(dimensions, start=1):
        for field, longest in (("Name", 255), ("Value", 1_024)):
            text = pair.get(field, "")
            # Documented: ASCII, no control characters, at least one that is not white space. The text is not recorded.
            if not 1 <= len(text) <= longest or not text.strip() or not (text.isascii() and text.isprintable()):
                raise invalid_value(f"The value {text} for {where}.Dimensions.member.{number} is invalid.")
    if len({pair["Name"] for pair in dimensions}) < len(dimensions):
        raise invalid_value(f"No two dimensions of {where} may have the same name.")  # not recorded
    unit = datum.get("Unit")
    if unit is not None and unit not in UNITS:
        raise not_in_enum(unit, f"{where}.Unit", tuple(sorted(UNITS)))
    if datum.get("StorageResolution", MINUTE_S) not in (1, MINUTE_S):
        raise invalid_value(f"The parameter {where}.StorageResolution must be 1 or 60.")  # not recorded
    _check_values(datum, where)
    at = datum.get("Timestamp")
    if at is not None:
        # The limits are documented, the texts are not recorded.
        at_s = seconds_of(at)
        if at_s > now_s + _AHEAD_S:
            raise invalid_value(f"The parameter {where}.Timestamp must specify a time no more than two hours ahead.")
        if at_s < now_s - _PAST_S:
            raise invalid_value(f"The parameter {where}.Timestamp must specify a time within the past two weeks.")


def _check_values(datum: Parameters, where: str) -> None:
    values: Sequence[float] | None = datum.get("Values")
    counts: Sequence[float] | None = datum.get("Counts")
    if datum.get("Value") is not None:
        for other in ("Values", "StatisticValues"):
            if datum.get(other) is not None:
                raise invalid_combination(
                    f"The parameters {where}.Value and {where}.{other} are mutually exclusive and you have specified "
                    "both."
                )
    if values is not None and counts is not None and len(values) != len(counts):
        raise invalid_value(f"The parameters {where}.Values and {where}.Counts must be of the same size.")
    if values is not None and len(values) > _VALUES_MAX:
        raise invalid_value(f"The collection {where}.Values must not have a size greater than {_VALUES_MAX}.")
    statistics: Parameters = datum.get("StatisticValues") or {}
    if datum.get("Value") is None and not values and not statistics:
        raise missing_parameter(f"{where}.Value")  # not recorded
    single = () if datum.get("Value") is None else (("Value", datum["Value"]),)
    every = (*single, *(("Values", one) for one in values or ()), *statistics.items())
    for name, value in (*every, *(("Counts", one) for one in counts or ())):
        if not math.isfinite(value) or abs(value) > _VALUE_MAX:
            raise invalid_value(f"The value {value} for parameter {where}.{name} is invalid.")  # not recorded
    if any(one < 0 for one in counts or ()) or statistics.get("SampleCount", 0) < 0:
        raise invalid_value(f"The counts of {where} must not be negative.")  # not recorded
    if statistics and statistics["Minimum"] > statistics["Maximum"]:
        raise invalid_combination(f"The minimum of {where} must not be above its maximum.")  # not recorded


def _statistics(datum: Parameters) -> Statistics:
    found = Statistics()
    given: Parameters | None = datum.get("StatisticValues")
    if given is not None:
        found.add_set(given["SampleCount"], given["Sum"], given["Minimum"], given["Maximum"])
    elif datum.get("Value") is not None:
        found.add(datum["Value"], 1)
    else:
        values: Sequence[float] = datum["Values"]
        for value, count in zip(values, datum.get("Counts") or [1] * len(values), strict=True):
            if count:
                found.add(value, count)
    return found


def _size_of(parameters: Parameters) -> int:
    """The length of the request in JSON, in bytes."""
    return len(json.dumps(parameters, default=lambda value: 1_893_456_000, ensure_ascii=True))
