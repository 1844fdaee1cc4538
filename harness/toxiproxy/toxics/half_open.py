"""half_open: connections are accepted and never answered: what is sent is read and goes nowhere."""

from __future__ import annotations

from harness.toxiproxy.toxics.base import Stage, ToxicType

__all__ = ["HALF_OPEN"]


class HalfOpenStage(Stage):
    """Swallows data and the end alike; the connection stays open until a peer closes it or the toxic goes.

    New connections do not reach the upstream at all while the toxic is there: the proxy sees to that.
    """

    def feed(self, data: bytes, at: float) -> None:
        """A peer that is gone without a word reads nothing."""

    def end(self) -> None:
        """Nor does it notice the end."""

    def removed(self) -> None:
        self.carrier.close(reset=True)  # bytes are missing: nobody may go on with such a stream


HALF_OPEN = ToxicType("half_open", HalfOpenStage, extra=True)
