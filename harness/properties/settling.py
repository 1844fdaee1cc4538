"""Ends a run of a probe early: once every message came to its end, nothing but polling goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from harness.sim import world

__all__ = ["Settling"]

_SETTLED_US = 40_000_000  # nothing happens for so long with every message at its end: the run is over


class Settling:
    """Ends a run a while after every message came to its end: what goes on then is polling."""

    def __init__(
        self, run: world.World, record: Any, held: Callable[[], int], all_sent: Callable[[], bool], dead: str
    ) -> None:
        """*held*: how many messages the main queue holds; *dead*: the name of the dead-letter queue."""
        self._run = run
        self._held = held
        self._all_sent = all_sent
        self._dead = dead
        self._open: set[str] = set()  # messages that have come to no end
        self._last_us = 0
        self._due_us = 0
        record.tap("send", self._sent)
        record.tap("effect", lambda event: self._ended(event.get("key")))
        record.tap("receive", lambda event: self._moved(None))
        for kind in ("move", "quarantine", "expire", "delete"):
            record.tap(kind, self._moved)

    def _sent(self, event: Mapping[str, Any]) -> None:
        if event.get("origin") == "workload":
            self._open.add(event["key"])
        elif event["queue"] == self._dead:
            self._ended(event.get("key"))

    def _ended(self, key: object) -> None:
        self._open.discard(str(key))
        self._moved(None)

    def _moved(self, event: Mapping[str, Any] | None) -> None:
        if event is not None and event["kind"] != "delete":
            self._open.discard(str(event.get("key")))
        self._last_us = now_us = self._run.kernel.now_us
        if not self._open and self._due_us <= now_us:
            self._look_at(now_us + _SETTLED_US)

    def _look_at(self, at_us: int) -> None:
        self._due_us = at_us
        self._run.kernel.call_at(at_us, self._settled)

    def _settled(self) -> None:
        kernel = self._run.kernel
        if self._open or not self._all_sent() or self._held():
            return  # the next that happens looks again
        if kernel.now_us - self._last_us < _SETTLED_US:
            self._look_at(self._last_us + _SETTLED_US)
        else:
            kernel.stop("quiet")
