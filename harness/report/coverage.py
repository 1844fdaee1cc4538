"""How much of what could break was tried, and what became of it: two numbers, never one score.

*coverage* = judged / enumerable classes of fault; *survival* = held / judged.
A class is a kind of fault of one layer (``aws.timeout``). What was not run,
never struck or could not be judged counts as 0 in the coverage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.report.entries import Entry

__all__ = ["FORMULA", "Coverage", "Gaps", "coverage", "gaps"]

#: The formula as it stands on the page.
FORMULA = (
    "coverage = judged ÷ enumerable, survival = held ÷ judged. Enumerable: every kind of fault that the fault points "
    "passed in these runs admit. Judged: it struck in at least one run that passed or failed; what was not run, never "
    "struck or ended inconclusive counts as 0. Held: no run in which it struck broke an invariant."
)

_ALWAYS = ("workload", "process", "clock")
_JUDGED = frozenset({"passed", "failed"})


@dataclass(frozen=True, slots=True)
class Coverage:
    """The two numbers, as counts of classes of fault."""

    enumerable: tuple[str, ...]
    judged: tuple[str, ...]
    held: tuple[str, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """The classes under which an invariant broke."""
        return tuple(name for name in self.judged if name not in self.held)

    @property
    def coverage(self) -> float | None:
        return len(self.judged) / len(self.enumerable) if self.enumerable else None

    @property
    def survival(self) -> float | None:
        return len(self.held) / len(self.judged) if self.judged else None

    def to_json(self) -> dict[str, Any]:
        return {
            "enumerable": list(self.enumerable),
            "judged": list(self.judged),
            "held": list(self.held),
            "coverage": self.coverage,
            "survival": self.survival,
        }


@dataclass(frozen=True, slots=True)
class Gaps:
    """What was not tested.

    Attributes:
        points: fault points that were passed and never struck, with how often they were passed.
        classes: classes of fault that struck in no judged run.
        outside: kinds that a simulation does not act, with the reason.
        weakened: promises that the fault model weakened, (scenario, invariant, to what).
        unconfirmed: rules of SQS that verdicts rest on and nobody has recorded on AWS, (number, rule).
        unjudged: scenarios without a verdict, with the reason.
    """

    points: Sequence[tuple[str, int]] = ()
    classes: Sequence[str] = ()
    outside: Sequence[tuple[str, str]] = ()
    weakened: Sequence[tuple[str, str, str]] = ()
    unconfirmed: Sequence[tuple[int, str]] = ()
    unjudged: Sequence[tuple[str, str, str]] = field(default_factory=tuple)


def coverage(entries: Sequence[Entry]) -> Coverage:
    """Count over all runs of a report."""
    enumerable = set(_enumerable(entries))
    judged: set[str] = set()
    broken: set[str] = set()
    for entry in entries:
        struck = set(entry.get("fault_classes") or ())
        enumerable |= struck
        if entry["verdict"] in _JUDGED:
            judged |= struck
            if entry["verdict"] == "failed":
                broken |= struck
    return Coverage(tuple(sorted(enumerable)), tuple(sorted(judged)), tuple(sorted(judged - broken)))


def _enumerable(entries: Sequence[Entry]) -> Iterable[str]:
    """The classes that the points passed admit, on the backends that these runs had."""
    from harness.faults.kinds import LAYERS, for_layer

    points = {point for entry in entries for point in entry.get("faults") or ()}
    if not points:
        return
    live = any(entry.get("backend") == "live" for entry in entries)
    layers = {point.partition(".")[0] for point in points} | set(_ALWAYS)
    for layer in sorted(layers & set(LAYERS)):
        for kind in for_layer(layer).values():
            if kind.layer == "sqs" and not any(point.startswith("aws.sqs.") for point in points):
                continue
            if live or not kind.live_only:
                yield f"{kind.layer}.{kind.name}"


def gaps(entries: Sequence[Entry], counted: Coverage) -> Gaps:
    """What the runs of a report leave open."""
    from harness.faults.kinds import all_kinds
    from harness.report.entries import one_line
    from harness.report.unconfirmed import unconfirmed_rules

    passed: dict[str, int] = {}
    struck: set[str] = set()
    for entry in entries:
        for point, counts in (entry.get("faults") or {}).items():
            passed[point] = passed.get(point, 0) + int(counts.get("passed", 0))
            if counts.get("struck"):
                struck.add(point)
    live = any(entry.get("backend") == "live" for entry in entries)
    rules = {one["number"]: one["rule"] for entry in entries for one in unconfirmed_rules(entry)}
    weakened = {
        (str(entry["name"]), str(one.get("invariant", "")), str(one.get("to", "")))
        for entry in entries
        for one in entry.get("weakened") or ()
    }
    return Gaps(
        points=sorted((point, count) for point, count in passed.items() if point not in struck and count),
        classes=[name for name in counted.enumerable if name not in counted.judged],
        outside=[]
        if live
        else [(f"{kind.layer}.{kind.name}", kind.live_only) for kind in all_kinds() if kind.live_only],
        weakened=sorted(weakened),
        unconfirmed=sorted(rules.items()),
        unjudged=[
            (str(entry["name"]), str(entry["verdict"]), one_line(entry))
            for entry in entries
            if entry["verdict"] not in _JUDGED
        ],
    )
