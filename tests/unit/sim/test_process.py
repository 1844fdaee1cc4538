"""Tests of simulated processes: crash, pause, signals, restart, clocks, memory."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from harness.errors import SimulationError
from harness.sim.kernel import EPOCH_US, MONOTONIC_US, Kernel, Process
from tests.unit.sim.simulate import kernel, needs_shims


def start_ticker(k: Kernel, log: list[int], name: str = "p", every_us: int = 10) -> Process:
    """A process that logs the time for ever."""

    def main() -> None:
        while True:
            k.sleep_us(every_us)
            log.append(k.now_us)

    return k.start_process(name, main)


# -- crash ----------------------------------------------------------------------------------------


def test_a_crash_runs_no_finally_and_no_except() -> None:
    """A killed actor never runs another bytecode before the run is closed."""
    log: list[str] = []
    with kernel() as k:

        def main() -> None:
            try:
                while True:
                    try:
                        k.sleep_us(10)
                    except BaseException:
                        log.append("caught")
            finally:
                log.append("finally")

        process = k.start_process("p", main)
        k.call_at(25, lambda: k.crash(process))
        assert k.run() == "idle"
        assert (process.state, k.now_us, log) == ("crashed", 25, [])
        assert process.main is not None
        assert process.main.dead


@needs_shims
def test_a_crash_takes_the_threads_with_it() -> None:
    """A heartbeat thread of a killed process sends no more heartbeats; other processes go on."""
    beats: list[float] = []
    others: list[int] = []

    with kernel() as k:

        def main() -> None:
            def heartbeat() -> None:
                while True:
                    time.sleep(1)
                    beats.append(k.now)

            threading.Thread(target=heartbeat, daemon=True).start()
            time.sleep(100)

        process = k.start_process("p", main)
        start_ticker(k, others, "other", every_us=1_000_000)
        k.call_at(3_500_000, lambda: k.crash(process))
        k.run(10_000_000)
    assert beats == [1.0, 2.0, 3.0]
    assert len(others) == 10


def test_a_process_may_crash_itself() -> None:
    """crash() of the current process does not return."""
    log: list[str] = []
    with kernel() as k:

        def main() -> None:
            assert k.current is not None
            k.sleep_us(5)
            k.crash(k.current.process)
            log.append("returned")

        process = k.start_process("p", main)
        start_ticker(k, ticks := [], "other")
        k.run(100)
        assert (process.state, log, len(ticks)) == ("crashed", [], 10)


def test_a_crashed_actor_is_not_resumed_by_what_was_pending_for_it() -> None:
    """Neither a wake, nor a deadline, nor its turn at the same instant resumes a killed actor."""
    log: list[str] = []
    with kernel(tape=[]) as k:
        victims = [
            k.start_process("parked", lambda: (k.park(), log.append("parked"))),
            k.start_process("deadline", lambda: (k.park(60), log.append("deadline"))),
            k.start_process("sleeping", lambda: (k.sleep_us(50), log.append("sleeping"))),
            k.start_process("unstarted", lambda: log.append("unstarted"), at_us=50),
        ]

        def kill() -> None:
            for victim in victims:
                k.crash(victim)
                assert victim.main is not None
                k.wake(victim.main)

        k.start_process("killer", lambda: (k.sleep_us(50), kill()))
        k.call_at(10, kill)
        k.run()
    assert log == []


def test_on_crash_is_called_once_and_before_anything_else_runs() -> None:
    """The environment records the crash at its instant; killing the dead again is nothing."""
    crashed: list[tuple[str, int]] = []
    with kernel() as k:
        k.on_crash = lambda process: crashed.append((process.name, k.now_us))
        process = start_ticker(k, [])
        k.call_at(15, lambda: (k.crash(process), k.crash(process)))
        k.run()
    assert crashed == [("p", 15)]


def test_a_restart_is_a_new_process_of_the_next_incarnation() -> None:
    """A name used again: fresh state, incarnation counted, its own random stream."""
    with kernel() as k:
        first = start_ticker(k, [])
        k.call_at(15, lambda: k.crash(first))
        k.call_at(100, lambda: start_ticker(k, log, every_us=7))
        log: list[int] = []
        k.run(120)
        second = k.processes[1]
        assert (first.incarnation, second.incarnation, second.state) == (1, 2, "running")
        assert first.random.random() != second.random.random()
        assert log == [107, 114]


def test_nothing_can_be_started_in_a_dead_process() -> None:
    """spawn() in a crashed process is an error."""
    with kernel() as k:
        process = start_ticker(k, [])
        k.call_at(5, lambda: k.crash(process))
        k.run()
        with pytest.raises(SimulationError, match="crashed"):
            k.spawn(process, lambda: None, "late")


# -- pause ----------------------------------------------------------------------------------------


def test_a_paused_process_misses_its_wakes_until_it_is_resumed() -> None:
    """What falls due in a pause happens at its end, for all actors of the process and no other."""
    log: list[int] = []
    others: list[int] = []
    with kernel() as k:
        process = start_ticker(k, log)
        start_ticker(k, others, "other")
        k.call_at(25, lambda: k.pause(process, 30))
        states: list[str] = []
        k.call_at(40, lambda: states.append(process.state))
        k.run(80)
        states.append(process.state)
    assert log == [10, 20, 55, 65, 75]
    assert others == [10, 20, 30, 40, 50, 60, 70, 80]
    assert states == ["paused", "running"]


def test_a_process_that_pauses_itself_goes_on_afterwards() -> None:
    """pause() of the current process takes that long for it."""
    seen: list[int] = []
    with kernel() as k:

        def main() -> None:
            assert k.current is not None
            k.pause(k.current.process, 1000)
            seen.append(k.now_us)

        k.start_process("p", main)
        k.run()
    assert seen == [1000]


def test_a_second_pause_extends_the_first_and_never_shortens_it() -> None:
    """Two pauses at once: the later end counts."""
    log: list[int] = []
    with kernel() as k:
        process = start_ticker(k, log)
        k.call_at(5, lambda: k.pause(process, 100))
        k.call_at(10, lambda: k.pause(process, 20))
        k.call_at(50, lambda: k.pause(process, 100))
        k.run(165)
    assert log == [150, 160]


def test_a_paused_process_can_be_killed() -> None:
    """SIGKILL reaches a stopped process."""
    log: list[int] = []
    with kernel() as k:
        process = start_ticker(k, log)
        k.call_at(15, lambda: k.pause(process, 100))
        k.call_at(50, lambda: k.crash(process))
        assert k.run() == "idle"
        assert (process.state, log) == ("crashed", [10])


# -- signals --------------------------------------------------------------------------------------


@needs_shims
def test_sigterm_runs_the_handler_in_the_main_actor_while_it_waits() -> None:
    """The handler runs at the signal's time in the main thread; the wait that it interrupted goes on (PEP 475)."""
    log: list[tuple[str, float]] = []
    with kernel() as k:

        def main() -> None:
            stop = threading.Event()

            def handler(number: int, frame: object) -> None:
                assert number == signal.SIGTERM
                assert threading.current_thread() is threading.main_thread()
                log.append(("handler", k.now))

            signal.signal(signal.SIGTERM, handler)
            time.sleep(10)
            log.append(("slept", k.now))
            assert not stop.wait(5)
            log.append(("waited", k.now))

        process = k.start_process("p", main)
        for at in (3_000_000, 12_000_000):
            k.call_at(at, lambda: k.deliver(process, signal.SIGTERM))
        k.run()
        assert process.exit_outcome == "returned"
    assert log == [("handler", 3.0), ("slept", 10.0), ("handler", 12.0), ("waited", 15.0)]


@needs_shims
def test_a_handler_that_sets_an_event_ends_the_main_loop() -> None:
    """The usual graceful shutdown: handler sets a flag, loop ends, finally runs, exit is recorded."""
    log: list[tuple[str, float]] = []
    with kernel() as k:

        def main() -> None:
            stop = threading.Event()
            signal.signal(signal.SIGTERM, lambda *_: stop.set())
            try:
                while not stop.wait(1.0):
                    pass
            finally:
                time.sleep(0.5)
                log.append(("finally", k.now))

        process = k.start_process("p", main)
        k.call_at(2_300_000, lambda: log.append(("handled", k.sigterm(process, 5_000_000))))  # type: ignore[arg-type]
        k.run()
        assert (process.state, process.exit_outcome) == ("exited", "returned")
    assert log == [("handled", True), ("finally", 2.8)]


@needs_shims
def test_a_handler_that_raises_system_exit_unwinds_the_main_actor() -> None:
    """sys.exit in the handler leaves the sleep, runs finally blocks, and is the process's outcome."""
    log: list[float] = []
    with kernel() as k:

        def main() -> None:
            def handler(*_: object) -> None:
                raise SystemExit(3)

            signal.signal(signal.SIGTERM, handler)
            try:
                time.sleep(100)
            finally:
                log.append(k.now)

        process = k.start_process("p", main)
        k.call_at(2_000_000, lambda: k.sigterm(process, 5_000_000))
        k.run()
        assert (process.state, process.exit_outcome, process.exit_code) == ("exited", "exit", 3)
    assert log == [2.0]


def test_sigterm_without_a_handler_kills() -> None:
    """The default action is to die at once, without finally."""
    log: list[str] = []
    with kernel() as k:

        def main() -> None:
            try:
                k.park()
            finally:
                log.append("finally")

        process = k.start_process("p", main)
        handled: list[bool] = []
        k.call_at(10, lambda: handled.append(k.sigterm(process, 1000)))
        k.run()
        assert (handled, process.state, log) == ([False], "crashed", [])


@needs_shims
def test_who_outlives_the_grace_period_is_killed() -> None:
    """A handler that does not end the process only delays its end until the grace is over."""
    with kernel() as k:

        def main() -> None:
            signal.signal(signal.SIGTERM, lambda *_: None)
            while True:
                time.sleep(1)

        process = k.start_process("p", main)
        crashes: list[float] = []
        k.on_crash = lambda _: crashes.append(k.now)
        k.call_at(2_500_000, lambda: k.sigterm(process, 4_000_000))
        k.run()
        assert (process.state, crashes) == ("crashed", [6.5])


@needs_shims
def test_a_wake_during_a_signal_handler_is_not_lost() -> None:
    """A lock that is released while the handler of the waiting actor sleeps is taken afterwards."""
    log: list[tuple[str, float]] = []
    with kernel() as k:
        lock = threading.Lock()

        def main() -> None:
            def handler(*_: object) -> None:
                time.sleep(5)
                log.append(("handler", k.now))

            signal.signal(signal.SIGTERM, handler)

            def holder() -> None:
                with lock:
                    time.sleep(3)
                log.append(("released", k.now))

            threading.Thread(target=holder).start()
            time.sleep(0.001)
            with lock:
                log.append(("taken", k.now))

        process = k.start_process("p", main)
        k.call_at(1_000_000, lambda: k.deliver(process, signal.SIGTERM))
        k.run()
    assert log == [("released", 3.0), ("handler", 6.0), ("taken", 6.0)]


def test_a_paused_process_handles_its_signal_when_it_goes_on() -> None:
    """A stopped process runs no handler."""
    seen: list[int] = []
    with kernel() as k:
        process = k.start_process("p", lambda: k.sleep_us(100))
        process.handlers[signal.SIGTERM] = lambda *_: seen.append(k.now_us)
        k.call_at(10, lambda: k.pause(process, 50))
        k.call_at(20, lambda: k.deliver(process, signal.SIGTERM))
        k.run()
        assert (seen, k.now_us) == ([60], 100)


# -- exit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main", "outcome"),
    [(lambda: None, "returned"), (lambda: 1 / 0, "error"), (lambda: (_ for _ in ()).throw(SystemExit(2)), "exit")],
)
def test_how_a_process_ended(main: object, outcome: str) -> None:
    """The outcome names return, error and exit; on_exit gets the main actor and its error."""
    ends: list[tuple[str, type | None]] = []
    with kernel() as k:
        k.on_exit = lambda actor, error: ends.append((actor.name, type(error) if error else None))
        process = k.start_process("p", main)  # type: ignore[arg-type]
        k.run()
        assert (process.state, process.exit_outcome) == ("exited", outcome)
    assert ends == [("p", ZeroDivisionError if outcome == "error" else None)]


@needs_shims
def test_a_process_waits_for_its_threads_and_abandons_its_daemons() -> None:
    """As the interpreter: threads are joined at exit, daemon threads run no more, without finally."""
    log: list[tuple[str, float]] = []
    with kernel() as k:

        def worker(name: str, seconds: float) -> None:
            try:
                time.sleep(seconds)
                log.append((name, k.now))
            finally:
                if not k.closing:
                    log.append((name + " finally", k.now))

        def main() -> None:
            threading.Thread(target=worker, args=("thread", 5)).start()
            threading.Thread(target=worker, args=("daemon", 7), daemon=True).start()

        process = k.start_process("p", main)
        k.on_exit = lambda actor, error: log.append((f"exit {actor.name}", k.now))
        k.run()
        assert process.state == "exited"
        assert k.now == 5.0
    assert log == [
        ("thread", 5.0),
        ("thread finally", 5.0),
        ("exit p/Thread-1 (worker)", 5.0),
        ("exit p", 5.0),
    ]


# -- clocks ---------------------------------------------------------------------------------------


def test_a_wall_clock_that_jumps_moves_no_monotonic_clock() -> None:
    """clock_offset_us changes what the process's wall clock shows, and nothing else."""
    seen: dict[str, tuple[int, int]] = {}
    with kernel() as k:

        def main(name: str) -> None:
            k.sleep_us(1000)
            seen[name] = (k.read_wall_us(), k.read_monotonic_us())

        ahead = k.start_process("ahead", lambda: main("ahead"))
        ahead.clock_offset_us = 3_600_000_000
        k.start_process("right", lambda: main("right"))
        k.run()
    assert seen["right"] == (EPOCH_US + 1000, MONOTONIC_US + 1000)
    assert seen["ahead"] == (EPOCH_US + 1000 + 3_600_000_000, MONOTONIC_US + 1000)


def test_a_drifting_clock_is_continuous() -> None:
    """Setting a rate moves nothing at that moment; the clock then runs at it, and back at 1 it keeps the gap."""
    seen: list[int] = []
    with kernel() as k:

        def main() -> None:
            for _ in range(4):
                k.sleep_us(1_000_000)
                seen.append(k.read_wall_us() - EPOCH_US)

        process = k.start_process("p", main)
        k.call_at(1_000_000, lambda: setattr(process, "clock_rate", 1.5))
        k.call_at(3_000_000, lambda: setattr(process, "clock_rate", 1.0))
        k.run()
    assert seen == [1_000_000, 2_500_000, 4_000_000, 5_000_000]


# -- memory ---------------------------------------------------------------------------------------


def test_each_process_has_its_own_environ() -> None:
    """os.environ shows each process its own values, keeps its changes apart, and is the real one afterwards."""
    seen: list[tuple[str, str | None, str | None]] = []
    outside = dict(os.environ)
    with kernel() as k:

        def main(name: str) -> None:
            os.environ["CHANGED"] = name
            k.sleep_us(10)
            seen.append((name, os.environ.get("NAME"), os.environ.get("CHANGED")))

        for name in ("a", "b"):
            k.start_process(name, lambda name=name: main(name), environ={"NAME": name})
        k.start_process("c", lambda: (k.sleep_us(10), seen.append(("c", os.environ.get("NAME"), None))))
        k.run()
        assert dict(os.environ) == outside
    assert sorted(seen) == [("a", "a", "a"), ("b", "b", "b"), ("c", None, None)]
    assert dict(os.environ) == outside
