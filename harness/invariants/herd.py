"""Whether clients that failed together come back together: a statistic with a stated error.

Clients that fail at one instant and wait without jitter return at one
instant and are a wave again. ``herd`` looks at when they return and accuses
only where independent waits, each spread evenly over at least *spread* of
the longest wait, would look like this with probability *alpha* or less (a
Chernoff bound on the fullest slot, over all slots). With the default alpha
of 1e-9 a right policy is accused once in a billion samples; so it needs many
clients: at least 1,000.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

__all__ = ["ALPHA", "CLIENTS_MIN", "SPREAD", "herd"]

ALPHA = 1e-9
CLIENTS_MIN = 1000
#: The least spread that is no herd: half of the wait, as with equal jitter (uniform between 0.5 and 1.0 of it).
SPREAD = 0.5
_SLOTS = 20


def herd(instants: Sequence[float], longest: float, *, spread: float = SPREAD, alpha: float = ALPHA) -> str:
    """In words how clients crowd that return at *instants* (seconds after they failed); "" if they do not.

    *longest* is the longest wait before this return, in seconds.

    Raises:
        ValueError: fewer than 1,000 clients: nothing could be said.
    """
    clients = len(instants)
    if clients < CLIENTS_MIN:
        raise ValueError(f"a herd is judged on at least {CLIENTS_MIN} clients, not {clients}")
    if longest <= 0:
        return f"all {clients} clients return at once, without any wait"
    width = longest / _SLOTS
    crowds = Counter(int(instant / width) for instant in instants)
    slots = max(crowds) - min(crowds) + 1
    expected = 1 / (_SLOTS * spread)
    slot, crowd = max(crowds.items(), key=lambda item: (item[1], -item[0]))
    share = crowd / clients
    if share <= expected or clients * _divergence(share, expected) <= math.log(max(slots, _SLOTS) / alpha):
        return ""
    return (
        f"{crowd} of {clients} clients return within {width * 1000:.0f} ms, {slot * width:.2f} s after they failed; "
        f"waits spread over {spread:.0%} of {longest:g} s would give about {expected * clients:.0f}"
    )


def _divergence(share: float, expected: float) -> float:
    """Kullback-Leibler divergence of two coins, in nats."""
    if expected >= 1:
        return 0.0
    rest = 0.0 if share == 1 else (1 - share) * math.log((1 - share) / (1 - expected))
    return share * math.log(share / expected) + rest
