"""What the kernel schedules: actors (greenlets), and functions that run at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.sim.process import Process

__all__ = ["Actor", "RunOver", "Timer"]


class RunOver(BaseException):
    """The run is over: raised in what still lives when the kernel closes, and by every call it then makes.

    Not an ``Exception``: the code under test must not take it for a failure
    of its own.
    """


class Actor:
    """One line of execution of a simulated process: its main function, a thread, a pool's worker.

    ``cause`` is the number of the event that woke it last (the recorder takes
    it and sets ``None``). ``dead``: it has ended, or its process was killed.
    """

    __slots__ = (
        "__weakref__",
        "cause",
        "daemon",
        "dead",
        "due",
        "error",
        "function",
        "greenlet",
        "handling",
        "ident",
        "joiners",
        "locals",
        "loop",
        "missed",
        "name",
        "pending",
        "process",
        "reads",
        "refusals",
        "sentinel",
        "waiting",
        "woken",
    )

    def __init__(self, process: Process, function: Callable[[], object], name: str, daemon: bool, ident: int) -> None:
        self.process = process
        self.function = function
        self.name = name
        self.daemon = daemon
        self.ident = ident  # what threading.get_ident() answers in it
        self.dead = False
        self.cause: int | None = None
        self.error: BaseException | None = None
        self.greenlet: Any = None  # None until the hub starts it; then the greenlet that goes on when it is resumed
        self.due = 0  # the sequence number of its valid entry in the heap; 0: none
        self.waiting = False  # parked: wake() resumes it
        self.woken = False  # why the last park ended
        self.pending: list[int] | None = None  # signals to be handled at its next resume
        self.handling = 0  # depth of signal handlers that run in it
        self.missed = False  # a wake() that came while a signal handler ran
        self.reads = 0  # clock reads since it gave way
        self.refusals = 0  # calls refused since the run is over
        self.loop: Any = None  # the running asyncio loop, while it does not run
        self.joiners: list[Actor] | None = None
        self.sentinel: Any = None  # the lock that a thread's join() waits for
        self.locals: list[Any] | None = None  # weak references to the thread-locals it has used

    def __repr__(self) -> str:
        return f"Actor({self.name!r})"


class Timer:
    """A function that runs in the hub at its time. ``cancel()`` is idempotent."""

    __slots__ = ("due", "function")

    def __init__(self, function: Callable[[], object], due: int) -> None:
        self.function = function
        self.due = due

    def cancel(self) -> None:
        self.due = 0
