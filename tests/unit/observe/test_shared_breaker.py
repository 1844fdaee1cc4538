"""Breakers of several processes on one store, observed: one story, and judged right."""

from __future__ import annotations

import time
from collections.abc import Iterator

import fakeredis
import pytest

from harness import invariants
from harness.resilience import CircuitBreaker, CircuitBreakerOpenException, RedisBreakerStore, TimeWindow
from harness.resilience.breaker_store import Question, View
from tests.unit.observe.helpers import Clock, fail, observed
from tests.unit.observe.test_judged import BREAKER, Timed, verdicts


class Store(RedisBreakerStore):
    def __init__(self) -> None:
        super().__init__(fakeredis.FakeRedis())
        self.down = False

    def ask(self, breaker: str, question: Question) -> View:
        if self.down:
            raise ConnectionError
        return super().ask(breaker, question)


class Fleet:
    """Three processes with a breaker each, on one store; an event takes a millisecond."""

    def __init__(self, record: Timed, store: Store, threshold: int = 3) -> None:
        self.record, self.store, self.clock = record, store, record.clock
        self.breakers = [
            CircuitBreaker(threshold, 30, name="payments", store=store, permit_seconds=10, clock=record.clock)
            for _ in range(3)
        ]

    def of(self, number: int) -> CircuitBreaker:
        self.record.process = f"worker.{number}"
        return self.breakers[number - 1]

    def fail(self, number: int) -> None:
        with pytest.raises(OSError, match="down"):
            self.of(number).call(fail, OSError("down"))

    def refused(self, number: int) -> None:
        with pytest.raises(CircuitBreakerOpenException):
            self.of(number).call(int)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    clock = Clock(0.0)
    monkeypatch.setattr(time, "time", lambda: 1_900_000_000 + clock.now)
    record = Timed(clock)
    with observed(record):
        yield Fleet(record, Store())


def outage(fleet: Fleet) -> None:
    """One failure in each process opens it; one probe closes it for all."""
    for number in (1, 2, 3):
        fleet.fail(number)
    for number in (1, 2, 3):
        fleet.refused(number)
    fleet.clock.now += 31
    with fleet.of(1):
        fleet.refused(2)
        fleet.record.process = "worker.1"
    for number in (2, 3, 1):
        fleet.of(number).call(int)


def test_one_story_whoever_tells_it(fleet: Fleet) -> None:
    """One announcement, each change once, though three processes learn of it; the others name the owner."""
    outage(fleet)
    created = fleet.record.of("breaker.created")
    assert len(created) == 1
    assert created[0] | {"shared": True, "store": "redis", "permit_seconds": 10} == created[0]
    changes = fleet.record.of("breaker.transition")
    assert [(event["to"], event["generation"]) for event in changes] == [("open", 2), ("half_open", 3), ("closed", 4)]
    assert changes[1]["at"] - changes[0]["at"] == pytest.approx(31, abs=0.1)
    owners = {event["by"]: event.get("owner") for event in fleet.record.events}
    assert owners == {"worker.1": None, "worker.2": "worker.1", "worker.3": "worker.1"}
    calls = [event["call"] for event in fleet.record.of("breaker.begin")]
    assert calls == list(range(1, len(calls) + 1))


def test_it_is_judged_right(fleet: Fleet) -> None:
    """Three failures of three processes: opened at its threshold, not too early."""
    outage(fleet)
    found = verdicts(fleet.record, BREAKER)
    assert {name for name, status in found.items() if status == "violated"} == set()
    assert found["breaker-opens"] == found["breaker-stays-open"] == found["breaker-half-open-permits"] == "holds"


def test_without_the_store_each_process_is_a_story_of_its_own(fleet: Fleet) -> None:
    """What one does alone is another breaker's, from the state that it knew; judged right, and so is what follows."""
    fleet.of(1).call(int)
    fleet.of(2).call(int)
    fleet.store.down = True
    for _ in range(3):
        fleet.fail(1)
        fleet.fail(2)
    fleet.refused(1)
    fleet.clock.now += 31
    fleet.of(1).call(int)
    fleet.store.down = False
    fleet.clock.now += 5
    outage(fleet)
    fleet.store.down = True
    fleet.of(1).call(int)
    names = [event["breaker"] for event in fleet.record.of("breaker.created")]
    assert names == ["payments", "payments-alone", "payments-alone-2", "payments-alone"]
    told = [
        (event["breaker"], event["available"])
        for event in fleet.record.of("breaker.store")
        if event["by"] == "worker.1"
    ]
    assert told == [("payments", False), ("payments", True), ("payments", False)]
    found = verdicts(fleet.record, BREAKER)
    assert set(found.values()) == {"holds", "inconclusive"}
    assert found["breaker-opens"] == "holds"


def test_alone_from_an_open_state(fleet: Fleet) -> None:
    """The store fails while the breaker is open: its story alone begins open, and that is no illegal change."""
    for number in (1, 2, 3):
        fleet.fail(number)
    fleet.refused(1)
    fleet.store.down = True
    fleet.clock.now += 31
    fleet.of(1).call(int)
    alone = fleet.record.of("breaker.created")[-1]
    assert (alone["breaker"], alone["state"]) == ("payments-alone", "open")
    changes = [event for event in fleet.record.of("breaker.transition") if event["breaker"] == "payments-alone"]
    assert [(event["from"], event["generation"]) for event in changes] == [("open", 2), ("half_open", 3)]
    assert "violated" not in verdicts(fleet.record, BREAKER).values()


def test_a_late_result_of_an_earlier_time_alone_is_none_of_this_one(fleet: Fleet) -> None:
    """It is told with a generation of before, so that it counts for nothing."""
    fleet.store.down = True
    ticket = fleet.of(1)._admit()
    fleet.store.down = False
    fleet.clock.now += 6
    fleet.of(1).call(int)
    fleet.store.down = True
    fleet.of(1).call(int)
    fleet.of(1)._finish(ticket, OSError())
    late = fleet.record.of("breaker.call")[-1]
    assert late["breaker"] == "payments-alone"
    assert late["generation"] < 1


def test_a_store_that_lost_its_data_begins_another_story(fleet: Fleet) -> None:
    """Open before the flush and after it: announced anew, in the state in which it begins."""
    for number in (1, 2, 3):
        fleet.fail(number)
    fleet.refused(1)
    fleet.store.redis.flushall()
    fleet.clock.now += 1
    fleet.refused(1)
    fleet.refused(2)
    fleet.clock.now += 31
    fleet.of(2).call(int)
    created = fleet.record.of("breaker.created")
    assert [(event["breaker"], event.get("state")) for event in created] == [("payments", None), ("payments-2", "open")]
    assert "violated" not in verdicts(fleet.record, BREAKER).values()


def test_a_breaker_whose_permits_are_its_own_is_found(fleet: Fleet) -> None:
    """Two processes that probe at once, each by its own permit."""
    for number in (1, 2, 3):
        fleet.fail(number)
    fleet.clock.now += 31
    original = Store.ask

    def ask(store: Store, breaker: str, question: Question) -> View:
        view = original(store, breaker, question)
        if question.kind == "admit":
            object.__setattr__(view, "yes", True)
        return view

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "ask", ask)
        with fleet.of(1):
            fleet.of(2).call(int)
            fleet.record.process = "worker.1"
    assert verdicts(fleet.record, BREAKER)["breaker-half-open-permits"] == "violated"


def test_a_permit_of_a_dead_process_that_lapsed_is_no_offence(fleet: Fleet) -> None:
    """The first prober never comes back; after its permit's time another one probes."""
    for number in (1, 2, 3):
        fleet.fail(number)
    fleet.clock.now += 31
    fleet.of(1)._admit()
    fleet.clock.now += 10
    fleet.of(2).call(int)
    assert verdicts(fleet.record, BREAKER)["breaker-half-open-permits"] == "holds"


def test_the_limits_of_a_window_are_told() -> None:
    """Rate, minimum, seconds and the rate of slow calls, so that the window can be judged; slow calls are marked."""
    clock = Clock()
    with observed() as record:
        window = TimeWindow(10, failure_rate=0.4, minimum_calls=3, slow_call_seconds=1, slow_call_rate=0.7)
        breaker = CircuitBreaker(window=window, clock=clock)
        breaker.call(int)
        breaker.call(clock.sleep, 2)
    limits = {"failure_rate": 0.4, "minimum_calls": 3, "seconds": 10, "slow_call_rate": 0.7, "mode": "time"}
    created = record.of("breaker.created")[0]
    assert created | limits == created
    assert [event.get("slow") for event in record.of("breaker.call")] == [None, True]


def test_a_windowed_breaker_is_judged() -> None:
    """It opens at its rate: judged by the calls themselves. One that counts otherwise is found."""

    class Hasty(TimeWindow):
        def verdict(self, calls: int, failures: int, slow: int) -> str | None:
            return "any failure" if failures else None

    for kind, expected in ((TimeWindow, "holds"), (Hasty, "violated")):
        clock = Clock(0.0)
        record = Timed(clock)
        with observed(record):
            breaker = CircuitBreaker(window=kind(60, minimum_calls=4), recovery_timeout=30, clock=clock)
            for error in (None, OSError(), None, OSError()):
                try:
                    breaker.call(fail if error else int, *([error] if error else []))
                except (OSError, CircuitBreakerOpenException):
                    clock.now += 1
        assert verdicts(record, [invariants.breaker_opens()])["breaker-opens"] == expected
