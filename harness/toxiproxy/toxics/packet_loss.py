"""packet_loss: what loss looks like above TCP: now and then a chunk, and all behind it, waits to be sent again."""

from __future__ import annotations

from harness.toxiproxy.toxics.base import MAX_MILLISECONDS, Attribute, ToxicType, between
from harness.toxiproxy.toxics.latency import DelayStage

__all__ = ["PACKET_LOSS"]

_DOUBLINGS = 6


class PacketLossStage(DelayStage):
    """Each chunk is lost with probability ``loss``, again and again; each loss waits twice as long as the last.

    The first wait is ``rto`` milliseconds: RFC 6298 allows no retransmission timeout under a
    second, Linux takes 200 ms.
    """

    def delay(self) -> float:
        waited, wait = 0.0, self.values["rto"] / 1000
        for _ in range(_DOUBLINGS):
            if self.rng.random() >= self.values["loss"]:
                break
            waited += wait
            wait *= 2
        return waited


PACKET_LOSS = ToxicType(
    "packet_loss",
    PacketLossStage,
    (
        Attribute("loss", "float32", 0.0, between(0, 1)),
        Attribute("rto", "int64", 200, between(0, MAX_MILLISECONDS)),
    ),
    extra=True,
)
