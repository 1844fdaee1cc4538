"""The clock of a server's services: real time, frozen, faster, or moved forward by hand.

Everything that a service times (visibility, delay, deduplication, retention,
long polls, windows of faults) follows it. A request runs in a greenlet of its
own, so that one that waits holds nobody up; the services themselves run on one
thread and need no lock.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable
from functools import partial

from greenlet import getcurrent, greenlet

from harness.errors import UsageError
from harness.net.reactor import Reactor, Timer
from harness.sim.services.timebase import Waiters

__all__ = ["ServiceClock", "spawn"]

_SECOND_US = 1_000_000
_FASTEST = 100_000.0
_FURTHEST = 31 * 86_400.0  # what falls due on the way happens within this one call, and nobody is answered meanwhile


class _Alarm:
    __slots__ = ("function",)

    def __init__(self, function: Callable[[], object]) -> None:
        self.function: Callable[[], object] | None = function


class _Waiting:
    """One greenlet that waits. ``woken``: by a notice, not by the clock."""

    __slots__ = ("greenlet", "over", "woken")

    def __init__(self) -> None:
        self.greenlet = getcurrent()
        self.woken = False
        self.over = False


def spawn(function: Callable[[], object]) -> greenlet:
    """Run *function* now, until it waits for the first time or is done; returns its greenlet, dead if it is done."""
    made = greenlet(function)
    made.switch()
    return made


class ServiceClock:
    """A :class:`~harness.sim.services.timebase.Timebase` on a reactor. ``speed`` 0 is frozen, 1 real time.

    Belongs to the reactor's thread.
    """

    def __init__(self, reactor: Reactor, *, speed: float = 1.0) -> None:
        self._reactor = reactor
        self._speed = speed
        self._anchor_s = time.monotonic()
        self._origin_us = time.time_ns() // 1000
        self._alarms: list[tuple[int, int, _Alarm]] = []
        self._numbers = itertools.count()
        self._timer: Timer | None = None

    # A service's timebase

    def now_us(self) -> int:
        """Microseconds since 1970, of the services."""
        return self._origin_us + int((time.monotonic() - self._anchor_s) * self._speed * _SECOND_US)

    def call_at(self, at_us: int, function: Callable[[], object]) -> None:
        """Call *function* when the clock shows *at_us*, or soon if it does already."""
        self._alarm(at_us, function)

    def wait(self, waiters: Waiters, until_us: int) -> bool:
        """The current request waits until it is notified (true) or until the clock shows *until_us* (false)."""
        waiting = _Waiting()
        waiters.waiting.append(waiting)
        try:
            self._pause(waiting, until_us)
        finally:
            if not waiting.woken:
                waiters.waiting.remove(waiting)
        return waiting.woken

    def notify(self, waiters: Waiters) -> None:
        """Wake the first of *waiters*."""
        while waiters.waiting:
            waiting: _Waiting = waiters.waiting.popleft()
            if not waiting.over:
                waiting.woken = True
                self._reactor.soon(partial(self._resume, waiting))
                return

    # What a fault engine asks of a kernel

    def sleep_us(self, us: int) -> None:
        """The current request takes so much longer: by this clock, or in real time where it is frozen."""
        waiting = _Waiting()
        if self._speed:
            self._pause(waiting, self.now_us() + us)
        else:
            self._reactor.call_later(us / _SECOND_US, lambda: self._resume(waiting))
            self._switch_away(waiting)

    def give_up(self, request: greenlet) -> None:
        """The client of *request* is gone: it waits no more, and whoever waits behind it has what it would have got."""
        if not request.dead:
            request.parent = getcurrent()
            request.throw()

    # Setting it

    @property
    def speed(self) -> float:
        """Seconds of the services to a second of real time."""
        return self._speed

    def set_speed(self, speed: float) -> None:
        """Raises UsageError for a speed below 0 or without sense."""
        if not (isinstance(speed, (int, float)) and not isinstance(speed, bool) and 0 <= speed <= _FASTEST):
            raise UsageError(f"must be between 0 and {_FASTEST:.0f}, not {speed!r}", field="speed")
        self._origin_us, self._anchor_s = self.now_us(), time.monotonic()
        self._speed = float(speed)
        self._arm()

    def advance(self, seconds: float) -> None:
        """Move the clock forward; what falls due meanwhile happens in order.

        Raises:
            UsageError: it would go back, or further than 31 days.
        """
        fits = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and math.isfinite(seconds)
        if not (fits and 0 <= seconds <= _FURTHEST):
            raise UsageError(
                f"must be seconds, from 0 to {_FURTHEST:.0f} in one call, not {seconds!r}", field="advance"
            )
        target_us = self.now_us() + round(seconds * _SECOND_US)
        while self._alarms and self._alarms[0][0] <= target_us:
            at_us, _, alarm = heapq.heappop(self._alarms)
            self._show(max(at_us, self.now_us()))
            self._ring(alarm)
        self._show(max(target_us, self.now_us()))
        self._arm()

    def _show(self, us: int) -> None:
        self._origin_us, self._anchor_s = us, time.monotonic()

    # Alarms

    def _alarm(self, at_us: int, function: Callable[[], object]) -> _Alarm:
        alarm = _Alarm(function)
        heapq.heappush(self._alarms, (at_us, next(self._numbers), alarm))
        if self._alarms[0][2] is alarm:
            self._arm()
        return alarm

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._alarms and self._alarms[0][2].function is None:
            heapq.heappop(self._alarms)
        if self._alarms and self._speed:
            left_us = self._alarms[0][0] - self.now_us()
            self._timer = self._reactor.call_later(max(0.0, left_us / _SECOND_US / self._speed), self._due)

    def _due(self) -> None:
        self._timer = None
        now_us = self.now_us()
        while self._alarms and self._alarms[0][0] <= now_us:
            self._ring(heapq.heappop(self._alarms)[2])
        self._arm()

    @staticmethod
    def _ring(alarm: _Alarm) -> None:
        function, alarm.function = alarm.function, None
        if function is not None:
            function()

    # Greenlets

    def _pause(self, waiting: _Waiting, until_us: int) -> None:
        alarm = self._alarm(until_us, lambda: self._resume(waiting))
        try:
            self._switch_away(waiting)
        finally:
            alarm.function = None

    @staticmethod
    def _switch_away(waiting: _Waiting) -> None:
        hub = waiting.greenlet.parent
        if hub is None:
            raise RuntimeError("only a request can wait for a service; ask with no wait time from outside")
        try:
            hub.switch()
        finally:
            waiting.over = True

    @staticmethod
    def _resume(waiting: _Waiting) -> None:
        if not waiting.over:
            waiting.greenlet.parent = getcurrent()
            waiting.greenlet.switch()
