"""slow_connect: a new connection reaches the upstream ``delay`` milliseconds later; what is sent meanwhile waits."""

from __future__ import annotations

from harness.toxiproxy.toxics.base import MAX_MILLISECONDS, Attribute, Stage, ToxicType, between

__all__ = ["SLOW_CONNECT"]

#: The proxy itself waits before it connects.
SLOW_CONNECT = ToxicType("slow_connect", Stage, (Attribute("delay", check=between(0, MAX_MILLISECONDS)),), extra=True)
