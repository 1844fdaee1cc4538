"""timeout: data vanish, and after ``timeout`` milliseconds the connection is closed; 0: never."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.toxiproxy.toxics.base import MAX_MILLISECONDS, Attribute, Stage, ToxicType, between

__all__ = ["TIMEOUT"]


class TimeoutStage(Stage):
    """The time begins anew with each chunk, as in Toxiproxy; taking the toxic away closes the connection."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._begin()

    def feed(self, data: bytes, at: float) -> None:
        self._begin()

    def end(self) -> None:
        self._cancel()
        self.carrier.close()

    def updated(self, values: Mapping[str, Any]) -> None:
        super().updated(values)
        self._begin()

    def removed(self) -> None:
        self.end()

    def _begin(self) -> None:
        self._cancel()
        if self.values["timeout"]:
            self._after(self.values["timeout"] / 1000, self.end)


TIMEOUT = ToxicType("timeout", TimeoutStage, (Attribute("timeout", check=between(0, MAX_MILLISECONDS)),))
