"""noop: nothing, for tests of clients."""

from __future__ import annotations

from harness.toxiproxy.toxics.base import Stage, ToxicType

__all__ = ["NOOP"]

NOOP = ToxicType("noop", Stage)
