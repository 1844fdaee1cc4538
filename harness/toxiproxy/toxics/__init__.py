"""The toxics, one file each. ``TOXICS``: all of them by type; ``EXTRA``: those that a real Toxiproxy has not."""

from __future__ import annotations

from harness.toxiproxy.toxics.bandwidth import BANDWIDTH
from harness.toxiproxy.toxics.base import ToxicType
from harness.toxiproxy.toxics.corrupt import CORRUPT
from harness.toxiproxy.toxics.half_open import HALF_OPEN
from harness.toxiproxy.toxics.jitter import JITTER
from harness.toxiproxy.toxics.latency import LATENCY
from harness.toxiproxy.toxics.limit_data import LIMIT_DATA
from harness.toxiproxy.toxics.noop import NOOP
from harness.toxiproxy.toxics.packet_loss import PACKET_LOSS
from harness.toxiproxy.toxics.refuse import REFUSE
from harness.toxiproxy.toxics.reset_after import RESET_AFTER
from harness.toxiproxy.toxics.reset_peer import RESET_PEER
from harness.toxiproxy.toxics.slicer import SLICER
from harness.toxiproxy.toxics.slow_close import SLOW_CLOSE
from harness.toxiproxy.toxics.slow_connect import SLOW_CONNECT
from harness.toxiproxy.toxics.timeout import TIMEOUT

__all__ = ["EXTRA", "TOXICS"]

TOXICS: dict[str, ToxicType] = {
    one.name: one
    for one in (
        LATENCY,
        BANDWIDTH,
        SLOW_CLOSE,
        TIMEOUT,
        RESET_PEER,
        SLICER,
        LIMIT_DATA,
        NOOP,
        JITTER,
        PACKET_LOSS,
        CORRUPT,
        HALF_OPEN,
        REFUSE,
        SLOW_CONNECT,
        RESET_AFTER,
    )
}

#: Types of ours that a real Toxiproxy does not know.
EXTRA: frozenset[str] = frozenset(name for name, one in TOXICS.items() if one.extra)
