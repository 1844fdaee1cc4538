"""Tests of the scheduler and of virtual time."""

from __future__ import annotations

import asyncio.events
import contextvars
import gc
import itertools
import time

import pytest

from harness.errors import Deadlock, NestedSimulation, Runaway, SimulationError
from harness.seeds import Seeds
from harness.sim import world
from harness.sim.kernel import Actor, Kernel
from tests.unit.sim.simulate import kernel, simulate


def racers(k: Kernel, log: list[tuple[int, str]], count: int = 4, rounds: int = 3) -> None:
    """Processes that wake at the same instants, and log who runs when."""

    def main(name: str) -> None:
        for _ in range(rounds):
            k.sleep_us(10)
            log.append((k.now_us, name))

    for number in range(count):
        k.start_process(f"p{number}", lambda name=f"p{number}": main(name))


def test_time_moves_to_the_next_due_actor_and_no_further() -> None:
    """Sleepers wake in the order of their times, at exactly these times."""
    log: list[tuple[str, float]] = []
    with kernel() as k:

        def main(name: str, seconds: float) -> None:
            k.sleep_us(round(seconds * 1e6))
            log.append((name, k.now))

        for name, seconds in (("c", 3.0), ("a", 1.0), ("b", 2.5)):
            k.start_process(name, lambda name=name, seconds=seconds: main(name, seconds))
        assert k.run() == "idle"
    assert log == [("a", 1.0), ("b", 2.5), ("c", 3.0)]


@pytest.mark.parametrize("us", [0, -5, 1])
def test_a_sleep_takes_at_least_a_microsecond(us: int) -> None:
    """A loop that sleeps zero still moves time, so that it cannot stop the world."""
    with kernel() as k:
        k.start_process("p", lambda: k.sleep_us(us))
        k.run()
        assert k.now_us == 1


def test_the_same_seed_makes_the_same_choices() -> None:
    """Order and decisions depend on the seed alone; other seeds give other orders."""

    def run(seed: int) -> tuple[list[tuple[int, str]], list[int]]:
        log: list[tuple[int, str]] = []
        with kernel(seed) as k:
            racers(k, log)
            k.run()
            return log, k.decisions

    assert run(3) == run(3)
    assert len({tuple(run(seed)[0]) for seed in range(10)}) > 5


def test_a_tape_replays_the_choices_and_then_takes_the_first() -> None:
    """Recorded decisions as a tape give the same run; an empty tape is first come, first served."""

    def run(tape: list[int] | None) -> tuple[list[tuple[int, str]], list[int]]:
        log: list[tuple[int, str]] = []
        with kernel(5, tape=tape) as k:
            racers(k, log)
            k.run()
            return log, k.decisions

    log, decisions = run(None)
    assert any(decisions)
    assert run(decisions) == (log, decisions)
    first_come, zeros = run([])
    assert not any(zeros)
    assert [name for _, name in first_come] == ["p0", "p1", "p2", "p3"] * 3


def test_a_tape_that_names_nobody_is_taken_modulo() -> None:
    """A shrinker may write any number on a tape; the choice recorded is the one made."""
    with kernel(tape=[7, 9]) as k:
        racers(k, [], count=2, rounds=1)
        k.run()
        assert k.decisions == [1, 1]


def test_no_choice_is_recorded_where_only_one_can_run() -> None:
    """A decision is drawn only among two or more actors of the same instant."""
    with kernel() as k:
        k.start_process("a", lambda: k.sleep_us(10))
        k.start_process("b", lambda: k.sleep_us(20), at_us=5)
        k.run()
        assert k.decisions == []


def test_park_returns_true_when_woken_and_false_at_its_deadline() -> None:
    """park() says why it ended, and ends when it should."""
    seen: list[tuple[bool, int]] = []
    with kernel() as k:

        def waiter() -> None:
            seen.append((k.park(), k.now_us))
            seen.append((k.park(k.now_us + 50), k.now_us))
            seen.append((k.park(k.now_us), k.now_us))

        process = k.start_process("waiter", waiter)

        def waker() -> None:
            k.sleep_us(100)
            assert process.main is not None
            k.wake(process.main)
            k.wake(process.main)  # idempotent: the second must not end the next park

        k.start_process("waker", waker)
        k.run()
    assert seen == [(True, 100), (False, 150), (False, 150)]


def test_wake_does_not_cut_a_sleep_short() -> None:
    """Only a parked actor can be woken."""
    with kernel() as k:
        process = k.start_process("sleeper", lambda: k.sleep_us(1000))
        assert process.main is not None
        main = process.main
        k.call_at(10, lambda: k.wake(main))
        k.run()
        assert k.now_us == 1000


def test_wake_hands_on_the_event_that_caused_it() -> None:
    """A woken actor's cause is the last event recorded when it was woken."""
    with kernel() as k:
        process = k.start_process("waiter", k.park)
        main = process.main
        assert main is not None

        def waker() -> None:
            k.last_event = 41
            k.wake(main)
            k.last_event = 42

        k.call_at(5, waker)
        k.run()
        assert main.cause == 41


def test_timers_run_in_the_hub_before_the_actors_of_their_instant() -> None:
    """A timer sees no current actor, and comes first at its instant; a cancelled one never runs."""
    log: list[tuple[str, Actor | None, int]] = []
    with kernel() as k:

        def main() -> None:
            k.sleep_us(10)
            log.append(("actor", k.current, k.now_us))

        process = k.start_process("p", main)
        k.call_at(10, lambda: log.append(("timer", k.current, k.now_us)))
        k.call_at(10, lambda: log.append(("cancelled", None, 0))).cancel()
        k.run()
        assert log == [("timer", None, 10), ("actor", process.main, 10)]


def test_a_timer_for_the_past_runs_at_once() -> None:
    """call_at() never moves time back."""
    seen: list[int] = []
    with kernel() as k:

        def main() -> None:
            k.sleep_us(100)
            k.call_at(3, lambda: seen.append(k.now_us))
            k.sleep_us(1)

        k.start_process("p", main)
        k.run()
    assert seen == [100]


def test_a_timer_must_not_wait() -> None:
    """Sleeping in the hub is an error that says so, not a hang."""
    with kernel() as k:
        k.call_at(1, lambda: k.sleep_us(5))
        with pytest.raises(SimulationError, match="in no process"):
            k.run()


def test_run_goes_on_where_it_stopped() -> None:
    """run(t1), run(t2), run() are one run: time stops exactly at each limit."""
    seen: list[int] = []
    with kernel() as k:

        def main() -> None:
            for _ in range(3):
                k.sleep_us(100)
                seen.append(k.now_us)

        k.start_process("p", main)
        assert (k.run(150), k.now_us, list(seen)) == ("until", 150, [100])
        assert (k.run(200), k.now_us, list(seen)) == ("until", 200, [100, 200])
        assert (k.run(), k.now_us, seen) == ("idle", 300, [100, 200, 300])


def test_with_a_limit_those_who_wait_for_ever_are_no_deadlock() -> None:
    """Time jumps to the limit; blocked() names who can never be woken by time."""
    with kernel() as k:
        k.start_process("stuck", k.park)
        k.start_process("late", lambda: k.park(900))
        assert k.run(500) == "until"
        assert k.now_us == 500
        assert k.blocked() == ["stuck"]


def test_stop_ends_the_run_at_the_next_switch() -> None:
    """stop() from an actor lets nothing else run, and keeps its reason."""
    log: list[str] = []
    with kernel() as k:

        def main() -> None:
            k.sleep_us(10)
            k.stop("violation")
            log.append("still here")
            k.sleep_us(1)
            log.append("never")

        k.start_process("p", main)
        k.start_process("other", lambda: (k.sleep_us(11), log.append("never")))
        assert k.run() == "stopped"
        assert k.stop_reason == "violation"
        assert k.run() == "stopped"
        assert log == ["still here"]


def test_a_deadlock_shows_every_actors_stack() -> None:
    """Two actors that wait for each other end the run with the line at which each waits."""
    with kernel() as k:

        def waits_in_vain() -> None:
            k.park()

        k.start_process("first", waits_in_vain)
        k.start_process("second", waits_in_vain)
        with pytest.raises(Deadlock) as caught:
            k.run()
    assert set(caught.value.stacks) == {"first", "second"}
    assert all("waits_in_vain" in stack for stack in caught.value.stacks.values())
    assert "first, second" in str(caught.value)
    assert "harness/sim/kernel.py" not in str(caught.value)


def test_daemons_that_wait_are_no_deadlock() -> None:
    """What a thread pool's idle workers do is no deadlock."""
    with kernel() as k:

        def main() -> None:
            assert k.current is not None
            k.spawn(k.current.process, k.park, "idle")
            k.sleep_us(5)

        k.start_process("p", main)
        assert k.run() == "idle"


def test_a_runaway_ends_at_the_step_limit_with_stacks() -> None:
    """A loop that never comes to rest is stopped, and shown."""
    with kernel(max_steps=1000) as k:

        def spins() -> None:
            while True:
                k.sleep_us(1)

        k.start_process("p", spins)
        with pytest.raises(Runaway, match="1000 steps") as caught:
            k.run()
        assert k.steps <= 1002
    assert "spins" in caught.value.stacks["p"]


def test_actors_that_wake_each_other_for_ever_at_one_instant_are_stopped() -> None:
    """Two actors that never let virtual time move end the run with their stacks, long before the step limit."""
    with kernel(max_instant_steps=500) as k:
        actors: list[Actor] = []

        def plays() -> None:
            assert k.current is not None
            actors.append(k.current)
            while True:
                for other in actors:
                    k.wake(other)
                k.park(k.now_us)

        k.start_process("ping", plays, at_us=7)
        k.start_process("pong", plays, at_us=7)
        with pytest.raises(Runaway, match=r"virtual time does not move: more than 500 steps at 0\.000007 s") as caught:
            k.run()
        assert k.steps <= 1_010
    assert "plays" in caught.value.stacks["ping"]
    assert "plays" in caught.value.stacks["pong"]


def test_a_timer_that_sets_itself_again_at_once_is_stopped() -> None:
    """Timers of one instant without end are noticed too, although no actor runs."""
    with kernel(max_instant_steps=500) as k:

        def again() -> None:
            k.call_at(k.now_us, again)

        k.call_at(3, again)
        with pytest.raises(Runaway, match="virtual time does not move"):
            k.run()
        assert k.steps <= 1_010


def test_a_long_run_of_short_instants_is_no_runaway() -> None:
    """Only an instant is bounded by its limit: many more steps than that pass while time moves."""
    with kernel(max_instant_steps=50) as k:

        def main() -> None:
            for _ in range(1_000):
                k.sleep_us(1)

        k.start_process("a", main)
        k.start_process("b", main)
        assert k.run() == "idle"
        assert k.steps >= 2_000


def test_ten_thousand_actors() -> None:
    """Started by the hub and switching directly, ten thousand actors need no recursion depth of each other."""
    with kernel() as k:
        ended: list[int] = []

        def main(number: int) -> None:
            k.sleep_us(10)
            k.sleep_us(10 + number % 7)
            ended.append(number)

        for number in range(10_000):
            k.start_process("p", lambda number=number: main(number))
        assert k.run() == "idle"
    assert sorted(ended) == list(range(10_000))


def test_an_actor_may_start_many_others_deep() -> None:
    """Actors that start each other in a chain do not inherit each other's recursion depth."""
    with kernel() as k:
        depth: list[int] = []

        def link(n: int) -> None:
            depth.append(n)
            if n < 1500:
                assert k.current is not None
                k.spawn(k.current.process, lambda: link(n + 1), f"t{n}", daemon=False)
                k.sleep_us(1)

        k.start_process("p", lambda: link(0))
        k.run()
    assert depth == list(range(1501))


def test_context_variables_belong_to_the_actor() -> None:
    """A context variable set in one actor is not seen in another, and survives switches."""
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")
    seen: list[tuple[str, str]] = []

    def main_of(k: Kernel, name: str) -> None:
        seen.append((name, var.get()))
        var.set(name)
        k.sleep_us(10)
        seen.append((name, var.get()))

    with kernel() as k:
        for name in ("a", "b"):
            k.start_process(name, lambda name=name: main_of(k, name))
        k.run()
    assert sorted(seen) == [("a", "a"), ("a", "unset"), ("b", "b"), ("b", "unset")]
    assert var.get() == "unset"


def test_the_exception_being_handled_belongs_to_the_actor() -> None:
    """A bare raise after a switch raises the actor's own exception."""
    caught: list[str] = []

    def main_of(k: Kernel, text: str) -> None:
        try:
            try:
                raise ValueError(text)
            except ValueError:
                k.sleep_us(10)
                raise
        except ValueError as error:
            caught.append(str(error))

    with kernel() as k:
        for text in ("a", "b"):
            k.start_process(text, lambda text=text: main_of(k, text))
        k.run()
    assert sorted(caught) == ["a", "b"]


def test_the_running_loop_belongs_to_the_actor() -> None:
    """asyncio's running loop is saved and restored at every switch, and the caller's own is not seen inside."""
    seen: list[tuple[str, object]] = []
    loops = {name: asyncio.events.AbstractEventLoop() for name in ("a", "b")}
    outer = asyncio.events.AbstractEventLoop()

    def main_of(k: Kernel, name: str) -> None:
        seen.append((name, asyncio.events._get_running_loop()))
        asyncio.events._set_running_loop(loops[name])
        k.sleep_us(10)
        k.sleep_us(10)
        seen.append((name, asyncio.events._get_running_loop()))

    asyncio.events._set_running_loop(outer)
    try:
        with kernel() as k:
            for name in loops:
                k.start_process(name, lambda name=name: main_of(k, name))
            k.start_process("c", lambda: (k.sleep_us(15), seen.append(("c", asyncio.events._get_running_loop()))))
            k.run()
        assert asyncio.events._get_running_loop() is outer
    finally:
        asyncio.events._set_running_loop(None)
    assert [loop for _, loop in seen[:2]] == [None, None]
    assert ("c", None) in seen
    assert {name: loop for name, loop in seen if loop is not None} == loops


def test_a_greenlet_of_the_code_under_test_gives_way_too() -> None:
    """Who sleeps in a greenlet of its own inside an actor is resumed there, and not in the actor's main one."""
    from greenlet import greenlet

    log: list[tuple[str, int]] = []
    with kernel() as k:

        def child() -> str:
            k.sleep_us(30)
            log.append(("child", k.now_us))
            return "done"

        def main() -> None:
            log.append((greenlet(child).switch(), k.now_us))

        k.start_process("p", main)
        k.start_process("q", lambda: (k.sleep_us(10), log.append(("q", k.now_us))))
        k.run()
    assert log == [("q", 10), ("child", 30), ("done", 30)]


def test_a_kernel_inside_a_run_is_refused() -> None:
    """A nested simulation ends with a sentence, and the outer one goes on."""
    caught: list[str] = []

    def main() -> None:
        inner = Kernel(Seeds(1))
        with pytest.raises(NestedSimulation) as error:
            inner.run()
        caught.append(str(error.value))
        with pytest.raises(NestedSimulation) as error:
            world.enter(world.World(inner, None, None))  # type: ignore[arg-type]
        caught.append(str(error.value))

    simulate(main)
    assert len(caught) == 2
    assert all("simulation is running" in text for text in caught)


def test_two_runs_do_not_touch_each_other() -> None:
    """The second run in a process is the same as the first, down to decisions and steps."""

    def run() -> tuple[list[tuple[int, str]], list[int], int, int]:
        log: list[tuple[int, str]] = []
        with kernel(9) as k:
            racers(k, log)
            k.start_process("crashing", k.park)
            k.call_at(15, lambda: k.crash(k.processes[-1]))
            k.run()
            return log, k.decisions, k.steps, k.now_us

    first = run()
    assert [run() for _ in range(3)] == [first] * 3


def test_a_closed_kernel_runs_no_more() -> None:
    """run() after close() is an error, close() again is nothing."""
    with kernel() as k:
        k.start_process("p", lambda: k.sleep_us(1))
        k.run()
        k.close()
        k.close()
        with pytest.raises(SimulationError, match="closed"):
            k.run()


def test_the_garbage_collector_is_off_during_a_run_and_back_on_after() -> None:
    """Finalizers of cycles run at no chance moment of a run."""
    seen: list[bool] = []
    assert gc.isenabled()
    with kernel() as k:
        k.start_process("p", lambda: (seen.append(gc.isenabled()), k.sleep_us(5)))
        k.run(2)
        seen.append(gc.isenabled())
        k.run()
    assert seen == [False, False]
    assert gc.isenabled()


def test_an_error_in_a_timer_ends_the_run_and_leaves_the_kernel_closable() -> None:
    """What a timer raises comes out of run(), and the next simulation can start."""

    def breaks() -> None:
        raise ZeroDivisionError("in the hub")

    with kernel() as k:
        k.start_process("p", k.park)
        k.call_at(5, breaks)
        with pytest.raises(ZeroDivisionError, match="in the hub"):
            k.run()
    assert world.current() is None
    simulate(lambda: None)


def test_the_process_switch_hook_sees_each_change_once() -> None:
    """on_process_switch is called with the process left and the one entered, only when they differ."""
    changes: list[tuple[str | None, str]] = []
    with kernel(tape=[]) as k:
        k.on_process_switch = lambda before, after: changes.append((before.name if before else None, after.name))
        k.start_process("a", lambda: (k.sleep_us(1), k.sleep_us(1), k.sleep_us(8)))
        k.start_process("b", lambda: k.sleep_us(5))
        k.run()
    assert changes == [(None, "a"), ("a", "b"), ("b", "a"), ("a", "b"), ("b", "a")]


def test_many_short_runs_leave_nothing_behind() -> None:
    """The number of live objects does not grow with the number of runs."""

    def run() -> None:
        with kernel() as k:
            for number in range(5):
                k.start_process(f"p{number}", lambda: k.park(100))
            k.start_process("blocked", k.park)
            k.run(1000)

    for _ in range(5):
        run()
    gc.collect()
    before = len(gc.get_objects())
    for _ in itertools.repeat(None, 200):
        run()
    gc.collect()
    assert len(gc.get_objects()) - before < 100


def test_a_run_takes_no_real_time_for_virtual_time() -> None:
    """A virtual year passes in well under a real second."""
    start = time.perf_counter()
    year_us = 365 * 24 * 3600 * 1_000_000
    with kernel() as k:
        k.start_process("p", lambda: k.sleep_us(year_us))
        k.run()
        assert k.now_us == year_us
    assert time.perf_counter() - start < 1
