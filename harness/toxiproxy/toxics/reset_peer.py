"""reset_peer: ``timeout`` milliseconds after data or the end came, the connection is reset (RST)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.toxiproxy.toxics.base import MAX_MILLISECONDS, Attribute, Stage, ToxicType, between

__all__ = ["RESET_PEER"]


class ResetPeerStage(Stage):
    """What comes is dropped. Taken away in time, the connection goes on without what was dropped."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._ended = False
        self._began: float | None = None

    def feed(self, data: bytes, at: float) -> None:
        self._begin()

    def end(self) -> None:
        self._ended = True
        self._begin()

    def updated(self, values: Mapping[str, Any]) -> None:
        super().updated(values)
        if self._began is not None:
            self._wait(self._began)

    def removed(self) -> None:
        self._cancel()
        if self._ended:
            self.next.end()

    def _begin(self) -> None:
        if self._began is None:
            self._began = self.carrier.reactor.now()
            self._wait(self._began)

    def _wait(self, since: float) -> None:
        self._at(since + self.values["timeout"] / 1000, lambda: self.carrier.close(reset=True))


RESET_PEER = ToxicType("reset_peer", ResetPeerStage, (Attribute("timeout", check=between(0, MAX_MILLISECONDS)),))
