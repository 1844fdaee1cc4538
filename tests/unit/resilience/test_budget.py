"""Budgets: the arithmetic of their sources."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from harness.resilience import (
    AdaptiveThrottle,
    Budgets,
    ExponentialBackoffRetry,
    RetryQuota,
    RetryRatio,
    ThrottlingError,
    diagnose,
)
from tests.unit.resilience.clocks import Always, Clock, fail

DOWN = diagnose(ConnectionError())
THROTTLED = diagnose(ThrottlingError())
REFUSED = diagnose(UnicodeDecodeError("utf-8", b"", 0, 1, "no"))


def test_the_quota_allows_35_retries_and_then_none() -> None:
    """500 tokens at 14 each: an outage costs 35 retries, not one for each call."""
    quota = RetryQuota()
    assert [quota.withdraw(DOWN) for _ in range(36)] == [14] * 35 + [None]
    assert quota.available == 10


def test_throttling_costs_less() -> None:
    """5 tokens each: 100 retries."""
    quota = RetryQuota()
    assert [quota.withdraw(THROTTLED) for _ in range(101)] == [5] * 100 + [None]


def test_success_gives_back() -> None:
    """A retry that succeeds gives back what it cost, a first attempt gives 1, a failure nothing; never over the top."""
    quota = RetryQuota()
    cost = quota.withdraw(DOWN)
    assert cost is not None
    quota.outcome(DOWN, cost)
    assert quota.available == 486
    quota.outcome(None, cost)
    assert quota.available == 500
    quota.withdraw(DOWN)
    quota.outcome(None, 0)
    assert quota.available == 487
    for _ in range(99):
        quota.outcome(None, 0)
    assert quota.available == 500


def test_the_quota_agrees_with_botocores() -> None:
    """The same events leave the same number of tokens as in botocore's own quota."""
    from botocore.retries.quota import RetryQuota as Theirs
    from botocore.retries.standard import RetryQuotaChecker

    checker = RetryQuotaChecker(Theirs())
    ours, theirs = RetryQuota(), checker._quota
    chance = random.Random(7)
    for _ in range(2000):
        if chance.random() < 0.4:
            cost = ours.withdraw(THROTTLED if chance.random() < 0.5 else DOWN)
            wanted = checker._THROTTLING_RETRY_COST if cost == 5 else checker._RETRY_COST
            if cost is None:
                assert not theirs.acquire(checker._THROTTLING_RETRY_COST) or theirs.release(5) is None
                continue
            assert theirs.acquire(wanted)
            if chance.random() < 0.5:
                ours.outcome(None, cost)
                theirs.release(wanted)
        else:
            ours.outcome(None, 0)
            theirs.release(checker._NO_RETRY_INCREMENT)
        assert ours.available == theirs.available_capacity


def test_threads_cannot_overdraw() -> None:
    """Many threads together get 35 retries, not one more."""
    quota, granted = RetryQuota(), []

    def take() -> None:
        granted.extend(cost for cost in (quota.withdraw(DOWN) for _ in range(20)) if cost is not None)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 35


def test_the_ratio_is_a_share_of_the_calls() -> None:
    """With no floor, 100 calls allow 20 retries."""
    ratio = RetryRatio(0.2, min_per_second=0, clock=Clock())
    for _ in range(100):
        assert ratio.admit(1)
    assert sum(ratio.withdraw(DOWN) is not None for _ in range(50)) == 20


def test_retries_earn_no_retries() -> None:
    """Only first attempts count as calls: else retries would feed themselves."""
    ratio = RetryRatio(0.5, min_per_second=0, clock=Clock())
    for attempt in (1, 2, 3, 4):
        ratio.admit(attempt)
    assert ratio.available == 0.5


def test_the_floor_lets_a_quiet_client_retry() -> None:
    """10 a second over 10 s, without any call before, and again once those have aged."""
    clock = Clock()
    ratio = RetryRatio(clock=clock)
    assert sum(ratio.withdraw(DOWN) is not None for _ in range(150)) == 100
    clock.now += 5
    assert ratio.withdraw(DOWN) is None
    clock.now += 5
    assert sum(ratio.withdraw(DOWN) is not None for _ in range(150)) == 100


def test_calls_are_forgotten_after_their_time() -> None:
    """Tokens live 10 s: an hour of good calls pays for no storm."""
    clock = Clock()
    ratio = RetryRatio(0.2, min_per_second=0, seconds=10, clock=clock)
    for _ in range(1000):
        ratio.admit(1)
    assert ratio.available == pytest.approx(200)
    clock.now += 10
    assert ratio.available == 0


def test_the_throttle_follows_its_formula() -> None:
    """max(0, (requests - 2 * accepts) / (requests + 1)), requests counted before the call."""
    throttle = AdaptiveThrottle(clock=Clock(), random=Always(0.999999))
    for number in range(1, 8):
        assert throttle.admit(1)
        throttle.outcome(DOWN, 0)
        assert throttle.probability == pytest.approx(number / (number + 1))


def test_a_healthy_service_is_never_throttled() -> None:
    """Half of the calls may fail (k = 2) and none is refused here, whatever chance says."""
    throttle = AdaptiveThrottle(clock=Clock(), random=Always(0.0))
    for number in range(1000):
        assert throttle.admit(1)
        throttle.outcome(DOWN if number % 2 else None, 0)


def test_what_is_refused_here_counts_as_a_request() -> None:
    """So the pressure stays up while the service is down."""
    throttle = AdaptiveThrottle(clock=Clock(), random=Always(0.0))
    assert throttle.admit(1)
    throttle.outcome(DOWN, 0)
    before = throttle.probability
    assert not throttle.admit(1)
    assert throttle.probability > before


def test_a_permanent_error_shows_that_the_service_works() -> None:
    """A bad request that is refused is not load shedding."""
    throttle = AdaptiveThrottle(clock=Clock())
    throttle.admit(1)
    throttle.outcome(REFUSED, 0)
    assert throttle.probability == 0


def test_the_throttle_forgets() -> None:
    """Two minutes later nothing is refused any more."""
    clock = Clock()
    throttle = AdaptiveThrottle(clock=clock)
    for _ in range(50):
        throttle.admit(1)
    assert throttle.probability > 0.9
    clock.now += 120
    assert throttle.probability == 0


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: RetryQuota(0), "capacity"),
        (lambda: RetryQuota(retry_cost=0), "retry_cost"),
        (lambda: RetryQuota(success_refund=-1), "success_refund"),
        (lambda: RetryRatio(-0.1), "ratio"),
        (lambda: RetryRatio(float("nan")), "ratio"),
        (lambda: RetryRatio(min_per_second=-1), "min_per_second"),
        (lambda: RetryRatio(seconds=0), "seconds"),
        (lambda: AdaptiveThrottle(0.5), "k must"),
        (lambda: AdaptiveThrottle(seconds=-1), "seconds"),
    ],
)
def test_nonsense_is_refused_when_it_is_made(make: Any, field: str) -> None:
    """A wrong number is an error that names the field."""
    with pytest.raises(ValueError, match=field):
        make()


def test_several_budgets_are_paid_together_or_not_at_all() -> None:
    """The one that has enough gets its tokens back when the other one has not, whichever is asked first."""
    for order in (1, -1):
        large, small = RetryQuota(), RetryQuota(20)
        budgets = Budgets(*[large, small][::order])
        assert budgets.withdraw(DOWN) == 28
        assert budgets.withdraw(DOWN) is None
        assert (large.available, small.available) == (486, 6)


def test_each_of_several_budgets_gets_its_own_cost_back() -> None:
    """A retry that succeeds returns to each what it took; a first attempt that does, one token to each."""
    large, small = RetryQuota(), RetryQuota(100, retry_cost=50)
    budgets = Budgets(large, small)
    cost = budgets.withdraw(DOWN)
    assert cost == 64
    budgets.outcome(DOWN, cost)
    assert (large.available, small.available) == (486, 50)
    budgets.outcome(None, cost)
    assert (large.available, small.available) == (500, 100)
    budgets.withdraw(DOWN)
    budgets.outcome(None, 0)
    assert (large.available, small.available) == (487, 51)


def test_a_refund_of_a_ratio_is_a_retry_less() -> None:
    """What another budget forbids is not counted as a retry."""
    ratio, quota = RetryRatio(min_per_second=0.1, clock=Clock()), RetryQuota(14)
    budgets = Budgets(ratio, quota)
    assert budgets.withdraw(DOWN) == 15
    ratio.refund(1)
    assert budgets.withdraw(DOWN) is None
    assert ratio.available == 1


def test_an_attempt_needs_the_leave_of_all() -> None:
    """What the throttle refuses the ratio is not asked for; what it lets out counts there."""
    clock = Clock()
    throttle = AdaptiveThrottle(clock=clock, random=Always(0.5))
    ratio = RetryRatio(1, min_per_second=0, clock=clock)
    budgets = Budgets(throttle, ratio)
    admitted = [budgets.admit(1) for _ in range(10)]
    assert admitted == [True, True, *[False] * 8]
    assert ratio.available == 2


def test_budgets_may_hold_budgets() -> None:
    """A process's budgets beside those of a service, in a policy: the smallest decides."""
    quotas = [RetryQuota(), RetryQuota(28), RetryQuota()]
    budgets = Budgets(quotas[0], Budgets(quotas[1], quotas[2]))
    clock = Clock()
    retry = ExponentialBackoffRetry(5, budget=budgets, sleep=clock.sleep)
    with pytest.raises(ConnectionError):
        retry.execute(fail, ConnectionError())
    assert len(clock.slept) == 2
    assert [quota.available for quota in quotas] == [472, 0, 472]


def test_no_budget_at_all_is_an_error() -> None:
    """None is none, and says so."""
    with pytest.raises(ValueError, match="at least one"):
        Budgets()
