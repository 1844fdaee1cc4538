"""What a sweep has tried so far, on disk: a sweep that was broken off goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.explore.sweep import Outcome

__all__ = ["SweepLog"]


class SweepLog:
    """``sweep.jsonl``: a line that says what is swept, then one for each outcome.

    *head* is what must be the same for old outcomes to count: scenario, digest, seed, versions.
    """

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self.path = path
        self._head = dict(head)
        self.outcomes: dict[str, Outcome] = {}
        self._read()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"cannot be written ({error.strerror})", file=str(path), remedy="Choose another folder with --out"
            ) from None
        self._write(self._head)
        for outcome in self.outcomes.values():
            self._write(outcome.to_json())

    def add(self, outcome: Outcome) -> None:
        """Keep one more."""
        self.outcomes[outcome.name] = outcome
        self._write(outcome.to_json())

    def close(self) -> None:
        self._file.close()

    def _write(self, document: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(document) + "\n")
        self._file.flush()

    def _read(self) -> None:
        """What an earlier sweep of the same thing found; a line that was cut off is tried again."""
        if not self.path.is_file():
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        if not lines or _json(lines[0]) != self._head:
            return
        for line in lines[1:]:
            document = _json(line)
            if isinstance(document, dict) and "name" in document:
                self.outcomes[document["name"]] = Outcome.from_json(document)


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
