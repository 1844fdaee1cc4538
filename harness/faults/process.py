"""Process faults: a process is killed, asked to end, stopped for a while, or slow to start.

At ``process.NAME`` they strike every process of that name when the window
opens. With ``nth`` they strike the process of that name that makes the n-th
passing of any point; at any other target they strike whoever passes there.
"""

from __future__ import annotations

from harness.faults.acts import Crash, Decision, Noted, Pause, Sigterm
from harness.faults.kinds import SIDES, Kind, Parameter, Passing

__all__ = ["KINDS"]


def _crash(passing: Passing) -> Decision:
    return Crash(passing.parameters["restart_after"])


def _sigterm(passing: Passing) -> Decision:
    return Sigterm(passing.parameters["grace"])


def _pause(passing: Passing) -> Decision:
    return Pause(passing.parameters["seconds"])


def _slow_start(passing: Passing) -> Decision:
    return Noted(f"starts {passing.parameters['seconds']:g} s later")


KINDS = (
    Kind(
        name="crash",
        layer="process",
        summary="The process is killed as by SIGKILL: no finally, no atexit, all its threads at once; what it had in "
        "memory is gone. It is started again after a while.",
        phrase="is killed{restart}",
        decide=_crash,
        parameters=(
            Parameter(
                "restart_after",
                "seconds",
                1.0,
                "seconds until it is started again; none: it stays down",
                optional=True,
            ),
        ),
        sides=SIDES,
        source="signal(7): SIGKILL cannot be caught, blocked or ignored",
    ),
    Kind(
        name="sigterm",
        layer="process",
        summary="The process gets SIGTERM and, if it still runs after the grace, SIGKILL, as in a deployment; its "
        "successor starts when it has ended.",
        phrase="gets SIGTERM and is killed after {grace} s",
        decide=_sigterm,
        parameters=(Parameter("grace", "seconds", 30, "seconds from SIGTERM to SIGKILL"),),
        sides=SIDES,
        source="Kubernetes, Pod termination: terminationGracePeriodSeconds, 30 by default",
    ),
    Kind(
        name="pause",
        layer="process",
        summary="Nothing of the process runs for a while, and it does not notice: SIGSTOP, a frozen virtual machine, "
        "a long garbage collection. By default longer than SQS's default visibility timeout.",
        phrase="stands still for {seconds} s",
        decide=_pause,
        parameters=(Parameter("seconds", "positive", 45, "how long, in seconds"),),
        sides=SIDES,
    ),
    Kind(
        name="slow-start",
        layer="process",
        summary="Each start of the process inside the window (the first one and restarts) takes this much longer.",
        phrase="takes {seconds} s longer to start",
        decide=_slow_start,
        parameters=(Parameter("seconds", "positive", 30, "how much longer, in seconds"),),
    ),
)
