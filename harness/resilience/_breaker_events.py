"""What a circuit breaker tells its listeners, and its states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias

from harness.resilience.errors import Classification

if TYPE_CHECKING:
    from harness.resilience.breaker import CircuitBreaker

__all__ = [
    "WATCHERS",
    "BreakerCreated",
    "BreakerEvent",
    "BreakerListener",
    "BreakerMetrics",
    "CallBegan",
    "CallEnded",
    "CircuitState",
    "LimitsChanged",
    "Mode",
    "Outcome",
    "StateChanged",
    "StoreChanged",
]

Outcome: TypeAlias = Literal["success", "failure", "ignored", "rejected"]
Mode: TypeAlias = Literal["normal", "isolated", "disabled"]


class CircuitState(Enum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerCreated:
    """A breaker was made. Only those who watch all breakers are told."""

    breaker: CircuitBreaker


@dataclass(frozen=True, slots=True)
class CallBegan:
    """A call was let in, in ``state`` of ``generation``. ``call`` numbers the calls of one breaker.

    ``shared``, here and in other events: the epoch of the state that processes
    share in a store, empty where the breaker decided alone.
    """

    breaker: CircuitBreaker
    call: int
    state: CircuitState
    generation: int
    shared: str = ""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call that was let in ended, or one was rejected (``call`` 0).

    ``state`` and ``generation`` are those in which the call began; ``seconds``
    is what it took; ``slow``: longer than the window's limit.
    ``classification`` is that of ``error``, ``None`` where the error is none or
    was not asked for.
    """

    breaker: CircuitBreaker
    call: int
    outcome: Outcome
    state: CircuitState
    generation: int
    error: BaseException | None
    classification: Classification | None
    seconds: float
    slow: bool = False
    shared: str = ""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The state changed for ``reason``; ``generation`` is the new one.

    Changes of a shared state are told in every process that learns of them,
    with the time (``at``) that they have by the store's clock.
    """

    breaker: CircuitBreaker
    before: CircuitState
    after: CircuitState
    generation: int
    reason: str
    shared: str = ""
    at: float | None = None


@dataclass(frozen=True, slots=True)
class LimitsChanged:
    """The limits of a breaker in use were changed: these are in force from now on (seconds)."""

    breaker: CircuitBreaker
    failure_threshold: int
    recovery_timeout: float


@dataclass(frozen=True, slots=True)
class StoreChanged:
    """The store of a shared breaker failed (``error``), or answers again.

    Without it the breaker goes on alone, from ``state``.
    """

    breaker: CircuitBreaker
    store: str
    available: bool
    state: CircuitState
    error: Exception | None
    shared: str


BreakerEvent: TypeAlias = BreakerCreated | CallBegan | CallEnded | StateChanged | LimitsChanged | StoreChanged
BreakerListener: TypeAlias = Callable[[BreakerEvent], object]

#: Who is told of every breaker of this process.
WATCHERS: list[BreakerListener] = []


@dataclass(frozen=True, slots=True)
class BreakerMetrics:
    """A breaker at one moment, and what it has counted since it was made.

    ``failures``, ``ignored`` and ``successes`` are calls that ended so;
    ``stale`` of them belonged to an earlier generation; ``slow`` took longer
    than the window's limit. ``failure_rate`` and ``slow_rate`` are those of the
    window now, ``None`` without a window or calls in it. ``retry_after``:
    seconds until a probe is let through, ``None`` unless open by itself.
    Of a shared breaker, state and failures are those that this process learned
    last; ``alone``: its store cannot be reached.
    """

    name: str | None
    state: CircuitState
    mode: Mode
    generation: int
    failure_count: int
    successes: int
    failures: int
    ignored: int
    rejected: int
    slow: int
    stale: int
    opened: int
    probes: int
    failure_rate: float | None
    slow_rate: float | None
    retry_after: float | None
    alone: bool = False
