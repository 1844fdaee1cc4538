"""Degradation: do less, in steps, while the system is unwell, and take each step back when it is well again.

::

    manager = ServiceDegradationManager(features=["recommendations"])

    def handle(message):
        charge(message)
        if manager.features.enabled("recommendations"):
            recommend(message)

    ResilientConsumer(orders_url, handle, degradation=manager, breaker=CircuitBreaker()).run()

With a consumer it runs by itself: it counts the handler's errors and times
its calls over a sliding window, asks the queue for its depth, and follows the
health with hysteresis (:class:`Hysteresis`). By hand: ``assess_system_health``
and ``apply_degradation``.

== ==================== ==========================================================================
n  level                measure, on top of those above
== ==================== ==========================================================================
1  light_degradation    ``processing-rate``: fewer messages a second are taken from the queue
2  moderate_degradation ``features``: what is not critical is off (:class:`FeatureSwitches`)
3  severe_degradation   ``breakers``: tightened; those named in ``isolate`` let nothing through
4  emergency_mode       ``emergency``: intake stops but for probes; what is in hand and of low
                        priority is given back with a delay (:class:`Shedding`)
== ==================== ==========================================================================

Measures are applied in this order and lifted in the reverse one.

The rate limit is a share of the highest throughput that this process lately
had. Where the depth of the queue is all that is wrong, slower would only
make it deeper: then the rate begins at that throughput and grows for as long
as the calls go well (by 2 % a second), and in emergency mode messages of high
priority go first while the others are shed, but intake does not stop. Levels
and limits are those of one process; only the depth is seen by all of them.

Nothing is lost: what is not taken stays in the queue, what is shed goes back to it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

from harness.resilience._degradation_events import (
    WATCHERS,
    DegradationEvent,
    DegradationListener,
    HealthAssessed,
    LevelChanged,
    Measure,
    MeasureChanged,
)
from harness.resilience._degradation_health import CallWindow, QueueWatch
from harness.resilience._degradation_levels import LEVELS, Governor, Hysteresis, checked_thresholds, rank_of
from harness.resilience._degradation_measures import (
    MEASURES,
    BreakerControl,
    FeatureSwitches,
    MeasureTable,
    Shedder,
    Shedding,
    TokenBucket,
)
from harness.resilience._delivery import ConsumerEvent
from harness.resilience._listeners import logger, notify
from harness.resilience._loop import Admission
from harness.resilience.breaker import CircuitBreaker
from harness.resilience.budget import RandomSource

__all__ = [
    "LEVELS",
    "MEASURES",
    "DegradationEvent",
    "DegradationListener",
    "FeatureSwitches",
    "HealthAssessed",
    "Hysteresis",
    "LevelChanged",
    "MeasureChanged",
    "ServiceDegradationManager",
    "Shedding",
    "watch_degradation",
]

P = ParamSpec("P")
T = TypeVar("T")

_PROBE_GROWTH = 1.02  # by which the rate grows each second in which nothing but the backlog is wrong
_DEFAULT_RATE = 10.0  # messages a second, where nothing was measured and nobody said
_WAIT_MAX = 1.0  # seconds that a consumer waits before it asks again: the level may have changed
_QUEUES = "queue_depth"


def watch_degradation(listener: DegradationListener) -> Callable[[], None]:
    """Tell *listener* of every degradation manager of this process; returns a function that ends it."""
    WATCHERS.append(listener)

    def stop() -> None:
        if listener in WATCHERS:
            WATCHERS.remove(listener)

    return stop


class ServiceDegradationManager:
    """See the module. One object serves any number of threads, and consumers of one process.

    Args:
        thresholds: by metric, the four numbers above which the levels begin
            (``None``: the metric is left out). Defaults: error_rate 0.05, 0.1,
            0.2, 0.5; queue_depth 10,000, 20,000, 50,000, 100,000;
            processing_latency 5, 10, 20, 30 seconds.
        gauges: metrics of your own, by name: functions that give the value now.
        features: names that are not critical, or names with the level at
            which each goes off.
        breakers: that are tightened; the consumer's own is added to them.
        isolate: breakers of what can be done without: nothing goes through
            them from severe degradation on.
        processing_rate: messages a second that count as full speed (``None``: measured).
        rate_shares: of full speed, at levels 1 to 4. The last is in force
            where emergency mode does not stop intake.
        shedding: whose messages are given back in emergency mode.
        hysteresis: how readily the level follows the health.
        window: seconds over which calls are counted.
        minimum_calls: fewer of them in the window say nothing about the error rate.
        interval: seconds between two looks at the health.
        queue_interval: seconds, at least, between two GetQueueAttributes of one queue.
        listeners: told everything; one that fails is logged and changes nothing.
        name: for people, metrics and histories.
        clock: seconds that only go forward (``None``: ``time.monotonic``).
        random: spreads what is shed (``None``: the module ``random``).

    Four methods apply the measures and four lift them; a subclass may override
    them. Each is called when its measure begins or ends, the applying ones
    again when the level changes under them (``self.current_level`` is the new
    one then). One that raises is logged and called again at the next look.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        thresholds: Mapping[str, Sequence[float] | None] | None = None,
        gauges: Mapping[str, Callable[[], float | None]] | None = None,
        features: Iterable[str] | Mapping[str, str | int] = (),
        breakers: Iterable[CircuitBreaker] = (),
        isolate: Iterable[CircuitBreaker] = (),
        processing_rate: float | None = None,
        rate_shares: Sequence[float] = (0.75, 0.5, 0.25, 0.1),
        shedding: Shedding | None = None,
        hysteresis: Hysteresis | None = None,
        window: float = 30.0,
        minimum_calls: int = 10,
        interval: float = 5.0,
        queue_interval: float = 10.0,
        listeners: Iterable[DegradationListener] = (),
        name: str | None = None,
        clock: Callable[[], float] | None = None,
        random: RandomSource | None = None,
    ) -> None:
        for label, value in (("window", window), ("interval", interval), ("queue_interval", queue_interval)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{label} must be a number of seconds above 0, not {value!r}")
        if minimum_calls < 1:
            raise ValueError(f"minimum_calls must be at least 1, not {minimum_calls!r}")
        if processing_rate is not None and not (math.isfinite(processing_rate) and processing_rate > 0):
            raise ValueError(f"processing_rate must be above 0 or None, not {processing_rate!r}")
        if len(rate_shares) != 4 or not all(0 < share <= 1 for share in rate_shares):
            raise ValueError(f"rate_shares must be four shares above 0 and at most 1, not {rate_shares!r}")
        self.degradation_levels: dict[str, int] = {level: rank for rank, level in enumerate(LEVELS)}
        self.thresholds = checked_thresholds(thresholds)
        self.features = FeatureSwitches(features)
        self.processing_rate = processing_rate
        self.rate_shares = tuple(rate_shares)
        self.interval = interval
        self.name = name
        self.listeners: list[DegradationListener] = list(listeners)
        self._clock = clock or time.monotonic
        self._gauges = dict(gauges or {})
        self._queue_interval = queue_interval
        self._bucket = TokenBucket(self._clock)
        self._breakers = BreakerControl(breakers, isolate)
        self._shedder = Shedder(shedding or Shedding(), clock=self._clock, random=random)
        self._calls = CallWindow(window, minimum_calls=minimum_calls, clock=self._clock)
        self._queues: dict[str, QueueWatch] = {}
        self._governor = Governor(hysteresis or Hysteresis(), self._clock())
        self._level = LEVELS[0]
        self._pinned = False
        self._backlog_only = False
        self._assessed = (LEVELS[0], False)  # the level last asked for, and whether only the backlog was wrong
        self._measures = MeasureTable(lambda name: getattr(self, name), self._told)
        self._lock = threading.RLock()
        self._looking = threading.Lock()
        self._telling = threading.Lock()
        self._outbox: deque[DegradationEvent] = deque()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()

    def __repr__(self) -> str:
        name = f"{self.name!r}, " if self.name else ""
        return f"ServiceDegradationManager({name}{self._level}, {list(self.active_measures)})"

    # By hand

    @property
    def current_level(self) -> str:
        """The name of the level in force. Setting it applies that level."""
        return self._level

    @current_level.setter
    def current_level(self, level: str) -> None:
        self._apply_by_hand(level)

    def assess_system_health(self, metrics: Mapping[str, float | None]) -> str:
        """The name of the level that *metrics* ask for: the worst that any of them asks for.

        Metrics are named as in ``thresholds``. One that is missing or ``None`` asks for nothing.
        """
        rank, above = rank_of(metrics, self.thresholds)
        self._assessed = (LEVELS[rank], above == [_QUEUES])
        return LEVELS[rank]

    def apply_degradation(self, level: str | int) -> None:
        """Put *level* (a name or its number) in force now: apply its measures, lift those of higher levels.

        Where the level is what :meth:`assess_system_health` has just answered,
        it limits as that health asks for (see the module on backlogs). A manager
        that runs by itself goes on from there; :meth:`pin` keeps it there.

        Raises:
            ValueError: there is no such level.
        """
        self._apply_by_hand(level)

    def pin(self, level: str | int) -> None:
        """Put *level* in force and keep it, whatever the health, until :meth:`unpin`."""
        self._rank(level)
        self._pinned = True
        self._apply_by_hand(level)

    def unpin(self) -> None:
        """Let the health decide again."""
        self._pinned = False

    @property
    def active_measures(self) -> tuple[Measure, ...]:
        """The measures in force, in the order in which they were applied."""
        return self._measures.active

    @property
    def queue_urls(self) -> tuple[str, ...]:
        """The queues whose depth is watched."""
        return tuple(self._queues)

    @property
    def breaker_count(self) -> int:
        """How many breakers it has a hand on."""
        return len(self._breakers.tightened) + len(self._breakers.isolated)

    def _apply_by_hand(self, level: str | int) -> None:
        rank = self._rank(level)
        with self._lock:
            before, self._backlog_only = self._backlog_only, self._assessed == (LEVELS[rank], True)
            same = LEVELS[rank] == self._level
            self._governor.force(rank, self._clock())
            self._move(rank, {}, "by hand", by_hand=True)
            if same and before != self._backlog_only:
                self._apply_measures()
        self._deliver()

    def _rank(self, level: str | int) -> int:
        if isinstance(level, str):
            if level not in self.degradation_levels:
                raise ValueError(f"there is no level {level!r}: choose from {', '.join(self.degradation_levels)}")
            return self.degradation_levels[level]
        if not 0 <= level < len(LEVELS):
            raise ValueError(f"levels have the numbers 0 to {len(LEVELS) - 1}, not {level!r}")
        return level

    # By itself

    def start(self, sqs: Any, queue_url: str, *, breaker: object = None) -> None:
        """A consumer of *queue_url* begins: look at the health every ``interval`` seconds from now on, in a thread.

        ``breaker``: the consumer's, which is tightened with the others if it is a :class:`CircuitBreaker`.
        """
        with self._lock:
            self._users += 1
            self._queues.setdefault(
                queue_url, QueueWatch(sqs, queue_url, interval=self._queue_interval, clock=self._clock)
            )
            known = [*self._breakers.tightened, *self._breakers.isolated]
            if isinstance(breaker, CircuitBreaker) and not any(breaker is other for other in known):
                self._breakers.tightened.append(breaker)
                if "breakers" in self._measures.active:
                    self._measures.begin("breakers")
            if self._thread is None:
                self._ended = threading.Event()
                self._thread = threading.Thread(
                    target=self._look_on, args=(self._ended,), name="degradation", daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """A consumer ends; with the last one the thread does. The level stays as it is."""
        with self._lock:
            self._users = max(0, self._users - 1)
            if self._users or self._thread is None:
                return
            thread, self._thread = self._thread, None
            self._ended.set()
        thread.join(_WAIT_MAX)  # it may be waiting for the queue's answer; a shutdown does not wait for that

    def _look_on(self, ended: threading.Event) -> None:
        while not ended.wait(self.interval):
            try:
                self.tick()
            except Exception:
                logger.exception("looking at the health failed")

    def tick(self) -> str:
        """Look at the health once, and change the level if it is time; returns the level in force.

        The thread of :meth:`start` calls it. Without one, call it every
        ``interval`` seconds.
        """
        if not self._looking.acquire(blocking=False):
            return self._level
        try:
            for queue in list(self._queues.values()):
                queue.ask()
            metrics = self.metrics()
            with self._lock:
                self._follow(metrics)
        finally:
            self._looking.release()
        self._deliver()
        return self._level

    def metrics(self) -> dict[str, float | None]:
        """What is known now of the consumer's calls and its queues; ``None``: not known."""
        calls = self._calls.read()
        depths = [queue.depth for queue in self._queues.values()]
        known = [depth for depth in depths if depth is not None]
        found: dict[str, float | None] = {
            "error_rate": calls.error_rate,
            _QUEUES: max(known) + self._shedder.away if known else None,
            "processing_latency": calls.latency,
        }
        for name, gauge in self._gauges.items():
            try:
                found[name] = gauge()
            except Exception:
                logger.exception("the gauge %s failed", name)
                found[name] = None
        return found

    def _follow(self, metrics: dict[str, float | None]) -> None:
        known = {name: value for name, value in metrics.items() if value is not None}
        share = self._governor.hysteresis.recovery_share
        assessed = self._rank(self.assess_system_health(known))
        # The same question of a health that is worse by the margin: the level may fall to its answer.
        allows = max(assessed, self._rank(self.assess_system_health({k: v / share for k, v in known.items()})))
        backlog_only = rank_of(known, self.thresholds)[1] == [_QUEUES]
        before = self._governor.rank
        if self._pinned:
            self._settle_measures()
        else:
            after = self._governor.decide(assessed, allows, self._clock())
            if after != before:
                if assessed:  # a health without complaint says nothing new about what is wrong
                    self._backlog_only = backlog_only
                self._move(after, metrics, f"the health asks for {LEVELS[assessed]}")
            else:
                self._adapt(known, assessed, backlog_only)
        self._tell(
            lambda: HealthAssessed(self, dict(metrics), LEVELS[assessed], LEVELS[allows], self._level, self._pinned)
        )

    def _adapt(self, known: dict[str, float], assessed: int, backlog_only: bool) -> None:
        """The level stays: follow what is wrong, and find out what the service can bear now."""
        self._settle_measures()
        if not self._governor.rank:
            return
        # No calls are no proof that calls would go well: intake that stands goes on only with the level.
        if assessed and backlog_only != self._backlog_only and (self._backlog_only or "error_rate" in known):
            if self._backlog_only:
                self._calls.lower_peak()
            self._backlog_only = backlog_only
            self._apply_measures()
        elif (backlog_only or not assessed) and self._bucket.rate and not self._stopped:
            before = self.full_rate
            self._calls.raise_peak(_PROBE_GROWTH**self.interval, self._bucket.rate)
            if self.full_rate > before * 1.001 and "processing-rate" in self._measures.active:
                self._apply_measures()

    @property
    def _stopped(self) -> bool:
        """Whether intake stands but for probes."""
        return self._shedder.active and not self._backlog_only

    # Changing the level (under the lock)

    def _move(self, rank: int, metrics: Mapping[str, float | None], reason: str, *, by_hand: bool = False) -> None:
        before, self._level = self._level, LEVELS[rank]
        after = self._level
        if before == after:
            self._settle_measures()
            return
        log = logger.warning if rank > self._rank(before) else logger.info
        log("degradation: from %s to %s (%s)", before, after, reason)
        self._tell(lambda: LevelChanged(self, before, after, dict(metrics), reason, by_hand))
        self._apply_measures()

    def _apply_measures(self) -> None:
        self._measures.apply(self._rank(self._level))

    def _settle_measures(self) -> None:
        self._measures.settle(self._rank(self._level))

    def _told(self, measure: Measure, active: bool, error: Exception | None) -> None:
        self._tell(lambda: MeasureChanged(self, measure, active, self._level, self._details(), error))

    def _details(self) -> dict[str, Any]:
        return {
            "rate": self._bucket.rate,
            "off": list(self.features.off),
            "breakers": self._breakers.names,
            "intake": "stopped" if self._stopped else "by-priority" if self._shedder.active else "open",
        }

    # The measures: each may be overridden

    def _reduce_message_processing_rate(self) -> None:
        share = 1.0 if self._backlog_only else self.rate_shares[max(0, self._rank(self._level) - 1)]
        self._bucket.set_rate(share * self.full_rate)

    def _restore_message_processing_rate(self) -> None:
        self._bucket.set_rate(None)

    def _disable_non_critical_features(self) -> None:
        self.features.set_level(self._rank(self._level))

    def _enable_non_critical_features(self) -> None:
        self.features.set_level(0)

    def _enable_circuit_breakers(self) -> None:
        self._breakers.apply()

    def _relax_circuit_breakers(self) -> None:
        self._breakers.release()

    def _activate_emergency_protocols(self) -> None:
        self._shedder.active = True
        if not self._backlog_only:
            seconds = self._shedder.rule.probe_seconds
            self._bucket.set_rate(1 / seconds if seconds is not None else 0.0)

    def _deactivate_emergency_protocols(self) -> None:
        self._shedder.active = False  # the rate is set anew by the measure of level 1

    # What a consumer asks

    @property
    def full_rate(self) -> float:
        """Messages a second that count as full speed: as set, as lately measured, or 10."""
        if self.processing_rate is not None:
            return self.processing_rate
        return self._calls.peak() or _DEFAULT_RATE

    def admission(self) -> Admission:
        """Whether a consumer may receive now, and how many messages."""
        wait, limit = self._bucket.ask()
        return Admission(min(wait, _WAIT_MAX), min(limit, 10))

    def shed(self, message: Mapping[str, Any], queue_url: str | None = None) -> float | None:
        """Seconds after which a received message is to come back unhandled; ``None``: handle it."""
        if not self._shedder.active:
            return None
        queue = self._queues.get(queue_url) if queue_url is not None else None
        return self._shedder.delay(message, queue.redrive_at if queue is not None else None)

    def listener(self, event: ConsumerEvent) -> None:
        """For a consumer's ``listeners``: what was received is charged to the rate limit."""
        if event.kind == "received":
            self._bucket.take()

    def measured(self, func: Callable[P, T]) -> Callable[P, T]:
        """*func*, sync or async, its errors and durations counted.

        A permanent error says that the message was bad, and a breaker's refusal
        that no call was made: neither counts.
        """
        return self._calls.measured(func)

    # Telling

    def _tell(self, make: Callable[[], DegradationEvent]) -> None:
        if WATCHERS or self.listeners:
            self._outbox.append(make())

    def _deliver(self) -> None:
        """Tell what is in the outbox, in order, by one thread at a time, outside the lock."""
        while self._outbox and self._telling.acquire(blocking=False):
            try:
                while self._outbox:
                    notify((*WATCHERS, *self.listeners), self._outbox.popleft())
            finally:
                self._telling.release()
