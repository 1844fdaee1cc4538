"""How long a service call takes in a simulation: one table, drawn from the run's seed, always above zero.

A call's time is drawn between *low* and *high* with the given median; the
upper half is stretched to the right as real latencies are. The values are
chosen to be plausible within one region, not to predict anybody's: what
matters is that every call takes time, that calls overlap, and that their
order varies with the seed.

Sources of the table: Redis, "Diagnosing latency issues": about 200 us on a
1 Gbit/s network. AWS gives no figures for SQS within a region beyond
"low latency"; 2 to 20 ms is what clients in the same region commonly
measure for a call without a long poll. A stub dependency stands for
anything; 5 to 50 ms is an ordinary internal HTTP service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

__all__ = ["DEFAULT", "LatencyModel", "Spread"]

#: Steps of a quantile table; a power of two, so that one draw of bits picks a step.
_BITS = 9
_STEPS = 1 << _BITS


@dataclass(frozen=True, slots=True)
class Spread:
    """Lowest, middle and highest latency in milliseconds."""

    low_ms: float
    median_ms: float
    high_ms: float

    def __post_init__(self) -> None:
        if not 0 < self.low_ms <= self.median_ms <= self.high_ms:
            raise ValueError(f"latencies must rise from above zero: {self}")

    def quantiles_us(self) -> tuple[int, ...]:
        """The spread as equally likely latencies in whole microseconds, each at least 1."""
        found = []
        for step in range(_STEPS):
            share = (step + 0.5) / _STEPS
            if share < 0.5:
                value = self.low_ms + (self.median_ms - self.low_ms) * 2 * share
            else:
                value = self.median_ms + (self.high_ms - self.median_ms) * (2 * share - 1) ** 3
            found.append(max(1, round(value * 1000)))
        return tuple(found)


@dataclass(frozen=True)
class LatencyModel:
    """Latencies by point: the longest prefix of a point's name decides (``aws.sqs.ReceiveMessage``, ``aws``)."""

    name: str
    spreads: Mapping[str, Spread]

    def spread(self, point: str) -> Spread:
        """The spread for *point*.

        Raises:
            KeyError: the model says nothing of it, and has no entry ``""`` for everything else.
        """
        prefix = point
        while prefix not in self.spreads:
            if not prefix:
                raise KeyError(point)
            prefix = prefix.rpartition(".")[0]
        return self.spreads[prefix]

    def sampler(self, random: Random) -> Callable[[str], int]:
        """A function that draws a latency in microseconds for a point, from the stream *random*."""
        tables: dict[str, tuple[int, ...]] = {}
        bits = random.getrandbits

        def latency_us(point: str) -> int:
            table = tables.get(point)
            if table is None:
                table = tables[point] = _quantiles(self.spread(point))
            return table[bits(_BITS)]

        return latency_us


_cache: dict[Spread, tuple[int, ...]] = {}


def _quantiles(spread: Spread) -> tuple[int, ...]:
    """The table of a spread, made once in a process: a search makes thousands of runs."""
    found = _cache.get(spread)
    if found is None:
        found = _cache[spread] = spread.quantiles_us()
    return found


DEFAULT = LatencyModel(
    "default-1",
    {
        "aws": Spread(2, 6, 20),
        "redis": Spread(0.1, 0.2, 2),
        "dependency": Spread(5, 15, 50),
        "": Spread(1, 5, 20),
    },
)
