"""Clock faults: a process's wall clock is wrong. Monotonic clocks and timers are not touched.

A clock belongs to the machine: a process that is restarted keeps it. With an
``end``, the clock is put right there (a jump is taken back, the rate is 1
again).
"""

from __future__ import annotations

from harness.faults.acts import Decision, Drift, Jump
from harness.faults.kinds import Kind, Parameter, Passing

__all__ = ["KINDS"]


def _jump(passing: Passing) -> Decision:
    return Jump(passing.parameters["seconds"])


def _drift(passing: Passing) -> Decision:
    return Drift(passing.parameters["rate"])


KINDS = (
    Kind(
        name="jump",
        layer="clock",
        summary="The wall clock jumps by this much, forward or back, as when a clock far off is set right or wrong.",
        phrase="jumps by {seconds} s",
        decide=_jump,
        parameters=(Parameter("seconds", "offset", 3600, "by how much; below zero is back"),),
        once=True,
        source="adjtime(3), clock_settime(2): CLOCK_REALTIME is discontinuous, CLOCK_MONOTONIC is not",
    ),
    Kind(
        name="drift",
        layer="clock",
        summary="The wall clock runs too fast or too slow.",
        phrase="runs at {rate} times its speed",
        decide=_drift,
        parameters=(Parameter("rate", "rate", 1.05, "its speed; 1 is right"),),
        once=True,
    ),
)
