"""A report's folder: written beside its place and moved there whole, so that nothing half-written is ever seen.

::

    reports/latest/
        index.html  results.json  junit.xml
        <scenario>/history.jsonl  timeline.png  timeline-dark.png
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.history import Event, Header
from harness.report import index, json_result, junit
from harness.report.entries import Entry, evidence, with_history
from harness.report.palette import DARK, LIGHT
from harness.report.timeline import Caption, render

__all__ = ["ReportFolder", "draw"]

_MARK = "results.json"
_OURS = frozenset({"index.html", "results.json", "junit.xml"})
_SCENARIO_FILES = frozenset({"history.jsonl", "timeline.png", "timeline-dark.png"})


def draw(folder: Path, entry: Entry, header: Header, events: Sequence[Event]) -> dict[str, Any]:
    """Draw the run's timeline into *folder*/<scenario>; returns the entry with what pages need beside its JSON."""
    full = with_history(entry, header, events)
    if not events:
        return full
    name = str(entry["name"])
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    live = entry.get("backend") == "live"
    model = header.get("latency_model")
    caption = Caption(
        title=name,
        verdict=str(entry["verdict"]),
        details=f"seed {entry.get('seed')}, {entry.get('backend')}",
        messages=entry.get("messages"),
        recovery_seconds=entry.get("recovery_seconds"),
        time_label="measured time since the start"
        if live
        else f"virtual time since the start{f', latency model {model}' if model else ''}",
        evidence=evidence(entry),
    )
    for field, theme, file in (("timeline", LIGHT, "timeline.png"), ("timeline_dark", DARK, "timeline-dark.png")):
        (place / file).write_bytes(render(header, events, caption, theme=theme))
        full[field] = f"{name}/{file}"
    if entry.get("history"):
        full["history_link"] = f"{name}/history.jsonl"
    return full


class ReportFolder:
    """Collects a report in a folder beside *place*; :meth:`publish` moves it there.

    Raises:
        UsageError: *place* is a file, or a folder with something else than a report in it.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        _check(place)
        self.work = place.parent / f".{place.name}.{os.getpid()}.part"

    def __enter__(self) -> ReportFolder:
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.work, ignore_errors=True)
            self.work.mkdir()
        except OSError as error:
            raise UsageError(
                f"cannot be written ({error.strerror})", file=str(self.place), remedy="Name another folder with --out"
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.work, ignore_errors=True)

    def final(self, path: Path) -> Path:
        """Where *path*, a file of the work folder, will be."""
        return self.place / path.relative_to(self.work)

    def publish(
        self, entries: Sequence[Entry], *, facts: Mapping[str, str] | None = None, allow_inconclusive: bool = False
    ) -> Path:
        """Write the pages and move everything into place; returns the index page's path."""
        (self.work / "results.json").write_bytes(json_result.dumps(entries))
        (self.work / "junit.xml").write_bytes(junit.dumps(entries, allow_inconclusive=allow_inconclusive))
        (self.work / "index.html").write_text(index.render(entries, facts=facts), encoding="utf-8")
        old = self.work.with_suffix(".old")
        with contextlib.suppress(FileNotFoundError):
            self.place.rename(old)
        self.work.rename(self.place)
        shutil.rmtree(old, ignore_errors=True)
        return self.place / "index.html"


def _check(place: Path) -> None:
    """A report may replace a report, an empty folder or nothing: never somebody's files."""
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise UsageError("is no folder", file=str(place), remedy="Name a folder with --out")
    if place.is_dir() and any(place.iterdir()) and not (place / _MARK).is_file():
        raise UsageError(
            "is a folder with something else than a report in it, which would be lost",
            file=str(place),
            remedy="Name a new folder with --out",
        )
    foreign = sorted(path.name for path in place.iterdir() if not _ours(path)) if place.is_dir() else []
    if foreign:
        raise UsageError(
            f"holds {', '.join(foreign[:3])}, which no report wrote and which would be lost",
            file=str(place),
            remedy="Move it away, or name another folder with --out",
        )


def _ours(path: Path) -> bool:
    if path.name in _OURS:
        return True
    return path.is_dir() and {one.name for one in path.iterdir()} <= _SCENARIO_FILES
