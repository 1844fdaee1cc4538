"""A finding of a search or sweep on disk: counterexample, history, pytest file and story, in a folder of its own."""

from __future__ import annotations

import re
from pathlib import Path

from harness.explore.counterexample import Counterexample
from harness.explore.story import tell
from harness.invariants.base import Verdict
from harness.result import Result

__all__ = ["save", "slug"]


def slug(text: str) -> str:
    """*text* as a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "finding"


def save(
    result: Result, verdict: Verdict, folder: Path, *, digest: str = "", messages: int | None = None
) -> Counterexample:
    """Write what shows *verdict*, a violation of *result*, into *folder*; returns the counterexample as written."""
    first = [verdict, *(one for one in result.violated if one.name != verdict.name)]
    found = Counterexample.of(result.history, first, schedule=result.schedule, messages=messages, digest=digest or None)
    saved = found.save(folder, result.history)
    (folder / "story.txt").write_text(f"{tell(result.history, verdict)}\n", encoding="utf-8")
    return saved
