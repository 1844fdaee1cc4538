"""Limits on retries that all callers of a service share, so that an outage does not become a storm.

A backoff slows one caller down; a budget bounds what all of them add to the
load. Give the same budget to every ``Retry`` that calls the same service.

* :class:`RetryQuota`: the AWS SDKs' standard mode of 2026.
* :class:`RetryRatio`: Finagle's: retries are a share of the requests.
* :class:`AdaptiveThrottle`: Google's "Handling Overload" (SRE book, chapter
  21): calls that would be refused anyway are refused here.
* :class:`Budgets`: several at once; a retry needs them all.
"""

from __future__ import annotations

import math
import random as _random
import threading
import time
from collections.abc import Callable
from typing import Protocol

from harness.resilience._window import SlidingSums
from harness.resilience.errors import Classification, Diagnosis, ThrottlingError

__all__ = [
    "AdaptiveThrottle",
    "Budget",
    "Budgets",
    "LocallyThrottledError",
    "RandomSource",
    "RefundableBudget",
    "RetryQuota",
    "RetryRatio",
]


class RandomSource(Protocol):
    """Where chance comes from: the module ``random`` and any ``random.Random`` qualify."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


class LocallyThrottledError(ThrottlingError):
    """The call was not made: the service has lately refused too many (see :class:`AdaptiveThrottle`)."""


class Budget(Protocol):
    """What ``Retry`` asks of a budget. Implementations are thread-safe."""

    def admit(self, attempt: int) -> bool:
        """Asked before each attempt (numbered from 1), the first included. False: the attempt must not be made."""
        ...

    def withdraw(self, diagnosis: Diagnosis) -> float | None:
        """Asked before each retry of an error: what the retry costs, or ``None`` if it cannot be afforded."""
        ...

    def outcome(self, diagnosis: Diagnosis | None, cost: float) -> None:
        """Told after each attempt: how it ended (``None``: success) and what it had cost (0: a first attempt)."""
        ...


class RefundableBudget(Budget, Protocol):
    """A budget that can stand among others: what it gave for a retry that another one forbids goes back."""

    def refund(self, cost: float) -> None:
        """*cost*, which ``withdraw`` took, is not spent: the retry is not made."""
        ...


class RetryQuota:
    """A bucket of 500 tokens: a retry takes 14, one after throttling 5; success gives back.

    The figures are those of botocore 1.44 (``botocore.retries.standard``): a
    retry that succeeds returns what it took, a first attempt that succeeds
    returns 1. An outage so uses the bucket up once (35 retries) and after that
    each caller fails at its first attempt until calls succeed again.
    """

    def __init__(
        self, capacity: float = 500, *, retry_cost: float = 14, throttling_cost: float = 5, success_refund: float = 1
    ) -> None:
        for name, value in (("capacity", capacity), ("retry_cost", retry_cost), ("throttling_cost", throttling_cost)):
            if not value > 0:
                raise ValueError(f"{name} must be above 0, not {value!r}")
        if success_refund < 0:
            raise ValueError(f"success_refund must be at least 0, not {success_refund!r}")
        self.capacity = capacity
        self.retry_cost = retry_cost
        self.throttling_cost = throttling_cost
        self.success_refund = success_refund
        self._available = capacity
        self._lock = threading.Lock()

    @property
    def available(self) -> float:
        """Tokens left."""
        return self._available

    def admit(self, attempt: int) -> bool:
        return True

    def withdraw(self, diagnosis: Diagnosis) -> float | None:
        cost = self.throttling_cost if diagnosis.throttling else self.retry_cost
        with self._lock:
            if cost > self._available:
                return None
            self._available -= cost
        return cost

    def refund(self, cost: float) -> None:
        with self._lock:
            self._available = min(self.capacity, self._available + cost)

    def outcome(self, diagnosis: Diagnosis | None, cost: float) -> None:
        if diagnosis is not None or self._available >= self.capacity:
            return
        with self._lock:
            self._available = min(self.capacity, self._available + (cost or self.success_refund))


class RetryRatio:
    """Retries are at most ``ratio`` of the calls of the last ``seconds``, plus ``min_per_second``.

    Finagle's retry budget (``com.twitter.finagle.service.RetryBudget``):
    0.2, 10 a second, tokens live 10 s. The floor lets a client with little
    traffic retry at all.
    """

    def __init__(
        self,
        ratio: float = 0.2,
        *,
        min_per_second: float = 10,
        seconds: float = 10,
        clock: Callable[[], float] | None = None,
    ) -> None:
        if not (math.isfinite(ratio) and 0 <= ratio <= 1000):
            raise ValueError(f"ratio must be between 0 and 1000, not {ratio!r}")
        if not (math.isfinite(min_per_second) and min_per_second >= 0):
            raise ValueError(f"min_per_second must be a number of at least 0, not {min_per_second!r}")
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(f"seconds must be above 0, not {seconds!r}")
        self.ratio = ratio
        self.min_per_second = min_per_second
        self.seconds = seconds
        self._clock = clock
        self._sums = SlidingSums(seconds, slots=10, width=2)  # calls, retries: whole numbers, so the sums are exact
        self._lock = threading.Lock()

    @property
    def available(self) -> float:
        """Retries that could be made now."""
        with self._lock:
            return self._balance(self._now())

    def admit(self, attempt: int) -> bool:
        if attempt == 1:
            now = self._now()
            with self._lock:
                self._sums.add(now, 0, 1)
        return True

    def withdraw(self, diagnosis: Diagnosis) -> float | None:
        now = self._now()
        with self._lock:
            if self._balance(now) < 1:
                return None
            self._sums.add(now, 1, 1)
        return 1

    def refund(self, cost: float) -> None:
        now = self._now()
        with self._lock:
            self._sums.add(now, 1, -1)

    def outcome(self, diagnosis: Diagnosis | None, cost: float) -> None:
        """A retry stays counted whatever it led to."""

    def _balance(self, now: float) -> float:
        calls, retries = self._sums.advance(now)
        return calls * self.ratio + self.min_per_second * self.seconds - retries

    def _now(self) -> float:
        return self._clock() if self._clock is not None else time.monotonic()


class AdaptiveThrottle:
    """Refuses calls here with probability ``max(0, (requests - k * accepts) / (requests + 1))``.

    Both are counted over the last ``seconds`` (two minutes), a request before
    its call and also when it is refused here, so that the probability rises
    while the service is down and falls by itself once it accepts again.
    Accepted is every call but those that ended in a transient error: a
    permanent one shows that the service did its work.
    """

    def __init__(
        self,
        k: float = 2.0,
        *,
        seconds: float = 120,
        clock: Callable[[], float] | None = None,
        random: RandomSource | None = None,
    ) -> None:
        if not (math.isfinite(k) and k >= 1):
            raise ValueError(f"k must be at least 1, not {k!r}: below, healthy calls would be refused")
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(f"seconds must be above 0, not {seconds!r}")
        self.k = k
        self.seconds = seconds
        self._clock = clock
        self._random = random
        self._sums = SlidingSums(seconds, slots=60, width=2)  # requests, accepts
        self._lock = threading.Lock()

    @property
    def probability(self) -> float:
        """With which the next call is refused here."""
        with self._lock:
            return self._probability(self._now())

    def admit(self, attempt: int) -> bool:
        now = self._now()
        with self._lock:
            probability = self._probability(now)
            self._sums.add(now, 0, 1)
        if probability == 0:
            return True
        return (self._random if self._random is not None else _random).random() >= probability

    def withdraw(self, diagnosis: Diagnosis) -> float | None:
        return 0.0

    def refund(self, cost: float) -> None:
        """A retry costs nothing here."""

    def outcome(self, diagnosis: Diagnosis | None, cost: float) -> None:
        if diagnosis is None or diagnosis.classification is not Classification.TRANSIENT:
            now = self._now()
            with self._lock:
                self._sums.add(now, 1, 1)

    def _probability(self, now: float) -> float:
        requests, accepts = self._sums.advance(now)
        return max(0.0, (requests - self.k * accepts) / (requests + 1))

    def _now(self) -> float:
        return self._clock() if self._clock is not None else time.monotonic()


class _Costs(float):
    """What several budgets took for one retry, together; ``parts`` says what each of them took."""

    parts: tuple[float, ...]

    def __new__(cls, parts: tuple[float, ...]) -> _Costs:
        costs = super().__new__(cls, sum(parts))
        costs.parts = parts
        return costs


class Budgets:
    """Several budgets as one: an attempt needs the leave of all, a retry is paid to all or to none.

    ::

        Retry(budget=Budgets(of_this_service, of_the_whole_process))

    They are asked in the order given. One that refuses attempts
    (:class:`AdaptiveThrottle`) counts those that it was asked for, so put it
    first: what it refuses the others are not asked for.
    """

    def __init__(self, *budgets: RefundableBudget) -> None:
        if not budgets:
            raise ValueError("give at least one budget")
        self.budgets = budgets

    def admit(self, attempt: int) -> bool:
        return all(budget.admit(attempt) for budget in self.budgets)

    def withdraw(self, diagnosis: Diagnosis) -> float | None:
        costs: list[float] = []
        for budget in self.budgets:
            cost = budget.withdraw(diagnosis)
            if cost is None:
                self.refund(_Costs(tuple(costs)))
                return None
            costs.append(cost)
        return _Costs(tuple(costs))

    def refund(self, cost: float) -> None:
        if isinstance(cost, _Costs):
            for budget, part in zip(self.budgets, cost.parts, strict=False):  # as many as were asked
                budget.refund(part)

    def outcome(self, diagnosis: Diagnosis | None, cost: float) -> None:
        parts = cost.parts if isinstance(cost, _Costs) else (cost,) * len(self.budgets)
        for budget, part in zip(self.budgets, parts, strict=True):
            budget.outcome(diagnosis, part)
