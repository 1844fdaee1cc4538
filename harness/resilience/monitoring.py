"""Counts errors by type and service, and tells CloudWatch (and others) about them.

::

    monitoring = ErrorMonitoring(service_name="orders", dead_letter_queues=["orders-dlq"], alarm_actions=[topic_arn])
    monitoring.create_error_alarms()
    monitoring.watch()                                    # every breaker, retry and poison detector of this process
    ResilientConsumer(..., listeners=[monitoring.observe]).run()

    monitoring.track_error_metrics("PaymentRefused", "payments")     # or by hand

* Counting never waits: it adds to a counter in memory. A background thread
  (or, with ``background=False``, the caller who finds that the time has come)
  publishes every ``flush_interval`` seconds, at exit and on :meth:`flush`, one
  request for up to 1,000 metrics: ten thousand errors a second make one
  request a minute.
* While CloudWatch is down or throttles, counts wait in bounded memory and none
  is lost; they keep the minute in which they happened. A request that fails is
  sent again at the next interval. CloudWatch has no way to recognise a
  request that it took and whose answer was lost: such counts come twice.
  What is killed with the process is lost with it.
* CloudWatch does not add up metrics over dimensions: an alarm without
  dimensions sees only data without. So each error is published under its
  ``ServiceName`` and ``ErrorType``, and once more without dimensions, as the
  sum of all, which ``HighErrorRate`` watches.
* An exception that several components report counts once. What components *do*
  (a dead letter, a breaker that opens) is counted as ``EventCount``, beside.
"""

from __future__ import annotations

import atexit
import os
import random as _random
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, TypedDict, Unpack

from harness.resilience._listeners import logger, notify
from harness.resilience._monitoring_alarms import ONCE, PATIENCE, AlarmOptions, ensure_alarms, error_alarms
from harness.resilience._monitoring_counts import Counts, Dimensions, clean_dimensions, more_dimensions
from harness.resilience._monitoring_events import (
    Counted,
    MonitoringEvent,
    MonitoringListener,
    Published,
    PublishFailed,
    watch_monitoring,
    watchers,
)
from harness.resilience._monitoring_publisher import Outcome, publish, requests
from harness.resilience._monitoring_sources import Sources, error_type
from harness.resilience.errors import Classification, diagnose

__all__ = [
    "AlarmOptions",
    "Counted",
    "ErrorMonitoring",
    "Exporter",
    "MonitoringEvent",
    "MonitoringListener",
    "MonitoringOptions",
    "PublishFailed",
    "Published",
    "watch_monitoring",
]

ERRORS = "ErrorCount"
EVENTS = "EventCount"

_TOLD_QUIET_S = 900

MoreDimensions = Mapping[str, object] | Iterable[Mapping[str, object]]


class Exporter(Protocol):
    """Told each count as it happens, in the thread where it happened (see :mod:`harness.resilience.exporters`)."""

    def count(self, metric: str, dimensions: Mapping[str, str], number: int, /) -> object: ...


class MonitoringOptions(TypedDict, total=False):
    """How :class:`ErrorMonitoring` publishes.

    ``flush_interval``: seconds between requests (60). ``background``: publish
    in a thread (true), or inline. ``publish``: send to CloudWatch at all
    (true). ``series_max``: different dimensions an interval, beyond which
    errors count as ``Other`` (500). ``minutes_max``: minutes kept apart while
    CloudWatch is down (60). ``exit_timeout``: seconds that the end of the
    process may wait for the last request (10).
    """

    flush_interval: float
    background: bool
    publish: bool
    series_max: int
    minutes_max: int
    exit_timeout: float


class ErrorMonitoring:
    """See the module. One object serves any number of threads.

    ``cloudwatch``: a client of boto3 (made on first use if ``None``: 2 s to
    connect, 5 s for an answer, no retries of its own, because the counts wait
    for the next interval anyway). ``service_name``: for errors that name none.
    ``dead_letter_queues``: names, URLs or ARNs, for the alarm on their depth.
    ``alarm_actions``, ``ok_actions``: ARNs. ``wall_clock``: seconds since
    1970. ``clock``: monotonic seconds. ``random``: spreads the requests of
    many processes.
    """

    def __init__(
        self,
        *,
        cloudwatch: Any = None,
        namespace: str = "Messaging/Errors",
        service_name: str = "messaging",
        dead_letter_queues: Sequence[str] = (),
        alarm_actions: Sequence[str] = (),
        ok_actions: Sequence[str] = (),
        exporters: Iterable[Exporter] = (),
        listeners: Iterable[MonitoringListener] = (),
        wall_clock: Callable[[], float] | None = None,
        clock: Callable[[], float] | None = None,
        random: _random.Random | None = None,
        **options: Unpack[MonitoringOptions],
    ) -> None:
        self.namespace = namespace
        self.service_name = service_name
        self.dead_letter_queues = tuple(dead_letter_queues)
        self.alarm_actions = tuple(alarm_actions)
        self.ok_actions = tuple(ok_actions)
        self.flush_interval = options.get("flush_interval", 60.0)
        self.exit_timeout = options.get("exit_timeout", 10.0)
        self._background = options.get("background", True)
        self._publishing = options.get("publish", True)
        sizes = {"series_max": options.get("series_max", 500), "minutes_max": options.get("minutes_max", 60)}
        if self.flush_interval <= 0 or min(sizes.values()) < 2:
            raise ValueError("flush_interval must be above 0, series_max and minutes_max at least 2")
        self._cloudwatch = cloudwatch
        self._exporters = tuple(exporters)
        self._listeners = tuple(listeners)
        self._wall_clock = wall_clock or time.time
        self._clock = clock or time.monotonic
        self._random = random or _random
        self._sources = Sources(own=(PATIENCE, ONCE))
        self._counts = Counts(**sizes)
        self._sizes = sizes
        self._alarms_due: list[dict[str, Any]] = []
        self._last_error = 0  # the minute of the last one
        self._refused = 0
        self._failing = False
        self._closed = False
        self._fresh_start()
        if hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)
            os.register_at_fork(after_in_child=lambda: _after_fork(reference))

    def _fresh_start(self) -> None:
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._due: float | None = None

    @property
    def cloudwatch(self) -> Any:
        """The client of boto3 that is used."""
        if self._cloudwatch is None:
            self._cloudwatch = cloudwatch_client()
        return self._cloudwatch

    @cloudwatch.setter
    def cloudwatch(self, client: Any) -> None:
        self._cloudwatch = client

    @property
    def pending(self) -> int:
        """Errors that were counted and not published yet."""
        with self._lock:
            return self._counts.total(ERRORS)

    @property
    def refused(self) -> int:
        """Errors whose counts CloudWatch will never take; each was logged."""
        return self._refused

    # -- counting -------------------------------------------------------------------------

    def track_error_metrics(
        self,
        error_type: str | BaseException | type[BaseException],
        service_name: str | None = None,
        additional_dimensions: MoreDimensions | None = None,
    ) -> None:
        """Count one error. Never raises for CloudWatch's sake, and waits for nothing (``background=False`` apart).

        ``error_type``: a text, or the exception, which then counts once even
        if a component reports it too. ``additional_dimensions``: a mapping, or
        a list of ``{"Name": ..., "Value": ...}``.
        """
        if isinstance(error_type, BaseException) and not self._sources.claim(error_type, self):
            return
        self._count_error(error_type, service_name, more_dimensions(additional_dimensions))

    def _count_error(self, error: object, service: str | None, more: list[tuple[str, object]]) -> None:
        pairs = [("ServiceName", service or self.service_name), ("ErrorType", error_type(error)), *more]
        self._count(ERRORS, clean_dimensions(pairs))

    def observe(self, event: Any) -> None:
        """A listener for every component: hand it to their ``listeners``."""
        finding = self._sources.read(event)
        if finding is None:
            return
        if finding.is_error:
            self._count_error(finding.what, finding.service, [])
        else:
            pairs = [("ServiceName", finding.service or self.service_name), ("Event", finding.what)]
            self._count(EVENTS, clean_dimensions(pairs))

    def watch(self) -> Callable[[], None]:
        """Count what every breaker, retry, poison detector and degradation manager of this process reports.

        Returns a function that ends it. Consumers are not among them: hand
        them :meth:`observe` as a listener.
        """
        from harness.resilience.breaker import watch_breakers
        from harness.resilience.degradation import watch_degradation
        from harness.resilience.poison import watch_quarantines
        from harness.resilience.retry import watch_retries

        watches = (watch_breakers, watch_retries, watch_quarantines, watch_degradation)
        stops = [watch(self.observe) for watch in watches]

        def stop() -> None:
            while stops:
                stops.pop()()

        return stop

    def _count(self, metric: str, dimensions: Dimensions) -> None:
        minute = int(self._wall_clock()) // 60 * 60
        with self._lock:
            dimensions = self._counts.settle(metric, dimensions)
            if self._publishing:
                self._counts.add(minute, metric, dimensions)
                if metric == ERRORS:
                    if not self._background and self._last_error:  # without a thread nobody said so at the time
                        self._say_quiet(self._last_error + 60, minute)
                    self._counts.add(minute, metric, ())
                    self._last_error = max(self._last_error, minute)
        named = dict(dimensions)
        for exporter in self._exporters:
            try:
                exporter.count(metric, named, 1)
            except Exception:
                logger.exception("exporter %r failed", exporter)
        listeners = (*self._listeners, *watchers())
        if listeners:
            notify(listeners, Counted(self, metric, named, 1))
        if self._publishing:
            self._see_to_publishing()

    # -- publishing -----------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> bool:
        """Publish what waits, now. True: CloudWatch has everything that was counted before the call.

        ``timeout``: seconds to wait for a flush that is under way. Each
        request takes as long as the client allows; after the first that fails
        no further one is sent.
        """
        if not self._publishing:
            return True
        if not self._flushing.acquire(timeout=-1 if timeout is None else timeout):
            return False
        try:
            with self._lock:
                counts = self._counts.take()
            batches = list(requests(counts, self._wall_clock()))
            while batches:
                outcome = publish(batches[0], self._send)
                with self._lock:
                    self._counts.put_back(outcome.left)
                del batches[0]
                self._tell(outcome)
                if outcome.error is not None:
                    with self._lock:
                        for batch in batches:
                            self._counts.put_back(count for count, _ in batch)
                    return False
            return True
        finally:
            self._flushing.release()

    def _send(self, data: list[dict[str, Any]]) -> None:
        self.cloudwatch.put_metric_data(Namespace=self.namespace, MetricData=data)

    def _tell(self, outcome: Outcome) -> None:
        """Log and report what became of a request."""
        listeners = (*self._listeners, *watchers())
        lost = 0
        for count, error in outcome.refused:
            if count.metric == ERRORS and count.dimensions:
                lost += count.number
            logger.error("CloudWatch will not take %s: %s", count, error)
            notify(listeners, PublishFailed(self, error, count.number))
        self._refused += lost
        if outcome.accepted:
            errors = sum(count.number for count in outcome.accepted if count.metric == ERRORS and count.dimensions)
            notify(listeners, Published(self, len(outcome.accepted), errors))
        if outcome.error is not None:
            if not self._failing:
                logger.warning("error counts wait, CloudWatch does not take them: %s", outcome.error)
            notify(listeners, PublishFailed(self, outcome.error, 0))
        elif self._failing:
            logger.warning("CloudWatch takes error counts again")
        self._failing = outcome.error is not None

    def _see_to_publishing(self) -> None:
        """Start the thread if there is none; without one, publish if it is time."""
        if self._closed:
            return
        if self._background:
            thread = self._thread
            if thread is None or not thread.is_alive():
                with self._lock:
                    if self._thread is thread:
                        self._start_thread()
            return
        now = self._clock()
        if self._due is None:
            self._flush_at_exit()
            self._due = now + self._pause()
        elif now >= self._due:
            self._due = now + self._pause()
            self._create_due_alarms()
            self.flush(timeout=0)

    def _start_thread(self) -> None:
        self._thread = threading.Thread(target=self._run, name="error-monitoring", daemon=True)
        self._flush_at_exit()
        self._thread.start()

    def _flush_at_exit(self) -> None:
        reference = weakref.ref(self)
        atexit.register(lambda: _at_exit(reference))

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._pause())
            try:
                if not self._closed:
                    self._create_due_alarms()
                    self._count_none()
                    self.flush()
            except Exception:  # a wall clock or client of the user's that raises: the next interval tries again
                logger.exception("publishing error counts failed")

    def _count_none(self) -> None:
        """For a quarter of an hour after an error say that there was none, where there was none.

        Without any data CloudWatch looks at the last data that it had, for
        some periods more, and the alarm would be late to clear.
        """
        now = int(self._wall_clock()) // 60 * 60
        with self._lock:
            self._say_quiet(max(self._last_error + 60, now - 60), now)

    def _say_quiet(self, first: int, end: int) -> None:
        """That there was no error in the minutes from *first* until before *end*, as far as that is said at all."""
        for minute in range(first, min(end, self._last_error + _TOLD_QUIET_S + 60), 60):
            self._counts.add(minute, ERRORS, (), 0)

    def _pause(self) -> float:
        """Seconds until the next request; spread, so that many processes do not ask at the same moment."""
        return self.flush_interval * self._random.uniform(0.75, 1.0)

    def close(self) -> bool:
        """Publish what waits and end the thread; true if everything got out. Counting goes on in memory."""
        self._closed = True
        self._wake.set()
        return self.flush(timeout=self.exit_timeout)

    def __enter__(self) -> ErrorMonitoring:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _forget(self) -> None:
        """In a forked child: what the parent has counted is the parent's to publish, and its threads are gone."""
        self._counts = Counts(**self._sizes)
        self._fresh_start()

    # -- alarms ---------------------------------------------------------------------------

    def create_error_alarms(self, **options: Unpack[AlarmOptions]) -> list[str]:
        """Create or update the alarms; returns their names. Calling it again changes nothing.

        ``HighErrorRate``: more than 100 errors in each of 2 periods of 300 s.
        ``DLQDepthHigh``: more than 1,000 visible messages in a dead-letter
        queue (the second queue's is ``DLQDepthHigh-<name>``, and so on). Both
        are OK while there is no data: no error means that nothing is sent, and
        SQS sends nothing of a queue that is empty for hours. Where an alarm of
        that name watches another namespace or queue, it is another service's:
        ours is then ``HighErrorRate-<namespace>``, ``DLQDepthHigh-<name>``.

        A consumer must not fail to start because CloudWatch is down: what
        passes with time is tried for ten seconds (AWS allows three such calls
        a second), then again at every interval.

        Raises:
            Exception: what the client raises if it will not pass: a wrong
                figure, no permission.
        """
        wanted = error_alarms(
            self.namespace, ERRORS, self.dead_letter_queues, self.alarm_actions, self.ok_actions, options
        )
        if not self.dead_letter_queues:
            logger.warning("no alarm DLQDepthHigh: name the queues as ErrorMonitoring(dead_letter_queues=[...])")
        try:
            names = ensure_alarms(self.cloudwatch, wanted, PATIENCE)
        except Exception as error:
            if diagnose(error).classification is not Classification.TRANSIENT:
                raise
            logger.warning("alarms cannot be created yet, later: %s", error)
            self._alarms_due = wanted
            self._see_to_publishing()
            return [str(alarm["AlarmName"]) for alarm in wanted]
        self._alarms_due = []
        return names

    @property
    def alarms_pending(self) -> bool:
        """Whether alarms are still to be created, because CloudWatch could not be reached."""
        return bool(self._alarms_due)

    def _create_due_alarms(self) -> None:
        wanted = self._alarms_due
        if not wanted:
            return
        try:
            ensure_alarms(self.cloudwatch, wanted, ONCE)
        except Exception as error:
            if diagnose(error).classification is Classification.TRANSIENT:
                return
            logger.error("alarms cannot be created: %s", error)
        if self._alarms_due is wanted:
            self._alarms_due = []


def cloudwatch_client() -> Any:
    """A CloudWatch client of boto3 that fails soon and does not retry.

    Raises:
        ImportError: boto3 is not installed.
    """
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise ImportError("boto3 is not installed; install it or hand in a client as cloudwatch=") from error
    patience = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})
    return boto3.client("cloudwatch", config=patience)


def _at_exit(reference: weakref.ref[ErrorMonitoring]) -> None:
    monitoring = reference()
    if monitoring is not None and not monitoring._closed:
        monitoring.flush(timeout=monitoring.exit_timeout)


def _after_fork(reference: weakref.ref[ErrorMonitoring]) -> None:
    monitoring = reference()
    if monitoring is not None:
        monitoring._forget()
