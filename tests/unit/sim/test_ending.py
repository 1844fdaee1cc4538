"""Tests of the end of a run: the graveyard, silent unwinding, refusal of every call."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import time
from collections.abc import Callable

import pytest

from harness.sim.kernel import Kernel, RunOver
from tests.unit.sim.simulate import kernel, needs_shims


def test_what_still_lives_is_unwound_at_close_in_order_of_creation() -> None:
    """finally blocks run at close(), not before: of the killed and of the waiting alike."""
    log: list[str] = []
    with kernel() as k:

        def main(name: str) -> None:
            try:
                k.park()
            finally:
                log.append(name)

        for name in ("a", "b", "c"):
            k.start_process(name, lambda name=name: main(name))
        k.call_at(5, lambda: k.crash(k.processes[1]))
        k.run(10)
        assert log == []
        k.close()
        assert log == ["a", "b", "c"]


@pytest.mark.parametrize(
    "call",
    [
        lambda k: k.sleep_us(1),
        lambda k: k.park(),
        lambda k: k.call_at(1, lambda: None),
        lambda k: k.spawn(k.processes[0], lambda: None, "x"),
        lambda k: k.start_process("x", lambda: None),
        lambda k: k.crash(k.processes[0]),
        lambda k: k.pause(k.processes[0], 5),
        lambda k: k.sigterm(k.processes[0], 5),
        lambda k: k.refuse(),
    ],
    ids=["sleep", "park", "call_at", "spawn", "start_process", "crash", "pause", "sigterm", "refuse"],
)
def test_every_kernel_call_is_refused_while_unwinding(call: Callable[[Kernel], object]) -> None:
    """A finally block of a dead process can do nothing that the run would see."""
    seen: list[type[BaseException] | None] = []
    with kernel() as k:

        def main() -> None:
            try:
                k.park()
            finally:
                try:
                    call(k)
                    seen.append(None)
                except BaseException as error:
                    seen.append(type(error))
                    raise

        k.start_process("p", main)
        k.run(10)
    assert seen == [RunOver]


def test_an_actor_that_will_not_end_is_left_where_it_is() -> None:
    """Code that swallows everything and calls again is abandoned after a while: close() returns."""
    swallowed: list[int] = []
    with kernel() as k:

        def main() -> None:
            while True:
                try:
                    k.sleep_us(1000)
                except BaseException:
                    swallowed.append(1)

        k.start_process("p", main)
        after = k.start_process("q", k.park)
        k.run(10)
        k.close()
        assert after.main is not None
        assert after.main.dead
    count = len(swallowed)
    assert 10 < count < 1000
    import gc

    gc.collect()
    assert len(swallowed) == count


def test_an_actor_that_spins_while_unwound_is_left_too() -> None:
    """A bare loop in a finally block is stopped by the watchdog."""
    with kernel(watchdog_seconds=0.2) as k:

        def main() -> None:
            try:
                k.park()
            finally:
                while True:
                    pass

        k.start_process("p", main)
        k.run(10)
        start = time.perf_counter()
        k.close()
        assert time.perf_counter() - start < 5


@needs_shims
def test_a_finally_block_that_spins_on_the_clock_ends() -> None:
    """Time stands still at the end of a run, and waiting for it is refused."""
    ended: list[str] = []
    with kernel() as k:

        def main() -> None:
            try:
                k.park()
            finally:
                try:
                    until = time.monotonic() + 60
                    while time.monotonic() < until:
                        continue
                except RunOver:
                    ended.append("refused")

        k.start_process("p", main)
        k.run(10)
    assert ended == ["refused"]


@needs_shims
def test_unwinding_is_silent(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Neither print, nor logging, nor the complaints of dying threads and pools reach the user."""
    log = logging.getLogger("test-unwinding")
    with kernel() as k:

        def main() -> None:
            try:
                threading.Thread(target=lambda: time.sleep(1000)).start()
                pool = concurrent.futures.ThreadPoolExecutor(2)
                pool.submit(time.sleep, 1000)
                time.sleep(1000)
            finally:
                print("bye")
                log.error("shutting down")

        killed = k.start_process("killed", main)
        k.start_process("living", main)
        k.call_at(10_000_000, lambda: k.crash(killed))
        k.run(20_000_000)
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")
    assert [record.message for record in caplog.records] == []


@needs_shims
def test_locks_held_by_the_dead_can_be_released_while_unwinding() -> None:
    """Leaving a with block in the unwinding raises nothing of its own."""
    seen: list[BaseException] = []
    with kernel() as k:
        lock, rlock = threading.Lock(), threading.RLock()

        def main() -> None:
            try:
                with lock, rlock:
                    k.park()
            except BaseException as error:
                seen.append(error)
                raise

        k.start_process("p", main)
        k.run(10)
    assert [type(error) for error in seen] == [RunOver]
    assert seen[0].__context__ is None
    assert not lock.locked()


@needs_shims
def test_the_tables_of_threading_are_clean_after_a_run() -> None:
    """No thread of a run is left in threading's tables: neither ended, nor killed, nor abandoned ones."""
    before = threading.enumerate(), threading.active_count()

    with kernel() as k:

        def main() -> None:
            assert threading.current_thread().name == "MainThread"
            for _ in range(3):
                threading.Thread(target=time.sleep, args=(100,)).start()
            concurrent.futures.ThreadPoolExecutor(2).submit(time.sleep, 1000)
            time.sleep(1000)

        process = k.start_process("p", main)
        k.call_at(50, lambda: k.crash(process))
        k.start_process("q", main)
        k.run(100)
    assert (threading.enumerate(), threading.active_count()) == before
    assert all(ident > k.identities for ident in threading._active)  # type: ignore[attr-defined]
    assert not threading._limbo  # type: ignore[attr-defined]


def test_an_exception_group_of_the_end_is_no_error_of_the_process() -> None:
    """A process unwound at the end has no outcome: it neither returned nor failed."""
    with kernel() as k:
        process = k.start_process("p", k.park)
        k.run(10)
        k.close()
        assert (process.exit_outcome, process.exit_error) == (None, None)
