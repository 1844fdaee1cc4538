"""The virtual clock of services: waiting and waking, with dead and paused processes among the waiters."""

from __future__ import annotations

import pytest

from harness.sim.kernel import EPOCH_US, Kernel
from harness.sim.services.timebase import KernelTimebase, Waiters
from tests.unit.sim.simulate import kernel


def waiter(
    run: Kernel, timebase: KernelTimebase, waiters: Waiters, log: list[tuple[str, bool, float]], name: str
) -> None:
    def main() -> None:
        notified = timebase.wait(waiters, EPOCH_US + 10_000_000)
        log.append((name, notified, run.now))

    run.start_process(name, main)


def test_now() -> None:
    """The service's clock starts at the epoch and follows virtual time."""
    with kernel() as run:
        timebase = KernelTimebase(run)
        assert timebase.now_us() == EPOCH_US
        run.start_process("p", lambda: run.sleep_us(1_234))
        run.run()
        assert timebase.now_us() == EPOCH_US + 1_234


def test_notify_wakes_one_in_order_of_arrival() -> None:
    """Each notification wakes one waiter, the first; the others wait until their time is up."""
    log: list[tuple[str, bool, float]] = []
    with kernel() as run:
        timebase, waiters = KernelTimebase(run), Waiters()
        for number, name in enumerate("abc"):
            run.call_at(number, lambda name=name: waiter(run, timebase, waiters, log, name))
        run.call_at(1_000_000, lambda: timebase.notify(waiters))
        run.call_at(2_000_000, lambda: timebase.notify(waiters))
        run.run()
    assert log == [("a", True, 1.0), ("b", True, 2.0), ("c", False, 10.0)]
    assert not waiters


def test_notify_passes_over_the_dead() -> None:
    """A waiter whose process was killed does not swallow a notification."""
    log: list[tuple[str, bool, float]] = []
    with kernel() as run:
        timebase, waiters = KernelTimebase(run), Waiters()
        for number, name in enumerate("ab"):
            run.call_at(number, lambda name=name: waiter(run, timebase, waiters, log, name))
        run.call_at(1_000_000, lambda: run.crash(run.processes[0]))
        run.call_at(2_000_000, lambda: timebase.notify(waiters))
        run.run()
    assert log == [("b", True, 2.0)]


def test_notify_passes_on_from_the_paused() -> None:
    """A paused waiter is woken for when it runs on, and the next one is woken now."""
    log: list[tuple[str, bool, float]] = []
    with kernel() as run:
        timebase, waiters = KernelTimebase(run), Waiters()
        for number, name in enumerate("ab"):
            run.call_at(number, lambda name=name: waiter(run, timebase, waiters, log, name))
        run.call_at(1_000_000, lambda: run.pause(run.processes[0], 4_000_000))
        run.call_at(2_000_000, lambda: timebase.notify(waiters))
        run.run()
    assert log == [("b", True, 2.0), ("a", True, 5.0)]


def test_only_actors_wait() -> None:
    """Code outside every process cannot wait for a service."""
    with kernel() as run, pytest.raises(RuntimeError, match="only an actor can wait"):
        KernelTimebase(run).wait(Waiters(), EPOCH_US + 1)
