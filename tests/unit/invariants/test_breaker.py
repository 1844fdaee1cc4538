"""Breaker invariants on histories written by hand."""

from __future__ import annotations

import pytest

from harness import invariants
from tests.histories import HistoryBuilder

ALL = (
    invariants.breaker_transitions,
    invariants.breaker_opens,
    invariants.breaker_stays_open,
    invariants.breaker_half_open_permits,
    invariants.breaker_generations,
    invariants.breaker_ignores_permanent,
)


def opened(**limits: object) -> HistoryBuilder:
    """A breaker that opened after three failures, as it should."""
    h = HistoryBuilder()
    h.breaker(**limits)
    for call in (1, 2, 3):
        h.call(call, "failure")
    h.transition("closed", "open", 2, at=h.t)
    return h


def half_open(**limits: object) -> HistoryBuilder:
    """One that became half open when its time had passed."""
    h = opened(**limits)
    h.transition("open", "half_open", 3, at=h.t + 60)
    return h


@pytest.mark.parametrize("factory", ALL)
def test_a_right_life_breaks_nothing(factory: object) -> None:
    """A breaker that opens, rejects, probes, opens again, probes and closes breaks no rule."""
    h = opened()
    h.called(0, "rejected", "open", 2)
    h.transition("open", "half_open", 3, at=h.t + 61)
    h.begin(4, "half_open", 3)
    h.called(4, "failure", "half_open", 3)
    h.transition("half_open", "open", 4, at=h.t)
    h.transition("open", "half_open", 5, at=h.t + 60)
    h.call(5, "success", "half_open", 5)
    h.transition("half_open", "closed", 6, at=h.t)
    h.call(6, "ignored", "closed", 6, transient=False)
    h.call(7, "success", "closed", 6)
    assert h.judge(factory()).status in ("holds", "inconclusive")  # type: ignore[operator]
    assert not h.judged([factory()]).violated  # type: ignore[operator]


@pytest.mark.parametrize("factory", ALL)
def test_no_breaker_is_inconclusive_and_left_out_by_default(factory: object) -> None:
    """Without a breaker each rule is inconclusive where it is named, and left out where it is a default."""
    h = HistoryBuilder()
    spec = factory()  # type: ignore[operator]
    assert "no circuit breaker was observed" in h.judge(spec).detail
    judge = h.judged([spec.where_observed()])
    assert judge.finish() == []
    assert [verdict.name for verdict in judge.left_out] == [spec.name]


class TestTransitions:
    @pytest.mark.parametrize(("before", "after"), [("closed", "half_open"), ("open", "closed"), ("closed", "closed")])
    def test_illegal(self, before: str, after: str) -> None:
        """Changes outside the state machine violate, with the change as evidence."""
        h = HistoryBuilder()
        h.add("breaker.transition", breaker="payments", **{"from": before}, to=after, generation=2, reason="")
        verdict = h.judge(invariants.breaker_transitions())
        assert (verdict.status, verdict.evidence) == ("violated", (1,))

    def test_from_a_state_that_it_is_not_in(self) -> None:
        """A new breaker is closed: it cannot leave the open state."""
        h = HistoryBuilder()
        created = h.breaker()
        change = h.transition("open", "half_open", 2)
        assert h.judge(invariants.breaker_transitions()).evidence == (created, change)

    def test_by_hand_everything_goes(self) -> None:
        """Forced changes are not judged, and later ones start from where they led."""
        h = HistoryBuilder()
        h.breaker()
        h.transition("closed", "open", 2, reason="forced open")
        h.transition("open", "closed", 3, reason="forced closed")
        h.transition("closed", "open", 4)
        assert h.judge(invariants.breaker_transitions()).status == "holds"

    def test_each_process_has_its_own(self) -> None:
        """Two processes may each have a breaker of the same name; a restart makes a new one."""
        h = HistoryBuilder()
        for actor in ("worker.1", "worker.2/Thread-1"):
            h.breaker(actor=actor)
            h.transition("closed", "open", 2, actor=actor)
        h.add("process.start", process="worker.1", incarnation=2)
        h.breaker(actor="worker.1")
        h.transition("closed", "open", 2, actor="worker.1")
        assert h.judge(invariants.breaker_transitions()).status == "holds"


class TestOpens:
    def test_too_early(self) -> None:
        """Two failures where three open it; both and the change are the evidence."""
        h = HistoryBuilder()
        h.breaker()
        failures = [h.call(call, "failure") for call in (1, 2)]
        change = h.transition("closed", "open", 2, at=h.t)
        assert h.judge(invariants.breaker_opens()).evidence == (*failures, change)

    def test_a_success_begins_the_count_anew(self) -> None:
        """Failures in a row count, not failures altogether."""
        h = HistoryBuilder()
        h.breaker()
        for call, outcome in enumerate(("failure", "failure", "success", "failure"), start=1):
            h.call(call, outcome)
        h.transition("closed", "open", 2, at=h.t)
        assert h.judge(invariants.breaker_opens()).status == "violated"

    def test_too_late(self) -> None:
        """A call let in after the third failure: the failures and its begin are the evidence."""
        h = HistoryBuilder()
        h.breaker()
        failures = [h.call(call, "failure") for call in (1, 2, 3)]
        begin = h.begin(4)
        assert h.judge(invariants.breaker_opens()).evidence == (*failures, begin)

    def test_calls_under_way_may_still_fail(self) -> None:
        """A call that had begun before the threshold and fails after it is no call let in."""
        h = HistoryBuilder()
        h.breaker()
        for call in range(1, 5):
            h.begin(call)
        for call in range(1, 4):
            h.called(call, "failure")
        h.transition("closed", "open", 2, at=h.t)
        h.called(4, "failure")
        assert h.judge(invariants.breaker_opens()).status == "holds"

    def test_late_failures_do_not_count(self) -> None:
        """The failure of a call from an earlier closed state is none of the present one's."""
        h = HistoryBuilder()
        h.breaker(failure_threshold=2)
        h.begin(9)
        for call in (1, 2):
            h.call(call, "failure")
        h.transition("closed", "open", 2, at=h.t)
        h.transition("open", "half_open", 3, at=h.t + 60)
        h.call(3, "success", "half_open", 3)
        h.transition("half_open", "closed", 4, at=h.t)
        h.called(9, "failure", "closed", 1)
        own = h.call(4, "failure", "closed", 4)
        change = h.transition("closed", "open", 5, at=h.t)
        assert h.judge(invariants.breaker_opens()).evidence == (own, change)

    @pytest.mark.parametrize("told", ["before", "after"])
    def test_the_order_within_an_instant_does_not_matter(self, told: str) -> None:
        """The change may be told before or after the failure that caused it, at the same instant."""
        h = HistoryBuilder()
        h.breaker()
        h.call(1, "failure")
        h.call(2, "failure")
        h.begin(3)
        at = h.t + 1
        if told == "before":
            h.transition("closed", "open", 2, at=at)
        h.called(3, "failure", at=at)
        if told == "after":
            h.transition("closed", "open", 2, at=at)
        h.called(0, "rejected", "open", 2)
        assert h.judge(invariants.breaker_opens()).status == "holds"

    def test_without_begins_a_failure_too_many_shows_it(self) -> None:
        """Where a history tells only ends, a failure beyond the threshold, later, shows that it stayed closed."""
        h = HistoryBuilder()
        h.breaker()
        numbers = [h.called(call, "failure") for call in range(1, 5)]
        assert h.judge(invariants.breaker_opens()).evidence == tuple(numbers)

    def test_limits_that_are_not_known(self) -> None:
        """No threshold, a window, and a threshold that nobody reached are inconclusive, each with its reason."""
        unknown = opened(failure_threshold=None)
        assert "is not known" in unknown.judge(invariants.breaker_opens()).detail
        windowed = opened(mode="count")
        assert "window" in windowed.judge(invariants.breaker_opens()).detail
        quiet = HistoryBuilder()
        quiet.breaker()
        quiet.call(1, "success")
        assert "came to its threshold" in quiet.judge(invariants.breaker_opens()).detail


class TestStaysOpen:
    def test_half_open_too_early(self) -> None:
        """Half open before the recovery timeout; both changes are the evidence."""
        h = opened()
        change = h.transition("open", "half_open", 3, at=h.t + 59)
        verdict = h.judge(invariants.breaker_stays_open())
        assert (verdict.status, verdict.evidence) == ("violated", (change - 1, change))

    def test_a_call_let_through_while_open(self) -> None:
        """A call let in while open and too early violates without any change of state."""
        h = opened()
        begin = h.begin(4, "open", 2, at=h.t + 30)
        assert h.judge(invariants.breaker_stays_open()).evidence == (begin - 1, begin)

    def test_longer_is_allowed(self) -> None:
        """An open time that grew is longer than the timeout, which is its least."""
        h = opened()
        h.transition("open", "half_open", 3, at=h.t + 600)
        assert h.judge(invariants.breaker_stays_open()).status == "holds"

    def test_unknown_timeout(self) -> None:
        """Without the timeout there is nothing to hold it against."""
        assert "not known" in half_open(recovery_timeout=None).judge(invariants.breaker_stays_open()).detail


class TestHalfOpenPermits:
    def test_too_many_probes(self) -> None:
        """Two probes at once where one is permitted; the change and both begins are the evidence."""
        h = half_open()
        change = len(h.events)
        probes = [h.begin(4, "half_open", 3), h.begin(5, "half_open", 3)]
        assert h.judge(invariants.breaker_half_open_permits()).evidence == (change, *probes)

    def test_one_after_the_other_holds(self) -> None:
        """Probes that follow each other never stand side by side."""
        h = half_open(success_threshold=2)
        h.call(4, "success", "half_open", 3)
        h.call(5, "success", "half_open", 3)
        assert h.judge(invariants.breaker_half_open_permits()).status == "holds"

    def test_a_late_result_frees_no_permit(self) -> None:
        """The end of a call that began before opening is not the end of a probe."""
        h = HistoryBuilder()
        h.breaker()
        h.begin(9)
        for call in (1, 2, 3):
            h.call(call, "failure")
        h.transition("closed", "open", 2, at=h.t)
        h.transition("open", "half_open", 3, at=h.t + 60)
        h.begin(4, "half_open", 3)
        h.called(9, "success")
        h.begin(5, "half_open", 3)
        assert h.judge(invariants.breaker_half_open_permits()).status == "violated"

    def test_blind(self) -> None:
        """Unknown permits, and a history without begins, are inconclusive."""
        unknown = half_open(half_open_permits=None)
        unknown.begin(4, "half_open", 3)
        assert "permits" in unknown.judge(invariants.breaker_half_open_permits()).detail
        h = HistoryBuilder()
        h.breaker()
        h.transition("closed", "open", 2)
        h.transition("open", "half_open", 3, at=100)
        h.called(4, "success", "half_open", 3)
        assert "begin" in h.judge(invariants.breaker_half_open_permits()).detail


class TestGenerations:
    def test_a_late_success_closes_it(self) -> None:
        """Half open, no probe yet, and the success of a call from before closes it: both are the evidence."""
        h = half_open()
        late = h.called(9, "success", "closed", 1)
        change = h.transition("half_open", "closed", 4, at=h.t)
        verdict = h.judge(invariants.breaker_generations())
        assert (verdict.status, verdict.evidence) == ("violated", (late, change))
        assert "2 states earlier" in verdict.detail

    def test_a_probe_at_the_same_instant_explains_it(self) -> None:
        """A late success beside the probe's own at one instant is not accused."""
        h = half_open()
        h.begin(4, "half_open", 3)
        h.called(9, "success", "closed", 1)
        h.called(4, "success", "half_open", 3, at=h.t)
        h.transition("half_open", "closed", 4, at=h.t)
        assert h.judge(invariants.breaker_generations()).status == "holds"

    def test_a_late_result_that_changes_nothing_holds(self) -> None:
        """Late results are what this rule wants to see."""
        h = half_open()
        h.called(9, "success", "closed", 1)
        assert h.judge(invariants.breaker_generations()).status == "holds"

    def test_the_cause_of_a_change_is_not_late(self) -> None:
        """Where a listener tells of the change before the result that caused it, nothing has outlived a state."""
        h = HistoryBuilder()
        h.breaker(failure_threshold=1)
        h.begin(1)
        h.transition("closed", "open", 2)
        h.called(1, "failure", "closed", 1, at=h.t)
        assert "outlived" in h.judge(invariants.breaker_generations()).detail

    def test_without_generations_or_overlap(self) -> None:
        """A history without generations, and one without late results, are inconclusive."""
        h = HistoryBuilder()
        h.breaker()
        h.called(1, "success", generation=None)  # type: ignore[arg-type]
        assert "in which state" in h.judge(invariants.breaker_generations()).detail
        assert "outlived" in opened().judge(invariants.breaker_generations()).detail


class TestIgnoresPermanent:
    def test_opened_by_bad_messages(self) -> None:
        """Three permanent errors counted as failures open it: all and the change are the evidence."""
        h = HistoryBuilder()
        h.breaker()
        bad = [h.call(call, "failure", transient=False) for call in (1, 2, 3)]
        change = h.transition("closed", "open", 2, at=h.t)
        verdict = h.judge(invariants.breaker_ignores_permanent())
        assert (verdict.status, verdict.evidence) == ("violated", (*bad, change))

    def test_two_changes_at_one_instant(self) -> None:
        """A result that is told after both belongs to the change of the state in which its call began."""
        h = HistoryBuilder()
        h.breaker(failure_threshold=1, recovery_timeout=0.0)
        h.begin(1)
        first = h.transition("closed", "open", 2)
        h.transition("open", "half_open", 3, at=h.t)
        bad = h.called(1, "failure", transient=False, at=h.t)
        assert h.judge(invariants.breaker_ignores_permanent()).evidence == (first, bad)

    def test_enough_transient_ones_beside_them(self) -> None:
        """Counted permanent errors are no matter where the others suffice."""
        h = HistoryBuilder()
        h.breaker()
        for call, transient in enumerate((True, False, True, True), start=1):
            h.call(call, "failure", transient=transient)
        h.transition("closed", "open", 2, at=h.t)
        assert h.judge(invariants.breaker_ignores_permanent()).status == "holds"

    def test_a_probe_that_fails_permanently(self) -> None:
        """A bad message as probe says that the service answers: it must not open the breaker again."""
        h = half_open()
        h.begin(4, "half_open", 3)
        bad = h.called(4, "failure", "half_open", 3, transient=False)
        change = h.transition("half_open", "open", 4, at=h.t)
        assert h.judge(invariants.breaker_ignores_permanent()).evidence == (bad, change)

    def test_none_seen(self) -> None:
        """Without a permanent error there is nothing to ignore."""
        assert "permanent" in opened().judge(invariants.breaker_ignores_permanent()).detail
