"""The degradation manager: each level and measure, by hand and by itself, on clocks that tests hold in their hands."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.resilience.breaker import CircuitBreaker, CircuitBreakerOpenException, CircuitState
from harness.resilience.consumer import ConsumerEvent, ConsumerOptions, ResilientConsumer
from harness.resilience.degradation import (
    LEVELS,
    MEASURES,
    DegradationEvent,
    HealthAssessed,
    Hysteresis,
    LevelChanged,
    MeasureChanged,
    ServiceDegradationManager,
    Shedding,
    watch_degradation,
)
from harness.resilience.errors import PermanentError, ServiceUnavailableError
from harness.resilience.monitoring import ErrorMonitoring
from tests.unit.resilience.sqs_fake import Clock, FakeSqs, aws_error

MAIN = "https://sqs.example/1/orders"
FIFO = "https://sqs.example/1/orders.fifo"
DLQ = "https://sqs.example/1/orders-dlq"

NORMAL, LIGHT, MODERATE, SEVERE, EMERGENCY = LEVELS


def made(clock: Clock, **keywords: Any) -> ServiceDegradationManager:
    keywords.setdefault("random", random.Random(1))
    return ServiceDegradationManager(clock=clock, **keywords)


class TestTheGuidesApi:
    @pytest.mark.parametrize(
        ("error_rate", "depth", "level"),
        [
            (0, 0, NORMAL),
            (0.05, 10_000, NORMAL),
            (0.051, 0, LIGHT),
            (0, 10_001, LIGHT),
            (0.1, 20_000, LIGHT),
            (0.11, 0, MODERATE),
            (0, 20_001, MODERATE),
            (0.21, 0, SEVERE),
            (0, 50_001, SEVERE),
            (0.5, 100_000, SEVERE),
            (0.51, 0, EMERGENCY),
            (0, 100_001, EMERGENCY),
        ],
    )
    def test_thresholds(self, error_rate: float, depth: int, level: str) -> None:
        """Strictly above a threshold asks for its level; the worse of error rate and depth decides."""
        manager = ServiceDegradationManager()
        metrics = {"error_rate": error_rate, "queue_depth": depth, "processing_latency": 0.1}
        assert manager.assess_system_health(metrics) == level

    @pytest.mark.parametrize(
        ("latency", "level"), [(5, NORMAL), (5.1, LIGHT), (10.1, MODERATE), (20.1, SEVERE), (30.1, EMERGENCY)]
    )
    def test_latency_counts(self, latency: float, level: str) -> None:
        """A service that is slow without an error and without a backlog is unwell."""
        manager = ServiceDegradationManager()
        metrics = {"error_rate": 0, "queue_depth": 0, "processing_latency": latency}
        assert manager.assess_system_health(metrics) == level

    def test_levels_have_their_numbers(self) -> None:
        """The names and numbers of the levels are those that users know."""
        assert ServiceDegradationManager().degradation_levels == {
            "normal": 0,
            "light_degradation": 1,
            "moderate_degradation": 2,
            "severe_degradation": 3,
            "emergency_mode": 4,
        }

    def test_current_level_is_set(self) -> None:
        """What was applied is what the manager says is in force; names and numbers both do."""
        manager = ServiceDegradationManager()
        assert manager.current_level == NORMAL
        manager.apply_degradation(SEVERE)
        assert manager.current_level == SEVERE
        manager.apply_degradation(1)
        assert manager.current_level == LIGHT
        manager.current_level = MODERATE
        assert manager.active_measures == MEASURES[:2]

    @pytest.mark.parametrize("level", ["panic", 5, -1])
    def test_an_unknown_level_changes_nothing(self, level: str | int) -> None:
        """A level that does not exist is refused, by name, before anything is touched; pinned, too."""
        manager = ServiceDegradationManager()
        manager.apply_degradation(LIGHT)
        for apply in (manager.apply_degradation, manager.pin):
            with pytest.raises(ValueError, match=r"level"):
                apply(level)
        assert (manager.current_level, manager.active_measures) == (LIGHT, MEASURES[:1])

    def test_missing_metrics_ask_for_nothing(self) -> None:
        """Metrics that are missing, unknown or no number do not raise the level."""
        manager = ServiceDegradationManager()
        for metrics in ({}, {"error_rate": None}, {"error_rate": float("nan")}, {"disk": 99.0}):
            assert manager.assess_system_health(metrics) == NORMAL

    def test_measures_may_be_overridden(self) -> None:
        """A subclass's own four measures are called in order, from the level on at which each begins."""
        called: list[str] = []

        class Own(ServiceDegradationManager):
            def _reduce_message_processing_rate(self) -> None:
                called.append("rate")

            def _disable_non_critical_features(self) -> None:
                called.append("features")

            def _enable_circuit_breakers(self) -> None:
                called.append("breakers")

            def _activate_emergency_protocols(self) -> None:
                called.append(f"emergency at {self.current_level}")

        Own().apply_degradation(EMERGENCY)
        assert called == ["rate", "features", "breakers", "emergency at emergency_mode"]
        called.clear()
        Own().apply_degradation(MODERATE)
        assert called == ["rate", "features"]

    def test_an_overridden_assessment_decides(self) -> None:
        """A manager that runs by itself follows the subclass's judgement of the health, up and down."""

        class Own(ServiceDegradationManager):
            ill = True

            def assess_system_health(self, metrics: Any) -> str:
                return MODERATE if self.ill else NORMAL

        clock = Clock()
        manager = Own(clock=clock)
        ticks(manager, clock, 20)
        assert manager.current_level == MODERATE
        manager.ill = False
        ticks(manager, clock, 120)
        assert manager.current_level == NORMAL


class TestMeasuresDoSomething:
    def test_light_limits_the_rate(self) -> None:
        """At level 1 a consumer gets three quarters of full speed, one second's worth at once, and waits in between."""
        clock = Clock()
        manager = made(clock, processing_rate=8)
        assert manager.admission().limit == 10
        manager.apply_degradation(LIGHT)
        admission = manager.admission()
        assert admission.wait == pytest.approx(1 / 6)
        clock.advance(100)
        admission = manager.admission()
        assert (admission.wait, admission.limit) == (0, 6)
        assert received_in(manager, clock, 60) == pytest.approx(6 * 60, abs=7)

    def test_each_level_is_slower(self) -> None:
        """The rate falls from level to level, and comes back the same way."""
        clock = Clock()
        manager = made(clock, processing_rate=40)
        rates = []
        for level in (LIGHT, MODERATE, SEVERE, MODERATE, LIGHT):
            manager.apply_degradation(level)
            rates.append(received_in(manager, clock, 20) / 20)
        assert rates == pytest.approx([30, 20, 10, 20, 30], rel=0.06)
        manager.apply_degradation(NORMAL)
        assert manager.admission().wait == 0
        assert manager.admission().limit == 10

    def test_what_came_too_much_is_waited_for(self) -> None:
        """A batch that brings more than the bucket held is paid for with a longer wait."""
        clock = Clock()
        manager = made(clock, processing_rate=2)
        manager.apply_degradation(MODERATE)
        clock.advance(5)
        for _ in range(4):
            manager.listener(ConsumerEvent("received", MAIN))
        assert received_in(manager, clock, 3) == 0
        clock.advance(1)
        assert manager.admission().wait == 0

    def test_full_speed_is_measured(self) -> None:
        """Without a rate of the user's, full speed is the highest throughput that this process lately had."""
        clock = Clock()
        manager = made(clock)
        assert manager.full_rate == 10
        call = manager.measured(lambda: None)
        for _ in range(400):
            call()
            clock.advance(0.05)
        assert manager.full_rate == pytest.approx(20, rel=0.1)
        clock.advance(900)
        assert manager.full_rate == pytest.approx(10, rel=0.1)

    def test_moderate_switches_features_off(self) -> None:
        """At level 2 declared features are off, each from its own level on; what was never declared is critical."""
        manager = ServiceDegradationManager(features={"recommendations": MODERATE, "invoices": 4})
        states = []
        for level in (LIGHT, MODERATE, SEVERE, EMERGENCY, NORMAL):
            manager.apply_degradation(level)
            enabled = manager.features.enabled
            states.append((enabled("recommendations"), enabled("invoices"), enabled("payments")))
        assert states == [
            (True, True, True),
            (False, True, True),
            (False, True, True),
            (False, False, True),
            (True, True, True),
        ]

    def test_features_by_hand(self) -> None:
        """What a person has switched stays so, whatever the level, until the level is to decide again."""
        manager = ServiceDegradationManager(features=["recommendations"])
        features = manager.features
        features.disable("recommendations")
        features.disable("payments")
        assert list(features.off) == ["payments", "recommendations"]
        features.enable("recommendations")
        manager.apply_degradation(EMERGENCY)
        assert features.enabled("recommendations")
        features.follow("recommendations")
        features.follow("payments")
        assert list(features.off) == ["recommendations"]

    @pytest.mark.parametrize("level", [1, NORMAL, 5, "panic"])
    def test_features_go_off_from_moderate_on(self, level: str | int) -> None:
        """A level at which no feature is switched is refused when it is declared."""
        with pytest.raises(ValueError, match=r"levels 2 to 4|not in"):
            ServiceDegradationManager(features={"recommendations": level})

    def test_severe_tightens_breakers(self) -> None:
        """At level 3 half the failures open a breaker, for twice as long; later it is as before."""
        clock = Clock()
        breaker = CircuitBreaker(failure_threshold=6, recovery_timeout=20, clock=clock)
        manager = made(clock, breakers=[breaker])
        manager.apply_degradation(SEVERE)
        fail(breaker, 3)
        assert breaker.state.value == "open"
        clock.advance(39)
        with pytest.raises(CircuitBreakerOpenException):
            breaker.call(lambda: None)
        clock.advance(2)
        breaker.call(lambda: None)
        manager.apply_degradation(EMERGENCY)
        assert breaker.failure_threshold == 3
        manager.apply_degradation(MODERATE)
        assert (breaker.failure_threshold, breaker.recovery_timeout) == (6, 20)
        fail(breaker, 5)
        assert breaker.state.value == "closed"

    def test_tightening_opens_what_has_failed_enough(self) -> None:
        """A breaker that has its new number of failures already does not wait for another one."""
        clock = Clock()
        breaker = CircuitBreaker(failure_threshold=6, clock=clock)
        fail(breaker, 4)
        made(clock, breakers=[breaker]).apply_degradation(SEVERE)
        assert breaker.state is CircuitState.OPEN

    def test_severe_isolates_what_can_be_done_without(self) -> None:
        """A breaker to isolate lets nothing through from level 3 on; after it a probe decides."""
        clock = Clock()
        breaker = CircuitBreaker(recovery_timeout=5, clock=clock)
        manager = made(clock, isolate=[breaker])
        manager.apply_degradation(SEVERE)
        clock.advance(3_600)
        with pytest.raises(CircuitBreakerOpenException):
            breaker.call(lambda: None)
        manager.apply_degradation(LIGHT)
        assert breaker.state.value == "half_open"
        breaker.call(lambda: None)
        assert breaker.state.value == "closed"

    def test_what_a_person_has_set_stays(self) -> None:
        """A limit changed, or a breaker isolated or closed by a person, is not undone by lifting the measure."""
        changed, isolated, closed = (CircuitBreaker(failure_threshold=6) for _ in range(3))
        isolated.isolate()
        manager = ServiceDegradationManager(breakers=[changed], isolate=[isolated, closed])
        manager.apply_degradation(SEVERE)
        changed.set_limits(failure_threshold=2)
        closed.force_close()
        manager.apply_degradation(NORMAL)
        assert changed.failure_threshold == 2
        assert isolated.mode == "isolated"
        assert closed.state is CircuitState.CLOSED

    def test_emergency_stops_intake(self) -> None:
        """At level 4 one message every ten seconds comes through as a probe, or none at all."""
        clock = Clock()
        manager = made(clock, processing_rate=50)
        manager.apply_degradation(EMERGENCY)
        assert received_in(manager, clock, 100) == pytest.approx(10, abs=1)
        stopped = made(clock, shedding=Shedding(probe_seconds=None))
        stopped.apply_degradation(EMERGENCY)
        assert received_in(stopped, clock, 1_000) == 0
        # Asked again each second, so that the level's end is not slept through.
        assert stopped.admission().wait == 1
        stopped.apply_degradation(SEVERE)
        assert received_in(stopped, clock, 100) == pytest.approx(250, abs=5)

    def test_emergency_sheds_by_priority(self) -> None:
        """At level 4 what is not of high priority is given back; the delay is spread over twice its length."""
        manager = made(Clock(), shedding=Shedding(delay=60))
        for value in (None, "low", "high", "7", "-3", "rubbish"):
            assert manager.shed(message(value)) is None
        manager.apply_degradation(EMERGENCY)
        shed = {value: manager.shed(message(value)) for value in (None, "low", "high", "7", "-3", "rubbish")}
        assert [value for value, delay in shed.items() if delay is None] == ["high", "7"]
        delays = [delay for delay in shed.values() if delay is not None]
        assert all(60 <= delay <= 120 for delay in delays)
        assert len(set(delays)) == len(delays)
        manager.apply_degradation(SEVERE)
        assert manager.shed(message("low")) is None

    def test_priority_by_a_function(self) -> None:
        """A function of the message decides where one is given; one that fails makes a message ordinary."""
        manager = made(Clock(), shedding=Shedding(priority=lambda m: int(m["Body"]), below=0))
        manager.apply_degradation(EMERGENCY)
        assert manager.shed({"Body": "-1"}) is not None
        assert manager.shed({"Body": "0"}) is None
        assert manager.shed({"Body": "x"}) is None

    def test_no_receive_is_wasted_near_the_queues_own_limit(self) -> None:
        """A message that native redrive would soon take away is handled, not shed: shed is not dead-lettered."""
        clock = Clock()
        sqs = FakeSqs(clock)
        sqs.attributes[MAIN] = {"ApproximateNumberOfMessages": "1", "RedrivePolicy": '{"maxReceiveCount": "3"}'}
        manager = made(clock)
        manager.start(sqs, MAIN)
        manager.tick()
        manager.apply_degradation(EMERGENCY)
        manager.stop()
        received = [message(None, receives=count) for count in (1, 2, 3)]
        assert [manager.shed(one, MAIN) is not None for one in received] == [True, False, False]


class TestLifting:
    def test_in_reverse_order(self) -> None:
        """Measures are applied from the first to the last, and lifted from the last to the first; nothing is left."""
        events: list[DegradationEvent] = []
        breaker = CircuitBreaker(failure_threshold=6)
        manager = ServiceDegradationManager(
            features=["recommendations"], breakers=[breaker], processing_rate=8, listeners=[events.append]
        )
        manager.apply_degradation(EMERGENCY)
        assert [(e.measure, e.active) for e in events if isinstance(e, MeasureChanged)] == [
            (measure, True) for measure in MEASURES
        ]
        events.clear()
        manager.apply_degradation(NORMAL)
        changes = [e for e in events if isinstance(e, MeasureChanged)]
        assert [(e.measure, e.active) for e in changes] == [(measure, False) for measure in reversed(MEASURES)]
        assert changes[-1].details == {"rate": None, "off": [], "breakers": [], "intake": "open"}
        assert manager.active_measures == ()
        assert breaker.failure_threshold == 6
        assert manager.features.enabled("recommendations")
        assert manager.shed(message("low")) is None

    def test_to_a_level_between(self) -> None:
        """A lower level lifts what is beyond it and applies the rest at its own strength."""
        manager = ServiceDegradationManager(processing_rate=100)
        manager.apply_degradation(EMERGENCY)
        events: list[DegradationEvent] = []
        manager.listeners.append(events.append)
        manager.apply_degradation(MODERATE)
        assert [(e.measure, e.active) for e in events if isinstance(e, MeasureChanged)] == [
            ("emergency", False),
            ("breakers", False),
            ("processing-rate", True),
            ("features", True),
        ]
        assert events[-1].details["rate"] == 50 if isinstance(events[-1], MeasureChanged) else False

    def test_a_measure_that_fails_is_tried_again(self) -> None:
        """A measure that raises keeps no other one from being applied, is said to have failed, and is repeated."""

        class Own(ServiceDegradationManager):
            failures = 1

            def _disable_non_critical_features(self) -> None:
                if self.failures:
                    self.failures -= 1
                    raise RuntimeError("the switchboard is down")
                super()._disable_non_critical_features()

        clock = Clock()
        events: list[DegradationEvent] = []
        manager = Own(clock=clock, features=["x"], listeners=[events.append])
        manager.apply_degradation(SEVERE)
        assert manager.active_measures == ("processing-rate", "breakers")
        assert [str(e.error) for e in events if isinstance(e, MeasureChanged) and e.error] == [
            "the switchboard is down"
        ]
        manager.tick()
        assert manager.active_measures == MEASURES[:3]
        assert not manager.features.enabled("x")


class TestByItself:
    def test_errors_raise_the_level(self) -> None:
        """A handler that fails raises the level without anybody handing in a number, and its recovery lowers it."""
        clock = Clock()
        manager = made(clock)
        load(manager, clock, 30, failing=lambda n: n % 10 < 3)
        assert manager.current_level == SEVERE
        load(manager, clock, 240)
        assert manager.current_level == NORMAL
        assert manager.active_measures == ()

    def test_bad_messages_are_no_bad_health(self) -> None:
        """Permanent errors and a breaker's refusals count neither as errors nor as successes."""
        clock = Clock()
        manager = made(clock)
        for error in (PermanentError("bad"), CircuitBreakerOpenException("open")):
            call = manager.measured(raising(error))
            for _ in range(50):
                with pytest.raises(type(error)):
                    call()
        assert manager.metrics()["error_rate"] is None

    def test_few_calls_say_nothing(self) -> None:
        """Nine failures in the window are no error rate; the tenth makes one; old ones leave the window."""
        clock = Clock()
        manager = made(clock)
        call = manager.measured(raising(ServiceUnavailableError("down")))
        rates = []
        for _ in range(10):
            with pytest.raises(ServiceUnavailableError):
                call()
            rates.append(manager.metrics()["error_rate"])
        assert rates == [None] * 9 + [1.0]
        clock.advance(31)
        assert manager.metrics()["error_rate"] is None

    def test_latency_is_measured(self) -> None:
        """The 95th percentile of the calls in the window, without any error."""
        clock = Clock()
        manager = made(clock)
        durations = itertools.cycle([0.1] * 18 + [0.5, 9.0])
        call = manager.measured(lambda: clock.advance(next(durations)))
        for _ in range(20):
            call()
        assert manager.metrics()["processing_latency"] == pytest.approx(0.5)
        assert manager.metrics()["error_rate"] == 0

    def test_latency_of_few_calls(self) -> None:
        """Slow calls are few: two of them are enough to say so, one is not."""
        clock = Clock()
        manager = made(clock)
        call = manager.measured(lambda: clock.advance(14.0))
        call()
        assert manager.metrics()["processing_latency"] is None
        call()
        assert manager.metrics()["processing_latency"] == 14

    def test_hanging_handlers_are_slow_ones(self) -> None:
        """Calls that never end count with their age: a service in which everything hangs is not a healthy one."""
        clock = Clock()
        manager = made(clock)
        hanging = threading.Event()
        threads = [threading.Thread(target=manager.measured(hanging.wait)) for _ in range(3)]
        for thread in threads:
            thread.start()
        while manager.metrics()["processing_latency"] is None:
            threads[0].join(0.001)
        ticks(manager, clock, 60)
        assert manager.metrics()["processing_latency"] == pytest.approx(60)
        assert manager.current_level == EMERGENCY
        hanging.set()
        for thread in threads:
            thread.join()

    def test_some_hanging_handlers_among_quick_ones(self) -> None:
        """Calls under way that are older than what is usual count beside the finished ones; young ones do not."""
        clock = Clock()
        manager = made(clock)
        quick = manager.measured(lambda: clock.advance(0.5))
        for _ in range(10):
            quick()
        numbers = [manager._calls.begin() for _ in range(3)]
        assert manager.metrics()["processing_latency"] == 0.5
        clock.advance(20)
        assert manager.metrics()["processing_latency"] == 20
        for number in numbers:
            manager._calls.end(number, None)
        assert manager.metrics()["processing_latency"] == 0.5

    def test_coroutines_are_measured(self) -> None:
        """A coroutine function is timed and judged like any other."""
        clock = Clock()
        manager = made(clock, minimum_calls=2)

        async def handle(error: Exception | None) -> str:
            clock.advance(7)
            if error is not None:
                raise error
            return "done"

        call = manager.measured(handle)
        assert asyncio.run(call(None)) == "done"
        with pytest.raises(ServiceUnavailableError):
            asyncio.run(call(ServiceUnavailableError("down")))
        assert manager.metrics() == {"error_rate": 0.5, "queue_depth": None, "processing_latency": 7}

    def test_the_queue_is_asked_at_a_bounded_rate(self) -> None:
        """Depth comes from GetQueueAttributes, at most every ten seconds; delayed messages wait, too."""
        clock = Clock()
        sqs = FakeSqs(clock)
        sqs.attributes[MAIN] = {"ApproximateNumberOfMessages": "9000", "ApproximateNumberOfMessagesDelayed": "1500"}
        manager = made(clock)
        manager.start(sqs, MAIN)
        manager.stop()
        for _ in range(100):
            manager.tick()
            clock.advance(1)
        assert sqs.count("get_queue_attributes") == 10
        assert manager.metrics()["queue_depth"] == 10_500
        assert manager.current_level == LIGHT

    def test_a_queue_that_cannot_be_asked(self) -> None:
        """The last depth holds for a while, then it is unknown; a manager that knows nothing raises nothing."""
        clock = Clock()
        sqs = FakeSqs(clock)
        sqs.attributes[MAIN] = {"ApproximateNumberOfMessages": "5"}
        manager = made(clock)
        manager.start(sqs, MAIN)
        manager.stop()
        manager.tick()
        sqs.errors["get_queue_attributes"] = [aws_error("ServiceUnavailable") for _ in range(9)]
        depths = []
        for _ in range(6):
            clock.advance(10)
            manager.tick()
            depths.append(manager.metrics()["queue_depth"])
        assert depths == [5, 5, 5, None, None, None]
        assert manager.current_level == NORMAL

    def test_a_backlog_alone_is_no_reason_to_go_slower(self) -> None:
        """Where only depth is wrong, the rate is held at full speed and intake goes on: slower would never end it."""
        clock = Clock()
        sqs = FakeSqs(clock)
        sqs.attributes[MAIN] = {"ApproximateNumberOfMessages": "200000"}
        manager = made(clock, processing_rate=20)
        manager.start(sqs, MAIN)
        manager.stop()
        ticks(manager, clock, 30)
        assert manager.current_level == EMERGENCY
        assert received_in(manager, clock, 30) == pytest.approx(600, rel=0.05)
        assert manager.shed(message("low"), MAIN) is not None
        assert manager.shed(message("high"), MAIN) is None
        load(manager, clock, 30, failing=lambda n: True)
        assert received_in(manager, clock, 100) == pytest.approx(10, abs=1)

    def test_a_backlog_assessed_by_hand(self) -> None:
        """The two calls of a user's own loop know it, too: a level applied for a backlog alone stops no intake."""
        clock = Clock()
        manager = made(clock, processing_rate=20)
        for metrics, rate in (
            ({"queue_depth": 200_000, "error_rate": 0.01}, 20.0),
            ({"queue_depth": 200_000, "error_rate": 0.3}, 0.1),
            ({"queue_depth": 30_000}, 20.0),
            ({"queue_depth": 30_000, "error_rate": 0.06}, 10.0),
        ):
            manager.apply_degradation(manager.assess_system_health(metrics))
            assert received_in(manager, clock, 100) / 100 == pytest.approx(rate, rel=0.1)
        manager.assess_system_health({"queue_depth": 200_000})
        manager.apply_degradation(SEVERE)
        assert received_in(manager, clock, 100) / 100 == pytest.approx(5, rel=0.1)

    def test_a_backlog_is_worked_off_faster_and_faster(self) -> None:
        """What was measured in quiet times is no bound: the rate grows while calls go well and are needed."""
        clock = Clock()
        manager, sqs = backlogged(clock, depth=15_000)
        assert manager.current_level == LIGHT
        first = manager.full_rate
        served(manager, clock, 60)
        assert manager.full_rate / first == pytest.approx(1.02**60, rel=0.2)
        grown = manager.full_rate
        sqs.attributes[MAIN]["ApproximateNumberOfMessages"] = "0"
        served(manager, clock, 20)
        assert manager.full_rate > grown

    def test_a_rate_that_is_not_used_does_not_grow(self) -> None:
        """Where little comes, that it goes well proves nothing about more."""
        clock = Clock()
        manager, _ = backlogged(clock, depth=15_000)
        first = manager.full_rate
        load(manager, clock, 100, every=5.0)
        assert manager.full_rate <= first

    def test_a_rate_that_was_too_much_is_taken_back(self) -> None:
        """Errors under a grown rate: full speed is what succeeds now, and the level's share of that is allowed."""
        clock = Clock()
        manager, _ = backlogged(clock, depth=15_000)
        served(manager, clock, 60)
        grown = manager.full_rate
        served(manager, clock, 30, failing=lambda n: n % 3 == 0)
        assert manager.full_rate < 0.8 * grown
        admitted = received_in(manager, clock, 20) / 20
        assert admitted < 0.5 * grown

    def test_no_calls_do_not_start_intake_again(self) -> None:
        """In emergency mode a window that has run empty is no proof: intake stands until the level falls."""
        clock = Clock()
        manager, _ = backlogged(clock, depth=15_000, shedding=Shedding(probe_seconds=None))
        load(manager, clock, 60, failing=lambda n: True)
        assert manager.current_level == EMERGENCY
        while manager.current_level == EMERGENCY:
            assert manager.admission().wait > 0
            ticks(manager, clock, 5)
        assert received_in(manager, clock, 20) > 0

    def test_shed_messages_still_wait(self) -> None:
        """What was shed is hidden from the queue's depth, and counts as waiting until it is back."""
        clock = Clock()
        sqs = FakeSqs(clock)
        sqs.attributes[MAIN] = {"ApproximateNumberOfMessages": "7"}
        manager = made(clock)
        manager.start(sqs, MAIN)
        manager.stop()
        manager.tick()
        manager.apply_degradation(EMERGENCY)
        for _ in range(5):
            manager.shed(message(None), MAIN)
        assert manager.metrics()["queue_depth"] == 12
        clock.advance(100)
        manager.tick()
        assert manager.metrics()["queue_depth"] == 7

    def test_own_metrics(self) -> None:
        """A gauge of the user's with thresholds of its own decides as well; one that fails says nothing."""
        clock = Clock()
        values: list[float] = [30]

        def lag() -> float:
            return values[0]

        def broken() -> float:
            raise RuntimeError("no")

        manager = made(
            clock,
            gauges={"replica_lag": lag, "broken": broken},
            thresholds={"replica_lag": (1, 10, 60, 600), "queue_depth": None},
        )
        ticks(manager, clock, 20)
        assert manager.current_level == MODERATE
        assert manager.metrics()["broken"] is None
        assert manager.assess_system_health({"queue_depth": 10**9}) == NORMAL

    def test_pinned(self) -> None:
        """A level that a person pins stays, whatever the health, until it is unpinned."""
        clock = Clock()
        manager = made(clock)
        manager.pin(MODERATE)
        load(manager, clock, 120)
        assert manager.current_level == MODERATE
        load(manager, clock, 60, failing=lambda n: True)
        assert manager.current_level == MODERATE
        manager.unpin()
        load(manager, clock, 60, failing=lambda n: True)
        assert manager.current_level == EMERGENCY

    def test_the_thread_looks_on(self) -> None:
        """Started, the manager looks at the health by itself; stopped with its last consumer, it does not."""
        looked = threading.Event()
        manager = ServiceDegradationManager(interval=0.001, listeners=[lambda event: looked.set()])
        sqs = FakeSqs(Clock())
        manager.start(sqs, MAIN)
        manager.start(sqs, FIFO)
        assert manager.queue_urls == (MAIN, FIFO)
        manager.stop()
        assert any(thread.name == "degradation" for thread in threading.enumerate())
        assert looked.wait(10)
        manager.stop()
        manager.stop()
        assert not any(thread.name == "degradation" for thread in threading.enumerate())

    def test_an_assessment_that_raises_does_not_end_the_thread(self) -> None:
        """The thread survives a subclass's error and looks again."""
        looked = threading.Semaphore(0)

        class Own(ServiceDegradationManager):
            def assess_system_health(self, metrics: Any) -> str:
                looked.release()
                raise RuntimeError("no")

        manager = Own(interval=0.001)
        manager.start(FakeSqs(Clock()), MAIN)
        assert all(looked.acquire(timeout=10) for _ in range(3))
        manager.stop()


class TestHysteresis:
    def test_a_blip_changes_nothing(self) -> None:
        """Health that is bad for less than ten seconds raises no level."""
        clock = Clock()
        health = {"lag": 5.0}
        manager = gauged(clock, health)
        ticks(manager, clock, 5)
        health["lag"] = 0
        ticks(manager, clock, 60)
        assert manager.current_level == NORMAL

    def test_straight_up_and_step_by_step_down(self) -> None:
        """An outage is met at its level at once; recovery goes one level at a time, each after its own calm time."""
        clock = Clock()
        health = {"lag": 5.0}
        manager = gauged(clock, health)
        levels = [(clock.now, manager.current_level)]
        manager.listeners.append(lambda e: levels.append((clock.now, e.after)) if isinstance(e, LevelChanged) else None)
        ticks(manager, clock, 60)
        health["lag"] = 0
        ticks(manager, clock, 300)
        assert [level for _, level in levels] == [NORMAL, EMERGENCY, SEVERE, MODERATE, LIGHT, NORMAL]
        steps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(levels)]
        assert steps[0] == 10
        assert steps[1] >= 50
        assert all(step == 35 for step in steps[2:])

    def test_near_the_threshold_it_does_not_flap(self) -> None:
        """Health that swings around a threshold changes the level once; without hysteresis at every swing."""
        changes: dict[str, int] = {}
        for name, hysteresis in (
            ("ours", Hysteresis()),
            ("none", Hysteresis(rise_seconds=0, fall_seconds=0, dwell_seconds=0, recovery_share=1, growth=1)),
        ):
            clock = Clock()
            health = {"lag": 0.0}
            manager = gauged(clock, health, hysteresis=hysteresis)
            seen: list[DegradationEvent] = []
            manager.listeners.append(seen.append)
            for minute in range(20):
                health["lag"] = 1.02 if minute % 2 else 0.98
                ticks(manager, clock, 60)
            changes[name] = sum(isinstance(event, LevelChanged) for event in seen)
        assert changes == {"ours": 1, "none": 19}

    def test_minimum_dwell(self) -> None:
        """A level just lowered is not raised again, nor one just raised lowered, before thirty seconds are over."""
        clock = Clock()
        health = {"lag": 1.5}
        manager = gauged(clock, health, hysteresis=Hysteresis(rise_seconds=0, fall_seconds=0, growth=1))
        times: list[float] = []
        manager.listeners.append(lambda e: times.append(clock.now) if isinstance(e, LevelChanged) else None)
        for _ in range(100):
            health["lag"] = 0.0 if health["lag"] else 1.5
            ticks(manager, clock, 5)
        assert len(times) > 5
        assert all(later - earlier >= 30 for earlier, later in itertools.pairwise(times))

    def test_escalation_does_not_wait(self) -> None:
        """The dwell keeps a level from going back, not from going on: worse health is answered in ten seconds."""
        clock = Clock()
        health = {"lag": 1.5}
        manager = gauged(clock, health)
        ticks(manager, clock, 15)
        assert manager.current_level == LIGHT
        health["lag"] = 5.0
        ticks(manager, clock, 15)
        assert manager.current_level == EMERGENCY

    def test_a_level_set_by_hand_begins_the_time_anew(self) -> None:
        """What was seen before a person decided does not overrule the person at once."""
        clock = Clock()
        health = {"lag": 5.0}
        manager = gauged(clock, health)
        ticks(manager, clock, 60)
        manager.apply_degradation(NORMAL)
        ticks(manager, clock, 5)
        assert manager.current_level == NORMAL
        clock.advance(25)
        ticks(manager, clock, 10)
        assert manager.current_level == EMERGENCY
        other = gauged(clock, health)
        ticks(other, clock, 5)
        other.apply_degradation(LIGHT)
        ticks(other, clock, 5)
        assert other.current_level == LIGHT
        ticks(other, clock, 10)
        assert other.current_level == EMERGENCY

    def test_relapses_come_further_and_further_apart(self) -> None:
        """A cause that outlasts each recovery is tried less often each time; a recovery that lasts forgets that."""
        clock = Clock()
        health = {"lag": 1.5}
        manager = gauged(clock, health)
        lowered: list[float] = []
        manager.listeners.append(
            lambda e: lowered.append(clock.now) if isinstance(e, LevelChanged) and e.after == NORMAL else None
        )
        for _ in range(400):
            health["lag"] = 0.0 if manager.current_level != NORMAL else 1.5
            ticks(manager, clock, 5)
        gaps = [later - earlier for earlier, later in itertools.pairwise(lowered)]
        assert gaps == sorted(gaps)
        assert gaps[0] < 110
        assert gaps[-1] > 300
        health["lag"] = 0.0
        ticks(manager, clock, 2_000)
        lowered.clear()
        health["lag"] = 1.5
        ticks(manager, clock, 20)
        began = clock.now
        health["lag"] = 0.0
        ticks(manager, clock, 60)
        assert lowered[0] - began <= 40

    def test_relapses_stay_within_the_cap(self) -> None:
        """However often it relapses, the calm time is bounded."""
        clock = Clock()
        health = {"lag": 1.5}
        manager = gauged(clock, health, hysteresis=Hysteresis(fall_seconds_max=60))
        lowered: list[float] = []
        manager.listeners.append(
            lambda e: lowered.append(clock.now) if isinstance(e, LevelChanged) and e.after == NORMAL else None
        )
        for _ in range(400):
            health["lag"] = 0.0 if manager.current_level != NORMAL else 1.5
            ticks(manager, clock, 5)
        assert max(later - earlier for earlier, later in itertools.pairwise(lowered)) <= 60 + 30 + 15

    def test_silence_is_not_for_ever(self) -> None:
        """Where intake stands and nothing is measured any more, the level falls, so that traffic can show."""
        clock = Clock()
        manager = made(clock, shedding=Shedding(probe_seconds=None))
        load(manager, clock, 30, failing=lambda n: True)
        assert manager.current_level == EMERGENCY
        ticks(manager, clock, 100)
        assert manager.current_level in (SEVERE, MODERATE)


class TestWithAConsumer:
    def test_it_runs_by_itself(self) -> None:
        """The consumer starts, feeds, obeys and stops its manager, and gives it a hand on its breaker."""
        clock = Clock()
        sqs = FakeSqs(clock)
        breaker = CircuitBreaker(failure_threshold=6, clock=clock)
        manager = made(clock, processing_rate=2)
        consumer = composed(clock, sqs, manager, lambda message: None, breaker=breaker)
        for n in range(30):
            sqs.put(MAIN, str(n))
        manager.apply_degradation(SEVERE)
        began = clock.now
        consumer.run()
        assert breaker.failure_threshold == 3
        assert clock.now - began >= 29 / 0.5
        assert manager.queue_urls == (MAIN,)
        assert manager.metrics()["processing_latency"] == 0
        assert not any(thread.name == "degradation" for thread in threading.enumerate())
        assert not sqs.queues[MAIN]

    def test_a_second_run_charges_each_message_once(self) -> None:
        """A consumer that is run again does not tell its manager everything twice."""
        clock = Clock()
        sqs = FakeSqs(clock)
        manager = made(clock, processing_rate=8)
        consumer = composed(clock, sqs, manager, lambda message: None)
        consumer.run()
        consumer.run()
        assert consumer.listeners.count(manager.listener) == 1

    def test_shed_is_never_lost(self) -> None:
        """In emergency mode low priority goes back to the queue, unhandled and unblamed, and is handled afterwards."""
        clock = Clock()
        sqs = FakeSqs(clock)
        manager = made(clock, shedding=Shedding(probe_seconds=0.1))
        events: list[ConsumerEvent] = []
        handled: list[tuple[str, str]] = []
        consumer = composed(
            clock,
            sqs,
            manager,
            lambda message: handled.append((message["Body"], manager.current_level)),
            max_receives=1,
            listeners=[events.append],
        )
        for n in range(20):
            priority = {"DataType": "String", "StringValue": "high" if n % 2 else "low"}
            sqs.put(MAIN, str(n), attributes={"priority": priority})
        manager.apply_degradation(EMERGENCY)
        over = clock.now + 200
        clock.on_advance.append(lambda: manager.apply_degradation(NORMAL) if clock.now > over else None)
        consumer.run()
        assert sorted(int(body) for body, level in handled if level == EMERGENCY) == list(range(1, 20, 2))
        assert sorted(int(body) for body, _ in handled) == list(range(20))
        shed = [event for event in events if event.kind == "shed"]
        assert len(shed) >= 10
        assert all(event.seconds is not None and event.seconds >= 60 for event in shed)
        assert not sqs.queues[MAIN]
        assert not sqs.queues[DLQ]

    def test_shedding_keeps_the_order_of_a_group(self) -> None:
        """A FIFO message that is shed takes the rest of its group with it."""
        clock = Clock()
        sqs = FakeSqs(clock)
        manager = made(clock, shedding=Shedding(probe_seconds=0.1))
        handled: list[str] = []
        consumer = composed(clock, sqs, manager, lambda message: handled.append(message["Body"]), url=FIFO)
        for n in range(6):
            priority = {"DataType": "String", "StringValue": "low" if n == 2 else "high"}
            sqs.put(FIFO, str(n), attributes={"priority": priority}, group="a")
        manager.apply_degradation(EMERGENCY)
        over = clock.now + 100
        clock.on_advance.append(lambda: manager.apply_degradation(NORMAL) if clock.now > over else None)
        consumer.run()
        assert handled == ["0", "1", "2", "3", "4", "5"]

    def test_errors_of_the_handler_are_seen(self) -> None:
        """A handler that fails shows in the manager's error rate; messages that are bad do not."""
        clock = Clock()
        sqs = FakeSqs(clock)
        manager = made(clock)

        def handle(message: dict[str, Any]) -> None:
            if message["Body"] == "bad":
                raise PermanentError("bad")
            raise ServiceUnavailableError("down")

        for n in range(12):
            sqs.put(MAIN, "bad" if n % 2 else "good")
        rates: list[float | None] = []
        clock.on_advance.append(lambda: rates.append(manager.metrics()["error_rate"]))
        consumer = composed(clock, sqs, manager, handle, retry_delay=lambda receives: 1.0)
        consumer.run()
        assert 1.0 in rates
        assert set(rates) == {1.0, None}


class TestTelling:
    def test_watchers_see_every_manager(self) -> None:
        """A watcher is told of every manager until it stops; one that fails harms nobody."""
        seen: list[DegradationEvent] = []

        def broken(event: DegradationEvent) -> None:
            raise RuntimeError("no")

        stops = [watch_degradation(broken), watch_degradation(seen.append)]
        try:
            ServiceDegradationManager().apply_degradation(LIGHT)
            ServiceDegradationManager().tick()
        finally:
            for stop in stops:
                stop()
                stop()
        ServiceDegradationManager().apply_degradation(LIGHT)
        assert [type(event) for event in seen] == [LevelChanged, MeasureChanged, HealthAssessed]
        first = seen[0]
        assert isinstance(first, LevelChanged)
        assert (first.before, first.after, first.by_hand) == (NORMAL, LIGHT, True)

    def test_monitoring_counts_changes_of_level(self) -> None:
        """ErrorMonitoring.watch() counts each level that is entered, as an event and not as an error."""
        counted: list[tuple[str, Mapping[str, str]]] = []

        class Exporter:
            def count(self, metric: str, dimensions: Mapping[str, str], number: int) -> None:
                counted.append((metric, dimensions))

        stop = ErrorMonitoring(exporters=[Exporter()], publish=False, service_name="orders").watch()
        try:
            manager = ServiceDegradationManager()
            manager.apply_degradation(EMERGENCY)
            manager.apply_degradation(NORMAL)
        finally:
            stop()
        assert [metric for metric, _ in counted] == ["EventCount"] * 2
        assert [named["Event"] for _, named in counted] == ["Degradation:emergency_mode", "Degradation:normal"]

    def test_a_listener_may_ask_and_act(self) -> None:
        """Listeners are called outside the lock, in order, also where they change the level themselves."""
        order: list[str] = []
        manager = ServiceDegradationManager()

        def listen(event: DegradationEvent) -> None:
            if isinstance(event, LevelChanged):
                order.append(event.after)
                if event.after == EMERGENCY:
                    thread = threading.Thread(target=manager.apply_degradation, args=(LIGHT,))
                    thread.start()
                    thread.join(10)
                    assert not thread.is_alive()

        manager.listeners.append(listen)
        manager.apply_degradation(EMERGENCY)
        assert order == [EMERGENCY, LIGHT]

    def test_many_threads(self) -> None:
        """Levels set, read and obeyed by many threads at once leave exactly the measures of the last level."""
        manager = ServiceDegradationManager(features=["x"], processing_rate=5, breakers=[CircuitBreaker()])

        def churn(seed: int) -> None:
            chance = random.Random(seed)
            for _ in range(200):
                manager.apply_degradation(chance.randrange(5))
                manager.admission()
                manager.shed(message("low"))
                manager.tick()

        threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rank = manager.degradation_levels[manager.current_level]
        assert manager.active_measures == MEASURES[:rank]
        assert manager.features.enabled("x") == (rank < 2)
        manager.apply_degradation(NORMAL)
        assert manager.active_measures == ()


@pytest.mark.parametrize(
    "keywords",
    [
        {"window": 0},
        {"interval": float("nan")},
        {"queue_interval": -1},
        {"minimum_calls": 0},
        {"processing_rate": 0},
        {"rate_shares": (1, 1, 1)},
        {"rate_shares": (1, 1, 1, 0)},
        {"thresholds": {"error_rate": (0.1, 0.2)}},
        {"thresholds": {"error_rate": (0.1, 0.2, 0.15, 0.3)}},
        {"thresholds": {"error_rate": (0.1, 0.2, float("nan"), 0.3)}},
    ],
)
def test_arguments_out_of_range(keywords: dict[str, Any]) -> None:
    """Arguments that make no sense are refused when the manager is made."""
    with pytest.raises(ValueError, match=next(iter(keywords))):
        ServiceDegradationManager(**keywords)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: Hysteresis(rise_seconds=-1), "rise_seconds"),
        (lambda: Hysteresis(recovery_share=0), "recovery_share"),
        (lambda: Hysteresis(growth=0.5), "growth"),
        (lambda: Shedding(delay=0), "delay"),
        (lambda: Shedding(probe_seconds=0), "probe_seconds"),
    ],
)
def test_rules_out_of_range(build: Callable[[], object], name: str) -> None:
    """Rules that make no sense are refused when they are made."""
    with pytest.raises(ValueError, match=name):
        build()


# What the tests are built from


def ticks(manager: ServiceDegradationManager, clock: Clock, seconds: float) -> None:
    end = clock.now + seconds
    manager.tick()
    while clock.now < end:
        clock.advance(5)
        manager.tick()


def load(
    manager: ServiceDegradationManager,
    clock: Clock,
    seconds: float,
    failing: Callable[[int], bool] = lambda n: False,
    every: float = 0.2,
) -> None:
    """A call *every* so many seconds, each of which fails or not."""

    def handle(n: int) -> None:
        if failing(n):
            raise ServiceUnavailableError("down")

    call = manager.measured(handle)
    looked = clock.now
    for n in range(int(seconds / every)):
        try:
            call(n)
        except ServiceUnavailableError:
            clock.advance(0)
        clock.advance(every)
        if clock.now - looked >= 5:
            looked = clock.now
            manager.tick()


def served(
    manager: ServiceDegradationManager, clock: Clock, seconds: float, failing: Callable[[int], bool] = lambda n: False
) -> None:
    """A consumer that handles whatever it is given, as soon as it is."""

    def handle(n: int) -> None:
        if failing(n):
            raise ServiceUnavailableError("down")

    call, end, looked, number = manager.measured(handle), clock.now + seconds, clock.now, 0
    while clock.now < end:
        admission = manager.admission()
        for _ in range(0 if admission.wait else admission.limit):
            number += 1
            manager.listener(ConsumerEvent("received", MAIN))
            try:
                call(number)
            except ServiceUnavailableError:
                clock.advance(0)
        clock.advance(0.05)
        if clock.now - looked >= 5:
            looked = clock.now
            manager.tick()


def backlogged(clock: Clock, depth: int, **keywords: Any) -> tuple[ServiceDegradationManager, FakeSqs]:
    """A manager that has seen five calls a second, and whose queue has so many messages since fifteen seconds."""
    sqs = FakeSqs(clock)
    sqs.attributes[MAIN] = {"ApproximateNumberOfMessages": "0"}
    manager = made(clock, **keywords)
    manager.start(sqs, MAIN)
    manager.stop()
    load(manager, clock, 60)
    sqs.attributes[MAIN]["ApproximateNumberOfMessages"] = str(depth)
    load(manager, clock, 26)
    return manager, sqs


def received_in(manager: ServiceDegradationManager, clock: Clock, seconds: float) -> int:
    """How many messages an eager consumer is given in so many seconds."""
    end, number = clock.now + seconds, 0
    while clock.now < end:
        admission = manager.admission()
        if admission.wait > 0:
            clock.advance(min(admission.wait, end - clock.now))
            continue
        for _ in range(admission.limit):
            manager.listener(ConsumerEvent("received", MAIN))
            number += 1
    return number


def gauged(clock: Clock, health: dict[str, float], **keywords: Any) -> ServiceDegradationManager:
    """A manager whose health is one number: above 1, 2, 3, 4 the levels begin."""
    thresholds = {"lag": (1, 2, 3, 4), "error_rate": None, "processing_latency": None}
    return made(clock, gauges={"lag": lambda: health["lag"]}, thresholds=thresholds, **keywords)


def composed(
    clock: Clock, sqs: FakeSqs, manager: ServiceDegradationManager, handler: Any, *, url: str = MAIN, **keywords: Any
) -> ResilientConsumer:
    consumer = ResilientConsumer(
        url,
        handler,
        sqs=sqs,
        dlq_url=DLQ,
        degradation=manager,
        options=ConsumerOptions(heartbeat=False),
        clock=clock,
        sleep=clock.sleep,
        random=random.Random(1),
        **keywords,
    )
    sqs.on_idle = consumer.stop
    return consumer


def message(priority: str | None, receives: int = 1) -> dict[str, Any]:
    made: dict[str, Any] = {"MessageId": "m", "Attributes": {"ApproximateReceiveCount": str(receives)}}
    if priority is not None:
        made["MessageAttributes"] = {"priority": {"DataType": "String", "StringValue": priority}}
    return made


def raising(error: Exception) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ServiceUnavailableError):
            breaker.call(raising(ServiceUnavailableError("down")))
