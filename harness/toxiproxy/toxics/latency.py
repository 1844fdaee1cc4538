"""latency: everything arrives later, by ``latency`` milliseconds give or take ``jitter``, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from harness.toxiproxy.toxics.base import MAX_MILLISECONDS, Attribute, Stage, ToxicType, between

__all__ = ["LATENCY", "DelayStage"]

_MOST_CHUNKS = 65_536  # so that single bytes do not take a hundred times their size


class DelayStage(Stage):
    """Holds each chunk until its time. The delay counts from the chunk's receipt; the end follows the last chunk."""

    MOST_HELD = 32 * 1024 * 1024  # as much as Toxiproxy's 1,024 chunks of 32 KiB

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._waiting: deque[tuple[float, float, bytes | None]] = deque()  # due, received, data (None: the end)

    @property
    def full(self) -> bool:
        return self.held > self.MOST_HELD or len(self._waiting) > _MOST_CHUNKS

    def delay(self) -> float:
        """Seconds by which the next chunk is late."""
        jitter: int = self.values["jitter"]
        milliseconds: int = self.values["latency"]
        if jitter > 0:
            milliseconds += self.rng.randrange(-jitter, jitter)
        return max(0.0, milliseconds / 1000)

    def feed(self, data: bytes, at: float) -> None:
        self.held += len(data)
        self._put(at + self.delay(), at, data)

    def end(self) -> None:
        if self._waiting:
            self._put(0.0, self.carrier.reactor.now(), None)
        else:
            self.next.end()

    def updated(self, values: Mapping[str, Any]) -> None:
        super().updated(values)
        waiting, self._waiting = self._waiting, deque()
        for _, at, data in waiting:
            self._put(at + self.delay() if data is not None else 0.0, at, data)
        self._set_timer()

    def removed(self) -> None:
        self._cancel()
        while self._waiting:
            self._pass_on()

    def _put(self, due: float, at: float, data: bytes | None) -> None:
        first = not self._waiting
        self._waiting.append((due if first else max(due, self._waiting[-1][0]), at, data))
        if first:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._waiting:
            self._at(self._waiting[0][0], self._due)

    def _due(self) -> None:
        now = self.carrier.reactor.now()
        while self._waiting and self._waiting[0][0] <= now:
            self._pass_on()
        self._set_timer()
        self.carrier.resume()

    def _pass_on(self) -> None:
        due, _, data = self._waiting.popleft()
        if data is None:
            self.next.end()
        else:
            self.held -= len(data)
            self.next.feed(data, due)


LATENCY = ToxicType(
    "latency",
    DelayStage,
    (
        Attribute("latency", check=between(0, MAX_MILLISECONDS)),
        Attribute("jitter", check=between(0, MAX_MILLISECONDS)),
    ),
)
