"""A saved history judged again: from its header and events alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import HistoryError

if TYPE_CHECKING:
    from harness.history import History
    from harness.invariants.base import Spec

__all__ = ["entry_of", "specs_of"]


def specs_of(history: History, file: str) -> tuple[list[Spec], list[str]]:
    """The invariants that a history's header names, and those that this harness does not know.

    Raises:
        HistoryError: the header's invariants are not as this version writes them.
    """
    from harness import invariants
    from harness.errors import UsageError

    specs: list[Spec] = []
    unknown: list[str] = []
    for number, one in enumerate(history.header.get("invariants") or ()):
        if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
            raise _bad(file, number, "is no invariant")
        if one["name"] not in invariants.NAMES:
            unknown.append(one["name"])
            continue
        try:
            specs += invariants.from_json([one])  # with the parameters that the fault model gave it
        except UsageError as error:
            raise _bad(file, number, f"does not fit ({error.message})") from None
    return specs, unknown


def _bad(file: str, number: int, message: str) -> HistoryError:
    return HistoryError(
        message,
        file=file,
        field=f"line 1, invariants[{number}]",
        remedy="Judge it with the version of the harness that wrote it",
    )


def entry_of(history: History, file: str) -> dict[str, Any]:
    """The entry of a saved history, judged now.

    A run that did not come to its end (its last event is missing, or says
    deadlock, error, ...) is an error, whatever its events show so far, unless
    they show a violation.
    """
    from harness.invariants.judge import judge
    from harness.result import overall

    header = history.header
    specs, unknown = specs_of(history, file)
    verdicts, done = judge(specs, header, history)
    ending = _ending(history)
    points = _points(history)
    unstruck = [] if ending else _unstruck(history)
    verdict = overall(verdicts, [*unstruck, *unknown])
    if ending and verdict != "failed":
        verdict = "error"
    recovery = done.recovery()
    return {
        "name": str(header.get("scenario", "")),
        "verdict": verdict,
        "seed": header.get("seed"),
        "backend": header.get("backend"),
        "simulated_seconds": history.events[-1]["t"] if len(history) else 0.0,
        "wall_seconds": 0.0,
        "history": file,
        "messages": done.messages().to_json(),
        "recovery_seconds": recovery.seconds,
        "faults": points,
        "invariants": [verdict.to_json() for verdict in verdicts]
        + [
            {"name": name, "verdict": "inconclusive", "detail": "this harness has no such invariant", "evidence": []}
            for name in unknown
        ],
        "objectives": done.objectives(),
        "unstruck": unstruck,
        "reason": ending,
        "sentence": header.get("sentence") or "",
        "command": f"harness check {file}",
    }


def _ending(history: History) -> str:
    """Why a run did not come to its end; "" if it did."""
    last = history.events[-1] if len(history) else None
    if last is None or last["kind"] != "run.end":
        return "the history has no end: the run was broken off"
    reason = last.get("reason")
    return "" if reason in ("quiet", "violation") else f"the run ended by: {reason}"


def _points(history: History) -> dict[str, dict[str, int]]:
    for event in history.of("run.end"):
        points: dict[str, dict[str, int]] = event.get("points") or {}
        return points
    return {}


def _unstruck(history: History) -> list[str]:
    """The plan's faults that no event shows to have struck."""
    from harness.report.words import fault_in_words

    struck = {event.get("fault") for event in history.of("fault.strike")}
    faults = (history.header.get("plan") or {}).get("faults") or ()
    return [fault_in_words(fault) for index, fault in enumerate(faults) if index not in struck]
