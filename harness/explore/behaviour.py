"""When are two runs the same? What happened after the first strike, with names and times taken out.

Two faults that lead to the same behaviour test the same thing. Message ids,
receipt handles and request ids are numbered in order of appearance, times are
left out, and so are the numbers of events.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["behaviour"]

#: Fields that differ between runs which do the same.
_LEFT_OUT: Final = frozenset(
    (
        "n",
        "t",
        "cause",
        "took",
        "visible_at",
        "until",
        "at",
        "delay",
        "low",
        "high",
        "digest",
        "bytes",
        "length",
        "steps",
    )
)
#: Fields that name something by an arbitrary name.
_NAMES: Final = frozenset(("message", "handle", "original", "key", "request", "call", "body"))


def behaviour(events: Iterable[Mapping[str, Any]]) -> str:
    """A short digest of what happened from the first strike on (of everything, where nothing struck)."""
    renamed: dict[str, int] = {}
    digest = hashlib.blake2b(digest_size=8)
    struck = False
    for event in events:
        if not struck and event["kind"] == "fault.strike":
            struck = True
            digest = hashlib.blake2b(digest_size=8)
            renamed.clear()
        if event["kind"].startswith("fault.") or event["kind"] == "run.end":
            continue  # which fault it was is no behaviour
        digest.update(repr(_canonical(event, renamed)).encode())
    return digest.hexdigest()


def _canonical(event: Mapping[str, Any], renamed: dict[str, int]) -> list[tuple[str, Any]]:
    found = []
    for name, value in event.items():
        if name in _LEFT_OUT:
            continue
        if name in _NAMES and value is not None:
            value = renamed.setdefault(f"{name}={value}", len(renamed))
        elif name == "messages" and isinstance(value, list):
            value = [renamed.setdefault(f"message={one}", len(renamed)) for one in value]
        elif name in ("fault", "error", "point"):
            continue
        found.append((name, value))
    return found
