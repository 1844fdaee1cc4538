"""What a component promises, as values: the input of every probe."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from harness.errors import UsageError

__all__ = ["BreakerContract", "Failures", "Function", "RetryContract", "is_async", "make_error", "one_or_more"]

Function: TypeAlias = Callable[..., Any]
#: An exception class, a function that makes an instance, or several of these.
Failures: TypeAlias = Callable[[], BaseException] | Sequence[Callable[[], BaseException]]


def one_or_more(failures: Failures | None) -> tuple[Callable[[], BaseException], ...]:
    """The ways to fail as a tuple; empty for ``None``."""
    if failures is None:
        return ()
    return (failures,) if callable(failures) else tuple(failures)


def make_error(failure: Callable[[], BaseException]) -> BaseException:
    """A new instance: what the function under the policy raises.

    Raises:
        UsageError: *failure* makes no exception.
    """
    made = failure()
    if not isinstance(made, BaseException):
        raise UsageError(
            f"made {made!r}, which is no exception",
            field=getattr(failure, "__name__", repr(failure)),
            remedy="Give an exception class that takes no argument, or a function that returns an instance",
        )
    return made


def is_async(function: Function) -> bool:
    """Whether *function* is a coroutine function (or an object whose ``__call__`` is one)."""
    own = getattr(type(function), "__call__", None)  # noqa: B004  # not whether it can be called, but how
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(own)


def _check(condition: bool, contract: str, name: str, message: str, remedy: str) -> None:
    if not condition:
        raise UsageError(message, field=f"{contract}.{name}", remedy=remedy)


def _check_failures(contract: str, name: str, failures: Failures | None, *, required: bool = True) -> None:
    ways = one_or_more(failures)
    _check(
        bool(ways) or not required,
        contract,
        name,
        "is empty",
        "Give an exception class, or a function that makes an instance",
    )
    for way in ways:
        make_error(way)


@dataclass(frozen=True)
class RetryContract:
    """What a retry policy promises.

    Args:
        call: ``call(func)`` runs *func*, which takes no argument, under the
            policy and returns its result. A coroutine function is given one.
        transient, permanent: what is to be retried, and what is not: exception
            classes, or functions that make an instance; one or a sequence.
            ``permanent=None``: the policy retries every ``Exception``.
        max_attempts: attempts in all; ``None``: no limit.
        delay_bounds: ``delay_bounds(attempt)`` gives the shortest and longest
            wait in seconds before attempt 2, 3, ...
        deadline: seconds after which no attempt begins; ``None``: no limit.
        forms: further forms of the same policy by name (decorator, context
            manager, iterator), each like *call*; each is probed.
        independent: whether calls know nothing of each other; ``False`` where
            they share a budget.
        name: for people.

    Raises:
        UsageError: a value is impossible.
    """

    call: Function
    transient: Failures
    permanent: Failures | None
    max_attempts: int | None
    delay_bounds: Callable[[int], tuple[float, float]]
    deadline: float | None = None
    name: str = ""
    forms: Mapping[str, Function] = field(default_factory=dict)
    independent: bool = True

    def __post_init__(self) -> None:
        _check_failures("RetryContract", "transient", self.transient)
        _check_failures("RetryContract", "permanent", self.permanent, required=False)
        limit = self.max_attempts
        _check(
            limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1),
            "RetryContract",
            "max_attempts",
            f"is {limit!r}",
            "Give a whole number of attempts, the first one included, or None",
        )
        _check(
            self.deadline is None or (math.isfinite(self.deadline) and self.deadline > 0),
            "RetryContract",
            "deadline",
            f"is {self.deadline!r}",
            "Give seconds above 0, or None",
        )
        if limit is None or limit > 1:
            low, high = self.delay_bounds(2)
            _check(
                0 <= low <= high,
                "RetryContract",
                "delay_bounds",
                f"gives {(low, high)!r} before attempt 2",
                "Give (low, high) in seconds, 0 <= low <= high",
            )

    def bounds(self, attempt: int) -> tuple[float, float]:
        """The wait allowed before *attempt* (from 2), in seconds; any, where the contract's own sum overflows."""
        try:
            return self.delay_bounds(attempt)
        except OverflowError:
            return 0.0, math.inf

    def all_forms(self) -> dict[str, Function]:
        """Every form by name; the first is ``call``."""
        return {"call": self.call, **self.forms}


@dataclass(frozen=True)
class BreakerContract:
    """What a circuit breaker promises.

    Args:
        make: makes a fresh breaker, closed.
        call: ``call(breaker, func)`` calls *func*, which takes no argument,
            through the breaker and returns its result. A coroutine function is
            given one.
        open_error: the class of what is raised where a call is refused.
        failure: what counts as a failure: an exception class, or a function
            that makes an instance; one or a sequence.
        failure_threshold: failures that open it: in a row, or within *window* seconds.
        recovery_timeout: seconds that it stays open.
        ignored: exceptions that never count as failures; ``None``: there are none.
        half_open_permits: probes that may be under way at once while half open.
        success_threshold: successful probes that close it.
        window: seconds within which failures count, with successes between
            them; ``None``: only failures in a row count.
        name: for people.

    Raises:
        UsageError: a value is impossible.
    """

    make: Function
    call: Function
    open_error: type[BaseException] | tuple[type[BaseException], ...]
    failure: Failures
    failure_threshold: int
    recovery_timeout: float
    ignored: Failures | None = None
    half_open_permits: int = 1
    success_threshold: int = 1
    window: float | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _check_failures("BreakerContract", "failure", self.failure)
        _check_failures("BreakerContract", "ignored", self.ignored, required=False)
        for name in ("failure_threshold", "half_open_permits", "success_threshold"):
            value = getattr(self, name)
            _check(
                isinstance(value, int) and not isinstance(value, bool) and value >= 1,
                "BreakerContract",
                name,
                f"is {value!r}",
                "Give a whole number, 1 or more",
            )
        for name in ("recovery_timeout", "window"):
            value = getattr(self, name)
            _check(
                value is None or (math.isfinite(value) and value > 0),
                "BreakerContract",
                name,
                f"is {value!r}",
                "Give seconds above 0",
            )
