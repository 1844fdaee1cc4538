"""What a degradation manager does with: a rate limit, feature switches, breakers, shedding."""

from __future__ import annotations

import math
import random as _random
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.resilience._degradation_events import Measure
from harness.resilience._degradation_levels import LEVELS
from harness.resilience._listeners import logger
from harness.resilience._window import SlidingSums
from harness.resilience.breaker import CircuitBreaker, CircuitState
from harness.resilience.budget import RandomSource

__all__ = ["MEASURES", "BreakerControl", "FeatureSwitches", "MeasureTable", "Shedder", "Shedding", "TokenBucket"]

#: The measures, in the order of the levels that they begin at.
MEASURES: tuple[Measure, ...] = ("processing-rate", "features", "breakers", "emergency")

#: The manager's methods that apply and lift each of them.
_METHODS: Mapping[Measure, tuple[str, str]] = {
    "processing-rate": ("_reduce_message_processing_rate", "_restore_message_processing_rate"),
    "features": ("_disable_non_critical_features", "_enable_non_critical_features"),
    "breakers": ("_enable_circuit_breakers", "_relax_circuit_breakers"),
    "emergency": ("_activate_emergency_protocols", "_deactivate_emergency_protocols"),
}

_NAMED_PRIORITIES = {"low": -1, "normal": 0, "medium": 0, "high": 1, "critical": 2}


class MeasureTable:
    """Which measures are in force: applies and lifts them through their methods. Not thread-safe: its owner has a lock.

    *method* gives the method of a name; *told* hears of each measure what
    became of it: whether it is in force, and the error if it failed.
    """

    def __init__(
        self,
        method: Callable[[str], Callable[[], object]],
        told: Callable[[Measure, bool, Exception | None], object],
    ) -> None:
        self._method = method
        self._told = told
        self.active: tuple[Measure, ...] = ()

    def apply(self, rank: int) -> None:
        """Lift what level *rank* does not ask for, the last applied first; then apply its measures, each anew."""
        for measure in reversed(MEASURES[rank:]):
            if measure in self.active:
                self.lift(measure)
        for measure in MEASURES[:rank]:
            self.begin(measure)

    def settle(self, rank: int) -> None:
        """Try once more what failed before."""
        if self.active != MEASURES[:rank]:
            self.apply(rank)

    def begin(self, measure: Measure) -> None:
        """Apply one measure, or apply it anew."""
        if self._do(measure, _METHODS[measure][0]):
            self.active = tuple(one for one in MEASURES if one == measure or one in self.active)
            self._told(measure, True, None)

    def lift(self, measure: Measure) -> None:
        """Lift one measure."""
        if self._do(measure, _METHODS[measure][1]):
            self.active = tuple(one for one in self.active if one != measure)
            self._told(measure, False, None)

    def _do(self, measure: Measure, name: str) -> bool:
        try:
            self._method(name)()
        except Exception as error:
            logger.error("degradation measure %s failed; it is tried again", measure, exc_info=error)
            self._told(measure, measure in self.active, error)
            return False
        return True


class TokenBucket:
    """At most ``rate`` messages a second, with a burst of one second's worth. Thread-safe.

    ``rate`` ``None``: no limit. Taking may go below zero (more came than were
    asked for): what was taken too much is waited for.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rate: float | None = None
        self._tokens = 0.0
        self._at = clock()
        self._lock = threading.Lock()

    @property
    def rate(self) -> float | None:
        return self._rate

    def set_rate(self, rate: float | None) -> None:
        """Limit to *rate* from now on. A bucket that had no limit begins empty."""
        with self._lock:
            if self._rate is None:
                self._tokens, self._at = 0.0, self._clock()
            else:
                self._refill()
            self._rate = rate
            if rate is not None:
                self._tokens = min(self._tokens, max(1.0, rate) if rate else 0.0)

    def take(self, number: int = 1) -> None:
        """*number* messages came."""
        if self._rate is None:
            return
        with self._lock:
            self._refill()
            self._tokens -= number

    def ask(self) -> tuple[float, int]:
        """Seconds until a message may come, and how many may then; endless where the rate is 0."""
        if self._rate is None:
            return 0.0, 10
        with self._lock:
            self._refill()
            rate = self._rate
            # Binary fractions of a second do not add up exactly: a millionth of a token is none that lacks.
            whole = math.floor(self._tokens + 1e-6)
            if whole >= 1:
                return 0.0, whole
            return ((1.0 - self._tokens) / rate if rate else math.inf), 1

    def _refill(self) -> None:
        now = self._clock()
        if self._rate is not None and now > self._at:
            self._tokens = min(max(1.0, self._rate), self._tokens + self._rate * (now - self._at))
        self._at = max(self._at, now)


class FeatureSwitches:
    """Which features are on: what a handler asks before it does something that it can do without.

    ::

        if manager.features.enabled("recommendations"):
            order["also_bought"] = recommend(order)

    A feature that was never declared is critical, and on. Asking takes no lock.
    """

    def __init__(self, non_critical: Iterable[str] | Mapping[str, str | int] = (), *, default: int = 2) -> None:
        levels = non_critical if isinstance(non_critical, Mapping) else dict.fromkeys(non_critical, default)
        self._from: dict[str, int] = {}
        self._by_hand: dict[str, bool] = {}
        self._rank = 0
        self._off: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        for name, level in levels.items():
            self.declare(name, level)

    def enabled(self, name: str) -> bool:
        """Whether the feature called *name* is on."""
        return name not in self._off

    @property
    def off(self) -> tuple[str, ...]:
        """The features that are off, in alphabetical order."""
        return tuple(sorted(self._off))

    @property
    def declared(self) -> tuple[str, ...]:
        """The features that can be switched off, in order of declaration."""
        return tuple(self._from)

    def declare(self, name: str, level: str | int = 2) -> None:
        """The feature called *name* is not critical: it goes off at *level* (from 2, moderate, on) and above it.

        Raises:
            ValueError: there is no such level, or features are not switched at it.
        """
        number = LEVELS.index(level) if isinstance(level, str) else level
        if not 2 <= number < len(LEVELS):
            raise ValueError(f"features are switched off at levels 2 to {len(LEVELS) - 1}, not at {level!r}")
        with self._lock:
            self._from[name] = number
            self._decide()

    def disable(self, name: str) -> None:
        """Switch it off by hand, whatever the level, until :meth:`enable` or :meth:`follow`."""
        self._set(name, on=False)

    def enable(self, name: str) -> None:
        """Switch it on by hand, whatever the level, until :meth:`disable` or :meth:`follow`."""
        self._set(name, on=True)

    def follow(self, name: str) -> None:
        """Let the level decide again."""
        with self._lock:
            self._by_hand.pop(name, None)
            self._decide()

    def set_level(self, rank: int) -> None:
        """Switch off what goes off at the level of this number; 0: everything is on."""
        with self._lock:
            self._rank = rank
            self._decide()

    def _set(self, name: str, *, on: bool) -> None:
        with self._lock:
            self._by_hand[name] = on
            self._decide()

    def _decide(self) -> None:
        off = {name for name, level in self._from.items() if level <= self._rank}
        off |= {name for name, on in self._by_hand.items() if not on}
        self._off = frozenset(off - {name for name, on in self._by_hand.items() if on})


class BreakerControl:
    """Tightens breakers, isolates others, and undoes exactly that. Not thread-safe: its owner has a lock.

    Tightened: half the failures open it, and it stays open for twice as long.
    (The rate of a breaker with a window stays as it is; its open time
    doubles.) Isolated: nothing goes through. On release an isolated breaker is
    half open, so that a probe decides, not hope. What a person has set in
    between stays as the person set it.
    """

    def __init__(self, tightened: Iterable[CircuitBreaker], isolated: Iterable[CircuitBreaker]) -> None:
        self.tightened = list(tightened)
        self.isolated = list(isolated)
        self._before: list[tuple[CircuitBreaker, tuple[int, float], tuple[int, float]]] = []
        self._opened: list[CircuitBreaker] = []

    @property
    def names(self) -> list[str]:
        """Of the breakers that are tightened or isolated now."""
        held = [breaker for breaker, _, _ in self._before] + self._opened
        return [breaker.name or "unnamed" for breaker in held]

    def apply(self) -> None:
        held = [breaker for breaker, _, _ in self._before]
        for breaker in self.tightened:
            if not any(breaker is other for other in held):
                before = (breaker.failure_threshold, breaker.recovery_timeout)
                tight = (max(1, before[0] // 2), before[1] * 2)
                breaker.set_limits(failure_threshold=tight[0], recovery_timeout=tight[1])
                self._before.append((breaker, before, tight))
        for breaker in self.isolated:
            if breaker.mode == "normal" and not any(breaker is other for other in self._opened):
                breaker.isolate()
                self._opened.append(breaker)

    def release(self) -> None:
        while self._opened:
            breaker = self._opened.pop()
            if breaker.mode == "isolated":
                breaker.state = CircuitState.HALF_OPEN
        while self._before:
            breaker, before, tight = self._before.pop()
            if (breaker.failure_threshold, breaker.recovery_timeout) == tight:
                breaker.set_limits(failure_threshold=before[0], recovery_timeout=before[1])


@dataclass(frozen=True, slots=True)
class Shedding:
    """What happens to messages in emergency mode.

    ``priority``: of a message; the name of a message attribute (a number, or
    low, normal, high, critical = -1, 0, 1, 2), or a function of the message as
    boto3 gives it. A message that has none is of priority 0. Those below
    ``below`` are given back and come again after ``delay`` to twice ``delay``
    seconds, spread so that they do not come back together. Unless only the
    queue's depth is the trouble, intake stops but for one message every
    ``probe_seconds`` (``None``: not even that), which shows whether it is over.
    """

    priority: str | Callable[[Mapping[str, Any]], int] = "priority"
    below: int = 1
    delay: float = 60.0
    probe_seconds: float | None = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.delay <= 21_600:
            raise ValueError(f"delay must be above 0 and at most 21600 seconds, not {self.delay!r}")
        if self.probe_seconds is not None and not 0 < self.probe_seconds < math.inf:
            raise ValueError(f"probe_seconds must be above 0 or None, not {self.probe_seconds!r}")


class Shedder:
    """Says which messages are given back while ``active``. Thread-safe."""

    def __init__(self, rule: Shedding, *, clock: Callable[[], float], random: RandomSource | None) -> None:
        self.rule = rule
        self.active = False
        self._clock = clock
        self._random = random
        self._away = SlidingSums(1.5 * rule.delay, slots=15, width=1)
        self._lock = threading.Lock()

    @property
    def away(self) -> int:
        """About how many of the shed messages have not come back: they still wait, though the queue hides them."""
        with self._lock:
            return int(self._away.advance(self._clock())[0])

    def delay(self, message: Mapping[str, Any], redrive_at: int | None) -> float | None:
        """Seconds after which the message is to come back; ``None``: handle it.

        Each time that a message is given back costs a receive. One that the
        queue itself would soon move to its dead-letter queue is handled, not shed.
        """
        if not self.active or self.priority(message) >= self.rule.below:
            return None
        if redrive_at is not None and _receives(message) >= redrive_at - 1:
            return None
        with self._lock:
            self._away.add(self._clock(), 0, 1)
        return self.rule.delay * (1.0 + (self._random if self._random is not None else _random).random())

    def priority(self, message: Mapping[str, Any]) -> float:
        """The priority of *message*; 0 where it has none, or none that can be read."""
        rule = self.rule.priority
        try:
            if callable(rule):
                return float(rule(message))
            attribute = (message.get("MessageAttributes") or {}).get(rule)
            if attribute is None:
                return 0
            text = str(attribute.get("StringValue", "")).strip().lower()
            return _NAMED_PRIORITIES[text] if text in _NAMED_PRIORITIES else float(text)
        except Exception:
            logger.exception("the priority of message %s cannot be told; it is taken as 0", message.get("MessageId"))
            return 0


def _receives(message: Mapping[str, Any]) -> int:
    try:
        return int((message.get("Attributes") or {}).get("ApproximateReceiveCount", 1))
    except (TypeError, ValueError):
        return 1
