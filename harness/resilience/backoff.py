"""How long to wait between attempts: policies as values.

A policy answers one question: between which two delays may the wait before
the next attempt be? :class:`~harness.resilience.retry.Retry` draws uniformly
from that band and never waits longer than ``cap``. Write your own by giving
an object with ``cap`` and ``band``.

==============  =================================  =============================================
jitter          band around the delay *d*          source
==============  =================================  =============================================
``none``        ``[d, d]``                         every client that failed together comes back
                                                   together: for tests and single clients
``equal``       ``[d / 2, d]``                     "Exponential Backoff And Jitter", AWS
                                                   Architecture Blog, 2015
``full``        ``[0, d]``                         the same; the AWS SDKs' standard retry mode
``decorrelated``  ``[base, 3 * previous delay]``   the same
==============  =================================  =============================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

__all__ = ["Backoff", "Constant", "Custom", "Exponential", "Fibonacci", "Jitter"]

Jitter: TypeAlias = Literal["none", "equal", "full", "decorrelated"]


class Backoff(Protocol):
    """What :class:`~harness.resilience.retry.Retry` asks of a policy. All times in seconds."""

    @property
    def cap(self) -> float:
        """No wait is longer than this."""
        ...

    def band(self, attempt: int, previous: float, throttling: bool) -> tuple[float, float]:
        """The shortest and longest delay after *attempt* (from 1) failed.

        *previous* is the delay before that attempt (0.0 for the first),
        *throttling* whether the service asked for fewer calls. A band above
        the cap is cut off by the caller.
        """
        ...


@dataclass(frozen=True, slots=True)
class Exponential:
    """``base * factor ** (attempt - 1)`` up to ``cap``, with jitter.

    ``throttling_base`` (if given) replaces ``base`` after a throttling error;
    the AWS SDKs wait from 1 s then, and from 0.05 s otherwise.
    """

    base: float = 1.0
    cap: float = 60.0
    factor: float = 2.0
    jitter: Jitter = "full"
    throttling_base: float | None = None

    def __post_init__(self) -> None:
        _seconds("base", self.base)
        _seconds("cap", self.cap)
        if self.throttling_base is not None:
            _seconds("throttling_base", self.throttling_base)
        if not (math.isfinite(self.factor) and self.factor >= 1):
            raise ValueError(f"factor must be a finite number of at least 1, not {self.factor!r}")
        _check_jitter(self.jitter, ("none", "equal", "full", "decorrelated"))

    def band(self, attempt: int, previous: float, throttling: bool) -> tuple[float, float]:
        base = self.base if not throttling or self.throttling_base is None else self.throttling_base
        if self.jitter == "decorrelated":
            return base, max(base, 3 * previous)
        return _spread(min(_power(base, self.factor, attempt - 1), self.cap), self.jitter)


@dataclass(frozen=True, slots=True)
class Constant:
    """The same delay each time, with jitter."""

    delay: float = 1.0
    jitter: Jitter = "none"

    def __post_init__(self) -> None:
        _seconds("delay", self.delay)
        _check_jitter(self.jitter, ("none", "equal", "full"))

    @property
    def cap(self) -> float:
        return self.delay

    def band(self, attempt: int, previous: float, throttling: bool) -> tuple[float, float]:
        return _spread(self.delay, self.jitter)


@dataclass(frozen=True, slots=True)
class Fibonacci:
    """``base`` times 1, 1, 2, 3, 5, 8, ... up to ``cap``, with jitter: grows by 1.6 where doubling is too fast."""

    base: float = 1.0
    cap: float = 60.0
    jitter: Jitter = "full"

    def __post_init__(self) -> None:
        _seconds("base", self.base)
        _seconds("cap", self.cap)
        _check_jitter(self.jitter, ("none", "equal", "full"))

    def band(self, attempt: int, previous: float, throttling: bool) -> tuple[float, float]:
        this, following = self.base, self.base
        for _ in range(attempt - 1):
            if this >= self.cap or this == 0:
                break
            this, following = following, this + following
        return _spread(min(this, self.cap), self.jitter)


@dataclass(frozen=True, slots=True)
class Custom:
    """``function(attempt)`` seconds after *attempt* (from 1) failed, cut to ``[0, cap]``, with jitter."""

    function: Callable[[int], float]
    cap: float = 60.0
    jitter: Jitter = "none"

    def __post_init__(self) -> None:
        _seconds("cap", self.cap)
        _check_jitter(self.jitter, ("none", "equal", "full"))

    def band(self, attempt: int, previous: float, throttling: bool) -> tuple[float, float]:
        delay = self.function(attempt)
        if math.isnan(delay):
            raise ValueError(f"the backoff function gave no number after attempt {attempt}")
        return _spread(min(max(0.0, delay), self.cap), self.jitter)


def _power(base: float, factor: float, exponent: int) -> float:
    if base == 0:
        return 0.0
    try:
        return base * float(factor) ** exponent
    except OverflowError:  # of the power alone; a tiny base may bring it back
        logarithm = math.log(base) + exponent * math.log(factor)
        return math.exp(logarithm) if logarithm < 700 else math.inf


def _spread(delay: float, jitter: Jitter) -> tuple[float, float]:
    if jitter == "none":
        return delay, delay
    return (delay / 2 if jitter == "equal" else 0.0), delay


def _seconds(name: str, value: float) -> None:
    if isinstance(value, bool) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a finite number of seconds, at least 0, not {value!r}")


def _check_jitter(jitter: str, allowed: tuple[str, ...]) -> None:
    if jitter not in allowed:
        known = ", ".join(get_args(Jitter))
        raise ValueError(f"jitter {jitter!r} is not possible here; one of {', '.join(allowed)} (known: {known})")
