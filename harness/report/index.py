"""The index page of a report: verdicts at a glance, then each scenario with its picture and its evidence.

A template of jinja2 with escaping on: everything that a run brings in
(names, details, message bodies) is text, never markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.report.entries import ORDER, Entry, sign, summary, tally
from harness.report.unconfirmed import unconfirmed_rules
from harness.report.words import duration, integer

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render"]

_COUNTS = (
    ("sent", "sent"),
    ("processed", "processed"),
    ("dead_lettered", "dead-lettered"),
    ("quarantined", "quarantined"),
    ("in_queue", "still in a queue"),
    ("in_flight", "in flight"),
    ("expired", "expired"),
    ("lost", "lost"),
    ("duplicated", "handled more than once"),
)
_STATUS_ORDER = {"violated": 0, "inconclusive": 1, "holds": 2}
_STATUS_SIGNS = {"violated": "✗", "inconclusive": "?", "holds": "✓"}


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment as NewEnvironment
    from jinja2 import PackageLoader, StrictUndefined

    environment = NewEnvironment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=duration, integer=_integer, sign=sign, status_sign=_status_sign, slug=slug)
    return environment


def render(
    entries: Sequence[Entry], *, title: str = "Resilience report", facts: Mapping[str, str] | None = None
) -> str:
    """The page as HTML. *facts* are lines for its head (when, where, with what)."""
    page = _environment().get_template("index.html")
    return page.render(
        title=title,
        facts=dict(facts or {}),
        summary=summary(entries),
        tally=tally(entries),
        verdict=_worst(entries),
        entries=[_prepared(entry) for entry in entries],
    )


def slug(name: str) -> str:
    """*name* as a fragment of a link."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def _worst(entries: Sequence[Entry]) -> str:
    found = {entry["verdict"] for entry in entries}
    return next((verdict for verdict in ORDER if verdict in found), "left out")


def _integer(value: int | None) -> str:
    return "–" if value is None else integer(value)


def _status_sign(status: str) -> str:
    return _STATUS_SIGNS.get(status, "")


def _prepared(entry: Entry) -> dict[str, Any]:
    """*entry* with every field that the template asks for."""
    messages: Mapping[str, int | None] = entry.get("messages") or {}
    faults: Mapping[str, Mapping[str, int]] = entry.get("faults") or {}
    invariants = sorted(entry.get("invariants") or (), key=lambda one: _STATUS_ORDER.get(one["verdict"], 3))
    points = [{"name": name, **counts} for name, counts in sorted(faults.items())]
    return {
        **dict.fromkeys(("recovery_seconds", "history", "timeline", "timeline_dark", "seed", "events")),
        **dict.fromkeys(("reason", "sentence", "command", "backend", "latency_model"), ""),
        **dict.fromkeys(("plan", "weakened", "objectives", "unstruck", "notes"), ()),
        "stacks": {},
        "simulated_seconds": 0.0,
        "wall_seconds": 0.0,
        **entry,
        "messages": messages,
        "counts": [(label, messages.get(name)) for name, label in _COUNTS if messages.get(name) is not None],
        "invariants": [{"events": [], "unshown": 0, **one} for one in invariants],
        "unconfirmed": unconfirmed_rules(entry),
        "holding": sum(one["verdict"] == "holds" for one in invariants),
        "points_struck": [point for point in points if point.get("struck")],
        "points_unstruck": [point for point in points if not point.get("struck")],
    }
