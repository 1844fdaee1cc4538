"""A stage on a bench: a reactor whose clock a test turns on, a carrier and a receiver that write down what happens."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any, cast

from harness.net.reactor import Reactor, Timer
from harness.toxiproxy.toxics import TOXICS
from harness.toxiproxy.toxics.base import Receiver, Stage


class Clock:
    """The part of a reactor that stages use."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._made = 0

    def now(self) -> float:
        return self.time

    def call_at(self, at: float, function: Callable[[], object]) -> Timer:
        timer = Timer(at, function)
        self._made += 1
        heapq.heappush(self._timers, (at, self._made, timer))
        return timer

    def call_later(self, seconds: float, function: Callable[[], object]) -> Timer:
        return self.call_at(self.time + seconds, function)

    @property
    def pending(self) -> int:
        """Timers that will go off."""
        return sum(timer.function is not None for _, _, timer in self._timers)

    def advance(self, seconds: float) -> None:
        """Let time pass, and call what is due at its own time."""
        until = self.time + seconds
        while self._timers and self._timers[0][0] <= until + 1e-9:
            at, _, timer = heapq.heappop(self._timers)
            self.time = max(self.time, at)
            function, timer.function = timer.function, None
            if function is not None:
                function()
        self.time = until


class Bench:
    """One stage. ``seen``: (seconds since the start, what came out); ``b""`` is the end, ``close``, ``reset`` too."""

    def __init__(self, kind: str, *, seed: int = 0, onward: Receiver | None = None, **attributes: Any) -> None:
        self.clock = Clock()
        self.reactor = cast(Reactor, self.clock)
        self.seen: list[tuple[float, bytes | str]] = []
        self.resumed = 0
        self.kind = TOXICS[kind]
        self.values: dict[str, Any] = {**self.kind.defaults(), **attributes}
        self.stage: Stage = self.kind.stage(self.values, self, onward or self, random.Random(seed))

    # What a stage sees

    def feed(self, data: bytes, at: float) -> None:
        self._note(data)

    def end(self) -> None:
        self._note(b"")

    def resume(self) -> None:
        self.resumed += 1

    def close(self, *, reset: bool = False) -> None:
        self._note("reset" if reset else "close")
        self.stage.dropped()

    # What a test does

    def send(self, data: bytes) -> None:
        self.stage.feed(data, self.clock.now())

    def finish(self) -> None:
        self.stage.end()

    def advance(self, milliseconds: float) -> None:
        self.clock.advance(milliseconds / 1000)

    def update(self, **attributes: Any) -> None:
        self.values = {**self.values, **attributes}
        self.stage.updated(self.values)

    def remove(self) -> None:
        self.stage.removed()
        self.stage.dropped()

    @property
    def data(self) -> bytes:
        """All bytes that came out."""
        return b"".join(what for _, what in self.seen if isinstance(what, bytes))

    @property
    def times(self) -> list[float]:
        """When something came out, in milliseconds since the start."""
        return [at for at, _ in self.seen]

    def _note(self, what: bytes | str) -> None:
        self.seen.append((round((self.clock.now() - 1000.0) * 1000, 3), what))
