"""limit_data: the connection is closed when ``bytes`` bytes have passed in this direction."""

from __future__ import annotations

from typing import Any

from harness.toxiproxy.toxics.base import Attribute, Stage, ToxicType, at_least

__all__ = ["LIMIT_DATA", "CountingStage"]


class CountingStage(Stage):
    """Passes exactly ``bytes`` bytes; what then happens is :meth:`spent`. Counts from when it was added."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.passed = 0

    def feed(self, data: bytes, at: float) -> None:
        left = self.values["bytes"] - self.passed
        part = data[: max(0, left)]
        self.passed += len(part)
        if part:
            self.next.feed(part, at)
        if self.passed >= self.values["bytes"]:
            self.spent()

    def spent(self) -> None:
        """Everything that may pass has passed."""
        self.carrier.close()


LIMIT_DATA = ToxicType("limit_data", CountingStage, (Attribute("bytes", check=at_least(0)),))
