"""Levels of degradation: what puts a system on which level, and when the level in force may follow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, TypeAlias

__all__ = ["LEVELS", "THRESHOLDS", "Governor", "Hysteresis", "Limits", "checked_thresholds", "rank_of"]

#: The levels, from the best to the worst.
LEVELS = ("normal", "light_degradation", "moderate_degradation", "severe_degradation", "emergency_mode")

Limits: TypeAlias = tuple[float, ...]

#: A metric strictly above the n-th number asks for level n. ``processing_latency`` is in seconds: the last one is
#: SQS's default visibility timeout, from which on messages come back while they are still being handled.
THRESHOLDS: Mapping[str, Limits] = MappingProxyType(
    {
        "error_rate": (0.05, 0.1, 0.2, 0.5),
        "queue_depth": (10_000, 20_000, 50_000, 100_000),
        "processing_latency": (5.0, 10.0, 20.0, 30.0),
    }
)


def checked_thresholds(given: Mapping[str, Sequence[float] | None] | None) -> dict[str, Limits]:
    """The default thresholds with those of *given* in their place; ``None`` leaves a metric out.

    Raises:
        ValueError: not four numbers, or one is below the one before it.
    """
    found: dict[str, Limits] = dict(THRESHOLDS)
    for metric, limits in (given or {}).items():
        if limits is None:
            found.pop(metric, None)
            continue
        numbers = tuple(limits)
        if len(numbers) != len(LEVELS) - 1 or any(math.isnan(one) or one < 0 for one in numbers):
            raise ValueError(f"thresholds[{metric!r}] must be {len(LEVELS) - 1} numbers of at least 0, not {limits!r}")
        if any(later < earlier for earlier, later in pairwise(numbers)):
            raise ValueError(f"thresholds[{metric!r}] must not fall from level to level: {limits!r}")
        found[metric] = numbers
    return found


def rank_of(metrics: Mapping[str, float | None], thresholds: Mapping[str, Limits]) -> tuple[int, list[str]]:
    """The number of the level that *metrics* ask for, and the metrics that are above any threshold.

    A metric that is missing, ``None`` or no number asks for nothing.
    """
    rank, above = 0, []
    for metric, limits in thresholds.items():
        value = metrics.get(metric)
        if value is None:
            continue
        own = sum(value > limit for limit in limits)  # NaN is above nothing
        if own:
            above.append(metric)
            rank = max(rank, own)
    return rank, above


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """When the level in force follows the health. Times in seconds.

    Up: the health has asked for a level for ``rise_seconds`` without a break.
    It then goes straight to that level. Down: for ``fall_seconds`` every metric
    was below ``recovery_share`` of what the level takes; one level at a time,
    so that what is switched on again shows what it does to the health.
    ``dwell_seconds``: at least so long from a change to one the other way.

    A level that is needed again soon after it was left (within twice the time
    that leaving took) is left half as readily the next time: ``fall_seconds``
    is multiplied by ``growth``, up to ``fall_seconds_max``, until a level is
    left for good. An outage that outlasts every recovery so ends in few,
    far-apart attempts.
    """

    rise_seconds: float = 10.0
    fall_seconds: float = 30.0
    dwell_seconds: float = 30.0
    recovery_share: float = 0.8
    growth: float = 2.0
    fall_seconds_max: float = 300.0

    def __post_init__(self) -> None:
        for name in ("rise_seconds", "fall_seconds", "dwell_seconds", "fall_seconds_max"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be a number of seconds, at least 0, not {value!r}")
        if not 0 < self.recovery_share <= 1:
            raise ValueError(f"recovery_share must be above 0 and at most 1, not {self.recovery_share!r}")
        if not (math.isfinite(self.growth) and self.growth >= 1):
            raise ValueError(f"growth must be at least 1, not {self.growth!r}")


class Governor:
    """Decides, from what the health asks for, which level is in force. Not thread-safe: its owner has a lock."""

    def __init__(self, hysteresis: Hysteresis, now: float) -> None:
        self.hysteresis = hysteresis
        self.rank = 0
        self._changed_at = now - hysteresis.dwell_seconds
        self._direction: Literal["up", "down"] | None = None
        self._asked_since: list[float | None] = [None] * len(LEVELS)
        self._calm_since: float | None = None
        self._fall_seconds = hysteresis.fall_seconds

    def force(self, rank: int, now: float) -> None:
        """A person decides. What was seen before no longer counts."""
        if rank != self.rank:
            self._direction = "up" if rank > self.rank else "down"
        self.rank = rank
        self._changed_at = now
        self._calm_since = None
        self._asked_since = [None] * len(LEVELS)

    def decide(self, asked: int, allowed: int, now: float) -> int:
        """The level now in force.

        ``asked``: the level that the health asks for; ``allowed``: the one that
        it would ask for without the margin, at least ``asked``.
        """
        for rank in range(len(LEVELS)):
            if asked < rank:
                self._asked_since[rank] = None
            elif self._asked_since[rank] is None:
                self._asked_since[rank] = now
        if allowed >= self.rank:
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = now
        if not self._rise(now):
            self._fall(now)
        return self.rank

    def _rise(self, now: float) -> bool:
        rule = self.hysteresis
        due = 0
        for rank, since in enumerate(self._asked_since):
            if rank and since is not None and now - since >= rule.rise_seconds:
                due = rank
        if due <= self.rank or (self._direction == "down" and now - self._changed_at < rule.dwell_seconds):
            return False
        if self._direction == "down":
            relapsed = now - self._changed_at < 2 * max(self._fall_seconds, rule.dwell_seconds)
            grown = min(max(rule.fall_seconds, rule.fall_seconds_max), self._fall_seconds * rule.growth)
            self._fall_seconds = grown if relapsed else rule.fall_seconds
        self.rank, self._direction, self._changed_at, self._calm_since = due, "up", now, None
        return True

    def _fall(self, now: float) -> None:
        rule = self.hysteresis
        if self._calm_since is None or now - self._calm_since < self._fall_seconds:
            return
        if self._direction == "up" and now - self._changed_at < rule.dwell_seconds:
            return
        self.rank, self._direction, self._changed_at = self.rank - 1, "down", now
        # The next step down needs its own calm time: the health must first show what this one did.
        self._calm_since = None
