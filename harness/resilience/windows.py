"""When a circuit breaker opens, judged over many calls: windows as values.

A breaker without a window counts consecutive failures, which suits a service
that is either up or down. A window suits one that fails in part: it opens at
a share of failures or of slow calls, once enough calls have been seen.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.resilience._window import SlidingSums

__all__ = ["CountWindow", "Tally", "TimeWindow", "Window"]


class Tally(Protocol):
    """The calls of one window. Its breaker calls it under its lock."""

    def add(self, now: float, failed: bool, slow: bool) -> None:
        """A call ended at *now* (seconds of the breaker's clock)."""
        ...

    def counts(self, now: float) -> tuple[int, int, int]:
        """Calls in the window, how many failed, how many were slow."""
        ...

    def clear(self) -> None: ...


class Window(Protocol):
    """What a breaker asks of its window."""

    @property
    def mode(self) -> Literal["count", "time"]: ...

    @property
    def slow_call_seconds(self) -> float | None: ...

    def tally(self) -> Tally:
        """A fresh count."""
        ...

    def verdict(self, calls: int, failures: int, slow: int) -> str | None:
        """Why the breaker must open, or ``None``."""
        ...


class _Rates:
    """Limits that both windows share."""

    failure_rate: float
    slow_call_seconds: float | None
    slow_call_rate: float
    minimum_calls: int

    def verdict(self, calls: int, failures: int, slow: int) -> str | None:
        if calls < self.minimum_calls:
            return None
        if failures / calls >= self.failure_rate:
            return f"{failures} of {calls} calls failed"
        if self.slow_call_seconds is not None and slow / calls >= self.slow_call_rate:
            return f"{slow} of {calls} calls were slow"
        return None

    def _check(self) -> None:
        for name in ("failure_rate", "slow_call_rate"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {value!r}")
        if self.slow_call_seconds is not None and not self.slow_call_seconds > 0:
            raise ValueError(f"slow_call_seconds must be above 0, not {self.slow_call_seconds!r}")
        if isinstance(self.minimum_calls, bool) or not self.minimum_calls >= 1:
            raise ValueError(f"minimum_calls must be at least 1, not {self.minimum_calls!r}")


@dataclass(frozen=True, slots=True)
class CountWindow(_Rates):
    """The last ``size`` calls.

    Opens when at least ``minimum_calls`` are in it and a share of at least
    ``failure_rate`` failed, or (with ``slow_call_seconds``) a share of at
    least ``slow_call_rate`` took longer than that.
    """

    size: int = 100
    failure_rate: float = 0.5
    slow_call_seconds: float | None = None
    slow_call_rate: float = 0.5
    minimum_calls: int = 10

    def __post_init__(self) -> None:
        self._check()
        if isinstance(self.size, bool) or self.size < self.minimum_calls:
            raise ValueError(f"size must be at least minimum_calls ({self.minimum_calls}), not {self.size!r}")

    @property
    def mode(self) -> Literal["count", "time"]:
        return "count"

    def tally(self) -> QuickTally:
        return _CountTally(self.size)


@dataclass(frozen=True, slots=True)
class TimeWindow(_Rates):
    """The calls that ended in the last ``seconds`` (to a tenth of that), whatever their number.

    The other limits are those of :class:`CountWindow`.
    """

    seconds: float = 60.0
    failure_rate: float = 0.5
    slow_call_seconds: float | None = None
    slow_call_rate: float = 0.5
    minimum_calls: int = 10

    def __post_init__(self) -> None:
        self._check()
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError(f"seconds must be above 0, not {self.seconds!r}")

    @property
    def mode(self) -> Literal["count", "time"]:
        return "time"

    def tally(self) -> QuickTally:
        return _TimeTally(self.seconds)


class QuickTally(Tally, Protocol):
    """A tally to which successes can be added late and many at once: they need no lock while nothing failed."""

    def add_successes(self, now: float, number: int) -> None: ...

    def slot_end(self, now: float) -> float: ...


class _CountTally:
    __slots__ = ("_calls", "_failures", "_slow")

    def __init__(self, size: int) -> None:
        self._calls: deque[tuple[bool, bool]] = deque(maxlen=size)
        self._failures = 0
        self._slow = 0

    def add(self, now: float, failed: bool, slow: bool) -> None:
        calls = self._calls
        if len(calls) == calls.maxlen:
            old_failed, old_slow = calls[0]
            self._failures -= old_failed
            self._slow -= old_slow
        calls.append((failed, slow))
        self._failures += failed
        self._slow += slow

    def add_successes(self, now: float, number: int) -> None:
        """So many calls at once that neither failed nor were slow."""
        for _ in range(min(number, self._calls.maxlen or number)):
            self.add(now, False, False)

    def slot_end(self, now: float) -> float:
        """Until when successes may wait to be added: it is their order that counts."""
        return math.inf

    def counts(self, now: float) -> tuple[int, int, int]:
        return len(self._calls), self._failures, self._slow

    def clear(self) -> None:
        self._calls.clear()
        self._failures = self._slow = 0


class _TimeTally:
    __slots__ = ("_sums",)

    def __init__(self, seconds: float) -> None:
        self._sums = SlidingSums(seconds, slots=10, width=3)

    def add(self, now: float, failed: bool, slow: bool) -> None:
        self._sums.add(now, 0, 1)
        if failed:
            self._sums.add(now, 1, 1)
        if slow:
            self._sums.add(now, 2, 1)

    def add_successes(self, now: float, number: int) -> None:
        """So many calls at once that neither failed nor were slow."""
        self._sums.add(now, 0, number)

    def slot_end(self, now: float) -> float:
        """Until when successes may wait to be added as those of *now*."""
        return self._sums.slot_end(now)

    def counts(self, now: float) -> tuple[int, int, int]:
        calls, failures, slow = self._sums.advance(now)
        return int(calls), int(failures), int(slow)

    def clear(self) -> None:
        self._sums.clear()
