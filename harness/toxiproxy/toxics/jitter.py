"""jitter: latency whose spread has a shape: normal, exponential or pareto, as long tails of real networks have."""

from __future__ import annotations

from harness.toxiproxy.toxics.base import MAX_MILLISECONDS, Attribute, ToxicType, between, one_of
from harness.toxiproxy.toxics.latency import DelayStage

__all__ = ["JITTER"]


class JitterStage(DelayStage):
    """``latency`` plus a random part of the scale ``jitter`` (milliseconds), cut off at ``max`` (0: never)."""

    def delay(self) -> float:
        scale: int = self.values["jitter"]
        shape = self.values["distribution"]
        if shape == "normal":
            extra = self.rng.gauss(0.0, scale)
        elif shape == "exponential":
            extra = self.rng.expovariate(1.0) * scale
        elif shape == "pareto":
            extra = (self.rng.paretovariate(2.0) - 1.0) * scale  # mean: scale
        else:
            extra = self.rng.uniform(-scale, scale)
        milliseconds: float = max(0.0, self.values["latency"] + extra)
        most: int = self.values["max"] or MAX_MILLISECONDS
        return min(milliseconds, most) / 1000


JITTER = ToxicType(
    "jitter",
    JitterStage,
    (
        Attribute("latency", check=between(0, MAX_MILLISECONDS)),
        Attribute("jitter", check=between(0, MAX_MILLISECONDS)),
        Attribute("distribution", "string", "normal", one_of("uniform", "normal", "exponential", "pareto")),
        Attribute("max", check=between(0, MAX_MILLISECONDS)),
    ),
    extra=True,
)
