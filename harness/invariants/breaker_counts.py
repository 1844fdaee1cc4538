"""What a closed breaker ought to have counted: in its window, or in a state that processes share."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["LIVE_TOLERANCE_S", "TOLERANCE_S", "Result", "SharedCount", "WindowCount"]

#: Listeners and clocks are exact to a microsecond; a millisecond is beyond doubt.
TOLERANCE_S = 0.001

#: In a live run a listener hears of a change only when the machine gives its thread a turn.
LIVE_TOLERANCE_S = 0.1

#: More failures in a row are not remembered: of actors that never say whether their store has heard of them.
_POSSIBLE_MAX = 10_000


@dataclass(slots=True)
class Result:
    """How a call that was let in ended. ``permanent``: true, false, or ``None`` where it is not known."""

    n: int
    t: float
    outcome: str
    state: str
    generation: int | None
    permanent: bool | None
    slow: bool = False
    confirmed_n: int = 0  # of a shared breaker: the event that shows that its store has heard of it


class WindowCount:
    """The calls of one closed state, and whether they are reason to open.

    A window of time is exact to a tenth of its length (a breaker keeps sums,
    not calls). Where the calls in that tenth decide, it may open and need not.
    """

    def __init__(self, limits: Mapping[str, Any]) -> None:
        self._size: int | None = limits.get("size")
        self._seconds: float | None = limits.get("seconds")
        self._minimum: int = limits["minimum_calls"]
        self._failure_rate: float = limits["failure_rate"]
        self._slow_rate: float | None = limits.get("slow_call_rate")
        self._calls: deque[Result] = deque()
        self._failed = 0  # of them
        self._slow = 0
        self._possible = False  # whether the window is reason to open, as far as can be told
        self._possible_t = -1.0  # when it last was
        self.due: Result | None = None  # the call at which it had to open beyond doubt

    @staticmethod
    def known(limits: Mapping[str, Any]) -> bool:
        """Whether a ``breaker.created`` event says enough."""
        sized = limits.get("size") is not None or limits.get("seconds") is not None
        return sized and limits.get("minimum_calls") is not None and limits.get("failure_rate") is not None

    def add(self, result: Result) -> None:
        """One more call that ended in success or failure."""
        self._calls.append(result)
        self._failed += result.outcome == "failure"
        self._slow += result.slow
        while self._past(result.t):
            old = self._calls.popleft()
            self._failed -= old.outcome == "failure"
            self._slow -= old.slow
        self._possible = False
        if not self._failed and not self._slow:
            return
        verdicts = list(self._verdicts(result.t))
        if any(verdicts):
            self._possible, self._possible_t = True, result.t
        if all(verdicts) and self.due is None:
            self.due = result

    def clear(self) -> None:
        """The state changed: counting begins anew."""
        self._calls.clear()
        self._failed = self._slow = 0
        self._possible, self._possible_t = False, -1.0
        self.due = None

    def allows(self, t: float) -> bool:
        """Whether the breaker may open at *t*: by the latest call, or by one of the same instant."""
        return self._possible or self._possible_t == t

    def _past(self, now: float) -> bool:
        """Whether the oldest call is certainly out of the window."""
        if self._size is not None:
            return len(self._calls) > self._size
        return self._seconds is not None and self._calls[0].t < now - self._seconds - TOLERANCE_S

    def _verdicts(self, now: float) -> Iterator[bool]:
        """Whether the window is reason to open, for each window that the breaker may have, the longest first."""
        calls, failed, slow = len(self._calls), self._failed, self._slow
        yield self._over(calls, failed, slow)
        if self._seconds is None:
            return
        for call in self._calls:
            if call.t > now - 0.9 * self._seconds + TOLERANCE_S:
                break
            calls, failed, slow = calls - 1, failed - (call.outcome == "failure"), slow - call.slow
            yield self._over(calls, failed, slow)

    def _over(self, calls: int, failed: int, slow: int) -> bool:
        if calls < self._minimum:
            return False
        if failed / calls >= self._failure_rate:
            return True
        return self._slow_rate is not None and slow / calls >= self._slow_rate


class SharedCount:
    """Failures in a row of a breaker whose state processes share, as far as the order of events tells.

    A process tells its result first and its store after that, so that another
    one's may be counted before it, or its own never. What a process tells next
    shows that the store has heard (without it, ``breaker.store`` comes first).

    ``possible``: every failure that may have been in the row; ``sure``: those
    that certainly are.
    """

    def __init__(self) -> None:
        self.possible: list[Result] = []
        self.sure: list[Result] = []
        self._pending: dict[str, list[Result]] = {}  # by actor: told, and not known to have been counted
        self._alone: set[str] = set()  # processes that cannot reach the store

    @property
    def doubtful(self) -> bool:
        """Whether a success may have ended the row."""
        return any(result.outcome == "success" for results in self._pending.values() for result in results)

    def tell(self, actor: str, result: Result) -> None:
        """A result of the present closed state."""
        if actor.partition("/")[0] in self._alone:
            return
        if result.outcome == "failure":
            self.possible.append(result)
            del self.possible[:-_POSSIBLE_MAX]
        else:
            self.sure = []
        self._pending.setdefault(actor, []).append(result)

    def confirm(self, actor: str, n: int) -> None:
        """The store has heard what *actor* told before event *n*."""
        for result in self._pending.pop(actor, ()):
            result.confirmed_n = n
            if result.outcome == "failure":
                self.sure.append(result)
                continue
            # Whatever was not known to be counted by now may have been counted before this success.
            self.possible = [one for one in self.possible if not 0 < one.confirmed_n < result.n]
            self.sure = []
            for other, results in list(self._pending.items()):
                self._pending[other] = [one for one in results if one.outcome == "success"]

    def lose(self, process: str, *, available: bool) -> None:
        """*process* lost its store: what it told last may not have been counted. Or it has it again."""
        if available:
            self._alone.discard(process)
            return
        self._alone.add(process)
        self.sure = []
        for actor in [actor for actor in self._pending if actor.partition("/")[0] == process]:
            del self._pending[actor]

    def clear(self) -> None:
        """The state changed: counting begins anew."""
        self.possible, self.sure, self._pending = [], [], {}
