"""Saved runs in folders, found and judged again: what ``harness report`` and ``harness compare`` work on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.history import History

__all__ = ["Saved", "entries_of", "gather"]

_RESULTS = "results.json"
_NEAR_MAX = 20  # passing runs that are compared with a failing one

#: What a history does not hold, taken from the results that were written beside it.
_KEPT = ("wall_seconds", "notes", "command", "objectives")


@dataclass
class Saved:
    """One run: its entry, judged now, and its history if it has one.

    *story* are the lines of a finding's story, *explanation* what ``harness explain`` wrote beside it.
    """

    entry: dict[str, Any]
    history: History | None = None
    file: Path | None = None
    story: Sequence[str] = ()
    explanation: Mapping[str, Any] = field(default_factory=dict)


def gather(places: Sequence[str | Path]) -> list[Saved]:
    """Every run below *places* (folders, or files ``history.jsonl``), in the order of the places and of paths.

    Raises:
        UsageError: a place is not there, or nothing is in it.
        HistoryError: a history cannot be read.
    """
    found: list[Saved] = []
    files: set[Path] = set()
    for place in places:
        path = Path(place)
        if not path.exists():
            raise UsageError(
                "is not there", file=str(place), remedy="Give a folder of `harness run`, sweep or search, or a history"
            )
        here = list(_below(path))
        if not here and not (path.is_dir() and any(path.rglob("sweep.jsonl"))):  # a sweep may have found nothing
            raise UsageError(
                "has no history in it", file=str(place), remedy="Give a folder that `harness run` has written"
            )
        for one in here:
            if one.file is None or one.file.resolve() not in files:  # named twice is there once
                found.append(one)
            if one.file is not None:
                files.add(one.file.resolve())
    return found


def entries_of(place: str | Path) -> list[dict[str, Any]]:
    """The entries of a saved report for a comparison: from its results, or judged anew where it has none.

    A folder of several reports gives the runs of all of them.

    Raises:
        UsageError: *place* is not there, holds no runs, or its results cannot be read.
    """
    path = Path(place)
    files = (
        [path] if path.is_file() and path.suffix == ".json" else sorted(path.rglob(_RESULTS)) if path.is_dir() else []
    )
    if files:
        return [entry for file in files for entry in _results(file)]
    return [one.entry for one in gather([place])]


def _below(path: Path) -> Iterator[Saved]:
    if path.is_file():
        yield _saved(path, {})
        return
    known: dict[Path, dict[str, dict[str, Any]]] = {}
    for results in sorted(path.rglob(_RESULTS)):
        known[results.parent] = {str(entry["name"]): entry for entry in _results(results)}
    seen: set[tuple[Path, str]] = set()
    for file in sorted(path.rglob("history.jsonl")):
        if any(part.startswith(".") for part in file.relative_to(path).parts):
            continue  # a report that is being written
        folder = file.parent.parent
        name = file.parent.name
        seen.add((folder, name))
        yield _saved(file, known.get(folder, {}).get(name, {}))
    for folder, entries in known.items():
        for name, entry in entries.items():
            if (folder, name) not in seen:
                yield Saved(entry)  # left out, or never started


def _results(file: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["scenarios"]
        if all(isinstance(entry["name"], str) and isinstance(entry["verdict"], str) for entry in entries):
            return list(entries)
    except OSError as error:
        raise UsageError(
            f"cannot be read ({error.strerror})", file=str(file), remedy="Give a folder of a report"
        ) from None
    except (ValueError, TypeError, KeyError):
        pass
    raise UsageError(
        "is no result of `harness run`",
        file=str(file),
        remedy='It is JSON with "scenarios", each with "name" and "verdict"; write it again with `harness run`',
    )


def _saved(file: Path, beside: Mapping[str, Any]) -> Saved:
    from harness.cli.judging import entry_of
    from harness.history import History

    history = History.load(file)
    entry = entry_of(history, str(file))
    if entry["backend"] != "live":
        entry["command"] = f"harness replay {file}"
    entry |= {name: beside[name] for name in _KEPT if beside.get(name)}
    if beside.get("verdict") == "error" and entry["verdict"] != "failed":
        # That two runs differed, or that it was broken off, is not in its events.
        entry |= {"verdict": "error", "reason": beside.get("reason") or entry["reason"]}
    counterexample = file.with_name("counterexample.json")
    if counterexample.is_file():
        entry["command"] = f"harness replay {counterexample}"
    return Saved(entry, history, file, story=_story(file.parent), explanation=_explanation(file.parent))


def _story(folder: Path) -> list[str]:
    try:
        return (folder / "story.txt").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _explanation(folder: Path) -> dict[str, Any]:
    """What ``harness explain`` found of a finding, where it was saved beside it."""
    try:
        found = json.loads((folder / "explanation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def set_beside(runs: Sequence[Saved]) -> None:
    """Put beside each failing run the nearest one that passed: its explanation's, else the one that goes along longest.

    The entry's ``beside`` is what a page shows of it.
    """
    from harness.report.beside import beside, of_explanation, shared_events

    passed = [one for one in runs if one.history is not None and one.entry["verdict"] == "passed"]
    for run in runs:
        if run.entry["verdict"] != "failed" or run.history is None:
            continue
        events = run.history.events
        explained = of_explanation(run.explanation)
        if explained is not None:
            run.entry["beside"] = explained
            continue
        same = [one for one in passed if one.entry["name"] == run.entry["name"] and one.history is not None]
        ranked = [(shared_events(events, one.history.events), one) for one in same[:_NEAR_MAX] if one.history]
        if ranked:
            _, nearest = max(ranked, key=lambda pair: pair[0])
            assert nearest.history is not None
            what = f"Seed {nearest.entry.get('seed')}, {nearest.file}"
            run.entry["beside"] = beside(events, nearest.history.events, what)
