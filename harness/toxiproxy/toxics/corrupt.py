"""corrupt: a bit of a byte is turned over, with a probability for each byte."""

from __future__ import annotations

import math

from harness.toxiproxy.toxics.base import Attribute, Stage, ToxicType, between

__all__ = ["CORRUPT"]


class CorruptStage(Stage):
    """Turns over one bit in about one byte of ``1 / rate``, from byte ``skip`` of the stream on."""

    _seen = 0

    def feed(self, data: bytes, at: float) -> None:
        rate = self.values["rate"]
        first = max(0, self.values["skip"] - self._seen)
        self._seen += len(data)
        if rate > 0 and first < len(data):
            spoilt = bytearray(data)
            position = first + self._gap(rate)
            while position < len(spoilt):
                spoilt[position] ^= 1 << self.rng.randrange(8)
                position += 1 + self._gap(rate)
            data = bytes(spoilt)
        self.next.feed(data, at)

    def _gap(self, rate: float) -> int:
        """How many bytes stay whole before the next that does not: geometric, one draw instead of one a byte."""
        if rate >= 1:
            return 0
        return int(math.log(1.0 - self.rng.random()) / math.log(1.0 - rate))


CORRUPT = ToxicType(
    "corrupt",
    CorruptStage,
    (Attribute("rate", "float32", 0.0, between(0, 1)), Attribute("skip", check=between(0, 2**62))),
    extra=True,
)
