"""What a fault may decide that no wire can carry out: the engine does it, through the kernel and the environment.

A kind's ``decide`` returns one of these, or a verdict of
:mod:`harness.sim.verdicts` for the wire, or ``None`` when this passing is
none of its business (a poison fault and another message's key).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from harness.sim.verdicts import Answer, Lost, Refused, Reset, Slow, Twist, Verdict

__all__ = [
    "Act",
    "Crash",
    "Decision",
    "Drift",
    "Failover",
    "Flush",
    "Hang",
    "Jump",
    "Noted",
    "Pause",
    "Raise",
    "Sigterm",
    "Sleep",
    "lasts",
    "told",
]


@dataclass(frozen=True, slots=True)
class Raise:
    """Raise the exception that *error* (``module:Class``) names, where the fault strikes."""

    error: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Spend this much virtual time, then go on, or raise *then* or hand it to the wire."""

    seconds: float
    then: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Hang:
    """Never go on."""


@dataclass(frozen=True, slots=True)
class Crash:
    """Kill the process as SIGKILL does; start it again after *restart_after* seconds (``None``: never)."""

    restart_after: float | None


@dataclass(frozen=True, slots=True)
class Sigterm:
    """Ask the process to end, kill it after *grace* seconds."""

    grace: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing of the process runs for this many seconds, as with SIGSTOP or a long garbage collection."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Jump:
    """Move the process's wall clock by this many seconds, forward or back."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drift:
    """Let the process's wall clock run at this rate (1 is right)."""

    rate: float


@dataclass(frozen=True, slots=True)
class Flush:
    """Delete everything that Redis holds."""


@dataclass(frozen=True, slots=True)
class Failover:
    """Redis fails over to a replica that lacks the writes of the last *lost_seconds*."""

    lost_seconds: float


@dataclass(frozen=True, slots=True)
class Noted:
    """The fault strikes and the service bears it: nothing goes wrong, *did* says why."""

    did: str


Act: TypeAlias = Raise | Sleep | Hang | Crash | Sigterm | Pause | Jump | Drift | Flush | Failover | Noted
Decision: TypeAlias = Verdict | Act


def lasts(decision: Decision) -> float | None:
    """How long what was decided goes on, in seconds; ``None``: without end."""
    match decision:
        case Crash(seconds) | Sigterm(seconds) | Pause(seconds):
            return seconds
        case Sleep(seconds) | Slow(seconds):
            return seconds
        case Twist("delay", parameters):
            return float(parameters["seconds"])  # so much later a message comes: the run must wait for it
        case Hang():
            return None
        case _:
            return 0.0


def told(decision: Decision) -> str:
    """What a strike did, for the history."""
    match decision:
        case Answer(0, _, message):
            return f"answered {message}"
        case Answer(status, code):
            return f"answered {status} {code}" if code != str(status) else f"answered {status}"
        case Lost():
            return "no answer came"
        case Refused():
            return "connection refused"
        case Reset():
            return "connection reset"
        case Twist(kind):
            return f"the service did {kind}"
        case Sleep(seconds, None) | Slow(seconds):
            return f"took {seconds:g} s longer"
        case Sleep(seconds, then) if then is not None:
            return f"after {seconds:g} s: {told(then)}"
        case Raise(error):
            return f"raised {error.removeprefix('builtins:')}"
        case _:
            return _told_of_process(decision)


def _told_of_process(decision: Decision) -> str:
    match decision:
        case Hang():
            return "never returned"
        case Crash(None):
            return "killed for good"
        case Crash(seconds):
            return f"killed, restart after {seconds:g} s"
        case Sigterm(grace):
            return f"SIGTERM, SIGKILL after {grace:g} s"
        case Pause(seconds):
            return f"stood still for {seconds:g} s"
        case Jump(seconds):
            return f"clock moved by {seconds:g} s"
        case Drift(rate):
            return f"clock runs at {rate:g} times its speed"
        case Flush():
            return "all data deleted"
        case Failover(seconds):
            return f"failed over, writes of the last {seconds:g} s lost"
        case Noted(did):
            return did
        case _:
            raise AssertionError(f"{decision!r} has no words")
