"""Keeps deliveries invisible to others while they are held."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from harness.resilience._delivery import Delivery, Reporter

__all__ = ["Heartbeat"]

#: What SQS says of a delivery that was deleted meanwhile, or whose time ran out.
_GONE = frozenset({"InvalidParameterValue", "ReceiptHandleIsInvalid", "MessageNotInflight"})


class Heartbeat:
    """One thread for all deliveries of a loop; it sleeps while nothing is held.

    *extend* is called with each delivery, under its lock, and decides whether
    it is due. A delivery whose lock is taken is being settled and left alone.
    """

    def __init__(
        self, extend: Callable[[Delivery], None], report: Reporter, clock: Callable[[], float] | None = None
    ) -> None:
        self._extend = extend
        self._report = report
        self._clock = clock or time.monotonic
        self._held: list[Delivery] = []
        self._sweep_at = 1_000
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let go of everything and end the thread. Not for signal handlers."""
        with self._changed:
            self._stopped = True
            self._held.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def hold(self, delivery: Delivery) -> None:
        """Extend *delivery* until it is settled."""
        with self._changed:
            self._held.append(delivery)
            if len(self._held) >= self._sweep_at:  # between two beats many messages come and go
                self._held = [held for held in self._held if not held.settled]
                self._sweep_at = max(1_000, 2 * len(self._held))
            if len(self._held) == 1:  # else the thread is awake, and what was held before runs out first
                self._changed.notify_all()

    def beat(self) -> None:
        """Look once at everything that is held."""
        now = self._clock()
        with self._changed:
            for delivery in self._held:
                if now >= delivery.visible_at and not delivery.settled:
                    delivery.lost = True  # others can have it now
            self._held = [delivery for delivery in self._held if not delivery.settled and not delivery.lost]
            held = list(self._held)
        for delivery in held:
            if not delivery.lock.acquire(blocking=False):
                continue
            try:
                if not delivery.settled:
                    self._extend(delivery)
            except Exception as error:
                delivery.lost = delivery.lost or _code(error) in _GONE
                self._report("heartbeat-failed", delivery, error=error)
            finally:
                delivery.lock.release()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._held and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                # A third of the time that is left to the one that runs out first: several beats may fail.
                soonest = min(delivery.visible_at for delivery in self._held) - self._clock()
                self._changed.wait(max(0.5, soonest / 3))
                if self._stopped:
                    return
            self.beat()


def _code(error: Exception) -> str:
    """The code of an error of botocore, without its namespace; else an empty string."""
    response = getattr(error, "response", None)
    if not isinstance(response, Mapping):
        return ""
    return str((response.get("Error") or {}).get("Code") or "").rpartition(".")[2]
