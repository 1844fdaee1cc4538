"""A simulated process: the unit of crash, pause, wall clock and memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from harness.sim.actors import Actor
    from harness.sim.kernel import Kernel

__all__ = ["EPOCH_US", "MONOTONIC_US", "Outcome", "Process", "State"]

#: 2030-01-01T00:00:00Z in microseconds since 1970: where virtual wall clocks start. Fixed, and later
#: than any real date, so that a clock read before the run never lies in its future.
EPOCH_US = 1_893_456_000_000_000

#: Where monotonic clocks start: never 0, which code may take for "not set".
MONOTONIC_US = 100_000_000_000

State: TypeAlias = Literal["running", "paused", "crashed", "exited"]
Outcome: TypeAlias = Literal["returned", "error", "exit"]


class Process:
    """A group of actors that live and die together, with a wall clock and a random state of its own.

    ``group`` is what a fault's target names (``process.worker``), ``name`` is
    this one (``worker.1``); a restart is a new Process with the next
    ``incarnation``.
    """

    __slots__ = (
        "_entropy",
        "_kernel",
        "_offset_us",
        "_random",
        "_rate",
        "_rate_since_us",
        "actors",
        "at_exit",
        "at_threading_exit",
        "counters",
        "environ",
        "environ_data",
        "exit_code",
        "exit_error",
        "exit_outcome",
        "group",
        "handlers",
        "held",
        "incarnation",
        "main",
        "name",
        "resume_at_us",
        "shutting_down",
        "state",
        "timers",
        "wakeup",
        "wall_us",
    )

    def __init__(
        self, kernel: Kernel, name: str, group: str, incarnation: int, environ: Mapping[str, str] | None
    ) -> None:
        self._kernel = kernel
        self.name = name
        self.group = group
        self.incarnation = incarnation
        self.environ: dict[str, str] | None = dict(environ) if environ is not None else None
        self.environ_data: dict[Any, Any] | None = None
        self.state: State = "running"
        self.main: Actor | None = None
        self.actors: dict[Actor, None] = {}  # those that live, in order of creation
        self.held: list[Actor] | None = None  # those that would run if it were not paused
        self.resume_at_us = 0
        self._offset_us = 0
        self._rate = 1.0
        self._rate_since_us = 0
        self.wall_us: int | None = EPOCH_US  # wall clock minus now, while the clock does not drift
        self._random: Random | None = None
        self._entropy: Random | None = None
        self.handlers: dict[int, Any] = {}  # by signal number, as signal.signal was given them
        self.wakeup: Callable[[int], object] | None = None  # is told a signal's number as it arrives
        self.timers: dict[str, Any] = {}  # what the process armed: "alarm"
        self.counters: dict[str, int] = {}  # names of threads and executors
        self.at_exit: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = []
        self.at_threading_exit: list[Callable[[], object]] = []
        self.shutting_down = False
        self.exit_outcome: Outcome | None = None
        self.exit_error: BaseException | None = None
        self.exit_code: object = None

    def __repr__(self) -> str:
        return f"Process({self.name!r}, incarnation={self.incarnation}, {self.state})"

    @property
    def alive(self) -> bool:
        return self.state == "running" or self.state == "paused"

    @property
    def random(self) -> Random:
        """The process's ``random``: a stream of its own."""
        if self._random is None:
            self._random = self._kernel.seeds.stream(f"random/{self.name}/{self.incarnation}")
        return self._random

    @property
    def entropy(self) -> Random:
        """What generators of this process that are given no seed start from."""
        if self._entropy is None:
            self._entropy = self._kernel.seeds.stream(f"entropy/{self.name}/{self.incarnation}")
        return self._entropy

    @property
    def clock_offset_us(self) -> int:
        """How far the wall clock is ahead of true time, drift apart. Monotonic clocks do not follow."""
        return self._offset_us

    @clock_offset_us.setter
    def clock_offset_us(self, value: int) -> None:
        self._offset_us = value
        self._set_wall()

    @property
    def clock_rate(self) -> float:
        """Seconds of the wall clock for each true second, from when it was set."""
        return self._rate

    @clock_rate.setter
    def clock_rate(self, value: float) -> None:
        now_us = self._kernel.now_us
        self._offset_us += int((now_us - self._rate_since_us) * (self._rate - 1.0))
        self._rate = value
        self._rate_since_us = now_us
        self._set_wall()

    def _set_wall(self) -> None:
        self.wall_us = EPOCH_US + self._offset_us if self._rate == 1.0 else None

    def wall_clock_us(self, now_us: int) -> int:
        """What the process's wall clock shows, in microseconds since 1970."""
        if self.wall_us is not None:
            return self.wall_us + now_us
        return EPOCH_US + self._offset_us + now_us + int((now_us - self._rate_since_us) * (self._rate - 1.0))

    def count(self, what: str) -> int:
        """The next number of a counter of this process: 0, 1, 2, ..."""
        number = self.counters.get(what, 0)
        self.counters[what] = number + 1
        return number
