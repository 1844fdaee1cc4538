"""How a consumer and its queue are doing: sliding windows of its calls, and the queue's own numbers."""

from __future__ import annotations

import functools
import inspect
import json
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

from harness.resilience._listeners import logger
from harness.resilience._window import SlidingSums
from harness.resilience.breaker import CircuitBreakerOpenException
from harness.resilience.errors import Classification, classify

__all__ = ["CallWindow", "Calls", "QueueWatch"]

P = ParamSpec("P")
T = TypeVar("T")

_LATENCIES = 1_000  # of the newest calls: bounds memory and the time of a percentile
_SLOTS = 15
_PEAK_HALF_LIFE = 900.0  # seconds


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one window. ``error_rate`` and ``latency`` (seconds) are ``None`` where too few calls say so."""

    calls: int
    error_rate: float | None
    latency: float | None


class CallWindow:
    """Outcomes and durations of the calls of the last *seconds*. Thread-safe, bounded.

    The latency is the 95th percentile; of fewer than *minimum_calls*, the
    median. Calls that are under way count with their age as soon as they are
    older than it: handlers that hang would otherwise look like none at all.
    """

    def __init__(self, seconds: float, *, minimum_calls: int, clock: Callable[[], float]) -> None:
        self.seconds = seconds
        self.minimum_calls = minimum_calls
        self._clock = clock
        self._sums = SlidingSums(seconds, slots=_SLOTS, width=2)  # successes, failures
        # A shorter span follows throughput faster; it is what the rate limit is derived from.
        self._recent = SlidingSums(seconds / 3, slots=_SLOTS, width=1)
        self._latencies: deque[tuple[float, float]] = deque(maxlen=_LATENCIES)
        self._under_way: dict[int, float] = {}
        self._number = 0
        self._began: float | None = None
        self._rate = 0.0  # successes a second lately
        self._peak = 0.0
        self._peak_at = clock()
        self._lock = threading.Lock()

    def begin(self) -> int:
        """A call begins; returns its number for :meth:`end`."""
        now = self._clock()
        with self._lock:
            if self._began is None:
                self._began = now
            self._number += 1
            self._under_way[self._number] = now
            return self._number

    def end(self, number: int, failed: bool | None) -> None:
        """The call ended; ``None``: it says nothing about the service (a bad message, a call that was not made)."""
        now = self._clock()
        with self._lock:
            began = self._under_way.pop(number)
            if failed is None:
                return
            self._sums.add(now, int(failed), 1)
            self._latencies.append((now, now - began))
            if not failed:
                self._recent.add(now, 0, 1)

    def measured(self, func: Callable[P, T]) -> Callable[P, T]:
        """*func*, sync or async, with its calls counted here.

        A permanent error says that the message was bad, and a breaker's refusal
        that no call was made: neither counts.
        """
        if inspect.iscoroutinefunction(func):

            @functools.wraps(func)
            async def async_wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
                number = self.begin()
                failed: bool | None = None
                try:
                    result = await func(*args, **kwargs)
                    failed = False
                except Exception as error:
                    failed = _is_failure(error)
                    raise
                finally:
                    self.end(number, failed)
                return result

            return cast("Callable[P, T]", async_wrapper)

        @functools.wraps(func)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            number = self.begin()
            failed: bool | None = None
            try:
                result = func(*args, **kwargs)
                failed = False
            except Exception as error:
                failed = _is_failure(error)
                raise
            finally:
                self.end(number, failed)
            return result

        return wrapper

    def peak(self) -> float:
        """The highest throughput lately, in successes a second; 0 where none was measured.

        What was possible a quarter of an hour ago counts half: a service may have shrunk.
        """
        self.read()
        with self._lock:
            return self._peak

    def raise_peak(self, factor: float, used: float) -> None:
        """What was allowed went well: suppose that *factor* times as much is possible too.

        Only if at least half of *used* (successes a second) was needed: what is not tried proves nothing.
        """
        self.read()
        with self._lock:
            if self._rate >= used / 2:
                self._peak *= factor

    def lower_peak(self) -> None:
        """What was allowed was too much: what is being achieved is all that there is."""
        self.read()
        with self._lock:
            self._peak = self._rate

    def read(self) -> Calls:
        """The window as it is now."""
        now = self._clock()
        with self._lock:
            successes, failures = self._sums.advance(now)
            recent = self._recent.advance(now)[0]
            while self._latencies and self._latencies[0][0] <= now - self.seconds:
                self._latencies.popleft()
            finished = [took for _, took in self._latencies]
            ages = [now - began for began in self._under_way.values()]
            span = self.seconds / 3
            if self._began is not None:
                span = min(span, max(span / 2, now - self._began))
            self._rate = recent / span
            self._peak = max(self._rate, self._peak * 0.5 ** ((now - self._peak_at) / _PEAK_HALF_LIFE))
            self._peak_at = now
        calls = int(successes + failures)
        error_rate = failures / calls if calls >= self.minimum_calls else None
        return Calls(calls, error_rate, self._latency(finished, ages))

    def _latency(self, finished: list[float], ages: list[float]) -> float | None:
        if not finished:
            # Nothing has ended in the whole window: all workers may be stuck. The youngest call says for how long.
            return min(ages, default=None)
        known = self._typical(finished)
        samples = finished + [age for age in ages if age > known]
        return self._typical(samples) if len(samples) > 1 else None  # one slow message is no slow service

    def _typical(self, values: list[float]) -> float:
        """The 95th percentile; of too few values for that the median, the lower one of two."""
        values = sorted(values)
        share = 0.95 if len(values) >= self.minimum_calls else 0.5
        return values[math.ceil(share * len(values)) - 1]


class QueueWatch:
    """What SQS says of one queue, asked at most every *interval* seconds. Used by one thread at a time.

    An answer holds for three intervals: after that the depth is unknown.
    """

    def __init__(self, sqs: Any, url: str, *, interval: float, clock: Callable[[], float]) -> None:
        self.sqs = sqs
        self.url = url
        self._interval = interval
        self._clock = clock
        self._asked_at: float | None = None
        self._depth: int | None = None
        self._answered_at = 0.0
        self._failing = False
        #: The native redrive's limit, where the queue has one: a message received so often is moved away.
        self.redrive_at: int | None = None

    @property
    def depth(self) -> int | None:
        """Messages that wait to be received, the delayed ones included; ``None``: not known."""
        if self._depth is None or self._clock() - self._answered_at > 3 * self._interval:
            return None
        return self._depth

    def ask(self) -> None:
        """Ask the queue if it is time. A failure is logged once for each outage and never raised."""
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < self._interval:
            return
        self._asked_at = now
        try:
            attributes = self.sqs.get_queue_attributes(
                QueueUrl=self.url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesDelayed",
                    "RedrivePolicy",
                ],
            )["Attributes"]
            depth = int(attributes["ApproximateNumberOfMessages"])
            depth += int(attributes.get("ApproximateNumberOfMessagesDelayed", 0))
            self.redrive_at = _redrive(attributes)
        except Exception as error:
            if not self._failing:
                logger.warning("the depth of %s cannot be read: %s: %s", self.url, type(error).__name__, error)
            self._failing = True
            return
        self._failing = False
        self._depth, self._answered_at = depth, self._clock()


def _redrive(attributes: Mapping[str, str]) -> int | None:
    policy = json.loads(attributes.get("RedrivePolicy") or "{}")
    count = policy.get("maxReceiveCount")
    return int(count) if count is not None else None


def _is_failure(error: Exception) -> bool | None:
    if isinstance(error, CircuitBreakerOpenException) or classify(error) is Classification.PERMANENT:
        return None
    return True
