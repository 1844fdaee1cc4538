"""Where a component is probed: one simulated process in virtual time, its clocks apart, its steps limited."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness import runner
from harness.errors import Deadlock, Runaway, Stalled
from harness.seeds import Seeds
from harness.sim import world
from harness.sim.actors import Actor
from harness.sim.kernel import Kernel, Process
from harness.sim.preempt import Level

__all__ = ["Bench", "elsewhere", "run"]

#: A time zone with an odd offset from UTC, in POSIX notation, which needs no zone files.
_ZONE = "PRB-12:45"
_WALL_OFFSET_US = 98_765_432_100_000  # the wall clock is this far from the kernel's, some three years
_SPINS_MAX = 50  # times a clock was read 1,000 times on end: nobody waits like that
_WATCHDOG_S = 5.0
_LATENCY_US = 1_000


class _Hook:
    """No faults; a millisecond for whatever is asked over a wire (a shared store)."""

    def passing(self, point: str, side: str, key: str | None = None) -> None:
        return None

    def latency_us(self, point: str) -> int:
        return _LATENCY_US


def _record(kind: str, message: str | None = None, **fields: Any) -> int:
    return 0


class _Kernel(Kernel):
    """Ends a run in which code reads clocks on end instead of sleeping."""

    spins = 0

    def _spin(self, actor: Actor) -> None:
        self.spins += 1
        if self.spins > _SPINS_MAX:
            self.fail(Runaway(f"{actor.name} reads the clock over and over instead of sleeping", self.stacks()))
        super()._spin(actor)


class Bench:
    """One run. ``problem`` is why it did not come to rest, if it did not; ``lines`` is what happened."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.process: Process | None = None
        self.problem = ""
        self.lines: list[str] = []

    @property
    def now_us(self) -> int:
        """Virtual microseconds since the start."""
        return self.kernel.now_us

    def sleep(self, seconds: float) -> None:
        """The current actor sleeps; nothing for 0."""
        if seconds > 0:
            self.kernel.sleep_us(round(seconds * 1e6))

    def jump(self, seconds: float) -> None:
        """The wall clock moves; the monotonic clock does not."""
        if seconds and self.process is not None:
            self.process.clock_offset_us += round(seconds * 1e6)

    def jump_soon(self, seconds: float) -> None:
        """The wall clock moves in a tenth of a second."""
        if seconds:
            self.kernel.call_at(self.now_us + 100_000, lambda: self.jump(seconds))

    def spawn(self, function: Callable[[], object], name: str) -> Actor:
        """A thread of the process."""
        assert self.process is not None
        return self.kernel.spawn(self.process, function, name, daemon=False)

    def wait_for(self, actors: list[Actor]) -> None:
        """The current actor waits until all of *actors* have ended."""
        for actor in actors:
            while not actor.dead:
                if actor.joiners is None:
                    actor.joiners = []
                assert self.kernel.current is not None
                actor.joiners.append(self.kernel.current)
                self.kernel.park()

    def note(self, text: str) -> None:
        """A line of the evidence, with the time."""
        self.lines.append(f"{self.now_us / 1e6:.3f} s: {text}")


@contextmanager
def elsewhere() -> Iterator[None]:
    """The shims are in, and local time is not UTC."""
    runner.install()
    before = os.environ.get("TZ")
    os.environ["TZ"] = _ZONE
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


def run(
    main: Callable[[Bench], object], *, seed: int = 0, max_steps: int = 20_000, preempt: Level | None = None
) -> Bench:
    """Call *main* in a process of its own, in virtual time.

    Threads that are runnable at one instant run in the order in which they
    came, except under *preempt*, where *seed* decides.

    Raises:
        SimulationError: the code asked for something that cannot be simulated.
        Exception: what *main* raised.
    """
    kernel = _Kernel(
        Seeds(seed),
        max_steps=max_steps,
        max_instant_steps=max_steps,
        watchdog_seconds=_WATCHDOG_S,
        tape=() if preempt is None else None,
        preempt=preempt,
    )
    bench = Bench(kernel)
    world.enter(world.World(kernel, _Hook(), _record))
    try:
        bench.process = kernel.start_process("probe", lambda: main(bench))
        bench.process.clock_offset_us = _WALL_OFFSET_US
        try:
            kernel.run()
        except Deadlock:
            bench.problem = "it waits for ever"
        except (Runaway, Stalled) as error:
            bench.problem = f"it does not come to rest: {str(error).splitlines()[0]}"
    finally:
        kernel.close()
        world.leave()
    if kernel.refused:
        raise kernel.refused[0]
    error_of_main = bench.process.exit_error
    if error_of_main is not None:
        raise error_of_main
    return bench
