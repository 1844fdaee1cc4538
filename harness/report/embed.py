"""A run's events as text inside a page: packed, compressed, inert.

The page's script unpacks them with the browser's own decompressor. The text
is base64, so that nothing of a run can end the element it stands in.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from harness.history import Event, Header
from harness.report.entries import Entry
from harness.report.series import fault_lanes
from harness.report.words import fault_in_words

__all__ = ["EVENTS_MAX", "pack", "unpack"]

#: More events than this are not put into a page; its history file has them all.
EVENTS_MAX = 250_000

_COLUMNS = frozenset({"n", "t", "actor", "kind", "message", "cause"})


def pack(entry: Entry, header: Header, events: Sequence[Event]) -> str:
    """What the page's script reads of one run: columns of the events, and what their meaning needs of the header."""
    import orjson

    actors: dict[str, int] = {}
    kinds: dict[str, int] = {}
    messages: dict[str, int] = {}
    rows = []
    shown = events[:EVENTS_MAX]
    for event in shown:
        message = event.get("message")
        rows.append(
            (
                event["t"],
                actors.setdefault(event["actor"], len(actors)),
                kinds.setdefault(event["kind"], len(kinds)),
                -1 if message is None else messages.setdefault(str(message), len(messages)),
                event.get("cause") or 0,
                {name: value for name, value in event.items() if name not in _COLUMNS},
            )
        )
    document = {
        "version": 1,
        "actors": list(actors),
        "kinds": list(kinds),
        "messages": list(messages),
        "events": rows,
        "unshown": len(events) - len(shown),
        **_meaning(entry, header, events[-1]["t"] if events else 0.0),
    }
    data = orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS)
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


def unpack(text: str) -> dict[str, Any]:
    """What :func:`pack` packed."""
    import orjson

    document: dict[str, Any] = orjson.loads(zlib.decompress(base64.b64decode(text)))
    return document


def _meaning(entry: Entry, header: Header, end: float) -> dict[str, Any]:
    system: Mapping[str, Any] = header.get("system") or {}
    plan: Mapping[str, Any] = header.get("plan") or {}
    lanes = fault_lanes(header, max(end, 0.001))
    return {
        "sources": list(system.get("sources") or ()),
        "dead": list(system.get("dead_letter_queues") or ()),
        "effects": bool(system.get("effects")),
        "plan": [
            {
                "words": fault_in_words(fault),
                "target": str(fault.get("target", "")),
                "kind": str(fault.get("kind", "")),
                "window": None if (span := lanes[index].window) is None else (span.start, span.end),
            }
            for index, fault in enumerate(plan.get("faults") or ())
        ],
        "evidence": {
            str(one["name"]): {"verdict": one["verdict"], "events": list(one["evidence"])}
            for one in entry.get("invariants") or ()
            if one["evidence"]
        },
        "recovery": entry.get("recovery_seconds"),
    }
