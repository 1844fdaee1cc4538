"""Waits that a stop cuts: of threads, of tasks, and of nobody else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness.resilience._awaiting import HandlerLoop
from harness.resilience._waits import Waits, in_force
from harness.resilience.backoff import Exponential
from harness.resilience.retry import Retry
from tests.shims import shims_in
from tests.unit.sim.simulate import answer

RETRY = Retry(Exponential(60, jitter="none"), max_retries=3)


@pytest.fixture(autouse=True, scope="module")
def shims() -> Iterator[None]:
    """The shims are in; afterwards as before."""
    with shims_in():
        yield


class Stop:
    """Stops at ten seconds of virtual time."""

    def __init__(self) -> None:
        self.waits = Waits(self.pause, self.stopping)
        self.began = time.monotonic()

    def stopping(self) -> bool:
        return time.monotonic() - self.began >= 10

    def pause(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not self.stopping():
            if time.monotonic() >= until:
                return True
            time.sleep(1)
        return False


async def fails(log: list[float]) -> None:
    log.append(round(time.monotonic() - 100_000))
    raise ConnectionError("down")


def test_a_task_of_the_handler_stops_waiting() -> None:
    """What the handler awaits, on the loop of all handlers, waits as the handler does: its last error comes at once."""

    def main() -> list[Any]:
        stop, loop = Stop(), HandlerLoop()
        log: list[Any] = []
        try:
            with stop.waits.installed():
                loop.call(lambda message: RETRY.execute_async(fails, log), {})
        except ConnectionError as error:
            log.append(str(error))
        loop.close()
        return [*log, round(time.monotonic() - stop.began), stop.waits.cut]

    assert answer(main) == [0, "down", 10, True]


def test_a_wait_that_is_over_first_is_whole() -> None:
    """Nothing is cut where the wait is shorter than what is left, in a thread or in a task."""

    def main() -> list[Any]:
        stop = Stop()

        async def task() -> bool:
            return await stop.waits.pause_async(2.5)

        found = [stop.waits.pause(3), asyncio.run(task())]
        return [*found, round(time.monotonic() - stop.began, 1), stop.waits.cut]

    assert answer(main) == [True, True, 5.5, False]


def test_other_threads_and_later_work_have_none() -> None:
    """They are in force for the work of a handler alone, in its thread and its tasks."""

    def main() -> list[Any]:
        stop = Stop()
        found: list[Any] = []

        async def task() -> None:
            found.append(in_force() is stop.waits)

        with stop.waits.installed():
            thread = threading.Thread(target=lambda: found.append(in_force()))
            thread.start()
            thread.join()
            asyncio.run(task())
        return [*found, in_force()]

    assert answer(main) == [None, True, None]
