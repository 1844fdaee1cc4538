"""The JSON of a command that ran scenarios: ``{"scenarios": [...]}``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.report.entries import Entry
from harness.report.unconfirmed import unconfirmed_rules

__all__ = ["document", "dumps"]

_FIELDS = (
    "name",
    "verdict",
    "seed",
    "backend",
    "simulated_seconds",
    "wall_seconds",
    "history",
    "messages",
    "recovery_seconds",
    "faults",
    "invariants",
)
#: Written where there is something to say.
_OPTIONAL = (
    "reason",
    "objectives",
    "weakened",
    "unstruck",
    "notes",
    "sentence",
    "command",
    "outage",
    "fault_classes",
)
_INVARIANT = ("name", "verdict", "detail", "evidence")


def document(entries: Sequence[Entry]) -> dict[str, Any]:
    """The object of ``--json``, with the published fields only."""
    return {"scenarios": [_entry(entry) for entry in entries]}


def _entry(entry: Entry) -> dict[str, Any]:
    found = {name: entry.get(name) for name in _FIELDS}
    found["invariants"] = [{name: one[name] for name in _INVARIANT} for one in entry.get("invariants") or ()]
    found.update({name: entry[name] for name in _OPTIONAL if entry.get(name)})
    unconfirmed = unconfirmed_rules(entry)
    if unconfirmed:
        found["unconfirmed"] = unconfirmed
    return found


def dumps(entries: Sequence[Entry]) -> bytes:
    """The document as indented JSON with a newline at its end."""
    import orjson

    return orjson.dumps(document(entries), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
