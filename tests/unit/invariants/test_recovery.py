"""Recovery facts and bounds on histories written by hand."""

from __future__ import annotations

import pytest

from harness import invariants
from harness.errors import ScenarioError
from harness.invariants.recovery import Recovery, recovery_seconds
from tests.histories import HistoryBuilder


def outage(*, drained_at: float | None = 80.0) -> HistoryBuilder:
    """One message a second is handled from 1 s to 20 s; a fault from 21 s to 60 s holds up three more."""
    h = HistoryBuilder()
    for number in range(20):
        h.send(f"m{number}", key=str(number), at=1 + number)
        h.handled(f"m{number}", str(number))
    h.add("fault.start", at=21, fault=0, target="aws.sqs.*", fault_kind="unavailable")
    for number in range(20, 23):
        h.send(f"m{number}", key=str(number), at=10 + number)
    h.add("fault.end", at=60, fault=0, target="aws.sqs.*", fault_kind="unavailable")
    for number in range(20, 23):
        if drained_at is not None:
            h.receive(f"m{number}", at=drained_at + number - 22)
            h.effect(str(number), at=h.t)
            h.delete(f"m{number}", at=h.t)
    return h


class TestRecoveryFacts:
    def test_from_the_end_of_the_last_fault_until_its_backlog_is_gone(self) -> None:
        """Recovery is the time from the fault's end until the last message queued then has left."""
        recovery = outage().judged([]).recovery()
        assert recovery == Recovery(True, 60.0, 3, 80.0, 78.0, 80.0)
        assert (recovery.seconds, recovery.backlog_seconds) == (20.0, 20.0)

    def test_without_a_fault_there_is_none(self) -> None:
        """A clean run has nothing to recover from."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.handled("m1", "1")
        h.end()
        assert recovery_seconds(h.history) is None

    def test_not_recovered(self) -> None:
        """A backlog that never drains is no recovery."""
        recovery = outage(drained_at=None).judged([]).recovery()
        assert (recovery.drained, recovery.seconds, recovery.pending) == (None, None, 3)

    def test_nothing_was_queued(self) -> None:
        """A fault that held up nothing is recovered from at once."""
        h = HistoryBuilder()
        h.window(1, 2)
        h.end()
        assert recovery_seconds(h.history) == 0.0

    def test_later_messages_do_not_count(self) -> None:
        """Messages sent after the fault's end may still be queued."""
        h = outage()
        h.send("late", key="late", at=81)
        assert h.judged([]).recovery().seconds == 20.0

    def test_the_last_strike_counts(self) -> None:
        """A strike, a restart and a resume each begin the time anew; the last one counts."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.strike("handler.after", "crash", at=10)
        h.add("process.start", process="worker", incarnation=2, at=15)
        h.handled("m1", "1")
        recovery = h.judged([]).recovery()
        assert recovery.fault_end == 15.0
        assert recovery.seconds == pytest.approx(0.03)

    def test_an_acknowledgement_without_effect_waits_for_one(self) -> None:
        """If what was queued was acknowledged before any effect, the first effect since belongs to the recovery."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.window(1, 2)
        h.receive("m1", at=3)
        h.delete("m1", at=4)
        assert h.judged([]).recovery().seconds is None
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.window(1, 2)
        h.delete("m1", at=4)
        h.effect("1", at=9)
        assert h.judged([]).recovery().seconds == 7.0

    def test_dead_lettered_is_left(self) -> None:
        """A message that goes to the dead-letter queue has left the source queues; no effect is waited for."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.send("m2", key="2")
        h.window(1, 2)
        h.move("m1", at=5)
        h.dead_letter("d2", key="2", at=6)
        h.delete("m2", at=7)
        assert h.judged([]).recovery().seconds == 5.0


class TestRecoversWithin:
    def test_bound(self) -> None:
        """The first effect came 18 s after the fault: within 20 s, not within 10 s."""
        h = outage()
        assert h.judge(invariants.recovers_within(20)).status == "holds"
        verdict = h.judge(invariants.recovers_within("10s"))
        assert verdict.status == "violated"
        kinds = [h.events[number - 1]["kind"] for number in verdict.evidence]
        assert kinds == ["fault.end", "effect"]

    def test_exactly_at_the_bound(self) -> None:
        """Times are microseconds: 10.4 s is 4.3 s after 6.1 s, whatever floating point makes of the difference."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.window(1, 6.1)
        h.effect("1", at=10.4)
        h.delete("m1", at=h.t)
        assert 10.4 - 6.1 > 4.3
        assert h.judge(invariants.recovers_within(4.3)).status == "holds"
        assert h.judge(invariants.backlog_drains(4.3)).status == "holds"

    def test_never(self) -> None:
        """No success at all by the end violates, once the bound has passed."""
        h = outage(drained_at=None)
        h.end(at=100)
        assert h.judge(invariants.recovers_within(30)).status == "violated"
        assert h.judge(invariants.recovers_within(60)).status == "inconclusive"

    def test_work_that_comes_later(self) -> None:
        """Where nothing was queued, time counts from the first message after the fault."""
        h = HistoryBuilder()
        h.window(1, 2)
        h.send("m1", key="1", at=50)
        h.handled("m1", "1")
        assert h.judge(invariants.recovers_within(1)).status == "holds"

    def test_without_effects_acknowledgements_count(self) -> None:
        """Where no effect is declared a message acknowledged is a success."""
        h = HistoryBuilder(effects=())
        h.send("m1", key="1")
        h.window(1, 2)
        h.delete("m1", at=5)
        assert h.judge(invariants.recovers_within(4)).status == "holds"
        assert h.judge(invariants.recovers_within(2)).status == "violated"

    def test_the_first_success_of_the_declared_kind_counts(self) -> None:
        """Other effects are no success, and a second success does not make the first one later."""
        h = HistoryBuilder()
        for number in "12":
            h.send(f"m{number}", key=number)
        h.window(1, 2)
        h.effect("1", name="seen", at=3)
        h.effect("1", at=6)
        h.effect("2", at=30)
        assert h.judge(invariants.recovers_within(3)).status == "violated"
        assert h.judge(invariants.recovers_within(4)).status == "holds"

    def test_putting_aside_what_is_left_is_a_success(self) -> None:
        """If only a poison message was left, its dead letter is the success."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.strike("handler.before", "poison", key="1", at=5)
        h.move("m1", at=6)
        assert h.judge(invariants.recovers_within(2)).status == "holds"

    def test_nothing_to_judge(self) -> None:
        """No fault, or nothing left to do after it, is inconclusive."""
        assert "no fault" in HistoryBuilder().judge(invariants.recovers_within(1)).detail
        h = HistoryBuilder()
        h.window(1, 2)
        assert "nothing was left" in h.judge(invariants.recovers_within(1)).detail

    @pytest.mark.parametrize("bad", [0, -1, "soon", float("nan"), True])
    def test_bad_bounds(self, bad: object) -> None:
        """A bound that is no duration above zero is refused with its field."""
        with pytest.raises(ScenarioError, match="recovers_within"):
            invariants.recovers_within(bad)  # type: ignore[arg-type]


class TestBacklogDrains:
    @pytest.mark.parametrize(("within", "status"), [(20, "holds"), ("19s", "violated")])
    def test_bound(self, within: float | str, status: str) -> None:
        """The backlog was gone 20 s after the fault."""
        assert outage().judge(invariants.backlog_drains(within)).status == status

    def test_never(self) -> None:
        """A backlog that is still there after the bound violates; before it the run was too short."""
        h = outage(drained_at=None)
        h.end(at=100)
        assert "3 of a backlog of 3" in h.judge(invariants.backlog_drains(40)).detail
        assert h.judge(invariants.backlog_drains(41)).status == "inconclusive"

    def test_no_backlog(self) -> None:
        """Nothing queued at the fault's end is inconclusive."""
        h = HistoryBuilder()
        h.window(1, 2)
        assert "no message was queued" in h.judge(invariants.backlog_drains(1)).detail


def throughput(after: float, *, messages: int = 40) -> HistoryBuilder:
    """Two successes a second for 20 s, a fault until 40 s, then *after* a second; at the end some still wait."""
    h = HistoryBuilder()
    for number in range(messages + 60):
        h.send(f"m{number}", key=str(number), at=0.1)
    for number in range(messages):
        h.effect(str(number), at=1 + number / 2)
        h.delete(f"m{number}", at=h.t)
    h.window(21, 40)
    for number in range(messages, messages + round(after * 25)):
        h.effect(str(number), at=40 + (number - messages + 1) / after)
        h.delete(f"m{number}", at=h.t)
    h.end(at=200)
    return h


class TestThroughputReturns:
    @pytest.mark.parametrize(("after", "status"), [(2.0, "holds"), (1.0, "violated")])
    def test_rates(self, after: float, status: str) -> None:
        """The old rate is back, or half of it where 90 % are promised."""
        assert throughput(after).judge(invariants.throughput_returns(within=60)).status == status

    @pytest.mark.parametrize(("found", "status"), [(True, "holds"), (False, "violated")])
    def test_without_effects_acknowledgements_count(self, found: bool, status: str) -> None:
        """Where no effect is declared the rate is that of acknowledgements which found their message."""
        h = HistoryBuilder(effects=())
        for number in range(90):
            h.send(f"m{number}", key=str(number), at=0.1)
        for number in range(20):
            h.delete(f"m{number}", at=1 + number)
        h.window(21, 40)
        for number in range(20, 80):
            h.delete(f"m{number}", at=21 + number, found=found)
        h.end(at=300)
        assert h.judge(invariants.throughput_returns(within=60)).status == status

    def _then(self, *times: float, within: float = 60) -> str:
        """Two a second before the fault, which ends at 40.6 s; successes at *times* after it, and work that waits."""
        h = HistoryBuilder()
        for number in range(80):
            h.send(f"m{number}", key=str(number), at=0.1)
        for number in range(20):
            h.effect(str(number), at=1 + number / 2)
            h.delete(f"m{number}", at=h.t)
        h.window(11, 40.6)
        for number, at in enumerate(times, start=20):
            h.effect(str(number), at=at)
            h.delete(f"m{number}", at=h.t)
        h.end(at=200)
        return h.judge(invariants.throughput_returns(1.0, within=within)).status

    def test_a_window_begins_anywhere(self) -> None:
        """Five seconds are five seconds where they begin in the middle of one, and no moment longer."""
        times = [50.7 + step / 2 for step in range(10)]
        assert self._then(*times) == "holds"
        assert self._then(*times[:-1], times[0] + 5) == "violated"

    def test_a_window_begins_after_the_fault(self) -> None:
        """What succeeded before the last fault's end is no part of the rate, and what came too late neither."""
        assert self._then(*(40.5 + step / 2 for step in range(10))) == "violated"
        assert self._then(*(40.6 + step / 2 for step in range(10))) == "holds"
        assert self._then(*(96.1 + step / 2 for step in range(10))) == "holds"
        assert self._then(*(96.2 + step / 2 for step in range(10))) == "violated"

    def test_less_time_than_a_window(self) -> None:
        """Back within two seconds = at the old rate in two seconds."""
        assert self._then(40.7, 41.2, 41.7, 42.2, within=2) == "holds"
        assert self._then(40.7, 41.2, 41.7, within=2) == "violated"

    def test_drained_but_new_work_waits(self) -> None:
        """A drained backlog is no excuse for a rate that stays low while new messages wait."""
        h = outage()
        for number in range(30, 60):
            h.send(f"m{number}", key=str(number), at=81)
        h.end(at=400)
        assert h.judge(invariants.throughput_returns()).status == "violated"

    def test_nothing_left_to_do(self) -> None:
        """A system that has drained its backlog need not prove its rate."""
        assert outage().judge(invariants.throughput_returns()).status == "holds"

    def test_too_few_before(self) -> None:
        """A rate needs ten successes before the fault."""
        h = HistoryBuilder()
        h.send("m1", key="1")
        h.handled("m1", "1")
        h.window(1, 2)
        assert "too few" in h.judge(invariants.throughput_returns()).detail

    def test_too_short_a_run(self) -> None:
        """A run that ends before the time is over says nothing."""
        assert throughput(1.0).judge(invariants.throughput_returns(within=600)).status == "inconclusive"


class TestNotMetastable:
    def test_stays_down(self) -> None:
        """The trigger is long gone, dozens of messages wait, and hardly any succeeds."""
        h = throughput(0.2)
        verdict = h.judge(invariants.not_metastable())
        assert verdict.status == "violated"
        assert "55 messages wait" in verdict.detail

    def test_one_message_left_is_stuck_but_not_metastable(self) -> None:
        """A few messages that wait at the end are for not-stuck to judge."""
        h = outage(drained_at=None)
        assert h.judge(invariants.not_metastable()).status == "holds"

    def test_still_working_it_off(self) -> None:
        """A system that works at its old rate to the end is not metastable, however much waits."""
        h = HistoryBuilder()
        for number in range(200):
            h.send(f"m{number}", key=str(number), at=0.1)
        for number in range(20):
            h.effect(str(number), at=1 + number)
            h.delete(f"m{number}", at=h.t)
        h.window(21, 40)
        for number in range(20, 120):
            h.effect(str(number), at=21 + number)
            h.delete(f"m{number}", at=h.t)
        h.end(at=141)
        assert h.judge(invariants.not_metastable()).status == "holds"

    def _late(self, *times: float) -> str:
        """Two a second before the fault; successes at *times* after it, and twelve that still wait at 141.7 s."""
        h = HistoryBuilder()
        for number in range(32 + len(times)):
            h.send(f"m{number}", key=str(number), at=0.1)
        for number in range(20):
            h.effect(str(number), at=1 + number / 2)
            h.delete(f"m{number}", at=h.t)
        h.window(11, 40)
        for number, at in enumerate(times, start=20):
            h.effect(str(number), at=at)
            h.delete(f"m{number}", at=h.t)
        h.end(at=141.7)
        return h.judge(invariants.not_metastable()).status

    def test_what_there_was_to_do(self) -> None:
        """Twelve wait and twelve were done: half of it. One less is not."""
        assert self._late(*(120 + step for step in range(12))) == "holds"
        assert self._late(*(120 + step for step in range(11))) == "violated"

    def test_the_last_half_minute_begins_within_a_second(self) -> None:
        """The last thirty seconds begin where they begin, not at a whole second."""
        assert self._late(*(111.8 + step for step in range(12))) == "holds"
        assert self._late(*(111.6 + step for step in range(12))) == "violated"

    def test_ended_too_soon(self) -> None:
        """Half a minute after the fault is too early to call it metastable."""
        h = throughput(0.2)
        h.events.pop()
        h.end(at=66)
        assert h.judge(invariants.not_metastable()).status == "inconclusive"
