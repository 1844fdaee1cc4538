"""Named random streams derived from one seed.

Every source of chance in a run (the scheduler, latencies, each fault, each
process's ``random``, ids, the workload) draws from a stream of its own, so
that one more draw in one place changes nothing anywhere else.
"""

from __future__ import annotations

import hashlib
import random as _random

__all__ = ["Seeds"]

# Bound at import: a simulation replaces names in the ``random`` module, and
# a stream must be the real generator whatever is patched at the time.
_Random = _random.Random


class Seeds:
    """Random streams of one run.

    ``Seeds(7).stream("latency")`` is the same sequence in every process, on
    every platform and under every PYTHONHASHSEED.
    """

    __slots__ = ("seed",)

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def number(self, name: str) -> int:
        """A 128-bit integer that depends on the seed and the name alone."""
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode(), digest_size=16).digest()
        return int.from_bytes(digest, "big")

    def stream(self, name: str) -> _random.Random:
        """A fresh generator at the start of the stream called *name*."""
        return _Random(self.number(name))
