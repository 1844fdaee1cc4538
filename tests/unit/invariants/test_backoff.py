"""Retry invariants on histories written by hand."""

from __future__ import annotations

import random

import pytest

from harness import invariants
from harness.errors import ScenarioError
from tests.histories import HistoryBuilder

ALL = (
    invariants.backoff_bounds,
    invariants.attempts_bounded,
    invariants.deadline_kept,
    invariants.permanent_not_retried,
    invariants.retry_budget,
    invariants.no_herd,
)


def retried(*delays: float, **band: float) -> HistoryBuilder:
    """One call that fails, waits these times, and succeeds in the end."""
    h = HistoryBuilder()
    h.policy()
    for number, delay in enumerate(delays, start=1):
        h.attempt(1, number)
        h.sleep(1, number, delay, **band)
    h.attempt(1, len(delays) + 1, "success")
    return h


@pytest.mark.parametrize("factory", ALL)
def test_nothing_observed(factory: object) -> None:
    """Without any policy each rule is inconclusive with the reason."""
    verdict = HistoryBuilder().judge(factory())  # type: ignore[operator]
    assert verdict.status == "inconclusive"
    assert "observed" in verdict.detail or "clients" in verdict.detail


class TestBackoffBounds:
    def test_within_its_band_holds(self) -> None:
        """Waits inside [low, high] and under the cap hold."""
        assert retried(0.5, 1.0, low=0.5, high=1.0).judge(invariants.backoff_bounds()).status == "holds"

    @pytest.mark.parametrize(
        ("delay", "band"), [(0.4, {"low": 0.5}), (1.1, {"high": 1.0}), (10.5, {}), (-0.5, {"low": 0})]
    )
    def test_outside(self, delay: float, band: dict[str, float]) -> None:
        """Below low, above high, above the cap, below zero: the attempt and the wait are the evidence."""
        h = HistoryBuilder()
        h.policy()
        failed = h.attempt(1, 1)
        wait = h.sleep(1, 1, delay, wait=False, **band)
        verdict = h.judge(invariants.backoff_bounds())
        assert (verdict.status, verdict.evidence) == ("violated", (failed, wait))

    def test_a_wait_that_is_not_waited(self) -> None:
        """A policy that says it waits a second and goes on at once violates; the wait and the attempt show it."""
        h = HistoryBuilder()
        h.policy()
        h.attempt(1, 1)
        wait = h.sleep(1, 1, 1.0, wait=False, low=1.0, high=1.0)
        again = h.attempt(1, 2)
        assert h.judge(invariants.backoff_bounds()).evidence == (wait, again)

    def test_bands_that_are_given(self) -> None:
        """Where the policy gives no band, that of the invariant counts."""
        h = retried(0.5)
        assert h.judge(invariants.backoff_bounds(low=0.4, high=0.6)).status == "holds"
        assert h.judge(invariants.backoff_bounds(low=0.6)).status == "violated"

    def test_unknown_bands(self) -> None:
        """Waits without band and cap are inconclusive with the line to add."""
        h = HistoryBuilder()
        h.policy(cap=None)
        h.attempt(1, 1)
        h.sleep(1, 1, 0.5)
        assert "backoff_bounds(low=" in h.judge(invariants.backoff_bounds()).detail

    def test_unknown_code_by_the_time_between_its_calls(self) -> None:
        """Without listeners the gap between failing calls is judged, their own duration taken off."""
        h = HistoryBuilder()
        h.failed("aws.sqs.SendMessage", at=1)
        h.failed("aws.sqs.SendMessage", at=4, took=2)
        assert h.judge(invariants.backoff_bounds(low=1)).status == "holds"
        assert h.judge(invariants.backoff_bounds(low=1.5)).evidence == (1, 2)
        assert h.judge(invariants.backoff_bounds(high=0.5)).evidence == (1, 2)
        assert h.judge(invariants.backoff_bounds(high=1)).status == "holds"

    def test_progress_between_ends_the_chain(self) -> None:
        """Failures with something done in between are different calls."""
        h = HistoryBuilder()
        h.failed("dependency.payments")
        h.effect("1")
        h.failed("dependency.payments")
        assert h.judge(invariants.backoff_bounds(low=1)).status == "inconclusive"

    def test_bad_parameters(self) -> None:
        """A bound that is none is refused when the scenario is made."""
        with pytest.raises(ScenarioError, match=r"backoff_bounds\(low\)"):
            invariants.backoff_bounds(low=-1)


class TestAttemptsBounded:
    def test_one_retry_too_many(self) -> None:
        """The fifth attempt where four are allowed; the first and the fifth are the evidence."""
        h = HistoryBuilder()
        h.policy(max_attempts=4)
        numbers = [h.attempt(1, attempt) for attempt in range(1, 6)]
        verdict = h.judge(invariants.attempts_bounded())
        assert (verdict.status, verdict.evidence) == ("violated", (numbers[0], numbers[4]))

    def test_calls_are_counted_apart(self) -> None:
        """Each call has its own attempts, also when numbers begin again after a restart."""
        h = HistoryBuilder()
        h.policy(max_attempts=2)
        for call in (1, 2, 1):
            h.attempt(call, 1)
            h.attempt(call, 2)
        assert h.judge(invariants.attempts_bounded()).status == "holds"

    def test_attempts_that_are_numbered_wrongly_are_counted(self) -> None:
        """A policy that always says "attempt 2" is counted by its attempts."""
        h = HistoryBuilder()
        h.policy(max_attempts=2)
        for attempt in (1, 2, 2):
            h.attempt(1, attempt)
        assert h.judge(invariants.attempts_bounded()).status == "violated"

    def test_no_limit(self) -> None:
        """A policy without limit is inconclusive, unless the invariant gives one."""
        h = HistoryBuilder()
        h.policy(max_attempts=None)
        h.attempt(1, 1)
        h.attempt(1, 2)
        assert "at_most" in h.judge(invariants.attempts_bounded()).detail
        assert h.judge(invariants.attempts_bounded(1)).status == "violated"

    def test_unknown_code_by_its_failures_in_a_row(self) -> None:
        """Without listeners failing calls in a row are the attempts; failing polls are none."""
        h = HistoryBuilder()
        for _ in range(3):
            h.failed("dependency.payments")
        for _ in range(9):
            h.failed("aws.sqs.ReceiveMessage", actor="worker.2")
        assert h.judge(invariants.attempts_bounded(3)).status == "holds"
        assert h.judge(invariants.attempts_bounded(2)).evidence == (1, 3)


class TestDeadlineKept:
    def test_a_wait_past_the_deadline(self) -> None:
        """A wait that ends after the deadline violates; the first attempt and the wait show it."""
        h = HistoryBuilder()
        h.policy(deadline=5.0)
        first = h.attempt(1, 1, at=1)
        h.sleep(1, 1, 2.0, at=1)
        h.attempt(1, 2, at=4)
        wait = h.sleep(1, 2, 2.5, at=4)
        assert h.judge(invariants.deadline_kept()).evidence == (first, wait)

    def test_up_to_the_deadline_holds(self) -> None:
        """A retry exactly at the deadline is none after it."""
        h = HistoryBuilder()
        h.policy(deadline=5.0)
        h.attempt(1, 1, at=1)
        h.sleep(1, 1, 5.0, at=1)
        assert h.judge(invariants.deadline_kept()).status == "holds"

    def test_no_deadline(self) -> None:
        """Without a deadline nothing is judged."""
        assert "deadline" in retried(0.1).judge(invariants.deadline_kept()).detail


class TestPermanentNotRetried:
    @pytest.mark.parametrize("sleeps", [True, False])
    def test_tried_again(self, sleeps: bool) -> None:
        """A wait or an attempt after a permanent error violates; both are the evidence."""
        h = HistoryBuilder()
        h.policy()
        h.attempt(1, 1)
        permanent = h.attempt(1, 2, permanent=True)
        again = h.sleep(1, 2, 0.1) if sleeps else h.attempt(1, 3)
        assert h.judge(invariants.permanent_not_retried()).evidence == (permanent, again)

    def test_another_call_may_go_on(self) -> None:
        """A permanent error of one call says nothing about the next."""
        h = HistoryBuilder()
        h.policy()
        h.attempt(1, 1, permanent=True)
        h.attempt(2, 1)
        h.sleep(2, 1, 0.1)
        h.attempt(2, 2, "success")
        assert h.judge(invariants.permanent_not_retried()).status == "holds"

    def test_none_seen(self) -> None:
        """Without a permanent error nothing is judged."""
        assert "permanent" in retried(0.1).judge(invariants.permanent_not_retried()).detail


class TestRetryBudget:
    def _storm(self, calls: int, retries: int) -> HistoryBuilder:
        h = HistoryBuilder()
        h.policy()
        for call in range(calls):
            h.attempt(call, 1)
        for call in range(retries):
            h.sleep(call, 1, 0.0)
            h.attempt(call, 2)
        return h

    @pytest.mark.parametrize(("retries", "status"), [(20, "holds"), (21, "violated")])
    def test_a_share_of_the_calls(self, retries: int, status: str) -> None:
        """100 calls at 20 % pay for 20 retries, not for 21."""
        h = self._storm(100, retries)
        assert h.judge(invariants.retry_budget(ratio=0.2, per_second=0)).status == status

    def test_a_floor(self) -> None:
        """Without calls enough the floor still allows some: 1 a second, saved for 10 s."""
        assert self._storm(10, 10).judge(invariants.retry_budget(ratio=0, per_second=1)).status == "holds"
        assert self._storm(12, 12).judge(invariants.retry_budget(ratio=0, per_second=1)).status == "violated"

    def test_calls_pay_for_a_window_only(self) -> None:
        """What calls pay in is good for ten seconds."""
        h = HistoryBuilder()
        h.policy()
        for call in range(10):
            h.attempt(call, 1, at=1)
        h.sleep(1, 1, 0.0, at=12)
        assert h.judge(invariants.retry_budget(ratio=1, per_second=0)).status == "violated"

    def test_processes_have_budgets_of_their_own(self) -> None:
        """One process's calls do not pay for another's retries."""
        h = HistoryBuilder()
        for call in range(10):
            h.attempt(call, 1, actor="worker.1")
        h.attempt(1, 1, actor="worker.2")
        h.sleep(1, 1, 0.0, actor="worker.2")
        assert h.judge(invariants.retry_budget(ratio=0.2, per_second=0)).status == "violated"


class TestNoHerd:
    def _clients(self, number: int, jitter: bool) -> HistoryBuilder:
        rng = random.Random(7)
        h = HistoryBuilder()
        h.policy()
        for call in range(number):
            h.attempt(call, 1)
            h.sleep(call, 1, rng.uniform(0.5, 1.0) if jitter else 1.0, wait=False)
        return h

    def test_without_jitter_it_is_a_herd(self) -> None:
        """1,000 clients that all wait a second come back as one; the first waits are the evidence."""
        verdict = self._clients(1000, jitter=False).judge(invariants.no_herd())
        assert verdict.status == "violated"
        assert verdict.evidence == (3, 5, 7, 9, 11)

    def test_equal_jitter_is_none(self) -> None:
        """Half the wait drawn, half fixed, is spread enough."""
        assert self._clients(1000, jitter=True).judge(invariants.no_herd()).status == "holds"

    def test_few_clients_prove_nothing(self) -> None:
        """Below 1,000 clients the verdict is inconclusive, herd or not."""
        assert "this run has 999" in self._clients(999, jitter=False).judge(invariants.no_herd()).detail

    def test_alpha_may_not_be_raised(self) -> None:
        """A statistical accusation keeps its error of a billionth."""
        with pytest.raises(ScenarioError, match="alpha"):
            invariants.no_herd(alpha=0.05)
