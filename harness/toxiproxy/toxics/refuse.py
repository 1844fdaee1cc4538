"""refuse: new connections are refused, as by a port that nobody listens on; those that are open go on."""

from __future__ import annotations

from harness.toxiproxy.toxics.base import Stage, ToxicType

__all__ = ["REFUSE"]

#: The proxy itself does it: while the toxic is there it does not listen (or, with a toxicity
#: below 1, resets that share of the connections as soon as they are accepted).
REFUSE = ToxicType("refuse", Stage, extra=True)
