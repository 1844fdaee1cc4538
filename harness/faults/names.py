"""Finds the name that somebody probably meant, and joins words for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "listed", "nearest", "words"]


def nearest(word: object, options: Iterable[str]) -> str | None:
    """The option nearest to *word*, whatever the case of its letters, or ``None`` where none is near."""
    if not isinstance(word, str):
        return None
    by_lower: dict[str, str] = {}
    for option in options:
        by_lower.setdefault(option.lower(), option)
    found = difflib.get_close_matches(word.lower().replace("_", "-"), by_lower, n=1, cutoff=0.6)
    if not found:
        found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def did_you_mean(word: object, options: Iterable[str], prefix: str = "") -> str:
    """``Did you mean X?``, or an empty text."""
    found = nearest(word, options)
    return f"Did you mean {prefix}{found}?" if found else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message: the first *most*, and how many more."""
    names = list(names)
    if not names:
        return "none"
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def words(text: str) -> frozenset[str]:
    """The words of a text: a table of names that reads better as text than as a list of literals."""
    return frozenset(text.split())
