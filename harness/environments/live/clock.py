"""Real time as a fault engine sees it: one lock round every decision, let go of while somebody sleeps."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["LiveClock"]


class LiveClock:
    """Plan time: real seconds since :meth:`start`, times *scale*. ``lock`` guards the engine.

    ``current`` is what the calling thread acts for: a process of the run, or None.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.lock = threading.RLock()
        self.over = threading.Event()
        self._began = time.monotonic()
        self._acting = threading.local()
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None

    @property
    def began(self) -> float:
        """The monotonic time at which the run began."""
        return self._began

    def start(self) -> None:
        """Time begins now."""
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="live-clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Nothing more falls due; who sleeps wakes."""
        self.over.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(5.0)

    @property
    def seconds(self) -> float:
        """Real seconds since the start."""
        return time.monotonic() - self._began

    # What a fault engine asks of a kernel

    @property
    def now_us(self) -> int:
        return int(self.seconds * self.scale * 1_000_000)

    @property
    def current(self) -> Any:
        return getattr(self._acting, "actor", None)

    def acting_for(self, actor: Any) -> None:
        """The calling thread acts for *actor* from now on."""
        self._acting.actor = actor

    def sleep_us(self, us: int) -> None:
        """Sleep without the lock, which the caller holds."""
        self._without_lock(lambda: self.over.wait(us / 1_000_000 / self.scale))

    def park(self, until_us: int | None = None) -> bool:
        """Wait until the run is over: a handler that hangs."""
        self._without_lock(self.over.wait)
        raise SystemExit("the run is over")

    def call_at(self, at_us: int, function: Callable[[], object]) -> object:
        """Call *function*, with the lock held, when plan time is *at_us*."""
        with self._changed:
            heapq.heappush(self._due, (self._began + at_us / 1_000_000 / self.scale, next(self._numbers), function))
            self._changed.notify_all()
        return None

    def _without_lock(self, wait: Callable[[], object]) -> None:
        self.lock.release()
        try:
            wait()
        finally:
            self.lock.acquire()

    def _work(self) -> None:
        while not self.over.is_set():
            with self._changed:
                if not self._due:
                    self._changed.wait()
                    continue
                wait = self._due[0][0] - time.monotonic()
                if wait > 0:
                    self._changed.wait(wait)
                    continue
                function = heapq.heappop(self._due)[2]
            with self.lock:
                function()
