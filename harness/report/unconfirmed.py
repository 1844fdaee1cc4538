"""Which rules of SQS a run's verdicts rest on that nobody has recorded on AWS."""

from __future__ import annotations

from typing import Any

from harness import invariants
from harness.fidelity.table import unconfirmed
from harness.report.entries import Entry, judged

__all__ = ["unconfirmed_rules"]


def unconfirmed_rules(entry: Entry) -> list[dict[str, Any]]:
    """The rules by number, each with the invariants that rest on it; none where the run did not use SQS.

    An invariant that is inconclusive claims nothing, so that it rests on nothing.
    """
    if not any(point.startswith("aws.sqs.") for point in entry.get("faults") or ()):
        return []
    names: dict[str, list[str]] = {}
    for one in judged(entry, "holds", "violated"):
        for id in invariants.rests_on(one["name"]):
            names.setdefault(id, []).append(one["name"])
    return [
        {"number": row.number, "id": row.id, "rule": row.rule, "invariants": names[row.id]}
        for row in unconfirmed(names)
    ]
