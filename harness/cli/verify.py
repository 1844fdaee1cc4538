"""Is a run deterministic? The same scenario again, in a fresh process, compared byte for byte."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.cli.execute import Job
    from harness.history import Event, History

__all__ = ["Difference", "compare", "likely_cause", "verify"]


@dataclasses.dataclass(frozen=True)
class Difference:
    """The first place where two histories part. An event is ``None`` where its history has ended."""

    number: int
    first: Event | None
    second: Event | None

    def __str__(self) -> str:
        return f"first difference at event {self.number}: {_short(self.first)} / {_short(self.second)}"


def compare(first: History, second: History) -> Difference | None:
    """The first difference between the events of two histories; ``None`` if they are the same, byte for byte."""
    pairs = zip_longest(zip(first.events, first.lines(), strict=True), zip(second.events, second.lines(), strict=True))
    for number, (one, other) in enumerate(pairs, start=1):
        if one is None or other is None or one[1] != other[1]:
            return Difference(number, one and one[0], other and other[0])
    return None


def verify(job: Job, history: History) -> str:
    """Run *job* again in a process of its own; "" if the history is the same, else what differs and why, likely."""
    from harness.cli.pool import run_alone
    from harness.history import History as Histories

    folder = Path(tempfile.mkdtemp(prefix="harness-verify-"))
    try:
        again = dataclasses.replace(job, folder=str(folder), place=str(folder), verify=False, draw=False)
        entry = run_alone(again)
        if entry.get("history") is None:
            return f"not deterministic: the second run ended as {entry['verdict']}: {entry.get('reason', '')}"
        difference = compare(history, Histories.load(entry["history"]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if difference is None:
        return ""
    return f"not deterministic: {difference}. Likely cause: {likely_cause(difference)}"


def likely_cause(difference: Difference) -> str:
    """A guess from the first event that differs."""
    first, second = difference.first, difference.second
    if first is None or second is None:
        return "one run ended before the other: something counts or waits in reality"
    if first["kind"] == second["kind"] and first["actor"] == second["actor"]:
        fields = sorted(
            name
            for name in {*first, *second}
            if name != "n" and first.get(name, difference) != second.get(name, difference)
        )
        if fields == ["t"]:
            return "a wait whose length depends on the real clock, or on chance that does not come from the run's seed"
        if set(fields) & {"message", "key", "handle", "digest", "body", "length", "call"}:
            return (
                f"{', '.join(fields)} differ: an id, a name or a body made from chance or a clock that the run does "
                "not control (the operating system, a C extension), or from an address (id, repr, hash)"
            )
        return f"{', '.join(fields)} differ: state that outlives a run (a module's global, a class attribute, a file)"
    return (
        "the order of events differs: iteration over a set, a directory or a dict keyed by addresses, "
        "or state that outlives a run (a module's global; isolate=[...] imports it afresh)"
    )


def _short(event: Event | None) -> str:
    if event is None:
        return "(ended)"
    shown: dict[str, Any] = {name: value for name, value in event.items() if name != "n"}
    text = " ".join(f"{name}={value}" for name, value in shown.items())
    return text if len(text) <= 160 else text[:157] + "..."
