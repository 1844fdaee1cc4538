"""A circuit breaker's state shared between processes: what one of them learns spares the others the same failures.

::

    store = RedisBreakerStore()                     # a client with short timeouts for the server on this machine
    breaker = CircuitBreaker(failure_threshold=5, recovery_timeout=60, name="payments", store=store)

All breakers of one name and store are one: failures are counted together, one
opening opens it for all, and no more probes are under way than ``permits``,
whoever makes them. Each call asks the store twice (may I? this came of it), in
one atomic step each; while the breaker is open, a process asks once a second.

*Without the store.* While it cannot be reached each process goes on alone,
from the state it knew last and by its own counts, and asks again after
``store_pause`` seconds. What the store says then is in force: what was counted
alone is forgotten. If the store has lost its data, another *epoch* of the state
begins with what the first one who asks knew of it.

*A client of your own* needs short timeouts and no retries with pauses, because
a call waits for it once in every ``store_pause`` seconds (and those that are
under way when it fails, each once). redis-py's defaults are 5 s for an answer and
several retries, some seconds in all even where the connection is refused::

    redis.Redis(host, socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 1))

*Time* is the store's, as nothing else is shared. A process that saw the breaker
open does not probe before the open time has passed on its own monotonic clock
too, so that a jump of the server's clock hastens nothing that somebody saw.

*Permits* are held for ``permit_seconds``: a process that dies with one does not
keep it for ever, and a probe that takes longer changes nothing any more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from harness.resilience import _breaker_script as script
from harness.resilience._breaker_events import CircuitState, Mode
from harness.resilience.idempotency import text_of
from harness.resilience.windows import CountWindow, TimeWindow

__all__ = [
    "BreakerStore",
    "Change",
    "Known",
    "Limits",
    "Question",
    "RedisBreakerStore",
    "View",
]

Kind: TypeAlias = Literal["admit", "report", "force"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of the breaker that asks, as its constructor explains them; times in seconds."""

    failure_threshold: int = 5
    recovery_timeout: float = 60.0
    recovery_growth: float = 1.0
    recovery_timeout_max: float | None = None
    permits: int = 1
    permit_seconds: float = 30.0
    success_threshold: int = 1
    half_open_timeout: float | None = None
    window: CountWindow | TimeWindow | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the asker knew last. ``epoch`` empty: nothing. ``left``: of ``open_for`` seconds, by its own clock."""

    epoch: str = ""
    state: CircuitState = CircuitState.CLOSED
    generation: int = 0
    mode: Mode = "normal"
    open_for: float = 0.0
    left: float = 0.0
    reopened: int = 0


@dataclass(frozen=True, slots=True)
class Question:
    """What a breaker asks of its store.

    ``admit``: may ``call`` (a name that no other call has) go through? An open
    breaker whose time has passed becomes half open, unless ``early``: by the
    asker's clock the generation that it knows is not to end yet.
    ``report``: ``call``, let in at ``generation`` of ``epoch``, ended in ``outcome``.
    ``force``: somebody decided on ``state`` and ``mode``.
    """

    kind: Kind
    limits: Limits
    known: Known = field(default_factory=Known)
    call: str = ""
    early: bool = False
    epoch: str = ""
    generation: int = 0
    outcome: Literal["success", "failure", "ignored"] = "success"
    slow: bool = False
    error: str = ""
    state: CircuitState = CircuitState.CLOSED
    mode: Mode = "normal"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of state. ``at``: when, in seconds of the store's clock; only differences mean something."""

    generation: int
    at: float
    before: CircuitState
    after: CircuitState
    reason: str


@dataclass(frozen=True, slots=True)
class View:
    """The state after a question.

    Generations count from 1 in each ``epoch``, which ``began`` in some state.
    ``yes``: let in; or the report counted. ``failures``: in a row, or in the
    window. ``left``: of ``open_for`` seconds, until a probe is let through;
    ``None`` where time alone does not decide. ``reopened``: recoveries that
    failed since it was last closed. ``changes``: the latest ones that the asker
    does not know, in order.
    """

    epoch: str
    began: CircuitState
    state: CircuitState
    generation: int
    mode: Mode
    yes: bool
    failures: int = 0
    reopened: int = 0
    open_for: float = 0.0
    left: float | None = None
    changes: tuple[Change, ...] = ()


class BreakerStore(Protocol):
    """Where a breaker's state is kept. Thread-safe; raises whatever it likes when it cannot be reached.

    ``ask`` is one atomic step, and asked again with the same ``call`` counts
    once: a client library may repeat a question whose answer was lost.
    """

    @property
    def name(self) -> str:
        """For people and histories: ``redis``."""
        ...

    def ask(self, breaker: str, question: Question) -> View:
        """Answer *question* about the breaker of that name, and change its state as it demands."""
        ...


class RedisBreakerStore:
    """State in Redis. Works with ``decode_responses`` on and off, and on a cluster: a breaker's keys share a hash slot.

    ``prefix``: before the breaker's name in its keys. ``keep_seconds``: how long
    the state of a breaker that nobody uses is kept (one that a person forced
    stays). A window holds one entry a call in Redis: with
    :class:`~harness.resilience.windows.TimeWindow` that is every call of its
    seconds. Raises what the client raises.
    """

    name = "redis"

    def __init__(
        self, redis_client: Any = None, *, prefix: str = "breaker:", keep_seconds: float = 7 * 86_400.0
    ) -> None:
        if not keep_seconds > 0:
            raise ValueError(f"keep_seconds must be above 0, not {keep_seconds!r}")
        self.redis = redis_client if redis_client is not None else _default_client()
        self.prefix = prefix
        self.keep_seconds = keep_seconds
        self._script = self.redis.register_script(script.QUESTION)

    def ask(self, breaker: str, question: Question) -> View:
        text = json.dumps(self._document(question), separators=(",", ":"))
        return _view(self._script(keys=script.keys_of(self.prefix, breaker), args=[text]))

    def _document(self, question: Question) -> dict[str, Any]:
        known = question.known
        document: dict[str, Any] = {
            "kind": question.kind,
            "call": question.call,
            "keep": round(self.keep_seconds * 1000),
            "limits": _limits(question.limits),
            "known": {
                "epoch": known.epoch,
                "state": known.state.value,
                "generation": known.generation,
                "mode": known.mode,
                "open_for": _us(known.open_for),
                "left": _us(known.left),
                "reopened": known.reopened,
            },
        }
        if question.kind == "admit" and question.early:
            document["early"] = True
        elif question.kind == "report":
            document |= {"epoch": question.epoch, "generation": question.generation}
            document |= {"outcome": question.outcome, "error": question.error}
            if question.slow:
                document["slow"] = True
        elif question.kind == "force":
            document |= {"state": question.state.value, "mode": question.mode, "reason": question.reason}
        return document


def _default_client() -> Any:
    """A client for the server on this machine that gives up soon.

    Raises:
        ImportError: redis is not installed.
    """
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise ImportError("redis is not installed; install it or hand in a client as redis_client=") from error
    # One retry at once: the server closes connections that were idle for long.
    return redis.Redis(socket_timeout=0.5, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 1))


#: An open time that grows without a limit ends in this many microseconds: a hundred years, which the script's
#: numbers hold exactly.
_US_MAX = 3_153_600_000_000_000


def _us(seconds: float) -> int:
    return round(min(seconds * 1_000_000, _US_MAX))


def _limits(limits: Limits) -> dict[str, Any]:
    longest = limits.recovery_timeout_max
    document: dict[str, Any] = {
        "threshold": limits.failure_threshold,
        "open_for": _us(limits.recovery_timeout),
        "growth": limits.recovery_growth,
        "open_max": _US_MAX if longest is None else _us(longest),
        "permits": limits.permits,
        "permit": _us(limits.permit_seconds),
        "successes": limits.success_threshold,
    }
    if limits.half_open_timeout is not None:
        document["half_open"] = _us(limits.half_open_timeout)
    window = limits.window
    if window is not None:
        document["window"] = {"minimum": window.minimum_calls, "failure_rate": window.failure_rate}
        if isinstance(window, CountWindow):
            document["window"]["size"] = window.size
        else:
            document["window"]["seconds"] = _us(window.seconds)
        if window.slow_call_seconds is not None:
            document["window"]["slow_rate"] = window.slow_call_rate
    return document


def _view(answer: list[Any]) -> View:
    epoch, began, state, generation, mode, yes, failures, reopened, open_for, left, *rest = (
        text_of(part) for part in answer
    )
    changes = [
        Change(int(number), int(at) / 1_000_000, CircuitState(before), CircuitState(after), reason)
        for number, at, before, after, reason in zip(*[iter(rest)] * 5, strict=True)
    ]
    return View(
        epoch=epoch,
        began=CircuitState(began),
        state=CircuitState(state),
        generation=int(generation),
        mode="isolated" if mode == "isolated" else "disabled" if mode == "disabled" else "normal",
        yes=yes == "1",
        failures=int(failures),
        reopened=int(reopened),
        open_for=int(open_for) / 1_000_000,
        left=None if int(left) < 0 else int(left) / 1_000_000,
        changes=tuple(changes),
    )
