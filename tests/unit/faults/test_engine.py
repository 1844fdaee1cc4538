"""The engine: which passings are struck, what is recorded, and what the environment is asked for."""

from __future__ import annotations

import functools
import timeit
from typing import Any

import pytest

from harness.errors import PlanError
from harness.faults.engine import FaultEngine
from harness.faults.plan import Fault, FaultPlan
from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow, Twist
from tests.unit.faults.run import OTHER, WORKER, Killed, Run

SEND = "aws.sqs.SendMessage"


def test_a_passing_without_faults_is_counted_and_goes_on() -> None:
    """With an empty plan nothing strikes and each passing is counted by point and side."""
    run = Run()
    assert run.passing(SEND) is None
    assert run.passing(SEND) is None
    assert run.passing(SEND, "after") is None
    assert run.engine.table() == {
        "aws.sqs.SendMessage.after": {"passed": 1, "struck": 0},
        "aws.sqs.SendMessage.before": {"passed": 2, "struck": 0},
    }
    assert run.events == []


def test_only_the_side_of_the_fault_is_struck() -> None:
    """A fault after the effect leaves passings before it alone."""
    run = Run(Fault(SEND, "timeout", side="after"))
    assert run.passing(SEND) is None
    assert run.passing(SEND, "after") == Lost()


def test_the_window_is_half_open() -> None:
    """A fault strikes from its start up to, and not at, its end."""
    run = Run(Fault(SEND, "throttled", start=10, end=20))
    struck = [t for t in (0, 9.999999, 10, 19.999999, 20, 30) if run.at(t).passing(SEND) is not None]
    assert struck == [10, 19.999999]
    assert run.engine.table()["aws.sqs.SendMessage.before"] == {"passed": 6, "struck": 2}


def test_nth_counts_every_matching_passing_from_the_start() -> None:
    """The n-th passing is counted over all matching points and processes, once, outside the window too."""
    run = Run(Fault("aws.sqs.*", "throttled", nth=3))
    run.passing(SEND)
    run.passing(SEND, "after")
    run.passing("redis.GET")
    run.kernel.current = OTHER
    assert run.passing("aws.sqs.DeleteMessage") is None
    assert run.passing(SEND) is not None
    assert run.passing(SEND) is None

    late = Run(Fault(SEND, "throttled", nth=2, start=10))
    assert [late.at(t).passing(SEND) is not None for t in (1, 11, 12)] == [False, True, False]
    missed = Run(Fault(SEND, "throttled", nth=1, start=10))
    assert [missed.at(t).passing(SEND) is not None for t in (1, 11, 12)] == [False, False, False]


def test_probability_comes_from_the_seed() -> None:
    """The same seed strikes the same passings, another seed others, and about as many as asked for."""

    def struck(seed: int) -> list[int]:
        run = Run(Fault(SEND, "throttled", probability=0.25), seed=seed)
        return [n for n in range(400) if run.passing(SEND) is not None]

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 60 <= len(struck(1)) <= 140
    assert Run(Fault(SEND, "throttled", probability=0)).passing(SEND) is None


def test_a_fault_draws_from_its_own_stream() -> None:
    """Another fault in the plan changes nothing for the first one."""
    alone = Run(Fault(SEND, "throttled", probability=0.5))
    beside = Run(Fault(SEND, "throttled", probability=0.5), Fault("redis.GET", "refused", probability=0.5))
    for _ in range(50):
        beside.passing("redis.GET")
        assert (alone.passing(SEND) is None) == (beside.passing(SEND) is None)


def test_one_answer_a_passing() -> None:
    """Of two faults that answer, the first of the plan does; the second does not count as struck there."""
    run = Run(Fault(SEND, "unavailable"), Fault(SEND, "throttled"))
    verdict = run.passing(SEND)
    assert isinstance(verdict, Answer)
    assert verdict.code == "ServiceUnavailable"
    assert run.engine.strikes() == [1, 0]
    assert run.engine.unstruck() == [Fault(SEND, "throttled")]


def test_slowness_adds_up_and_comes_before_an_answer() -> None:
    """Two slow faults are one delay; together with an answer the delay is spent first."""
    twice = Run(Fault("dependency.p", "slow", seconds=2), Fault("dependency.p", "slow", seconds=3))
    assert twice.passing("dependency.p") == Slow(5)
    both = Run(Fault("dependency.p", "slow", seconds=2), Fault("dependency.p", "reset"))
    assert both.passing("dependency.p") == Reset()
    assert both.kernel.now_us == 2_000_000


def test_what_strikes_is_recorded() -> None:
    """A strike's event names fault, point with its side, kind, and what it did."""
    run = Run(Fault(SEND, "timeout", side="after"))
    run.passing(SEND, "after", "key-7")
    assert run.of("fault.strike") == [
        {
            "t": 0,
            "kind": "fault.strike",
            "fault": 0,
            "point": "aws.sqs.SendMessage.after",
            "fault_kind": "timeout",
            "did": "no answer came",
            "key": "key-7",
        }
    ]


def test_windows_are_recorded() -> None:
    """A window's opening and closing are events; a fault of one passing without a window has none."""
    run = Run(Fault(SEND, "throttled", start=10, end=20), Fault(SEND, "throttled"), Fault(SEND, "throttled", nth=5))
    run.at(30)
    assert [(event["t"], event["kind"], event["fault"]) for event in run.events] == [
        (0, "fault.start", 1),
        (10, "fault.start", 0),
        (20, "fault.end", 0),
    ]
    assert run.engine.disturbed_until_us == 20_000_000


@pytest.mark.parametrize(
    ("fault", "point", "side", "verdict"),
    [
        (Fault("redis", "refused"), "redis.GET", "before", Refused()),
        (Fault("redis", "timeout", side="after"), "redis.GET", "after", Lost()),
        (Fault("aws.sqs.*", "duplicate"), "aws.sqs.ReceiveMessage", "before", Twist("duplicate")),
        (
            Fault("aws.sqs.*", "partial-failure", share=0.2),
            "aws.sqs.DeleteMessageBatch",
            "before",
            Twist("partial-failure", {"share": 0.2}),
        ),
        (Fault("network.sqs", "down"), SEND, "before", Refused()),
        (Fault("network.sqs", "timeout"), SEND, "after", Lost()),
        (Fault("network.sqs", "timeout", stream="upstream"), SEND, "before", Lost()),
        (Fault("network.redis", "latency", latency=250), "redis.GET", "after", Slow(0.25)),
        (Fault("network.payments", "reset_peer"), "dependency.payments", "after", Reset()),
    ],
)
def test_verdicts_reach_the_wire(fault: Fault, point: str, side: str, verdict: Any) -> None:
    """What a kind decides is what the wire gets, on the fault's side."""
    run = Run(fault)
    assert run.passing(point, side) == verdict
    assert run.passing(point, "after" if side == "before" else "before") is None


def test_a_toxic_that_closes_later_takes_its_time() -> None:
    """Toxiproxy's timeout with a time swallows data that long, then the connection is closed."""
    run = Run(Fault("network.sqs", "timeout", timeout=1500))
    assert run.passing(SEND, "after") == Reset()
    assert run.kernel.now_us == 1_500_000


# handler kinds


def test_errors_are_raised_where_the_fault_strikes() -> None:
    """transient and permanent raise their class, at the handler or at any other point, and say so."""
    run = Run(
        Fault("handler", "transient"), Fault("point.x", "permanent"), Fault("redis.GET", "transient", error=OSError)
    )
    with pytest.raises(ConnectionError, match=r"injected: transient at handler\.before"):
        run.passing("handler")
    with pytest.raises(ValueError, match=r"injected: permanent at point\.x"):
        run.passing("point.x")
    with pytest.raises(OSError, match="injected"):
        run.passing("redis.GET")
    assert [event["did"] for event in run.of("fault.strike")] == [
        "raised ConnectionError",
        "raised ValueError",
        "raised OSError",
    ]


def test_slow_takes_virtual_time_and_goes_on() -> None:
    """A slow handler only takes longer."""
    run = Run(Fault("handler", "slow", seconds=40))
    assert run.passing("handler") is None
    assert run.kernel.now_us == 40_000_000


def test_hang_never_returns() -> None:
    """A hanging handler is parked without an end."""
    with pytest.raises(Killed, match="parked"):
        Run(Fault("handler", "hang")).passing("handler")


def test_poison_strikes_its_messages_each_time() -> None:
    """The messages of the keys fail each time, others never."""
    run = Run(Fault("handler", "poison", keys=["7", 9]))
    for key in ("7", "9", "7"):
        with pytest.raises(ValueError, match="poison"):
            run.passing("handler", key=key)
    assert run.passing("handler", key="8") is None
    assert run.passing("handler") is None
    assert run.engine.strikes() == [3]
    assert run.engine.table()["handler.before"] == {"passed": 5, "struck": 3}


def test_poison_without_keys_stays_with_what_it_chose() -> None:
    """The message that nth chooses is poison from then on, while the window is open."""
    run = Run(Fault("handler", "poison", nth=2, end=10))
    assert run.passing("handler", key="a") is None
    for _ in range(2):
        with pytest.raises(ValueError, match="poison"):
            run.passing("handler", key="b")
    assert run.passing("handler", key="a") is None
    assert run.at(10).passing("handler", key="b") is None


def test_poison_at_another_point_knows_what_is_handled() -> None:
    """Inside the handler, a service call is about the message that is handled."""
    run = Run(Fault(SEND, "poison", keys=["7"]))
    with run.engine.in_handler("8"):
        assert run.passing(SEND) is None
    with pytest.raises(ValueError, match="poison"), run.engine.in_handler("7"):
        run.passing(SEND)
    assert run.passing(SEND) is None


def test_the_middle_of_the_handler_is_its_first_call() -> None:
    """The first point passed inside the handler is preceded by handler.middle, once for each message."""
    run = Run(Fault("handler", "transient", side="middle", nth=2))
    with run.engine.in_handler("a"):
        run.passing("handler", "before", "a")
        run.passing(SEND)
        run.passing(SEND, "after")
        run.passing("handler", "after", "a")
    run.passing(SEND)
    assert run.engine.table()["handler.middle"] == {"passed": 1, "struck": 0}
    with pytest.raises(ConnectionError), run.engine.in_handler("b"):
        run.engine.middle()
    assert run.of("fault.strike")[0]["key"] == "b"
    assert run.engine.table()["aws.sqs.SendMessage.before"]["passed"] == 2


def test_handlers_inside_handlers() -> None:
    """An inner handler's key holds inside it only."""
    run = Run(Fault("point.x", "poison", keys=["outer"]))
    with run.engine.in_handler("outer"):
        with run.engine.in_handler("inner"):
            assert run.passing("point.x") is None
        with pytest.raises(ValueError, match="poison"):
            run.passing("point.x")


def test_error_classes_are_checked_before_the_run() -> None:
    """A class that cannot be imported, is no exception, or cannot be made is refused with the fault's place."""
    for error, says in (
        ("no_such_module:X", "cannot be imported"),
        ("builtins:NoSuchError", "cannot be imported"),
        ("builtins:int", "no exception class"),
        ("builtins:UnicodeDecodeError", "cannot be made"),
    ):
        with pytest.raises(PlanError, match=rf"faults\[1\].parameters.error.*{says}"):
            Run(Fault("redis", "refused"), Fault("handler", "transient", error=error))


# process kinds


def test_a_crash_at_a_point_kills_who_passes() -> None:
    """The passing process is killed for good after its restart is arranged; other processes live on."""
    run = Run(Fault("point.after-charge", "crash", nth=2, restart_after=5))
    run.kernel.current = OTHER
    run.passing("point.after-charge")
    run.kernel.current = WORKER
    with pytest.raises(Killed):
        run.passing("point.after-charge")
    assert run.actions.asked == [("restart", "worker.1", 5_000_000), ("crash", "worker.1")]
    assert run.of("fault.strike")[0]["did"] == "killed, restart after 5 s"
    assert run.of("fault.strike")[0]["until"] == 5
    assert run.engine.disturbed_until_us == 5_000_000
    assert run.engine.table() == {"point.after-charge": {"passed": 2, "struck": 1}}


def test_a_crash_for_good_arranges_no_restart() -> None:
    """restart_after=None leaves the process down."""
    run = Run(Fault("point.x", "crash", restart_after=None))
    with pytest.raises(Killed):
        run.passing("point.x")
    assert run.actions.asked == [("crash", "worker.1")]


def test_process_faults_strike_by_the_clock() -> None:
    """At process.NAME every process of the name is struck when the window opens, and again never."""
    run = Run(Fault("process.worker", "pause", start=10, seconds=45))
    run.at(9.9)
    assert run.actions.asked == []
    run.at(100)
    assert run.actions.asked == [("pause", "worker.1", 45_000_000)]
    assert [(event["t"], event["kind"]) for event in run.events] == [
        (10, "fault.start"),
        (10, "fault.strike"),
        (55, "fault.end"),
    ]
    assert run.of("fault.strike")[0]["point"] == "process.worker"
    assert run.engine.table() == {"process.worker": {"passed": 1, "struck": 1}}


def test_process_faults_match_groups_instances_and_patterns() -> None:
    """A target names a group, one process of it, or a pattern."""
    for target, names in (
        ("process.worker", ["worker.1"]),
        ("process.worker.1", ["worker.1"]),
        ("process.*", ["worker.1", "other"]),
        ("process", ["worker.1", "other"]),
    ):
        run = Run(Fault(target, "sigterm", grace=3))
        assert run.actions.asked == [("sigterm", name, 3_000_000) for name in names], target


def test_a_process_fault_with_nth_counts_that_process() -> None:
    """process.NAME with nth strikes the process of that name at its own n-th passing of anything."""
    run = Run(Fault("process.worker", "crash", nth=3))
    run.passing(SEND)
    run.kernel.current = OTHER
    for _ in range(5):
        run.passing(SEND)
    run.kernel.current = WORKER
    run.passing("redis.GET")
    with pytest.raises(Killed):
        run.passing("point.x")


def test_a_process_that_is_not_there_is_not_struck() -> None:
    """A fault at a moment when no process of the name runs never struck, and is reported so."""
    run = Run(Fault("process.worker", "crash", start=10))
    run.actions.running = []
    run.at(20)
    assert run.engine.unstruck() == [Fault("process.worker", "crash", start=10)]


def test_slow_start_delays_starts_in_its_window() -> None:
    """Each start of the process inside the window takes longer; others do not."""
    run = Run(Fault("process.worker", "slow-start", end=10, seconds=30))
    assert run.engine.start_delay_us(WORKER.process) == 30_000_000
    assert run.engine.start_delay_us(OTHER.process) == 0
    run.at(10)
    assert run.engine.start_delay_us(WORKER.process) == 0
    assert run.engine.strikes() == [1]
    assert run.passing(SEND) is None


def test_clocks_jump_and_are_put_right() -> None:
    """A clock fault strikes once and is taken back at its end, if it has one."""
    run = Run(
        Fault("clock.worker", "jump", start=10, end=20, seconds=-240), Fault("clock.other", "drift", rate=2, end=5)
    )
    run.at(30)
    assert run.actions.asked == [
        ("drift", "other", 2),
        ("drift", "other", 1.0),
        ("jump", "worker.1", -240_000_000),
        ("jump", "worker.1", 240_000_000),
    ]
    assert [event["t"] for event in run.of("fault.end")] == [5, 20]
    for_good = Run(Fault("clock.worker", "jump", start=10)).at(100)
    assert for_good.actions.asked == [("jump", "worker.1", 3_600_000_000)]
    assert for_good.of("fault.end") == []


def test_a_clock_fault_at_a_passing_is_put_right_too() -> None:
    """With nth the clock of the passing process moves, once, and back at the end."""
    run = Run(Fault("clock.worker", "jump", nth=2, end=20, seconds=5))
    for _ in range(4):
        run.passing(SEND)
    run.at(20)
    assert run.actions.asked == [("jump", "worker.1", 5_000_000), ("jump", "worker.1", -5_000_000)]


# Redis


def test_redis_loses_data_once() -> None:
    """flushed and failover act once: at the window's start, or at the first or chosen passing."""
    by_clock = Run(Fault("redis", "failover", start=10, lost_seconds=2))
    by_clock.passing("redis.GET")
    by_clock.at(11).passing("redis.GET")
    assert by_clock.actions.asked == [("failover", 2_000_000)]
    assert [event["kind"] for event in by_clock.events] == ["fault.start", "fault.strike", "fault.end"]
    first = Run(Fault("redis", "flushed"))
    first.passing("redis.GET")
    first.passing("redis.GET")
    assert first.actions.asked == [("flush",)]
    third = Run(Fault("redis.INCR", "flushed", nth=3))
    for number in range(5):
        third.passing("redis.INCR")
        assert len(third.actions.asked) == int(number >= 2)


# the workload


def test_workload_faults_change_what_is_sent() -> None:
    """The chosen message of the queue is sent malformed, with its key in the event; the others are untouched."""
    run = Run(Fault("workload.orders", "malformed", nth=2))
    sent = [run.engine.workload_body("orders", n, f"k{n}", '{"order_id": 1}')[0] for n in range(3)]
    assert sent == ['{"order_id": 1}', '{"order', '{"order_id": 1}']
    strike = run.of("fault.strike")[0]
    assert (strike["point"], strike["key"], strike["did"]) == ("workload.orders", "k1", "message 1 is malformed")
    assert run.engine.workload_body("others", 0, "k", "x") == ("x", None)
    assert run.engine.table()["workload.orders"] == {"passed": 3, "struck": 1}


def test_workload_faults_keep_to_their_window() -> None:
    """The window of a workload fault is the time of sending."""
    run = Run(Fault("workload", "empty", start=10, end=20))
    assert [run.at(t).engine.workload_body("q", 0, "k", "x")[0] for t in (5, 10, 20)] == ["x", " ", "x"]


def test_the_plan_does_nothing_before_the_start() -> None:
    """Making an engine records nothing and schedules nothing."""
    run = Run(Fault("process.worker", "crash"), start=False)
    assert run.kernel.timers == []
    assert run.events == []


def test_latencies_are_drawn_from_the_seed() -> None:
    """Latencies are above zero and the same for the same seed."""
    one, twin, other = Run(seed=1), Run(seed=1), Run(seed=2)
    drawn = [one.engine.latency_us(SEND) for _ in range(200)]
    assert drawn == [twin.engine.latency_us(SEND) for _ in range(200)]
    assert drawn != [other.engine.latency_us(SEND) for _ in range(200)]
    assert min(drawn) >= 2_000
    assert max(drawn) <= 20_000


def test_the_engine_is_a_hook() -> None:
    """The engine has the simulation's protocol (checked by mypy too)."""
    from harness.sim.world import Hook

    engine: Hook = Run().engine
    assert isinstance(engine, FaultEngine)


def test_a_passing_that_nothing_can_strike_is_cheap() -> None:
    """Where no fault can strike, a passing costs well under a microsecond."""
    plans: list[tuple[Fault, ...]] = [(), (Fault("redis.INCR", "timeout"),)]
    for plan in plans:
        run = Run(*plan)
        call = functools.partial(run.engine.passing, SEND, "before")
        # The aim is 300 ns; the bound leaves room for a busy machine.
        assert min(timeit.repeat(call, number=5_000, repeat=7)) / 5_000 < 1.5e-6


def test_every_kind_that_can_be_simulated_acts() -> None:
    """No kind is only a name: each, with its defaults, strikes and says what it did."""
    from harness.faults.kinds import all_kinds

    targets = {
        "workload": "workload.q",
        "handler": "point.x",
        "aws": SEND,
        "sqs": "aws.sqs.*",
        "redis": "redis.INCR",
        "dependency": "dependency.p",
        "network": "network.sqs",
        "process": "process.worker",
        "clock": "clock.worker",
    }
    for kind in all_kinds():
        if kind.live_only:
            continue
        fault = Fault(targets[kind.layer], kind.name)
        run = Run(fault)
        try:
            run.engine.workload_body("q", 0, "k", "{}")
            run.engine.start_delay_us(WORKER.process)
            with run.engine.in_handler("k"):
                for point in (
                    SEND, "redis.INCR", "dependency.p", "point.x", "aws.sqs.ReceiveMessage",
                    "aws.sqs.SendMessageBatch", "aws.sqs.GetQueueAttributes",
                ):  # fmt: skip
                    run.passing(point, "before")
                    run.passing(point, "after")
        except (Exception, Killed):
            assert kind.name in ("transient", "permanent", "hang", "poison", "crash"), kind.name
        assert run.engine.strikes()[0] >= 1, kind.name
        assert run.of("fault.strike")[0]["did"], kind.name


def test_plans_of_one_engine_do_not_touch_another() -> None:
    """Two engines on one plan share no counts and no remembered keys."""
    plan = FaultPlan([Fault("handler", "poison", nth=1)])
    first, second = Run(*plan), Run(*plan)
    with pytest.raises(ValueError, match="poison"):
        first.passing("handler", key="a")
    with pytest.raises(ValueError, match="poison"):
        second.passing("handler", key="b")
    assert second.passing("handler", key="a") is None
