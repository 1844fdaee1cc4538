"""What a fault may decide that no wire can carry out: the engine does it, through the kernel and the environment.

A kind's ``decide`` returns one of these, or a verdict of
:mod:`harness.sim.verdicts` for the wire, or ``None`` when this passing is
none of its business (a poison fault and another message's key).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from harness.sim.verdicts import Verdict

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
