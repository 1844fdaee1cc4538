"""A report's folder: written beside its place and moved there whole, so that nothing half-written is ever seen.

::

    reports/latest/
        index.html  results.json  summary.md  junit.xml
        <scenario>/history.jsonl  timeline.png  timeline.svg
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentFailed, UsageError
from harness.history import Event, Header
from harness.report import index, json_result, junit, markdown, picture
from harness.report.changes import changes
from harness.report.embed import pack
from harness.report.entries import Entry, evidence, with_history
from harness.report.index import slug
from harness.report.palette import LIGHT
from harness.report.timeline import Caption, render

__all__ = ["Before", "ReportFolder", "draw"]

_MARK = "results.json"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OURS = frozenset({"index.html", "results.json", "summary.md", "junit.xml"})
#: Those of older reports too, which a new one may replace.
_SCENARIO_FILES = frozenset({"history.jsonl", "timeline.png", "timeline.svg", "timeline-dark.png"})


def draw(folder: Path, entry: Entry, header: Header, events: Sequence[Event], *, subfolder: str = "") -> dict[str, Any]:
    """Draw the run's timeline into *folder*/<scenario>; returns the entry with what pages need beside its JSON.

    *subfolder* is another name for the run's own folder, where several runs have one name.
    """
    full = with_history(entry, header, events)
    if not events:
        return full
    name = subfolder or str(entry["name"])
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    live = entry.get("backend") == "live"
    model = header.get("latency_model")
    caption = Caption(
        title=str(entry["name"]),
        verdict=str(entry["verdict"]),
        details=f"seed {entry.get('seed')}, {entry.get('backend')}",
        messages=entry.get("messages"),
        recovery_seconds=entry.get("recovery_seconds"),
        time_label="measured time since the start"
        if live
        else f"virtual time since the start{f', latency model {model}' if model else ''}",
        evidence=evidence(entry),
    )
    drawing = picture.draw(header, events, caption)
    (place / "timeline.png").write_bytes(render(header, events, caption, theme=LIGHT))
    (place / "timeline.svg").write_text(picture.for_file(drawing), encoding="utf-8")
    full |= {
        "id": slug(name),
        "timeline": f"{name}/timeline.png",
        "timeline_svg": f"{name}/timeline.svg",
        "svg": picture.for_page(drawing, f"{slug(name)}-"),
        "packed": pack(full, header, events),
    }
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

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        """Take the work folder away, but where the disk is full: what was recorded is kept then.

        Raises:
            EnvironmentFailed: the disk is full; the message says where the histories are.
        """
        if isinstance(error, OSError) and error.errno in _FULL and self.work.is_dir():
            kept = self.place.parent / f"{self.place.name}.unfinished"
            shutil.rmtree(kept, ignore_errors=True)
            self.work.rename(kept)
            raise EnvironmentFailed(
                f"the report could not be written: {error.strerror}. What was recorded until then is in {kept}. "
                "Make room, or name a folder on another disk with --out"
            ) from None
        shutil.rmtree(self.work, ignore_errors=True)

    def final(self, path: Path) -> Path:
        """Where *path*, a file of the work folder, will be."""
        return self.place / path.relative_to(self.work)

    def publish(
        self,
        entries: Sequence[Entry],
        *,
        facts: Mapping[str, str] | None = None,
        allow_inconclusive: bool = False,
        before: Before | None = None,
        plots: Sequence[Mapping[str, str]] = (),
    ) -> Path:
        """Write the pages and move everything into place; returns the index page's path.

        The page says what changed since *before*; by default since the report that it replaces.
        """
        before = before or _last(self.place)
        differences = None if before is None else changes(before.entries, entries)
        page = index.render(entries, facts=facts, changes=differences, since=before.name if before else "", plots=plots)
        (self.work / "results.json").write_bytes(json_result.dumps(entries))
        (self.work / "summary.md").write_text(markdown.summary(entries, differences), encoding="utf-8")
        (self.work / "junit.xml").write_bytes(junit.dumps(entries, allow_inconclusive=allow_inconclusive))
        (self.work / "index.html").write_text(page, encoding="utf-8")
        old = self.work.with_suffix(".old")
        with contextlib.suppress(FileNotFoundError):
            self.place.rename(old)
        self.work.rename(self.place)
        shutil.rmtree(old, ignore_errors=True)
        return self.place / "index.html"


@dataclass(frozen=True, slots=True)
class Before:
    """An earlier report: what it is called and its entries."""

    name: str
    entries: Sequence[Entry]


def _last(place: Path) -> Before | None:
    """The report that is at *place* now; ``None`` where there is none that can be read."""
    import orjson

    file = place / _MARK
    try:
        found = orjson.loads(file.read_bytes())["scenarios"]
        made = datetime.fromtimestamp(file.stat().st_mtime).astimezone()
        entries = [entry for entry in found if {"name", "verdict"} <= entry.keys()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return Before(f"the report of {made:%Y-%m-%d %H:%M}", entries) if entries else None


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
