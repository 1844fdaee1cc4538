"""slow_close: the end of the stream arrives ``delay`` milliseconds later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.toxiproxy.toxics.base import MAX_MILLISECONDS, Attribute, Stage, ToxicType, between

__all__ = ["SLOW_CLOSE"]


class SlowCloseStage(Stage):
    """Data pass, the FIN waits."""

    _ended_at: float | None = None

    def end(self) -> None:
        self._ended_at = self.carrier.reactor.now()
        self._wait(self._ended_at)

    def updated(self, values: Mapping[str, Any]) -> None:
        super().updated(values)
        if self._ended_at is not None:
            self._wait(self._ended_at)

    def removed(self) -> None:
        self._cancel()
        if self._ended_at is not None:
            self._close()

    def _wait(self, since: float) -> None:
        self._at(since + self.values["delay"] / 1000, self._close)

    def _close(self) -> None:
        self._ended_at = None
        self.next.end()


SLOW_CLOSE = ToxicType("slow_close", SlowCloseStage, (Attribute("delay", check=between(0, MAX_MILLISECONDS)),))
