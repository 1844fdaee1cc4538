"""What CloudWatch keeps of metrics: statistics by the minute (or the second), never single calls.

A *series* is one namespace, metric name, set of dimensions and unit in one
region. Its data points are kept aggregated: standard resolution by the
minute, high resolution (``StorageResolution=1``) by the second for three
hours and by the minute after that, everything for 15 days.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

__all__ = ["Dimensions", "MetricName", "Series", "SeriesKey", "Statistics", "Store", "percentile_rank"]

Dimensions: TypeAlias = tuple[tuple[str, str], ...]  # sorted by name

_MINUTE = 60
_FINE_S = 3 * 3_600
_KEPT_S = 15 * 86_400
#: Distinct values kept of one minute for percentiles; beyond them a percentile cannot be told.
_VALUES_MAX = 2_000


class MetricName(NamedTuple):
    """A metric as a caller names it."""

    region: str
    namespace: str
    name: str
    dimensions: Dimensions


class SeriesKey(NamedTuple):
    """A metric in one unit: units are never mixed."""

    metric: MetricName
    unit: str


class Statistics:
    """Sample count, sum, minimum and maximum of some values, and the values themselves as far as they are known."""

    __slots__ = ("count", "maximum", "minimum", "total", "values")

    def __init__(self) -> None:
        self.count = 0.0
        self.total = 0.0
        self.minimum = math.inf
        self.maximum = -math.inf
        self.values: dict[float, float] | None = {}

    def add(self, value: float, count: float) -> None:
        """Add *value*, seen *count* times."""
        self.add_set(float(count), float(value * count), float(value), float(value))

    def add_set(self, count: float, total: float, minimum: float, maximum: float) -> None:
        """Add a statistic set. Its values are known only if they are all the same."""
        self.count += count
        self.total += total
        self.minimum = min(self.minimum, minimum)
        self.maximum = max(self.maximum, maximum)
        if self.values is not None:
            if minimum == maximum:
                self.values[minimum] = self.values.get(minimum, 0.0) + count
            if minimum != maximum or len(self.values) > _VALUES_MAX:
                self.values = None

    def merge(self, other: Statistics) -> None:
        """Add what *other* holds."""
        self.count += other.count
        self.total += other.total
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        if self.values is None or other.values is None:
            self.values = None
            return
        for value, count in other.values.items():
            self.values[value] = self.values.get(value, 0.0) + count
        if len(self.values) > _VALUES_MAX * 60:
            self.values = None

    def get(self, statistic: str) -> float | None:
        """The value of *statistic* (``Sum``, ``p99``, ...); ``None`` if it cannot be told.

        Raises:
            KeyError: there is no such statistic.
        """
        if statistic == "SampleCount":
            return self.count
        if statistic == "Sum":
            return self.total
        if statistic == "Minimum":
            return self.minimum
        if statistic == "Maximum":
            return self.maximum
        if statistic == "Average":
            return self.total / self.count if self.count else 0.0
        return self._percentile(percentile_rank(statistic))

    def _percentile(self, rank: float) -> float | None:
        """The smallest value that at least *rank* percent of the samples do not exceed."""
        if not self.values:
            return None
        needed = rank / 100 * self.count
        seen = 0.0
        for value in sorted(self.values):
            seen += self.values[value]
            if seen >= needed:
                return value
        return self.maximum


def percentile_rank(statistic: str) -> float:
    """The rank of a percentile statistic: 99.9 of ``p99.9``.

    Raises:
        KeyError: it is none.
    """
    try:
        rank = float(statistic[1:])
    except ValueError:
        raise KeyError(statistic) from None
    if not statistic.startswith("p") or not 0 <= rank <= 100:
        raise KeyError(statistic)
    return rank


class Series:
    """The data points of one series."""

    __slots__ = ("_buckets", "_fine", "_times", "first_us", "last_s")

    def __init__(self, now_us: int) -> None:
        self.first_us = now_us  # when its first data point arrived
        self.last_s = 0  # the newest time of a data point
        self._buckets: dict[int, Statistics] = {}
        self._times: list[int] = []  # the buckets' times, rising
        self._fine = False  # some buckets are finer than a minute

    def __len__(self) -> int:
        return len(self._buckets)

    def bucket(self, at_s: int, resolution: int) -> Statistics:
        """Where a data point of the time *at_s* belongs."""
        if resolution >= _MINUTE:
            at_s -= at_s % _MINUTE
        else:
            self._fine = True
        found = self._buckets.get(at_s)
        if found is None:
            found = self._buckets[at_s] = Statistics()
            if not self._times or at_s > self._times[-1]:
                self._times.append(at_s)
            else:
                insort(self._times, at_s)
            self.last_s = self._times[-1]
        return found

    def between(self, start_s: int, end_s: int) -> Iterator[tuple[int, Statistics]]:
        """The buckets from *start_s* on and before *end_s*."""
        times = self._times
        place = bisect_left(times, start_s)
        while place < len(times) and times[place] < end_s:
            yield times[place], self._buckets[times[place]]
            place += 1

    def window(self, start_s: int, end_s: int) -> Statistics | None:
        """Everything from *start_s* on and before *end_s*; ``None`` if there is nothing."""
        found: Statistics | None = None
        for _, statistics in self.between(start_s, end_s):
            if found is None:
                found = Statistics()
            found.merge(statistics)
        return found

    def periods(self, start_s: int, end_s: int, period: int) -> list[tuple[int, Statistics]]:
        """What there is in each period of *period* seconds from *start_s* on, by its beginning."""
        found: dict[int, Statistics] = {}
        for at_s, statistics in self.between(start_s, end_s):
            begin = at_s - (at_s - start_s) % period
            found.setdefault(begin, Statistics()).merge(statistics)
        return list(found.items())

    def prune(self, now_s: int) -> None:
        """Drop what is too old, and keep what is older than three hours by the minute only."""
        self._drop(bisect_left(self._times, now_s - _KEPT_S))
        if not self._fine:
            return
        edge = now_s - now_s % _MINUTE - _FINE_S
        old = self._times[: bisect_left(self._times, edge)]
        for at_s in old:
            if at_s % _MINUTE:
                minute = at_s - at_s % _MINUTE
                self._buckets.setdefault(minute, Statistics()).merge(self._buckets.pop(at_s))
        self._times = sorted(self._buckets)

    def _drop(self, count: int) -> None:
        for at_s in self._times[:count]:
            del self._buckets[at_s]
        del self._times[:count]


class Store:
    """Every series, by metric and unit."""

    def __init__(self) -> None:
        self._by_metric: dict[MetricName, dict[str, Series]] = {}
        self._pruned_s = 0

    def series(self, metric: MetricName, unit: str, now_us: int) -> Series:
        """The series of *metric* in *unit*, made if it is new."""
        units = self._by_metric.setdefault(metric, {})
        found = units.get(unit)
        if found is None:
            found = units[unit] = Series(now_us)
        return found

    def find(self, metric: MetricName, unit: str | None) -> list[tuple[str, Series]]:
        """The series of *metric*, by unit: that of *unit*, or all."""
        units = self._by_metric.get(metric, {})
        if unit is None:
            return sorted(units.items())
        return [(unit, units[unit])] if unit in units else []

    def window(self, metric: MetricName, unit: str | None, start_s: int, end_s: int) -> Statistics | None:
        """Everything of *metric* in a time, all units together if none is given."""
        found: Statistics | None = None
        for _, series in self.find(metric, unit):
            part = series.window(start_s, end_s)
            if part is None:
                continue
            if found is None:
                found = part
            else:
                found.merge(part)
        return found

    def metrics(self, region: str) -> Iterable[tuple[MetricName, Sequence[Series]]]:
        """Every metric of a region, in the order of their names."""
        for metric, units in sorted(self._by_metric.items()):
            if metric.region == region:
                yield metric, list(units.values())

    def prune(self, now_s: int) -> None:
        """Once an hour: drop what is too old, and series in which nothing is left."""
        if now_s < self._pruned_s + 3_600:
            return
        self._pruned_s = now_s
        for metric, units in list(self._by_metric.items()):
            for unit, series in list(units.items()):
                series.prune(now_s)
                if not len(series):
                    del units[unit]
            if not units:
                del self._by_metric[metric]
