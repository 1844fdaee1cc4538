"""The entry of one run as reports take it: the JSON of its result, and what the history adds to it.

An entry is a plain dict: ``name``, ``verdict``, ``seed``, ``backend``,
``messages``, ``recovery_seconds``, ``faults``, ``invariants``, ... as
``harness run --json`` prints them. :func:`with_history` adds what people
read beside that: the plan in words and the events that are evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from harness.history import Event, Header
from harness.report.outage import outage
from harness.report.palette import VERDICT_SIGNS
from harness.report.words import fault_in_words

__all__ = ["ORDER", "Entry", "evidence", "judged", "one_line", "summary", "tally", "with_history"]

Entry: TypeAlias = Mapping[str, Any]

#: Verdicts in the order in which people want to see them.
ORDER = ("error", "failed", "flaky", "inconclusive", "left out", "passed")

_EVIDENCE_SHOWN = 20
_WORTH_SHOWING = ("kind", "n", "t", "actor")


def tally(entries: Sequence[Entry]) -> dict[str, int]:
    """How many entries have each verdict, worst first, without those that none has."""
    counts = Counter(str(entry["verdict"]) for entry in entries)
    known = {verdict: counts.pop(verdict) for verdict in ORDER if verdict in counts}
    return {**known, **counts}


def summary(entries: Sequence[Entry]) -> str:
    """``12 scenarios: 1 failed, 11 passed``."""
    count = len(entries)
    parts = ", ".join(f"{number} {verdict}" for verdict, number in tally(entries).items())
    return f"{count} {'scenario' if count == 1 else 'scenarios'}: {parts or 'nothing was run'}"


def judged(entry: Entry, *statuses: str) -> list[Mapping[str, Any]]:
    """The entry's invariants that have one of *statuses* (holds, violated, inconclusive)."""
    return [one for one in entry.get("invariants") or () if one["verdict"] in statuses]


def evidence(entry: Entry) -> dict[str, list[int]]:
    """The event numbers that show each broken invariant."""
    return {one["name"]: list(one["evidence"]) for one in judged(entry, "violated")}


def one_line(entry: Entry) -> str:
    """Why the verdict is what it is, in one line; "" for a run that passed."""
    if entry.get("reason"):
        return str(entry["reason"]).splitlines()[0]
    violated = judged(entry, "violated")
    if violated:
        more = f" (and {len(violated) - 1} more)" if len(violated) > 1 else ""
        return f"{violated[0]['name']}: {violated[0]['detail']}{more}"
    if entry["verdict"] == "inconclusive":
        unstruck = entry.get("unstruck") or ()
        if unstruck:
            return f"never struck: {unstruck[0]}" + (f" (and {len(unstruck) - 1} more)" if len(unstruck) > 1 else "")
        for one in judged(entry, "inconclusive"):
            return f"{one['name']}: {one['detail']}"
    return ""


def with_history(entry: Entry, header: Header, events: Sequence[Event]) -> dict[str, Any]:
    """*entry* with ``plan`` (in words), ``outage``, ``fault_classes`` and the text of each event that is evidence."""
    plan = header.get("plan") or {}
    wanted = {n for one in entry.get("invariants") or () for n in one["evidence"][:_EVIDENCE_SHOWN]}
    texts = {n: event_in_words(events[n - 1]) for n in wanted if 0 < n <= len(events)}
    invariants = [
        {
            **one,
            "events": [{"n": n, "text": texts[n]} for n in one["evidence"][:_EVIDENCE_SHOWN] if n in texts],
            "unshown": max(0, len(one["evidence"]) - _EVIDENCE_SHOWN),
        }
        for one in entry.get("invariants") or ()
    ]
    seen = outage(header, events)
    return {
        **entry,
        "outage": seen.to_json(),
        "fault_classes": dict(seen.classes),
        "invariants": invariants,
        "plan": [fault_in_words(fault) for fault in plan.get("faults") or ()],
        "weakened": list(header.get("weakened") or ()),
        "events": len(events),
        "latency_model": header.get("latency_model"),
    }


def event_in_words(event: Event) -> str:
    """One event as a line: time, actor, kind, then its fields."""
    fields = " ".join(f"{name}={_short(value)}" for name, value in event.items() if name not in _WORTH_SHOWING)
    return f"{event['t']:>10.3f} s  {event['actor']}  {event['kind']}  {fields}".rstrip()


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def sign(verdict: str) -> str:
    """A sign for a verdict of a run."""
    return VERDICT_SIGNS.get(verdict, "")
