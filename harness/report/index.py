"""The page of a report: the first screen for a manager, then each scenario for an engineer.

One file that needs nothing else: style, script, pictures and the events
themselves are in it. A template of jinja2 with escaping on: everything that a run brings in
(names, details, message bodies) is text, never markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from harness.report.changes import Changes
from harness.report.coverage import FORMULA, coverage, gaps
from harness.report.entries import ORDER, Entry, one_line, sign, summary
from harness.report.outage import LATE_RULE
from harness.report.picture import css_variables
from harness.report.unconfirmed import unconfirmed_rules
from harness.report.words import duration, integer

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render", "slug"]

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
#: Ids that the page itself uses.
_RESERVED = frozenset({"", "overview", "outages", "numbers", "gaps", "changes", "keys"})
_STATUS_ORDER = {"violated": 0, "inconclusive": 1, "holds": 2}
_STATUS_SIGNS = {"violated": "✗", "inconclusive": "?", "holds": "✓"}


#: The page's own script, in this order: each file uses those before it.
_SCRIPTS = ("data", "state", "list", "detail", "chart", "main")


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
    environment.filters.update(
        duration=duration, integer=_integer, percent=_percent, sign=sign, status_sign=_status_sign
    )
    environment.globals.update(css_variables=css_variables)
    return environment


@lru_cache(maxsize=1)
def _script() -> tuple[str, str]:
    """The page's script and its hash as a content security policy names it: nothing else may run in the page."""
    folder = resources.files("harness.report.templates") / "script"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    text = '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"
    return text, base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def render(
    entries: Sequence[Entry],
    *,
    title: str = "Resilience report",
    facts: Mapping[str, str] | None = None,
    changes: Changes | None = None,
    since: str = "",
    plots: Sequence[Mapping[str, str]] = (),
) -> str:
    """The page as HTML.

    *facts* are lines for its head (when, where, with what); *changes* what is
    different from the report called *since*; *plots* (``title``, ``words``,
    ``svg``) stand after the overview.
    """
    from markupsafe import Markup

    environment = _environment()
    script, script_hash = _script()
    prepared = _with_ids([_prepared(entry) for entry in entries])
    counted = coverage(entries)
    lost = [entry["messages"].get("lost") for entry in prepared]
    return environment.get_template("index.html").render(
        title=title,
        facts=dict(facts or {}),
        summary=summary(entries),
        verdict=_worst(entries),
        entries=prepared,
        ids={entry["name"]: entry["id"] for entry in reversed(prepared)},
        losses=[
            {"id": entry["id"], "name": entry["name"], "lost": entry["messages"]["lost"]}
            for entry in prepared
            if entry["messages"].get("lost")
        ],
        lost=sum(one for one in lost if one) if any(one is not None for one in lost) else None,
        coverage=counted,
        formula=FORMULA,
        late_rule=LATE_RULE,
        gaps=gaps(entries, counted),
        changes=changes,
        since=since,
        plots=[{**plot, "svg": Markup(plot["svg"])} for plot in plots],
        style=Markup(environment.get_template("style.css").render()),
        script=Markup(script),
        script_hash=Markup(script_hash),
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


def _percent(share: float | None) -> str:
    """A share in whole percent; 100 only where nothing is missing, 0 only where nothing is there."""
    if share is None:
        return "–"
    whole = round(100 * share)
    return f"{min(whole, 99) if share < 1 else whole if share == 0 else max(whole, 1)} %"


_NO_OUTAGE = {"first": None, "over": None, "late": None, "late_over": 0.0, "seconds": None}


def _prepared(entry: Entry) -> dict[str, Any]:
    """*entry* with every field that the template asks for."""
    from markupsafe import Markup

    messages: Mapping[str, int | None] = entry.get("messages") or {}
    faults: Mapping[str, Mapping[str, int]] = entry.get("faults") or {}
    invariants = sorted(entry.get("invariants") or (), key=lambda one: _STATUS_ORDER.get(one["verdict"], 3))
    points = [{"name": name, **counts} for name, counts in sorted(faults.items())]
    return {
        **dict.fromkeys(("recovery_seconds", "history", "timeline", "timeline_svg", "seed", "events", "beside")),
        **dict.fromkeys(("reason", "sentence", "command", "backend", "latency_model", "packed"), ""),
        **dict.fromkeys(("plan", "weakened", "objectives", "unstruck", "notes", "story"), ()),
        "stacks": {},
        "simulated_seconds": 0.0,
        "wall_seconds": 0.0,
        **entry,
        "svg": Markup(entry["svg"]) if entry.get("svg") else "",
        "outage": {**_NO_OUTAGE, **(entry.get("outage") or {})},
        "why": "" if entry["verdict"] == "passed" else one_line(entry),
        "messages": messages,
        "counts": [(label, messages.get(name)) for name, label in _COUNTS if messages.get(name) is not None],
        "invariants": [{"events": [], "unshown": 0, **one} for one in invariants],
        "unconfirmed": unconfirmed_rules(entry),
        "holding": sum(one["verdict"] == "holds" for one in invariants),
        "points_struck": [point for point in points if point.get("struck")],
        "points_unstruck": [point for point in points if not point.get("struck")],
    }


def _with_ids(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each entry with an id that no other has: what links lead to."""
    seen: set[str] = set()
    for entry in entries:
        base = name = entry.get("id") or slug(str(entry["name"]))
        number = 1
        while name in seen or name in _RESERVED:
            number += 1
            name = f"{base}-{number}"
        seen.add(name)
        entry["id"] = name
    return entries
