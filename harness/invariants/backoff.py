"""Retries and backoff: how often, how long between, within which limits.

Facts come from ``retry.*`` events. For code that no listener knows,
``backoff_bounds(low=...)`` and ``attempts_bounded(at_most=...)`` are judged
on the wire's failures: consecutive ``call.failed`` of one actor at one point.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from harness.errors import ScenarioError
from harness.history import Event
from harness.invariants.base import Verdict
from harness.invariants.herd import ALPHA, CLIENTS_MIN, SPREAD, herd
from harness.invariants.retry_book import RetryInvariant

__all__ = [
    "AttemptsBounded",
    "BackoffBounds",
    "DeadlineKept",
    "NoHerd",
    "PermanentNotRetried",
    "RetryBudget",
]

#: Sleeps are exact to a microsecond in simulation; a millisecond is beyond doubt.
TOLERANCE_S = 0.001

#: Of each attempt number so many clients are kept for :class:`NoHerd`; more would tell nothing new.
_SAMPLE_MAX = 20_000


def positive(value: float | None, field: str) -> float | None:
    """*value*, if it is a number of 0 or more.

    Raises:
        ScenarioError: it is not.
    """
    if value is not None and not (isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0):
        raise ScenarioError(f"is {value!r}", field=field, remedy="Give a number, 0 or more")
    return value


class BackoffBounds(RetryInvariant):
    """Each wait before a retry lies in its band [low, high] and under the cap, and is really waited.

    The band is the policy's own, as its listener gives it; *low*, *high* and
    *cap* (seconds) stand in where it gives none. With *low* or *high* and
    without ``retry.*`` events the time between failing calls is judged.
    """

    name = "backoff-bounds"

    def __init__(self, low: float | None = None, high: float | None = None, cap: float | None = None) -> None:
        super().__init__()
        self._low = positive(low, "backoff_bounds(low)")
        self._high = positive(high, "backoff_bounds(high)")
        self._cap = positive(cap, "backoff_bounds(cap)")
        self._waits = 0
        self._judged = 0
        self._gaps = 0

    def handlers(self) -> list[tuple[str | None, Callable[[Event], None]]]:
        wanted = super().handlers()
        if self._low is None and self._high is None:
            return [(kind, handler) for kind, handler in wanted if kind != "call.failed"]
        return wanted

    def on_retry_sleep(self, event: Event) -> None:
        self._waits += 1
        delay, low, high = event["delay"], event.get("low"), event.get("high")
        low = self._low if low is None else low
        high = self._high if high is None else high
        cap = self._cap if self._cap is not None else self.book.policy_of(event).get("cap")
        if low is None and high is None and cap is None:
            return
        self._judged += 1
        call = self.book.call
        before = call.last_n if call is not None else 0
        where = f"policy {event['policy']!r} waited {delay:.3f} s after attempt {event.get('attempt')}"
        if delay < 0 or (low is not None and delay < low - TOLERANCE_S):
            self.violate(f"{where}; at least {low or 0:g} s allowed", before, event["n"])
        elif high is not None and delay > high + TOLERANCE_S:
            self.violate(f"{where}; at most {high:g} s allowed", before, event["n"])
        elif cap is not None and delay > cap + TOLERANCE_S:
            self.violate(f"{where}; its cap is {cap:g} s", before, event["n"])

    def on_retry_attempt(self, event: Event) -> None:
        call = self.book.call
        if call is None or call.slept is None:
            return
        sleep = call.slept
        low = sleep.get("low")
        low = self._low if low is None else low
        passed = event["t"] - sleep["t"]
        if low is not None and passed < low - TOLERANCE_S:
            self.violate(
                f"policy {event['policy']!r} meant to wait {sleep['delay']:.3f} s and went on after {passed:.3f} s",
                sleep["n"],
                event["n"],
            )

    def on_call_failed(self, event: Event) -> None:
        chain = self.book.chains.get(event["actor"])
        if self.book.attempts or chain is None or len(chain.numbers) < 2:
            return
        self._gaps += 1
        for limit, outside, word in (
            (self._low, self._low is not None and chain.gap < self._low - TOLERANCE_S, "least"),
            (self._high, self._high is not None and chain.gap > self._high + TOLERANCE_S, "most"),
        ):
            if outside:
                self.violate(
                    f"{event['actor']} called {chain.point} again {chain.gap:.3f} s after it had failed; "
                    f"at {word} {limit:g} s allowed",
                    *chain.numbers[-2:],
                )

    def conclude(self) -> Verdict:
        if self._judged:
            return self.holds(f"{self._judged} waits, each within its bounds")
        if self._gaps:
            return self.holds(f"{self._gaps} gaps between failing calls, each within its bounds")
        if self._waits:
            return self.inconclusive(
                "the waits were seen but not what they may be: say backoff_bounds(low=..., high=...) in seconds"
            )
        if self.book.attempts:
            return self.inconclusive("nothing was retried: add a transient fault on what the policy calls")
        return self.inconclusive(self.unobserved())


class AttemptsBounded(RetryInvariant):
    """No call is attempted more often than its policy allows: its first attempt and at most its retries.

    *at_most* attempts stand in where the policy gives no limit; with it, and
    without ``retry.*`` events, failing calls in a row are counted.
    """

    name = "attempts-bounded"

    def __init__(self, at_most: int | None = None) -> None:
        super().__init__()
        self._at_most = positive(at_most, "attempts_bounded(at_most)")
        self._judged = 0
        self._chained = 0

    def handlers(self) -> list[tuple[str | None, Callable[[Event], None]]]:
        wanted = super().handlers()
        if self._at_most is None:
            return [(kind, handler) for kind, handler in wanted if kind != "call.failed"]
        return wanted

    def on_retry_attempt(self, event: Event) -> None:
        call = self.book.call
        limit = self._at_most if self._at_most is not None else self.book.policy_of(event).get("max_attempts")
        if call is None or limit is None:
            return
        self._judged += 1
        if call.attempts > limit:
            self.violate(
                f"policy {event['policy']!r} made attempt {call.attempts} of one call; {limit:g} allowed",
                call.first_n,
                event["n"],
            )

    def on_call_failed(self, event: Event) -> None:
        chain = self.book.chains.get(event["actor"])
        if self.book.attempts or chain is None or self._at_most is None:
            return
        self._chained += 1
        if len(chain.numbers) > self._at_most:
            self.violate(
                f"{event['actor']} failed at {chain.point} {len(chain.numbers)} times in a row; "
                f"{self._at_most:g} attempts allowed",
                chain.numbers[0],
                event["n"],
            )

    def conclude(self) -> Verdict:
        if self._judged:
            return self.holds(f"{self._judged} attempts, no call with more than its policy allows")
        if self._chained:
            return self.holds(f"{self._chained} failing calls, never more than {self._at_most:g} in a row")
        if self.book.attempts:
            return self.inconclusive("the policy gives no limit: say attempts_bounded(at_most=...)")
        return self.inconclusive(self.unobserved())


class DeadlineKept(RetryInvariant):
    """No retry begins after the policy's deadline, counted from the start of the call.

    The start is taken as the end of the first attempt, which is later, so
    that nobody is accused wrongly. *deadline* (seconds) stands in where the
    policy gives none.
    """

    name = "deadline-kept"

    def __init__(self, deadline: float | None = None) -> None:
        super().__init__()
        self._deadline = positive(deadline, "deadline_kept(deadline)")
        self._judged = 0

    def on_retry_sleep(self, event: Event) -> None:
        call = self.book.call
        deadline = self._deadline if self._deadline is not None else self.book.policy_of(event).get("deadline")
        if call is None or deadline is None:
            return
        self._judged += 1
        begins = event["t"] + event["delay"] - call.first_t
        if begins > deadline + TOLERANCE_S:
            self.violate(
                f"policy {event['policy']!r} means to try again {begins:.3f} s after the call began; "
                f"its deadline is {deadline:g} s",
                call.first_n,
                event["n"],
            )

    def conclude(self) -> Verdict:
        if self._judged:
            return self.holds(f"{self._judged} waits, each ended before the deadline")
        if self.book.retries:
            return self.inconclusive("no policy has a deadline: set one, or say deadline_kept(deadline=...)")
        if self.book.attempts:
            return self.inconclusive("nothing was retried: add a transient fault on what the policy calls")
        return self.inconclusive(self.unobserved())


class PermanentNotRetried(RetryInvariant):
    """A call whose attempt ended in a permanent error is not tried again."""

    name = "permanent-not-retried"

    def __init__(self) -> None:
        super().__init__()
        self._permanent = 0

    def _tried_again(self, event: Event) -> None:
        call = self.book.call
        if call is not None and call.permanent_n:
            self.violate(
                f"policy {event['policy']!r} tried again after a permanent error", call.permanent_n, event["n"]
            )

    def on_retry_sleep(self, event: Event) -> None:
        self._tried_again(event)

    def on_retry_attempt(self, event: Event) -> None:
        self._tried_again(event)
        call = self.book.call
        if call is not None and event.get("permanent"):
            self._permanent += 1
            call.permanent_n = event["n"]

    def conclude(self) -> Verdict:
        if self._permanent:
            return self.holds(f"{self._permanent} permanent errors, none retried")
        if self.book.attempts:
            return self.inconclusive('no attempt ended in a permanent error: add Fault("handler", "permanent", nth=3)')
        return self.inconclusive(self.unobserved())


class RetryBudget(RetryInvariant):
    """Retries stay within a budget: a share of the calls of the last seconds, and a floor.

    Per process: each first attempt pays in *ratio* retries that are good for
    *window* seconds; besides, *per_second* retries may be made, saved up for
    at most a window (Finagle's budget, com.twitter.finagle.service.RetryBudget).
    """

    name = "retry-budget"

    def __init__(self, ratio: float = 0.2, per_second: float = 10, window: float = 10) -> None:
        super().__init__()
        self._ratio = positive(ratio, "retry_budget(ratio)") or 0.0
        self._per_second = positive(per_second, "retry_budget(per_second)") or 0.0
        self._window = positive(window, "retry_budget(window)") or 0.0
        self._deposits: dict[str, deque[list[float]]] = {}  # process -> [good until, retries left]
        self._floor: dict[str, tuple[float, float]] = {}  # process -> (retries left, as of)
        self._recent: dict[str, deque[int]] = {}
        self._judged = 0

    def on_retry_attempt(self, event: Event) -> None:
        call = self.book.call
        if call is None:
            return
        if call.attempts == 1:
            until = event["t"] + self._window + TOLERANCE_S
            self._deposits.setdefault(call.process, deque()).append([until, self._ratio])
            return
        if call.slept is None:
            self._withdraw(call.process, event)

    def on_retry_sleep(self, event: Event) -> None:
        # A budget is asked when the wait begins, not when it is over.
        if self.book.call is not None:
            self._withdraw(self.book.call.process, event)

    def _withdraw(self, process: str, event: Event) -> None:
        self._judged += 1
        now = event["t"]
        recent = self._recent.setdefault(process, deque(maxlen=10))
        recent.append(event["n"])
        wanted = 1.0
        deposits = self._deposits.setdefault(process, deque())
        while deposits and wanted > 0:
            if deposits[0][0] < now or deposits[0][1] <= 1e-12:
                deposits.popleft()
                continue
            taken = min(wanted, deposits[0][1])
            deposits[0][1] -= taken
            wanted -= taken
        most = self._per_second * self._window
        left, since = self._floor.get(process, (most, now))
        left = min(most, left + (now - since) * self._per_second) - wanted
        self._floor[process] = (max(0.0, left), now)
        if left < -1e-6:
            self.violate(
                f"{process} retries beyond its budget of {self._ratio:.0%} of the calls and {self._per_second:g} a "
                f"second (over {self._window:g} s)",
                *recent,
            )

    def conclude(self) -> Verdict:
        if self._judged:
            return self.holds(f"{self._judged} retries, all within the budget")
        if self.book.attempts:
            return self.inconclusive("nothing was retried: add a transient fault on what the policy calls")
        return self.inconclusive(self.unobserved())


class NoHerd(RetryInvariant):
    """Clients that failed together do not come back together: their waits spread over *spread* of the longest.

    A statistical property: judged at each attempt number that at least 1,000
    calls reached, with an error of *alpha* (see :func:`~harness.invariants.herd.herd`).
    """

    name = "no-herd"

    def __init__(self, spread: float = SPREAD, alpha: float = ALPHA) -> None:
        super().__init__()
        if not 0 < spread <= 1:
            raise ScenarioError(f"is {spread!r}", field="no_herd(spread)", remedy="Give a share above 0 and at most 1")
        if not 0 < alpha <= ALPHA:
            raise ScenarioError(f"is {alpha!r}", field="no_herd(alpha)", remedy=f"Give at most {ALPHA:g}")
        self._spread = spread
        self._alpha = alpha
        self._returns: dict[tuple[str, int], list[float]] = {}
        self._longest: dict[tuple[str, int], float] = {}
        self._first: dict[tuple[str, int], list[int]] = {}

    def on_retry_sleep(self, event: Event) -> None:
        call = self.book.call
        if call is None:
            return
        cohort = (call.policy, event.get("attempt") or call.attempts)
        returns = self._returns.setdefault(cohort, [])
        if len(returns) < _SAMPLE_MAX:
            returns.append(call.waited)
            self._longest[cohort] = max(self._longest.get(cohort, 0.0), event["delay"])
            first = self._first.setdefault(cohort, [])
            if len(first) < 5:
                first.append(event["n"])

    def conclude(self) -> Verdict:
        judged = 0
        for cohort, returns in self._returns.items():
            if len(returns) < CLIENTS_MIN:
                continue
            judged += 1
            found = herd(returns, self._longest[cohort], spread=self._spread, alpha=self._alpha)
            if found:
                policy, attempt = cohort
                return self.violate(f"policy {policy!r}, attempt {attempt}: {found}", *self._first[cohort])
        if judged:
            return self.holds(f"{judged} attempts of at least {CLIENTS_MIN} clients each, spread out")
        most = max((len(returns) for returns in self._returns.values()), default=0)
        return self.inconclusive(
            f"a herd is judged on at least {CLIENTS_MIN} clients that failed together; this run has {most}: "
            "judge the policy by itself (harness probe retry), or give the scenario more clients"
        )
