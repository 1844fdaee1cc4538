"""What can go wrong in a scenario: every fault point that a clean run passes, with the kinds that can strike there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.errors import PlanError
from harness.faults import points
from harness.faults.kinds import SIDES, Kind, for_layer
from harness.faults.plan import Fault

__all__ = ["PARAMETERS", "Choice", "choices", "is_passed", "passings"]

#: Parameters where a kind's own default would say nothing about recovery, or too much: a crash without a restart
#: leaves nobody to recover; a pause is longer than the usual visibility timeout.
PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "crash": {"restart_after": 5},
    "pause": {"seconds": 45},
}

#: Points that are no passings of the code under test.
_NOT_PASSED: Final = ("workload", "process", "clock", "network")

#: The kinds of a process that are tried at every point; a slow start has no passing.
_PROCESS_KINDS: Final = ("crash", "sigterm", "pause")


@dataclass(frozen=True)
class Choice:
    """One kind at one side of one point: with an ``nth`` it is one fault."""

    point: str
    side: str
    kind: str

    def fault(self, nth: int) -> Fault:
        """The fault that strikes the *nth* passing."""
        parameters = dict(PARAMETERS.get(self.kind, {}))
        return Fault(self.point, self.kind, side=self.side, nth=nth, **parameters)

    @property
    def name(self) -> str:
        """As in reports: point with its side, and kind."""
        return f"{points.point_name(self.point, self.side)} {self.kind}"


def is_passed(point: str) -> bool:
    """Whether the code under test passes *point*; a workload, a process, a clock, a network are struck otherwise."""
    return point.partition(".")[0] not in _NOT_PASSED


def passings(table: Mapping[str, Mapping[str, int]]) -> dict[tuple[str, str], int]:
    """How often each (point, side) was passed, from a run's table of points."""
    found: dict[tuple[str, str], int] = {}
    for name, counts in table.items():
        point, side = points.split_point(name)
        if counts["passed"] and is_passed(point):
            found[point, side] = counts["passed"]
    return found


def choices(point: str, side: str, kinds: frozenset[str] | None = None) -> Iterator[Choice]:
    """The kinds that can strike *point* on *side*; *kinds* narrows them by name."""
    layer = point.partition(".")[0]
    for name, kind in for_layer(layer).items():
        if kinds is not None and name not in kinds:
            continue
        if _strikes(kind, name, layer, side):
            choice = Choice(point, side, name)
            if _possible(choice):
                yield choice


def _strikes(kind: Kind, name: str, layer: str, side: str) -> bool:
    if kind.live_only or kind.layer == "clock" or side not in SIDES:
        return False
    if kind.layer == "process":
        return name in _PROCESS_KINDS
    if kind.layer == "handler" and layer not in ("handler", "point"):
        return False  # what a handler raises is tried in the handler
    return side in kind.sides or (layer == "handler" and side == "middle")


def _possible(choice: Choice) -> bool:
    """Whether the plan takes it: certain kinds strike certain operations on certain sides only."""
    try:
        choice.fault(1)
    except PlanError:
        return False
    return True
