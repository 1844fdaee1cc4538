"""Finds the scenario of a saved run again: from any folder, with the modules that it imports.

A file is named as it was when the run was made, mostly from the project's
folder. It is looked for beside the saved run and in the folders above it
first, then from the current folder, so that a finding in ``reports/`` is
replayed with its own project, wherever the command is given.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from harness.loading import file_digest

__all__ = ["find", "make_importable"]

#: What a project's folder has.
_MARKS = ("harness.toml", "pyproject.toml", "setup.py", "setup.cfg", ".git")


def find(named: str, beside: Path | None = None, digest: str | None = None) -> Path | None:
    """The file called *named* in a saved run that is stored in the file *beside*; ``None`` if it is nowhere.

    Of several the one with the given *digest*, else the first.
    """
    first: Path | None = None
    for folder in _folders(Path(named), beside):
        path = folder / named
        if not path.is_file():
            continue
        if digest is None or file_digest(path) == digest:
            return path
        first = first or path
    return first


def _folders(named: Path, beside: Path | None) -> Iterator[Path]:
    if beside is not None and not named.is_absolute():
        yield from beside.resolve().parents
    yield Path()


def make_importable(named: str, path: Path) -> None:
    """Let the scenario file at *path*, which was called *named*, import what it could import then.

    Its own folder, the folder from which it was named (the current one of
    the run that was saved) and its project's are added to ``sys.path``.
    """
    resolved = path.resolve()
    folders = [resolved.parent]
    parts = Path(named).parts
    if not Path(named).is_absolute() and ".." not in parts and resolved.parts[-len(parts) :] == parts:
        folders.append(resolved.parents[len(parts) - 1])
    folders += [folder for folder in resolved.parents if any((folder / mark).exists() for mark in _MARKS)][:1]
    for folder in map(str, folders):
        if folder not in sys.path:
            sys.path.append(folder)
