"""What a closed breaker ought to have counted: windows, and states that processes share."""

from __future__ import annotations

from typing import Any

import pytest

from harness import invariants
from tests.histories import HistoryBuilder

COUNT = {"mode": "count", "size": 10, "minimum_calls": 4, "failure_rate": 0.5}
TIME = {"mode": "time", "seconds": 60, "minimum_calls": 4, "failure_rate": 0.5}


def calls(h: HistoryBuilder, outcomes: str, *, apart: float = 0.01, **fields: Any) -> list[int]:
    """Calls one after another: F failed, S succeeded, L succeeded and was slow, I was ignored."""
    names = {"F": "failure", "S": "success", "L": "success", "I": "ignored"}
    ends = []
    for letter in outcomes:
        number = len(h.events)
        h.begin(number, at=h.t + apart, **fields)
        ends.append(h.called(number, names[letter], **({"slow": True} if letter == "L" else {}), **fields))
    return ends


def judged(h: HistoryBuilder, **parameters: Any) -> tuple[str, tuple[int, ...]]:
    verdict = h.judge(invariants.breaker_opens().with_parameters(**parameters))
    return verdict.status, verdict.evidence


class TestWindows:
    @pytest.mark.parametrize("limits", [COUNT, TIME], ids=["count", "time"])
    def test_at_the_rate(self, limits: dict[str, Any]) -> None:
        """Half of four calls, ignored ones apart."""
        h = HistoryBuilder()
        h.breaker(**limits)
        calls(h, "SFISF")
        h.transition("closed", "open", 2, at=h.t)
        assert judged(h)[0] == "holds"

    @pytest.mark.parametrize("limits", [COUNT, TIME], ids=["count", "time"])
    @pytest.mark.parametrize("outcomes", ["FFF", "SSSSF", "SSFSF", "FSIF"])
    def test_below_the_rate_or_the_minimum(self, limits: dict[str, Any], outcomes: str) -> None:
        """Too few calls, or too few failures among them; the change is the evidence."""
        h = HistoryBuilder()
        h.breaker(**limits)
        calls(h, outcomes)
        change = h.transition("closed", "open", 2, at=h.t)
        status, evidence = judged(h)
        assert status == "violated"
        assert change in evidence

    @pytest.mark.parametrize("limits", [COUNT, TIME], ids=["count", "time"])
    def test_it_does_not_open(self, limits: dict[str, Any]) -> None:
        """At its rate, and the next call is let in: the call that reached it and that one are the evidence."""
        h = HistoryBuilder()
        h.breaker(**limits)
        ends = calls(h, "SFSF")
        begin = h.begin(99)
        assert judged(h) == ("violated", (ends[-1], begin))

    def test_calls_beyond_the_size_are_forgotten(self) -> None:
        """Two failures of long ago and two of now are not half of the last four."""
        h = HistoryBuilder()
        h.breaker(**COUNT | {"size": 4})
        calls(h, "SFSSSFS")
        assert judged(h)[0] == "inconclusive"
        h.transition("closed", "open", 2, at=h.t)
        assert judged(h)[0] == "violated"

    def test_calls_beyond_the_seconds_are_forgotten(self) -> None:
        """The same by time; in the tenth of the window that nobody can know, either is right."""
        for wait, expected in ((50, "holds"), (57, "holds"), (62, "violated")):
            h = HistoryBuilder()
            h.breaker(**TIME)
            calls(h, "FFF")
            calls(h, "S", apart=wait)
            h.transition("closed", "open", 2, at=h.t)
            assert judged(h)[0] == expected, wait
        for wait, expected in ((50, "violated"), (57, "inconclusive"), (62, "inconclusive")):
            h = HistoryBuilder()
            h.breaker(**TIME)
            calls(h, "FFF")
            calls(h, "S", apart=wait)
            h.begin(99)
            assert judged(h)[0] == expected, wait

    def test_slow_calls(self) -> None:
        """Where the history tells the rate of slow calls, they are reason to open too."""
        for limits, expected in (({"slow_call_rate": 0.5}, "holds"), ({}, "violated")):
            h = HistoryBuilder()
            h.breaker(**COUNT, **limits)
            calls(h, "SLSL")
            h.transition("closed", "open", 2, at=h.t)
            assert judged(h)[0] == expected

    def test_each_closed_state_begins_anew(self) -> None:
        """What opened it before does not open it again."""
        h = HistoryBuilder()
        h.breaker(**COUNT)
        calls(h, "FFFF")
        h.transition("closed", "open", 2, at=h.t)
        h.transition("open", "half_open", 3, at=h.t + 60)
        h.call(98, "success", "half_open", 3)
        h.transition("half_open", "closed", 4, at=h.t)
        calls(h, "FS", generation=4)
        assert judged(h)[0] == "holds"
        h.transition("closed", "open", 5, at=h.t)
        assert judged(h)[0] == "violated"

    def test_disabled_by_hand(self) -> None:
        """Nothing is counted until somebody enables it."""
        h = HistoryBuilder()
        h.breaker(**COUNT)
        h.transition("closed", "closed", 2, reason="disabled")
        calls(h, "FFFFF", generation=2)
        assert judged(h)[0] == "inconclusive"
        h.transition("closed", "closed", 3, reason="enabled")
        calls(h, "FFFFF", generation=3)
        assert judged(h)[0] == "violated"


class Shared(HistoryBuilder):
    """A breaker that opens after three failures, shared by ``worker.1`` and others."""

    def __init__(self, **limits: Any) -> None:
        super().__init__()
        facts = {"shared": True, "store": "redis", "permit_seconds": 20, **limits}
        self.created = self.breaker(actor="worker.1", **facts)
        self.calls = 0

    def who(self, number: int) -> dict[str, Any]:
        return {"actor": f"worker.{number}", **({} if number == 1 else {"owner": "worker.1"})}

    def made(self, number: int, outcome: str, *, generation: int = 1, state: str = "closed") -> int:
        """One whole call by that worker."""
        self.calls += 1
        self.begin(self.calls, state, generation, **self.who(number))
        return self.called(self.calls, outcome, state, generation, **self.who(number))

    def asks(self, number: int, *, generation: int = 1, state: str = "closed") -> int:
        """That worker makes a call, and so has heard of what it told before."""
        self.calls += 1
        return self.begin(self.calls, state, generation, **self.who(number))

    def changed(self, number: int, before: str, after: str, generation: int, **fields: Any) -> int:
        return self.transition(before, after, generation, **self.who(number), **fields)


class TestShared:
    def test_failures_of_all_count(self) -> None:
        """Three processes had one each; a fourth tells that it is open."""
        h = Shared()
        for number in (1, 2, 3):
            h.made(number, "failure")
        h.changed(4, "closed", "open", 2)
        assert judged(h)[0] == "holds"

    def test_too_early(self) -> None:
        """Two failures, and no third one that anybody told."""
        h = Shared()
        ends = [h.made(1, "failure"), h.made(2, "failure")]
        change = h.changed(1, "closed", "open", 2)
        assert judged(h) == ("violated", (*ends, change))

    def test_a_success_that_may_have_come_before(self) -> None:
        """It was told between two failures; whether the store heard it between them, nobody knows."""
        h = Shared()
        h.made(1, "failure")
        h.made(2, "success")
        h.made(1, "failure")
        h.made(1, "failure")
        h.changed(1, "closed", "open", 2)
        assert judged(h)[0] == "holds"

    def test_a_success_that_certainly_came_between(self) -> None:
        """The first failure was known to be counted before it was told, and the store has heard of the success."""
        h = Shared()
        h.made(1, "failure")
        h.asks(1)
        h.made(2, "success")
        h.asks(2)
        h.made(3, "failure")
        h.made(4, "failure")
        h.changed(3, "closed", "open", 2)
        assert judged(h)[0] == "violated"

    def test_it_does_not_open(self) -> None:
        """Three failures that the store has certainly heard of, and another call is let in."""
        h = Shared()
        ends = [h.made(1, "failure") for _ in range(3)]
        begin = h.asks(1)
        assert judged(h) == ("violated", (*ends, begin))

    def test_while_the_last_result_is_under_way_calls_may_be_let_in(self) -> None:
        """Another process's call was let in before the store heard of the third failure."""
        h = Shared()
        for number in (1, 2, 3):
            h.made(number, "failure")
        h.asks(4)
        assert judged(h)[0] == "inconclusive"

    def test_a_result_that_the_store_may_not_have_heard(self) -> None:
        """The process lost its store after telling it: it may open later, and may have opened."""
        for after, expected in (
            ("breaker.store", "inconclusive"),
            ("process.start", "inconclusive"),
            (None, "violated"),
        ):
            h = Shared()
            h.made(1, "failure")
            h.made(1, "failure")
            h.made(1, "failure")
            if after == "breaker.store":
                h.add(after, breaker="payments", available=False, error="ConnectionError", **h.who(1))
                h.add("breaker.store", breaker="payments", available=True, error=None, **h.who(1))
            elif after == "process.start":
                h.add(after, process="worker.1", incarnation=2)
            h.asks(1)
            assert judged(h)[0] == expected, after

    def test_what_is_told_without_the_store_is_not_counted(self) -> None:
        """Results of calls that began before the store was lost never reach it."""
        h = Shared()
        h.asks(1)
        h.add("breaker.store", breaker="payments", available=False, error="ConnectionError", **h.who(1))
        h.called(h.calls, "failure", **h.who(1))
        h.made(2, "failure")
        h.made(2, "failure")
        h.changed(2, "closed", "open", 2)
        assert judged(h)[0] == "violated"

    def test_what_the_store_lost(self) -> None:
        """After a failover three failures need not be three, where the fault model says so."""
        for excused, expected in ((True, "inconclusive"), (False, "violated")):
            h = Shared()
            h.made(1, "failure")
            h.made(1, "failure")
            h.strike("redis.EVALSHA.before", "failover")
            h.made(1, "failure")
            h.asks(1)
            assert judged(h, losses_excused=excused)[0] == expected

    def test_a_window_in_a_store_is_not_judged(self) -> None:
        """In which order the store counted, the history does not say."""
        h = Shared(**COUNT)
        h.made(1, "failure")
        h.changed(1, "closed", "open", 2)
        assert judged(h)[0] == "inconclusive"

    def test_the_open_time_is_the_stores(self) -> None:
        """Who tells of the opening late has not shortened it."""
        for at, expected in ((70.0, "holds"), (69.0, "violated")):
            h = Shared()
            for _ in range(3):
                h.made(1, "failure")
            h.changed(1, "closed", "open", 2, at=30)
            h.changed(2, "open", "half_open", 3, at=70)
            for event, store_time in zip(h.events[-2:], (10.0, at), strict=True):
                event["at"] = store_time  # type: ignore[index]  # `at` of the builder moves its clock
            assert h.judge(invariants.breaker_stays_open()).status == expected

    def test_a_call_that_was_let_in_before_is_no_offence(self) -> None:
        """It is told late, by a process that did not know of the opening; one of the open state is."""
        for generation, expected in ((1, "inconclusive"), (2, "violated")):
            h = Shared()
            for _ in range(3):
                h.made(1, "failure")
            h.changed(1, "closed", "open", 2)
            h.asks(2, generation=generation, state="closed" if generation == 1 else "open")
            assert h.judge(invariants.breaker_stays_open()).status == expected

    def test_probes_of_two_processes(self) -> None:
        """Both under way at once: one too many; not if the first one's permit may have lapsed, or was lost."""
        for wait, lost, expected in ((0, False, "violated"), (11, False, "holds"), (0, True, "holds")):
            h = Shared()
            h.changed(1, "closed", "open", 2)
            h.changed(1, "open", "half_open", 3, at=70)
            h.asks(1, generation=3, state="half_open")
            if lost:
                h.strike("redis.EVALSHA.before", "failover")
            h.t += wait
            h.begin(99, "half_open", 3, at=h.t + wait, **h.who(2))
            spec = invariants.breaker_half_open_permits().with_parameters(losses_excused=lost)
            assert h.judge(spec).status == expected, (wait, lost)

    def test_a_change_long_after_its_cause(self) -> None:
        """A late result at the very instant at which the change is told is not its cause: the state had its own."""
        for own, expected in ((True, "holds"), (False, "violated")):
            h = Shared()
            h.changed(1, "closed", "open", 2)
            h.changed(1, "open", "half_open", 3, at=70)
            if own:
                h.made(1, "success", generation=3, state="half_open")
            h.called(50, "success", "closed", 1, at=h.t + 1, **h.who(3))
            h.changed(2, "half_open", "closed", 4, at=h.t)
            assert h.judge(invariants.breaker_generations()).status == expected

    def test_it_outlives_its_processes(self) -> None:
        """The first one starts again: the state goes on, open."""
        h = Shared()
        for _ in range(3):
            h.made(1, "failure")
        h.changed(1, "closed", "open", 2)
        h.add("process.start", process="worker.1", incarnation=2)
        h.changed(2, "open", "half_open", 3, at=h.t + 60)
        assert h.judge(invariants.breaker_transitions()).status == "holds"
        assert h.judge(invariants.breaker_stays_open()).status == "holds"

    def test_one_that_begins_open(self) -> None:
        """A state that a process brought back is not closed at first."""
        for state, expected in (({"state": "open"}, "holds"), ({}, "violated")):
            h = Shared(**state)
            h.changed(1, "open", "half_open", 2)
            assert h.judge(invariants.breaker_transitions()).status == expected
